"""The ConvSSM layer: h_t = A * h_{t-1} + B x_t, y_t = C h_t + D x_t, as a program over chunks of time."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Inexact, Shaped
from torch import Tensor, nn

from ssm_ops.carry import ASK, LATER, Program
from ssm_ops.classes import Classes
from ssm_ops.families import learned_family
from ssm_ops.learned import SelectiveSteps
from ssm_ops.memory import Rooms
from ssm_ops.scanning import final_carry, scan
from ssm_ops.spectrum import Grid, Voxels
from ssm_ops.stitch import Stitch, Stitching
from ssm_ops.transition import Kernel, Pointwise, Transition


class ConvSSM(nn.Module):
    """A convolutional state-space layer: h_t = A^dt_t * h_{t-1} + s_t B x_t, y_t = C h_t + D x_t.

    A is a transition of any family, one a state channel; B and C are pointwise matrices, D a gain a channel. What a
    step takes from its input, s_t, is `taken`: a state is never larger than its inputs, and as large where the
    transition keeps most. The states of a `Pointwise` transition are complex and y_t = Re(C h_t) + D x_t with a complex
    C (Gu, Gupta, Goel, Re, "On the Parameterization and Initialization of Diagonal State Space Models" (2022); Smith
    et al., "Convolutional State Space Models for Long-Range Spatiotemporal Modeling" (2023)); it is held as one real
    matrix on the real and the imaginary parts of h. B is real: the phase of a state is C's to learn.

    Under `torch.autocast` the products with B and C are made in the lower precision; steps, scan and carry stay in that
    of the weights.

    Args:
        channels: Channels of the input and of the output.
        states: State channels.
        family: A module that returns the transition of `states` channels, see `learned.py` and `learned_family`. By
            default decay and diffusion: memories of 1 to 20 steps and diffusivities laid out on a grid.
        steps: Makes the layer selective: dt_t is `steps(x_t)`, one a state. Without it dt_t is 1.

    Raises:
        ValueError: Steps are given with a family of kernels.
    """

    def __init__(
        self, channels: int, states: int, family: nn.Module | None = None, *, steps: SelectiveSteps | None = None
    ):
        super().__init__()
        self.family = learned_family("propagator", states) if family is None else family
        self.steps = steps
        transition = self.family()
        if steps is not None and isinstance(transition, Kernel):
            raise ValueError("selective steps with a kernel, which is one whole step of time; use another family")
        parts = 2 * states if isinstance(transition, Pointwise) else states
        self.B = nn.Parameter(torch.randn(states, channels) / math.sqrt(channels))
        self.C = nn.Parameter(torch.randn(channels, parts) / math.sqrt(parts))
        self.D = nn.Parameter(torch.zeros(channels))
        self._rooms = Rooms()

    @torch.no_grad()
    def start_average(self, channel: int, *, decay: Float[Tensor, ""], gain: float) -> None:
        """Makes output `channel` start as `gain` times the exponential average of input `channel`, undiffused."""
        self.family.only_decay(channel, decay)
        self.B[channel], self.C[channel] = 0, 0
        self.B[channel, channel], self.C[channel, channel] = gain, 1

    @torch.no_grad()
    def start_state(self, state: int, *, reads: int, decay: Float[Tensor, ""], diffusivity: Float[Tensor, ""]) -> None:
        """Makes a state start as the average of input channel `reads` alone, over times of 1 / `decay` steps, diffused
        on the way by `diffusivity` voxels^2 a step; of propagators. No output reads it before `C` says so."""
        self.family.decay_and_diffuse(state, decay, diffusivity)
        self.B[state], self.C[:, state] = 0, 0
        self.B[state, reads] = 1

    def program(
        self,
        chunks: list[Float[Tensor, "_ channel *grid"]],
        boundary: tuple[str, ...],
        dt: list[Float[Tensor, "_"]] | None = None,
    ) -> Program[list[Float[Tensor, "_ channel *grid"]]]:
        """The outputs of consecutive chunks of one shard. Yields the shard's summary once, is sent its carry; without
        gradients it asks first whether the carry is there, see `carry.py`.

        The carry is the spectrum (state, *spectrum) of the state before the first frame, in the input's precision. The
        summary's transition is a to the power of the time that the shard spans, which in a selective layer is a sum
        over its own inputs, one a state.

        Args:
            chunks: The frames.
            boundary: The boundary of each axis.
            dt: The time from the frame before to each frame, one tensor a chunk; `None` is 1, `inf` forgets what was
                before (see `scan`): the outputs from there on are those of frames that begin there, with a step of 1.
                A selective layer multiplies its steps by it.
        """
        transition, offsets, steps = self.meets(chunks, dt)
        stitching = Stitching(transition, boundary, rooms=self._rooms)
        pieces = [stitching.shard(u, dt=own) for u, own in zip(offsets, steps, strict=True)]
        if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (*offsets, *self.parameters())):
            final, outputs = None, []
            for u, own in zip(offsets, steps, strict=True):
                final = final_carry(u, transition, boundary=boundary, carry=final, dt=own)
            carry = yield stitching.summary(pieces, final)
            for u, own, x in zip(offsets, steps, chunks, strict=True):
                states, carry = scan(u, transition, boundary=boundary, carry=carry, dt=own, backend="spectral")
                outputs.append(self.reads(states, x))
            return outputs
        del offsets  # a piece that has kept its spectra needs its own no more
        return (yield from self._stitched(stitching, pieces, chunks))

    def _stitched(self, stitching: Stitching, pieces: list[Stitch], chunks: list[Tensor]) -> Program[list[Tensor]]:
        """The outputs, in one pass where the carry is here already, in two where it is not; the bits are the same."""
        outputs, finals = [], []
        carry = yield ASK
        known = carry is not LATER
        for piece, x in zip(pieces, chunks, strict=True):
            if known:
                states, final = piece.through(carry)
                outputs.append(self.reads(states, x))
                carry = stitching.summary([piece], final)(carry)
            else:
                final = piece.keep()
            finals.append(final)
        whole = None
        for piece, final in zip(pieces, finals, strict=True):
            whole = stitching.summary([piece], final)(whole)
        carry = yield stitching.summary(pieces, whole)
        if not known:
            for piece, final, x in zip(pieces, finals, chunks, strict=True):
                outputs.append(self.reads(piece.finish(carry), x))
                carry = stitching.summary([piece], final)(carry)
        return outputs

    def power(
        self, shape: tuple[int, ...], boundary: tuple[str, ...], span: int | float
    ) -> Shaped[Tensor, "state *spectrum"]:
        """What a run of time of `span` leaves of a carry; of a layer whose input chooses no steps."""
        transition = self.family()
        grid = transition.basis(shape, tuple(boundary), len(self.B))
        return transition.power(grid, span).to(self._carry_kind(grid))

    def classes(self, shape: tuple[int, ...], boundary: tuple[str, ...], tolerance: float) -> Classes:
        """Which frequencies of a carry must travel, on such a grid; of a layer whose input chooses no steps."""
        transition = self.family()
        return Classes(transition, transition.basis(shape, tuple(boundary), len(self.B)), len(self.B), tolerance)

    def carry_bytes(self, shape: tuple[int, ...], boundary: tuple[str, ...], tolerance: float = 0.0) -> int:
        """Bytes of what is sent of a carry on a grid of that shape."""
        classes = self.classes(shape, boundary, tolerance)
        return classes.sent * self._carry_kind(classes.grid).itemsize

    def _carry_kind(self, grid: Grid | Voxels) -> torch.dtype:
        return grid.spectrum_dtype(self.B.dtype)

    def meets(
        self, chunks: list[Float[Tensor, "_ channel *grid"]], dt: list[Float[Tensor, "_"]] | None = None
    ) -> tuple[Transition, list[Float[Tensor, "_ state *grid"]], list[Tensor | None]]:
        """What the layer scans: the transition, and the offsets and the steps of each chunk.

        Steps are (time,) or (time, state), `None` where all are 1; offsets s_t B x_t, s_t that of a step of 1 where it
        is infinite. Arguments as for `program`.
        """
        transition = self.family()
        steps = [None] * len(chunks) if dt is None else dt
        known = [None if time is None else torch.where(torch.isinf(time), 1, time) for time in steps]
        if self.steps is not None:
            chosen = [self.steps(x) for x in chunks]
            known = [own if time is None else own * time[:, None] for own, time in zip(chosen, known, strict=True)]
            steps = known if dt is None else [_endless(own, time) for own, time in zip(known, dt, strict=True)]
        if known[0] is None:
            projections = [self.B * taken(transition)[:, None]] * len(chunks)
        else:
            projections = [self.B * taken(transition, own)[..., None].to(self.B.dtype) for own in known]
        offsets = [mix(project, x).to(self.B.dtype) for project, x in zip(projections, chunks, strict=True)]
        return transition, offsets, steps

    def reads(
        self, states: Inexact[Tensor, "time state *grid"], x: Float[Tensor, "time channel *grid"]
    ) -> Float[Tensor, "time channel *grid"]:
        """The outputs C h_t + D x_t, of complex states Re(C h_t) + D x_t."""
        return mix(self.C, as_real(states)) + self.D.reshape(-1, *[1] * (x.ndim - 2)) * x


def taken(
    transition: Transition, dt: Float[Tensor, "time"] | Float[Tensor, "time state"] | None = None
) -> Float[Tensor, "*frames state"]:
    """What a step takes from its input: 1 - m^dt, with m the most that a step of 1 keeps of any frequency, |a(w)| <= m.

    m is exp(-decay) for a propagator, exp(Re rate) for pointwise rates, sum |taps| for a kernel. So a state is never
    larger than the largest of its inputs, in root mean square over space. A constant input gives a state of its size
    where the transition keeps constants best (decay, diffusion and drift; taps and corrections that are not negative),
    an oscillation does where the rate is its own. For a decay alone this is the zero-order hold, exact for inputs that
    are constant over each step, whatever its length (`discretize.zero_order_hold`); with steps that the input chooses
    it is a gate, h_t = (1 - g_t) h_{t-1} + g_t x_t (Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective
    State Spaces" (2023), theorem 1).
    """
    if dt is not None and dt.ndim == 1:
        dt = dt[:, None]
    if isinstance(transition, Kernel):
        kept = transition.taps.abs().flatten(1).sum(1)
        return 1 - (kept if dt is None else kept**dt)
    decay = -transition.rate.real if isinstance(transition, Pointwise) else transition.decay
    return -torch.expm1(-decay if dt is None else -decay * dt)


def _endless(steps: Float[Tensor, "time state"], dt: Float[Tensor, "time"]) -> Float[Tensor, "time state"]:
    """Steps, infinite where `dt` is; of what is infinite no gradient passes."""
    return torch.where(torch.isinf(dt)[:, None], math.inf, steps)


def mix(
    matrix: Float[Tensor, "*frames out channel"], x: Float[Tensor, "time channel *grid"]
) -> Float[Tensor, "time out *grid"]:
    """The same matrix applied to the channels of every voxel; one for all frames, or one for each."""
    return (matrix @ x.flatten(2)).unflatten(2, x.shape[2:])


def as_real(states: Inexact[Tensor, "time state *grid"]) -> Float[Tensor, "time part *grid"]:
    """Real states as they are; of complex ones all the real parts, then all the imaginary ones."""
    return torch.cat([states.real, states.imag], dim=1) if states.is_complex() else states
