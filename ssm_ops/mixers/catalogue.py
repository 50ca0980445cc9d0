"""The mixers by name, what each of them can be told, and how it is made."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial

from ssm_ops.families import check_choice, learned_family
from ssm_ops.learned import SelectiveSteps
from ssm_ops.mixers.attention import Attention
from ssm_ops.mixers.convolutional import Convolution
from ssm_ops.mixers.convrecurrent import ConvRecurrent
from ssm_ops.mixers.convs5 import ConvS5
from ssm_ops.mixers.convssm import ConvSSM
from ssm_ops.mixers.frame_encoder import FrameEncoder
from ssm_ops.mixers.gss import GSS
from ssm_ops.mixers.h3 import H3
from ssm_ops.mixers.hyena import Hyena
from ssm_ops.mixers.linear_attention import LinearAttention
from ssm_ops.mixers.mamba import Mamba
from ssm_ops.mixers.mixer import Mixer
from ssm_ops.mixers.rates import RATE_INITIALS
from ssm_ops.mixers.recurrent import Cell, RecurrentPerVoxel
from ssm_ops.mixers.s4 import S4
from ssm_ops.mixers.s4d import RATES, S4D
from ssm_ops.mixers.s4nd import S4ND
from ssm_ops.mixers.s5 import S5
from ssm_ops.mixers.weights import GATE_INITIALS

CAUSAL_SPAN = 3
"""Frames that `causal-convolution` sees where no span is told: as many as voxels along each axis."""


@dataclass(frozen=True)
class Choices:
    """What a mixer is told beside its name; what is `None` or `False` is not told.

    Attributes:
        channels: Of input and output.
        states: How much a mixer remembers: state channels, hidden channels, or states a channel, as the member says.
        boundary: Of each axis of the grid.
        transition, selective, drift: Of `convssm`, see `families.learned_family`.
        taps: The size of kernels along each axis of space.
        span: How many frames a mixer with a finite memory looks at, the present one among them.
        heads: Of attention.
        initial: How weights or rates start, where there is a choice.
    """

    channels: int
    states: int
    boundary: tuple[str, ...]
    transition: str | None = None
    selective: bool = False
    drift: bool = False
    taps: int | None = None
    span: int | None = None
    heads: int | None = None
    initial: str | None = None


@dataclass(frozen=True)
class Member:
    """A mixer as the catalogue has it.

    Attributes:
        family: By which members are listed.
        kind: Its class, whose attributes say what it can do.
        make: Makes one.
        takes: Which choices it can be told, beside channels, states and boundary.
        initials: What `initial` can be, the default first.
        about: In one line, what it is and where it comes from.
    """

    family: str
    kind: type[Mixer]
    make: Callable[[Choices], Mixer]
    about: str
    takes: tuple[str, ...] = ()
    initials: tuple[str, ...] = ()


def _convssm(choices: Choices) -> ConvSSM:
    transition = choices.transition or "propagator"
    family = learned_family(transition, choices.states, choices.boundary, drift=choices.drift, taps=choices.taps)
    steps = None
    if choices.selective:
        steps = SelectiveSteps(choices.channels, len(choices.boundary), states=choices.states)
    return ConvSSM(choices.channels, choices.states, family, steps=steps)


def _attention(choices: Choices, *, encoded: bool = False) -> Attention:
    heads, span = choices.heads or 1, choices.span or 16
    encoder = FrameEncoder(choices.channels, choices.states, heads) if encoded else None
    return Attention(choices.channels, choices.states, heads=heads, span=span, encoder=encoder)


def _per_voxel(cell: Cell, about: str) -> Member:
    def make(c: Choices) -> RecurrentPerVoxel:
        return RecurrentPerVoxel(c.channels, c.states, cell, initial=c.initial or GATE_INITIALS[0])

    return Member("recurrent", RecurrentPerVoxel, make, about, takes=("initial",), initials=GATE_INITIALS)


def _of_fields(cell: Cell, about: str) -> Member:
    def make(c: Choices) -> ConvRecurrent:
        initial = c.initial or GATE_INITIALS[0]
        return ConvRecurrent(c.channels, c.states, len(c.boundary), cell, taps=c.taps, initial=initial)

    return Member("recurrent", ConvRecurrent, make, about, takes=("taps", "initial"), initials=GATE_INITIALS)


MIXERS: dict[str, Member] = {
    "convssm": Member(
        "convolutional state space",
        ConvSSM,
        _convssm,
        "states that decay, diffuse, drift, or turn in every voxel; `transition` chooses",
        takes=("transition", "selective", "drift", "taps"),
    ),
    "frame-convolution": Member(
        "convolution",
        Convolution,
        lambda c: Convolution(c.channels, c.states, len(c.boundary), span=1, taps=c.taps),
        "each frame convolved by itself; no memory, the control for all that looks along time",
        takes=("taps",),
    ),
    "causal-convolution": Member(
        "convolution",
        Convolution,
        lambda c: Convolution(c.channels, c.states, len(c.boundary), span=c.span or CAUSAL_SPAN, taps=c.taps),
        "convolved in space and over the last frames (Tran et al., 2015; van den Oord et al., 2016); span 3 by default",
        takes=("taps", "span"),
    ),
    "rnn": _per_voxel("rnn", "tanh units in every voxel (Elman, 1990)"),
    "lstm": _per_voxel("lstm", "long short-term memory in every voxel (Hochreiter and Schmidhuber, 1997)"),
    "gru": _per_voxel("gru", "gated recurrent units in every voxel (Cho et al., 2014)"),
    "convrnn": _of_fields("rnn", "tanh units whose matrices are kernels in space"),
    "convlstm": _of_fields("lstm", "long short-term memory whose matrices are kernels in space (Shi et al., 2015)"),
    "convgru": _of_fields("gru", "gated recurrent units whose matrices are kernels in space (Ballas et al., 2016)"),
    "convs5": Member(
        "state space in space",
        ConvS5,
        lambda c: ConvS5(c.channels, c.states, len(c.boundary), taps=c.taps, initial=c.initial or RATE_INITIALS[0]),
        "states that decay and turn in every voxel, kernels in space before and behind them (Smith et al., 2023)",
        takes=("taps", "initial"),
        initials=RATE_INITIALS,
    ),
    "s4nd": Member(
        "state space in space",
        S4ND,
        lambda c: S4ND(c.channels, c.states, len(c.boundary), initial=c.initial or RATE_INITIALS[0]),
        "a kernel of a state space along each axis, all multiplied (Nguyen et al., 2022); states a channel",
        takes=("initial",),
        initials=RATE_INITIALS,
    ),
    "s4": Member(
        "state space in time",
        S4,
        lambda c: S4(c.channels, c.states),
        "HiPPO-LegS a channel, diagonal plus low rank; `states` complex states in each (Gu, Goel, Re, 2022)",
    ),
    "s4d": Member(
        "state space in time",
        S4D,
        lambda c: S4D(c.channels, c.states, c.initial or "lin"),
        "a diagonal system a channel; `states` complex states in each (Gu, Gupta et al., 2022)",
        takes=("initial",),
        initials=tuple(RATES),
    ),
    "s5": Member(
        "state space in time",
        S5,
        lambda c: S5(c.channels, c.states),
        "one diagonal system for all channels, `states` complex states (Smith, Warrington, Linderman, 2023)",
    ),
    "gss": Member(
        "state space in time",
        GSS,
        lambda c: GSS(c.channels, c.states),
        "diagonal systems on a quarter of the channels, gated; `states` complex states in each (Mehta et al., 2022)",
    ),
    "h3": Member(
        "state space in time",
        H3,
        lambda c: H3(c.channels, c.states),
        "a shift and a diagonal system a channel, and products; `states` in each (Fu, Dao et al., 2023)",
    ),
    "mamba": Member(
        "state space in time",
        Mamba,
        lambda c: Mamba(c.channels, c.states),
        "states in every voxel whose steps the input chooses (Gu and Dao, 2023)",
    ),
    "hyena": Member(
        "state space in time",
        Hyena,
        lambda c: Hyena(c.channels, c.states, span=c.span or 16),
        "long convolutions in time, in every voxel, with gates (Poli et al., 2023)",
        takes=("span",),
    ),
    "attention": Member(
        "attention",
        Attention,
        _attention,
        "every voxel asks all voxels of the last frames, which are kept (Vaswani et al., 2017)",
        takes=("span", "heads"),
    ),
    "linear-attention": Member(
        "attention",
        LinearAttention,
        lambda c: LinearAttention(c.channels, c.states, heads=c.heads or 1),
        "every voxel asks all voxels of all frames so far, through sums over them (Katharopoulos et al., 2020)",
        takes=("heads",),
    ),
    "encoder-decoder": Member(
        "attention",
        Attention,
        partial(_attention, encoded=True),
        "every voxel asks what an encoder made of each of the last frames (Vaswani et al., 2017)",
        takes=("span", "heads"),
    ),
}


def no_mixer(name: str) -> str:
    """What is said of a name that no mixer has: the nearest ones, and all."""
    near = difflib.get_close_matches(name, MIXERS)
    meant = f"did you mean {' or '.join(near)}? There are" if near else "there are"
    return f"mixer is {name!r}, which is none; {meant} {', '.join(MIXERS)}"


def check_mixer(name: str, choices: Choices) -> None:
    """Refuses what no mixer can be; what depends on the boundary is left to `mixer_named`.

    Raises:
        ValueError: The name is unknown, or the member has no such choice.
    """
    if name not in MIXERS:
        raise ValueError(no_mixer(name))
    member, always = MIXERS[name], ("channels", "states", "boundary")
    for field in fields(Choices):
        told = getattr(choices, field.name)
        if field.name in (*always, *member.takes) or told == field.default:
            continue
        can = f"which can be told {', '.join(member.takes)}" if member.takes else "which has no such choice"
        raise ValueError(f"{field.name} is {told} with mixer {name!r}, {can}; leave {field.name} out")
    if choices.initial is not None and choices.initial not in member.initials:
        raise ValueError(
            f"initial is {choices.initial!r} with mixer {name!r}; give one of {', '.join(member.initials)}"
        )
    for size in ("taps", "span", "heads"):
        if (told := getattr(choices, size)) is not None and told < 1:
            raise ValueError(f"{size} is {told}; give at least 1")
    if name == "convssm":
        ways = {"selective": choices.selective, "drift": choices.drift, "taps": choices.taps}
        check_choice(choices.transition or "propagator", **ways)


def mixer_named(name: str, choices: Choices) -> Mixer:
    """A new mixer, its weights drawn from torch's generator.

    Raises:
        ValueError: There is none of that name, or it cannot be so.
    """
    check_mixer(name, choices)
    return MIXERS[name].make(choices)
