"""One convolution in four forms: a sum, a matrix, a product of spectra, a recurrence. Time comes first.

With y_t = sum_s k_{t-s} u_s over all s,

    y = toeplitz(k) u                     the causal sum as a matrix, einsum "ts..., s... -> t..."
    y = linear_convolution(u, k)[:T]      a product of spectra, of T + K frames and not of T
    circulant(k) u = circular_convolution(u, k) = fold(linear_convolution(u, k), T)
    k = impulse_response(A, B, C, T)      makes y the output of h_t = A h_{t-1} + B u_t, y_t = C h_t, from zero

The linear convolution costs T log T, the Toeplitz product T^2. The circular one is the linear one with what runs over
the end added to the beginning, so of a kernel of K frames they agree from frame K - 1 on.

In space, a kernel of K taps applied n times is one of n (K - 1) + 1 (`kernel_power`), while in frequency space a^n
has the size of the grid, whatever n is.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Inexact
from torch import Tensor


def toeplitz(kernel: Inexact[Tensor, "time *batch"]) -> Inexact[Tensor, "time time *batch"]:
    """T_ts = kernel_{t-s} for t >= s, 0 above: causal convolution as a matrix, of every batch entry."""
    later = torch.ones(len(kernel), len(kernel), dtype=torch.bool, device=kernel.device).tril()
    return torch.where(later.reshape(*later.shape, *[1] * (kernel.ndim - 1)), circulant(kernel), 0)


def circulant(kernel: Inexact[Tensor, "time *batch"]) -> Inexact[Tensor, "time time *batch"]:
    """C_ts = kernel_{(t-s) mod T}: convolution on a ring as a matrix, of every batch entry."""
    frame = torch.arange(len(kernel), device=kernel.device)
    return kernel[(frame[:, None] - frame) % len(kernel)]


def linear_convolution(
    u: Inexact[Tensor, "time *#batch"], kernel: Inexact[Tensor, "taps *#batch"]
) -> Inexact[Tensor, "full *batch"]:
    """sum_s kernel_{t-s} u_s at all T + K - 1 frames where it is not zero, by FFT; the first T are the causal answer.

    Zeros behind both, T + K frames in all, keep it from going around. Real where both are. Rounds by the largest
    entries: a small one beside large ones has their error.
    """
    full = len(u) + len(kernel) - 1
    return _product(u, kernel, full + 1)[:full]


def circular_convolution(
    u: Inexact[Tensor, "time *#batch"], kernel: Inexact[Tensor, "time *#batch"]
) -> Inexact[Tensor, "time *batch"]:
    """sum_s kernel_{(t-s) mod T} u_s by FFT: on a ring, the frames before the first are the last ones."""
    return _product(u, kernel, len(u))


def fold(full: Inexact[Tensor, "full *batch"], frames: int) -> Inexact[Tensor, "frames *batch"]:
    """What lies on a line laid around a ring of `frames` frames: sum_n full_{t + n frames}."""
    rounds = -(-len(full) // frames)
    missing = full.new_zeros(rounds * frames - len(full), *full.shape[1:])
    return torch.cat([full, missing]).unflatten(0, (rounds, frames)).sum(0)


def impulse_response(
    A: Inexact[Tensor, "n n"], B: Inexact[Tensor, "n m"], C: Inexact[Tensor, "p n"], frames: int
) -> Inexact[Tensor, "frames p m"]:
    """C A^t B, t = 0 .. frames - 1: the kernel of h_t = A h_{t-1} + B u_t, y_t = C h_t, in which the state is gone.

    Gu, Goel, Re, "Efficiently Modeling Long Sequences with Structured State Spaces" (2022), section 2.4.

    Raises:
        ValueError: `frames` is less than 1.
    """
    if frames < 1:
        raise ValueError(f"frames is {frames}, and a kernel has at least 1; give the length of the signal")
    states = [B]
    for _ in range(1, frames):
        states.append(A @ states[-1])
    return torch.einsum("pn,tnm->tpm", C, torch.stack(states))


def kernel_power(taps: Float[Tensor, "channel *kernel"], times: int) -> Float[Tensor, "channel *power"]:
    """The kernel that does at once what `taps` does in `times` applications: times (K - 1) + 1 taps along each axis.

    Where `taps` is centred on index K // 2 (as in `Kernel`), this is centred on times (K // 2). No application is one
    tap, 1. By FFT over the taps; rounds by the largest of them.

    Args:
        taps: (channel, *K), each channel for itself.
        times: At least 0.

    Raises:
        ValueError: `times` is negative.
    """
    if times < 0:
        raise ValueError(f"times is {times}, and a convolution has no inverse kernel of finite size; give 0 or more")
    sizes, axes = [times * (size - 1) + 1 for size in taps.shape[1:]], tuple(range(1, taps.ndim))
    spectrum = torch.fft.fftn(taps, s=sizes, dim=axes) if times else taps.new_ones(len(taps), *sizes)
    return torch.fft.ifftn(spectrum**times, dim=axes).real


def _product(u: Inexact[Tensor, "time *#batch"], kernel: Inexact[Tensor, "taps *#batch"], size: int) -> Tensor:
    if u.is_complex() or kernel.is_complex():
        return torch.fft.ifft(torch.fft.fft(u, n=size, dim=0) * torch.fft.fft(kernel, n=size, dim=0), dim=0)
    return torch.fft.irfft(torch.fft.rfft(u, n=size, dim=0) * torch.fft.rfft(kernel, n=size, dim=0), n=size, dim=0)
