"""The recipe that leaves out one run of fMRI after the other."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.dataset import Truth, splits_of
from pipeline.storage import store
from workflows.language.load import load

COMMAND = Path(sys.executable).with_name("chronovox")
RECIPE = Path(__file__).parents[2] / "workflows" / "recipes" / "fmri_leave_one_run_out.yaml"
RUNS = [f"bold.run{number}" for number in range(1, 13)]


def test_every_run_is_tested_once_by_a_model_that_learned_from_ten_others():
    stages = load(RECIPE, [f"raw.source={RECIPE}", f"brain.source={RECIPE}"]).stages
    for number, tested in enumerate(RUNS, 1):
        splits = stages[f"prepared-{number}"].settings.splits
        assert (splits.test.series, stages[f"forecast-{number}"].settings.series) == (tested, tested)
        named = [splits.validation.series, *(period.series for period in splits.train)]
        assert sorted(named) == sorted(set(RUNS) - {tested})
        assert all(period.first is period.last is None for _, periods in splits.items() for period in periods)
    chosen_by = [stages[f"prepared-{number}"].settings.splits.validation.series for number in range(1, 13)]
    assert sorted(chosen_by) == sorted(RUNS)
    assert list(stages["summary"].inputs.values()) == [f"scores-{number}" for number in range(1, 13)]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not os.environ.get("CHRONOVOX_DATA"), reason="CHRONOVOX_DATA names no folder of real files")
def test_the_bar(tmp_path):
    """In the brain better than persistence and than the exponential average, surely; persistence by hand."""
    folder = Path(os.environ["CHRONOVOX_DATA"]) / "fmri" / "haxby25"
    sources = json.dumps([str(path) for path in sorted(folder.glob("run*.nii.gz"))])
    mask = folder / "masks" / "brain.nii.gz"
    command = [COMMAND, "run", RECIPE, "--runs", tmp_path, "--executor", "local"]
    command += ["--set", f"raw.source={sources}", "--set", f"brain.source={mask}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1700, check=False)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "fmri_leave_one_run_out"
    (summary,) = run.glob("summary-*/summary.json")
    brain = json.loads(summary.read_text())["parts"]["region brain"]
    for rival in ("persistence", "exponential_average"):
        assert brain[rival]["difference"]["high"] < 0

    (stored,) = run.glob("brain-*")
    inside = store.read_frames(stored / "raw.zarr", None, 0, 1)[0, 0] != 0
    assert np.count_nonzero(inside) == 129
    for number, own in enumerate(brain["persistence"]["mse"], 1):
        (prepared,) = run.glob(f"prepared-{number}-*")
        (span,) = splits_of(prepared)["test"]
        assert (span.series, span.start, span.stop) == (RUNS[number - 1], 0, 121)
        frames = Truth(prepared, span.series).frames(0, 121)[:, 0, inside]
        expected = np.mean([(one - other) ** 2 for one, other in itertools.pairwise(frames)])
        assert own == pytest.approx(expected, rel=1e-5)
        (forecast,) = run.glob(f"forecast-{number}-*")
        first = store.read_frames(forecast / "prediction.zarr", None, 0, 1)[0, 0, inside]
        np.testing.assert_allclose(first, frames[0], atol=1e-2, err_msg="nothing is carried into a run")
