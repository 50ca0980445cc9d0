"""What a user would write today for h_t = kernel * h_{t-1} + x_t on periodic grids: what our scan is measured against.

x is (time, channel, *grid) float32, kernel (channel, *K), K odd, centred. All give the same states and gradients.
"""

import numpy
import torch
from torch import Tensor
from torch.nn import functional


def transfer(kernel: Tensor, grid: tuple[int, ...]) -> Tensor:
    """The transfer function of a kernel on a periodic grid, half spectrum."""
    axes = tuple(range(1, kernel.ndim))
    full = kernel.new_zeros(kernel.shape[0], *grid)
    full[(slice(None), *[slice(size) for size in kernel.shape[1:]])] = kernel
    return torch.fft.rfftn(full.roll([-(size // 2) for size in kernel.shape[1:]], axes), dim=axes)


def spectral_loop(x: Tensor, kernel: Tensor) -> Tensor:
    """Transform everything, loop over time in Python, transform everything back. `unbind` keeps backward linear."""
    grid, axes = x.shape[2:], tuple(range(2, x.ndim))
    a = transfer(kernel, grid)
    offsets = torch.fft.rfftn(x, dim=axes).unbind(0)
    state, states = torch.zeros_like(offsets[0]), []
    for offset in offsets:
        state = torch.addcmul(offset, a, state)
        states.append(state)
    return torch.fft.irfftn(torch.stack(states), s=grid, dim=axes)


def associative(x: Tensor, kernel: Tensor) -> Tensor:
    """The log-depth scan of the associative-scan literature (Hillis and Steele), on the whole spectrum."""
    grid, axes = x.shape[2:], tuple(range(2, x.ndim))
    a, states, stride = transfer(kernel, grid), torch.fft.rfftn(x, dim=axes), 1
    while stride < x.shape[0]:
        states = torch.cat([states[:stride], states[stride:] + a * states[:-stride]])
        a, stride = a * a, 2 * stride
    return torch.fft.irfftn(states, s=grid, dim=axes)


def pixel_loop(x: Tensor, kernel: Tensor) -> Tensor:
    """One depthwise convolution a step."""
    axes, channels = x.ndim - 2, x.shape[1]
    weight = kernel.flip(tuple(range(1, kernel.ndim)))[:, None]
    widths = [size // 2 for size in reversed(kernel.shape[1:]) for _ in range(2)]
    convolve = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}[axes]
    state, states = torch.zeros_like(x[:1]), []
    for frame in x.unsqueeze(1).unbind(0):
        state = convolve(functional.pad(state, widths, mode="circular"), weight, groups=channels) + frame
        states.append(state)
    return torch.cat(states)


TORCH_PEERS = (spectral_loop, associative, pixel_loop)


class JaxAssociative:
    """`jax.lax.associative_scan` under jit, on a transfer function that is taken outside."""

    def __init__(self):
        import jax

        def combine(left, right):
            return left[0] * right[0], right[0] * left[1] + right[1]

        def forward(x, a):
            axes = tuple(range(2, x.ndim))
            offsets = jax.numpy.fft.rfftn(x, axes=axes)
            _, states = jax.lax.associative_scan(combine, (jax.numpy.broadcast_to(a, offsets.shape), offsets))
            return jax.numpy.fft.irfftn(states, s=x.shape[2:], axes=axes)

        self.jax, self.forward = jax, jax.jit(forward)
        self.pulled = jax.jit(lambda x, a, gradient: jax.vjp(forward, x, a)[1](gradient))

    def calls(self, x: Tensor, kernel: Tensor, gradient: Tensor, expected: Tensor):
        """Callables for forward and with backward, once their states are the expected ones."""
        array = self.jax.numpy.array
        args = array(x.numpy()), array(transfer(kernel, x.shape[2:]).numpy())
        towards = array(gradient.numpy())
        states = torch.from_numpy(numpy.array(self.forward(*args)))
        assert (states - expected).norm() < 1e-5 * expected.norm()
        ready = self.jax.block_until_ready
        return lambda: ready(self.forward(*args)), lambda: ready(self.pulled(*args, towards))
