"""A state-space system a channel whose A is diagonal minus a matrix of rank one, in the bilinear discretisation.

    x' = A x + B u, y = 2 Re(C x), A x = rates x - 2 P Re(P* x)

One of each conjugate pair of states is held; the pair of P* x adds up to twice its real part. A + A* is negative
definite where Re rates < 0, so the system is stable whatever P is.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float, Inexact
from torch import Tensor


@dataclass(frozen=True)
class Run:
    """What a run of frames is, for all voxels: y = kernel * u + recalled x, and the state becomes kept x + reached u.

    Attributes:
        kernel: K_t = C A^t B.
        recalled: C A^(t+1), what an output has of the state before the run.
        reached: A^(T-1-t) B, what the state after it has of an input.
        kept: A^T.
    """

    kernel: Float[Tensor, "channel time"]
    recalled: Float[Tensor, "channel time part"]
    reached: Float[Tensor, "channel part time"]
    kept: Float[Tensor, "channel part part"]


@dataclass(frozen=True)
class LowRank:
    """The systems of all channels.

    Attributes:
        rates, P, B, C: One number a channel and state.
        step: The length of a frame in the time of the rates.
    """

    rates: Complex[Tensor, "channel state"]
    P: Complex[Tensor, "channel state"]
    B: Complex[Tensor, "channel state"]
    C: Complex[Tensor, "channel state"]
    step: Float[Tensor, "channel 1"]

    def to(self, kind: torch.dtype) -> LowRank:
        """In this precision."""
        numbers = {name: getattr(self, name).to(kind.to_complex()) for name in ("rates", "P", "B", "C")}
        return dataclasses.replace(self, step=self.step.to(kind), **numbers)

    def advance(
        self, x: Complex[Tensor, "channel state voxel"], u: Float[Tensor, "channel voxel"]
    ) -> Complex[Tensor, "channel state voxel"]:
        """The state one frame later: x + step (1 - step A / 2)^-1 (A x + B u), at a cost of the states.

        (D^-1 + step P Re P*)^-1 = D - D P step / (1 + step Re(P* D P)) Re P* D (Woodbury), D = 1 / (1 - step rates /
        2). What is added to the state is small where memories are long, and so is its rounding.
        """
        rates, P, B, step = (each[..., None] for each in (self.rates, self.P, self.B, self.step))
        D = 1 / (1 - step * rates / 2)
        slope = rates * x - 2 * P * _overlap(P, x) + B * u[:, None]
        pushed = step * D * slope
        return x + pushed - step * D * P * (_overlap(P, pushed) / (1 + step * _overlap(P, D * P)))

    def read(self, x: Complex[Tensor, "channel state voxel"]) -> Float[Tensor, "channel voxel"]:
        """The outputs."""
        return 2 * (self.C[:, None] @ x).real.squeeze(1)

    def matrices(self) -> tuple[Tensor, Tensor, Tensor]:
        """The discrete A, B and C on the real parts of the states and then the imaginary ones: (channel, part, part),
        (channel, part, 1) and (channel, 1, part)."""
        channels, states = self.rates.shape
        eye = torch.eye(states, dtype=self.rates.dtype, device=self.rates.device)
        units = torch.cat([eye, 1j * eye], dim=1).expand(channels, -1, -1)
        A = to_parts(self.advance(units, self.step.new_zeros(channels, 2 * states)))
        B = to_parts(self.advance(torch.zeros_like(units[..., :1]), self.step.new_ones(channels, 1)))
        return A, B, self.read(units)[:, None]

    def over(self, frames: int) -> Run:
        """What a run of frames is."""
        A, B, C = self.matrices()
        kept = torch.linalg.matrix_power(A, frames)
        kernel = self.kernel((C - C @ kept).squeeze(1), frames)
        return Run(kernel, powers_on(A.mT, (C @ A).mT, frames).mT, powers_on(A, B, frames).flip(-1), kept)

    def kernel(self, truncated: Float[Tensor, "channel part"], frames: int) -> Float[Tensor, "channel frames"]:
        """K_t = C A^t B of the discrete matrices, t = 0 .. frames - 1, by the truncated generating function.

        sum_t K_t z^t = C (1 - A^T z^T) (1 - A z)^-1 B, where z^T = 1 at the T-th roots of unity, so that K is its
        inverse Fourier transform. With the continuous A, (1 - A z)^-1 B = 2 (M + w P P*)^-1 B, where w = 1 + z and M =
        2 (1 - z) / step - w rates is diagonal: sums c b / M over the states (Cauchy sums), and one division for the
        rank (Woodbury). Gu, Goel, Re (2022), algorithm 1, multiplied through by 1 + z, which may be zero.

        Args:
            truncated: C (1 - A^T), on the parts of the states.
            frames: T.
        """
        real, imag = truncated.chunk(2, dim=1)
        turn = torch.arange(frames // 2 + 1, dtype=self.step.dtype, device=self.step.device) * (-2 * math.pi / frames)
        z = torch.polar(torch.ones_like(turn), turn)
        w = 1 + z
        C, P, B, rates = (_pairs(each) for each in (torch.complex(real, -imag) / 2, self.P, self.B, self.rates))
        inverse = 1 / (2 * (1 - z) / self.step[..., None] - w * rates[..., None])
        sums = torch.stack([C * B, C * P, P.conj() * B, P.conj() * P], dim=1) @ inverse
        CB, CP, PB, PP = sums.unbind(1)
        return torch.fft.irfft(2 * (CB - CP * w * PB / (1 + w * PP)), n=frames)


def powers_on(
    A: Inexact[Tensor, "*batch n n"], v: Inexact[Tensor, "*batch n 1"], count: int
) -> Inexact[Tensor, "*batch n count"]:
    """v, A v, A^2 v, ... as columns: twice as many with each product."""
    while v.shape[-1] < count:
        v, A = torch.cat([v, A @ v], dim=-1), A @ A
    return v[..., :count]


def to_parts(x: Complex[Tensor, "channel state *voxel"]) -> Float[Tensor, "channel part *voxel"]:
    """The real parts of the states, then the imaginary ones."""
    return torch.cat([x.real, x.imag], dim=1)


def from_parts(parts: Float[Tensor, "channel part *voxel"]) -> Complex[Tensor, "channel state *voxel"]:
    return torch.complex(*parts.chunk(2, dim=1))


def _overlap(
    P: Complex[Tensor, "channel state 1"], x: Complex[Tensor, "channel state #voxel"]
) -> Float[Tensor, "channel 1 #voxel"]:
    """Re(P* x)."""
    return (P.mH @ x).real


def _pairs(half: Complex[Tensor, "channel state"]) -> Complex[Tensor, "channel both"]:
    """With the conjugates."""
    return torch.cat([half, half.conj()], dim=1)
