"""One number: the peak of resident memory beyond arguments and results of a scan, as a share of the input.

python -m tests.benchmarks.peak_memory spectral "with backward" 128 16 64 64
"""

import sys
from pathlib import Path

import torch

from ssm_ops import Kernel, scan


def peak() -> int:
    """The most memory that this process ever held, in bytes (Linux; getrusage would count the parent's)."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024


def run(shape: tuple[int, ...], backend: str, backward: bool, x: torch.Tensor, gradient: torch.Tensor | None) -> tuple:
    axes = len(shape) - 2
    kernel = torch.full((shape[1], *[3] * axes), 0.9 / 3**axes, requires_grad=backward)
    states, carry = scan(x.requires_grad_(backward), Kernel(kernel), boundary=("periodic",) * axes, backend=backend)
    return states, carry, torch.autograd.grad(states, (x, kernel), gradient) if backward else None


def main() -> None:
    backend, what, *sizes = sys.argv[1:]
    shape, backward = tuple(int(size) for size in sizes), what == "with backward"
    small = (4, 64, *[16] * (len(shape) - 2))  # compiles, starts the threads
    run(small, backend, backward, torch.randn(small), torch.randn(small))
    x, gradient = torch.randn(shape), torch.randn(shape) if backward else None
    before = peak()
    results = run(shape, backend, backward, x, gradient)
    given = sum(tensor.nbytes for tensor in (*results[:2], *(results[2] or ())))
    print((peak() - before - given) / x.nbytes)


if __name__ == "__main__":
    main()
