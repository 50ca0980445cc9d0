"""The settings of a model, and what of them does not fit together."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from pipeline.volume import Settings
from ssm_ops.mixers.catalogue import MIXERS, Choices, check_mixer

Task = Literal["forecast", "denoise", "map"]


@dataclass(frozen=True)
class ModelSettings(Settings):
    """Settings of a model.

    Attributes:
        task: What it makes of the frames up to one: `forecast` the next frame; `denoise` the same frame without its
            noise; `map` a frame of other channels, those of the target: numbers, or with `classes` labels.
        bidirectional: Whether later frames count too; not for forecasts. A second stack of blocks runs from the last
            frame to the first, and both meet before the decoder.
        targets: The channels, by name, that `denoise` and `map` make. Of `denoise` they are as many as those that are
            read, in their order.
        inputs: The channels, by name, that these tasks read; by default all but the targets.
        classes: Labels of `map` from 0 to below this; without it the target's channels are numbers.
        reads: What the encoder reads: `differences` of each frame from the one before; the frames' own `levels`; or
            `both`. A forecast is the present frame plus an increment, but of levels nothing is added: a model of
            differences that learned nothing is persistence, one of levels is the mean of the training frames. By
            default differences for forecasts, levels otherwise.
        ahead: What a forecast reads of frames that are not there yet, beyond the last one seen: `forecasts`, each as
            the next frame; or `gaps`, nothing, and of every frame a further channel that says whether it was seen.
            Frames ahead then go through the model in parallel, as those that were seen do, in training as well. Only
            of `levels`: there is no difference from a gap.
        channels: Channels of the stream that the blocks read and write.
        mixer: What looks along time in each layer, one of the names that `chronovox mixers` lists. `rate`,
            `transition`, `selective` and `drift` are those of `convssm`.
        states: How much each mixer remembers: state channels of `convssm`, else as `chronovox mixers` says.
        layers: Blocks, each with a mixer.
        patch: Voxels along each axis of the patches that the encoder makes one voxel of the stream of.
        patch_taps: 3: encoder and decoder look at the patches beside a patch too; 1: at none, with 3^axes times fewer
            numbers; not with patches of one voxel, or `resize`.
        upsampling: How the decoder makes voxels of patches again: by a `transposed` convolution, or by repeating
            them (`resize`) and a convolution.
        norm: Whether what enters the gates is divided by its root mean square over channels.
        gate_taps: 1: the gates mix the channels of each voxel; 3: and those of its neighbours.
        rate: The forecaster starts as the exponential average s_t = s_{t-1} + rate (x_t - s_{t-1}) and learns from
            there; with differences the average starts at the first frame, with levels at zero. This needs a channel and
            a state for each number of a patch; a model without starts near what it would be had it learned nothing.
        transition: What a step does to the states of each layer: `propagator` (decay and diffusion, continuous in
            time), `kernel` (a kernel for each state) or `pointwise` (complex rates, every voxel for itself).
        selective: Whether the input chooses how far each state moves at a step; not with kernels.
        drift: Whether propagators learn a velocity, along axes that are periodic.
        taps: The size of kernels along each axis (3 by default), or of a correction that propagators learn (none by
            default). Odd where an axis reflects. Also of other mixers that have kernels in space.
        span: How many frames a mixer with a finite memory looks at, the present one among them; 16 by default, 3 of
            `causal-convolution`.
        heads: Of attention.
        initial: How a mixer's weights or rates start, where it has a choice.
        uneven: Whether steps are as long as the times of frames say, in units of the median step of the frames that are
            learned from; by default each step is one. Where a run of the data begins states begin anew either way.
    """

    task: Task = "forecast"
    bidirectional: bool = False
    targets: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    classes: int | None = None
    reads: Literal["differences", "levels", "both"] | None = None
    ahead: Literal["forecasts", "gaps"] = "forecasts"
    mixer: str = "convssm"
    channels: int = 8
    states: int = 16
    layers: int = 2
    patch: int = 1
    patch_taps: Literal[1, 3] = 3
    upsampling: Literal["transposed", "resize"] = "transposed"
    norm: bool = False
    gate_taps: Literal[1, 3] = 1
    rate: float = 0.2
    transition: str = "propagator"
    selective: bool = False
    drift: bool = False
    taps: int | None = None
    span: int | None = None
    heads: int | None = None
    initial: str | None = None
    uneven: bool = False

    def __post_init__(self):
        check_mixer(self.mixer, self.choices(()))
        for name in ("channels", "states", "layers", "patch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give at least 1")
        if self.gaps and (self.task, self.reading) != ("forecast", "levels"):
            raise ValueError(
                f"ahead is 'gaps' with task {self.task!r} that reads {self.reading!r}; only a forecast from levels can "
                "read gaps. Set reads to levels, or leave ahead out"
            )
        if self.patch_taps == 1 and (self.patch == 1 or self.upsampling == "resize"):
            raise ValueError(
                f"patch_taps is 1 with patch {self.patch} and upsampling {self.upsampling!r}; give larger patches and "
                "'transposed', or leave patch_taps out"
            )
        if not 0 < self.rate < 1:
            raise ValueError(f"rate is {self.rate}; give a number between 0 and 1")
        if self.bidirectional and self.task == "forecast":
            raise ValueError("bidirectional with task 'forecast', which knows no later frames; leave bidirectional out")
        if self.classes is not None and self.task != "map":
            raise ValueError(f"classes is {self.classes} with task {self.task!r}; only 'map' makes labels")
        if (self.task == "forecast") != (not self.targets):
            mend = "leave targets out" if self.targets else "name the channels that it makes"
            raise ValueError(f"targets are {list(self.targets)} with task {self.task!r}; {mend}")
        if self.inputs and self.task == "forecast":
            raise ValueError(
                f"inputs are {list(self.inputs)} with task 'forecast', which reads all channels; leave it out"
            )
        named = (*self.inputs, *self.targets)
        if len(set(named)) < len(named):
            raise ValueError(f"inputs are {list(self.inputs)} and targets {list(self.targets)}; name each channel once")
        if self.classes is not None and len(self.targets) != 1:
            raise ValueError(f"classes with {len(self.targets)} targets; labels are one channel")
        if self.uneven and not MIXERS[self.mixer].kind.uneven:
            able = ", ".join(name for name, member in MIXERS.items() if member.kind.uneven)
            raise ValueError(f"uneven with mixer {self.mixer!r}, which knows steps of 1 only; use one of {able}")
        if self.uneven and self.transition == "kernel":
            raise ValueError("uneven with transition 'kernel', which is one whole step of time; use another transition")
        if self.classes is not None and self.classes < 2:
            raise ValueError(f"classes is {self.classes}; give at least 2")

    def choices(self, boundary: tuple[str, ...]) -> Choices:
        """What each layer's mixer is told."""
        named = {field.name: getattr(self, field.name) for field in fields(Choices) if field.name != "boundary"}
        if self.mixer != "convssm" and self.transition == "propagator":
            named["transition"] = None
        return Choices(boundary=boundary, **named)

    @property
    def side_by_side(self) -> bool:
        """Whether the shards of a series run side by side; else each waits for the carry of the one before it."""
        return MIXERS[self.mixer].kind.side_by_side

    @property
    def reading(self) -> str:
        """What the encoder reads, told or by default."""
        return self.reads or ("differences" if self.task == "forecast" else "levels")

    @property
    def adds(self) -> bool:
        """Whether what the decoder makes is added to the frame that was read."""
        return self.task == "denoise" or (self.task == "forecast" and self.reading != "levels")

    @property
    def gaps(self) -> bool:
        """Whether frames may be gaps, and are told to be seen or not."""
        return self.ahead == "gaps"

    @property
    def lead(self) -> int:
        """How many frames ahead of the last frame read the output lies."""
        return 1 if self.task == "forecast" else 0
