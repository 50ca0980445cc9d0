"""A recipe that takes noise away, for recordings of too few frames to learn forecasts from."""

from __future__ import annotations

from pipeline.volume import SPACE, InputError
from workflows.init.draft import Draft, Setting, Stage
from workflows.init.facts import Facts
from workflows.init.preparing import raw, times
from workflows.init.sizing import Means, Size, fit
from workflows.init.telling import megabytes, plural, some

NOISE = 0.2
"""The deviation of the noise that is added, as a share of what a channel varies by."""

SLABS = 3


def denoised(facts: Facts, name: str, means: Means) -> Draft:
    """The volume is cut in three slabs: to learn from, to choose by, to be tested on.

    Raises:
        InputError: No axis has three voxels.
    """
    series, channels = "scan", facts.channels
    axis = max(range(3), key=lambda one: facts.grid[one])
    thick, letter = facts.grid[axis] // SLABS, SPACE[axis][0]
    if thick < 1 or max(facts.first.runs) < 2:
        raise InputError(
            f"{facts.first.sources[0]} has {plural(facts.first.frames, 'frame')} of {times(facts.grid)} voxels, too "
            "few to learn from; name files with at least 2 frames and 3 voxels along one axis"
        )
    slab = tuple(thick if number == axis else size for number, size in enumerate(facts.grid))
    size = Size(16, 16, 2, neighbours=True, both_ways=True)
    frames = facts.first.frames
    window = min(max(facts.first.runs), 16)
    room = fit(slab, 2 * len(channels), size, wish=window, memory=means.memory, closes=False, least=1)
    deviations = [float(f"{NOISE * own:.2g}") or 1.0 for own in facts.sample.deviations]
    factors = {SPACE[number]: factor for number, factor in enumerate(room.coarsen) if factor > 1}
    coarse = facts.grid[axis] // SLABS // room.coarsen[axis]
    taken = SLABS * coarse * room.coarsen[axis]
    reshape: dict = {
        "tile": {SPACE[axis]: coarse},
        "noise": {"deviation": deviations if len(deviations) > 1 else deviations[0]},
    }
    if factors:
        reshape = {"coarsen": {**factors, "trim": True}, **reshape}
    rest = facts.grid[axis] - taken
    if rest:
        reshape = {"crop": {SPACE[axis]: [0, taken]}, **reshape}
    if len(facts.first.runs) > 1:
        reshape = {"runs": "joined", **reshape}
    slabs = [{"series": f"{series}.{letter}{number}"} for number in range(SLABS)]
    own = ", ".join(f"{one:.3g}" for one in facts.sample.deviations)
    prepared = {
        "reshape": Setting(
            reshape,
            ("Voxels are made coarser first, so that a step of training takes seconds. " if factors else "")
            + f"Along {SPACE[axis]}, the longest axis, {SLABS} slabs of {coarse} "
            f"voxels{f' ({rest} are left out)' if rest else ''}: {series}.{letter}0 and so on. The noise's deviation "
            f"is a fifth of what each channel varies by ({own}); give the one that your scanner has.",
        ),
        "splits": Setting(
            {"train": slabs[0], "validation": slabs[2], "test": slabs[1]},
            "one slab to learn from, one to choose by, one to be tested on; no voxel is in two",
        ),
        "normalise": Setting({"mean": "channel", "scale": "channel"}, "slabs lie at other places: no means of voxels"),
    }  # fmt: skip
    if facts.sample.missing:
        prepared["missing"] = Setting("mask", f"{facts.sample.missing:.1%} of the values looked at are missing")
    train = {
        "model": Setting(
            {
                "task": "denoise", "targets": list(channels), "bidirectional": True, "channels": 16, "states": 16,
                "layers": 2, "norm": True, "gate_taps": 3,
            }
        ),
        "steps": Setting(150),
        "window": Setting(
            room.window, f"frames; a step takes about {megabytes(room.bytes)} of the {megabytes(means.memory)} stated"
        ),
        "burn_in": Setting(0, "frames before and after count, so all are scored"),
        "learning_rate": Setting(0.003),
        "validate_every": Setting(25, "the step with the least validation error is kept"),
        "seed": Setting(0),
    }  # fmt: skip
    tested = f"{series}.{letter}1"
    both = {"prepared": "prepared", "model": "model"}
    stages = (
        *raw(facts, series),
        Stage(
            "prepared", "preprocess", prepared, {series: f"raw_{series}"},
            "White noise is added to a copy of each channel, `noisy NAME`; the model makes the channel of it.",
        ),
        Stage("model", "train", train, {"prepared": "prepared"}, "Frames before and after one count (bidirectional)."),
        Stage("restored", "infer", {"series": Setting(tested), "chunk": Setting(min(frames, 16), "frames")}, both),
        Stage(
            "scores", "evaluate", {"gaussian": Setting({}, "filters of many widths; each channel has the best one")},
            {"prediction": "restored", **both},
            "Beside the noisy input and Gaussian filters in space and time, which need no learning.",
        ),
        Stage(
            "report", "report", {"title": Setting(f"Noise taken away from {some(channels)}")},
            {"scores": "scores", "prediction": "restored", **both},
            "Scores, curves and pictures for the run's report.html.",
        ),
    )  # fmt: skip
    return Draft(
        name,
        (
            f"Noise taken away from {some(channels)}. {plural(frames, 'frame')} are too few to learn a forecast from, "
            "so this recipe learns to make each frame as it was before noise was added to it. Written by `chronovox "
            "init medical`; every line may be changed.",
            "Run it with `chronovox run`; what is finished is skipped, and what you change gets a new folder.",
        ),
        stages,
        (
            "More runs of the same scan: name all files, and with twelve frames or more a recipe for forecasts is "
            "written.",
            f"Another slab left out: exchange {series}.{letter}0, {series}.{letter}1 and {series}.{letter}2 under "
            "`splits`.",
            "More noise or less (`noise: {deviation: ...}`), and `steps: 500`, by the validation score.",
        ),
    )
