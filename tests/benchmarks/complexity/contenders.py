"""What is measured: every mixer as recipes make it; those with a finite memory also with one of all frames."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ssm_ops.mixers.catalogue import MIXERS, Choices, mixer_named
from ssm_ops.mixers.mixer import Mixer

CHANNELS, STATES = 8, 8
BOUNDARIES = {2: ("reflect", "periodic"), 3: ("reflect", "reflect", "periodic")}


@dataclass(frozen=True)
class Contender:
    """A mixer of a size.

    Attributes:
        name: On the page.
        mixer: In the catalogue.
        all_frames: Whether its finite memory is as long as the run.
        choices: What else it is told.
    """

    name: str
    mixer: str
    all_frames: bool = False
    choices: tuple[tuple[str, object], ...] = ()

    @property
    def has_taps(self) -> bool:
        """Whether its kernels in space have a size; of convssm those of the transition that is one."""
        return ("taps" in MIXERS[self.mixer].takes and self.mixer != "convssm") or (
            "transition",
            "kernel",
        ) in self.choices

    def make(self, axes: int, frames: int, taps: int | None = None) -> Mixer:
        """It, with weights of a fixed seed."""
        torch.manual_seed(0)
        told = dict(self.choices)
        if self.all_frames:
            told["span"] = frames
        if taps is not None:
            told["taps"] = taps
        return mixer_named(self.mixer, Choices(CHANNELS, STATES, BOUNDARIES[axes], **told))


def contenders() -> list[Contender]:
    """All, in the order of the catalogue."""
    found = []
    for name, member in MIXERS.items():
        if name == "convssm":
            transitions = ("propagator", "kernel", "pointwise")
            found += [Contender(f"convssm, {one}", name, choices=(("transition", one),)) for one in transitions]
            found.append(Contender("convssm, selective", name, choices=(("selective", True),)))
        elif "span" in member.takes and member.family != "convolution":
            found += [Contender(f"{name}, span 16", name), Contender(f"{name}, all frames", name, all_frames=True)]
        else:
            found.append(Contender(name, name))
    return found
