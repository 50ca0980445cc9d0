"""How fast the scan is against what a user would write today: equality first, then ratios of medians, interleaved.

Run by `make bench`. Prints a line a comparison, writes results/scan.json and the table of docs/speed.md. Lower is
better; a limit is what the project promises. Both sides of a ratio take turns in one process. Backward passes start
from a given gradient to the states, so that nobody's loss is timed.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from ssm_ops import Kernel, Propagator, scan
from ssm_ops.parallel import Threads
from tests.benchmarks import peers

HERE = Path(__file__).parent
ROUNDS = 9
CASES = {
    # (time, channel, *grid), taps an axis: limits of (auto / fastest peer, spectral / spectral_loop, spectral / jax)
    ((128, 16, 64, 64), 3): {"forward": (0.25, 0.45, 0.25), "with backward": (0.25, 0.5, 0.4)},
    ((128, 16, 64, 64), 9): {"forward": (0.8, 0.45, None), "with backward": (0.5, 0.5, None)},
    ((16, 8, 32, 64, 64), 3): {"forward": (0.5, 0.45, None), "with backward": (0.3, 0.45, None)},
    ((96, 8, 73, 144), 3): {"forward": (0.25, 0.6, None), "with backward": (0.3, 0.65, None)},
}


def medians(calls: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Median milliseconds of each call. They take turns, so that a slow minute of the machine slows all, and begin with
    another one in each round, because what a call frees the next one may find warm."""
    times = {name: [] for name in calls}
    for turn in range(rounds + 1):
        first = turn % len(calls)
        for name, call in [*calls.items()][first:] + [*calls.items()][:first]:
            start = time.perf_counter()
            call()
            if turn > 0:
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: sorted(values)[rounds // 2] for name, values in times.items()}


def problem(shape: tuple[int, ...], taps: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    noise = torch.Generator().manual_seed(0)
    axes = len(shape) - 2
    x, gradient = torch.randn(shape, generator=noise), torch.randn(shape, generator=noise)
    kernel = torch.randn(shape[1], *[taps] * axes, generator=noise)
    kernel = 0.9 * kernel / kernel.abs().flatten(1).sum(1).reshape(-1, *[1] * axes)
    return x.requires_grad_(), kernel.requires_grad_(), gradient


def ours(backend: str, x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    return scan(x, Kernel(kernel), boundary=("periodic",) * (x.ndim - 2), backend=backend)[0]


def with_backward(call: Callable, x: torch.Tensor, kernel: torch.Tensor, gradient: torch.Tensor) -> None:
    torch.autograd.grad(call(x, kernel), (x, kernel), gradient)


def check(shape: tuple[int, ...], taps: int, contenders: dict[str, Callable]) -> None:
    """All contenders give the states and gradients of the plain loop in float64, to 1e-5."""
    x, kernel, gradient = problem(shape, taps)
    x64, kernel64 = x.detach().double().requires_grad_(), kernel.detach().double().requires_grad_()
    expected = peers.pixel_loop(x64, kernel64)
    expected = [expected, *torch.autograd.grad(expected, (x64, kernel64), gradient.double())]
    for name, contender in contenders.items():
        states = contender(x, kernel)
        found = [states, *torch.autograd.grad(states, (x, kernel), gradient)]
        for what, one, other in zip(("states", "d x", "d kernel"), found, expected, strict=True):
            error = ((one.double() - other).norm() / other.norm()).item()
            assert error < 1e-5, f"{name} {shape} K={taps}: {what} off by {error:.1e}"


def against_peers() -> list[dict]:
    rows, jax = [], _jax()
    for (shape, taps), limits in CASES.items():
        mine = {name: partial(ours, name) for name in ("auto", "spectral", "pixel")}
        contenders = {**mine, **{peer.__name__: peer for peer in peers.TORCH_PEERS}}
        check(shape, taps, contenders)
        x, kernel, gradient = problem(shape, taps)
        plain = {name: partial(call, x.detach(), kernel.detach()) for name, call in contenders.items()}
        both = {name: partial(with_backward, call, x, kernel, gradient) for name, call in contenders.items()}
        ratios_of_jax = {}
        if jax is not None and limits["forward"][2] is not None:
            forward, pulled = jax.calls(x.detach(), kernel.detach(), gradient, peers.spectral_loop(x, kernel).detach())
            ratios_of_jax = {"forward": (plain, forward), "with backward": (both, pulled)}
        for what, calls in (("forward", plain), ("with backward", both)):
            found = medians(calls)
            fastest = min(found[name] for name in found if name not in mine)
            ratios = {
                "auto / fastest peer": found["auto"] / fastest,
                "spectral / spectral_loop": found["spectral"] / found["spectral_loop"],
            }
            if what in ratios_of_jax:  # apart: its own threads slow whoever comes after it
                calls, rival = ratios_of_jax[what]
                pair = medians({"spectral": calls["spectral"], "jax_associative": rival})
                found["jax_associative"] = pair["jax_associative"]
                ratios["spectral / jax_associative"] = pair["spectral"] / pair["jax_associative"]
            case = f"{shape} K={taps} {what}"
            for (name, ratio), limit in zip(ratios.items(), limits[what], strict=False):
                rows.append(row(case, name, ratio, limit, found))
    return rows


def row(case: str, name: str, value: float, limit: float, milliseconds: dict[str, float] | None = None) -> dict:
    verdict = "kept" if value <= limit else "MISSED"
    details = ", ".join(f"{key} {ms:.1f}" for key, ms in (milliseconds or {}).items())
    print(f"{case:44s} {name:28s} {value:6.2f} (limit {limit:.2f}) {verdict}   {details}", flush=True)
    return {"case": case, "ratio": name, "value": value, "limit": limit, "milliseconds": milliseconds or {}}


def floor() -> list[dict]:
    """The best that blocked transforms alone allow: real FFT and inverse of the same frames, no recurrence."""
    x, kernel, _ = problem((128, 16, 64, 64), 3)
    x, kernel = x.detach(), kernel.detach()

    def transforms(frames: int) -> None:
        out = Threads(torch.get_num_threads(), x.device).empty(x.shape, x.dtype)
        for start in range(0, x.shape[0], frames):
            block = slice(start, start + frames)
            torch.fft.irfftn(torch.fft.rfftn(x[block], dim=(2, 3)), s=x.shape[2:], dim=(2, 3), out=out[block])

    calls = {f"blocks of {frames}": partial(transforms, frames) for frames in (2, 4, 8, 16, 32)}
    found = medians({"spectral": partial(ours, "spectral", x, kernel), **calls})
    best = min(ms for name, ms in found.items() if name != "spectral")
    return [row("(128, 16, 64, 64) forward", "spectral / FFT and inverse", found["spectral"] / best, 1.3, found)]


def linear_time() -> list[dict]:
    _, kernel, _ = problem((128, 4, 64, 64), 3)
    long = torch.randn(1024, 4, 64, 64)
    rows = []
    for backend in ("spectral", "pixel"):
        found = medians({str(frames): partial(ours, backend, long[:frames], kernel.detach()) for frames in (128, 1024)})
        rows.append(row(f"T=1024 against T=128, {backend}", "time", found["1024"] / found["128"], 8.5, found))
    return rows


def boundaries() -> list[dict]:
    rows = []
    for shape in ((128, 16, 64, 64), (96, 8, 73, 144), (16, 8, 32, 64, 64)):
        x, axes = torch.randn(shape), len(shape) - 2
        for given, backend in (
            (Propagator(0.1, 0.2), "spectral"),
            (Kernel(torch.full((1, *[3] * axes), 0.03)), "pixel"),
        ):
            calls = {
                name: partial(scan, x, given, boundary=(name,) * axes, backend=backend)
                for name in ("periodic", "reflect", "dirichlet")
            }
            found = medians(calls)
            for name in ("reflect", "dirichlet"):
                rows.append(
                    row(f"{shape} {backend}", f"{name} / periodic", found[name] / found["periodic"], 2.5, found)
                )
    return rows


def memory() -> list[dict]:
    """The highest resident memory beyond arguments and results, each measured in a fresh process."""
    rows = []
    for shape in ((128, 16, 64, 64), (256, 16, 128, 128), (96, 8, 73, 144), (16, 8, 32, 64, 64)):
        for backend in ("spectral", "pixel"):
            for what, limit in (("forward", 0.15), ("with backward", 0.30)):
                command = [sys.executable, "-m", "tests.benchmarks.peak_memory", backend, what, *map(str, shape)]
                share = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                rows.append(row(f"{shape} {backend} {what}", "memory / input", share, limit))
    return rows


def _jax():
    try:
        return peers.JaxAssociative()
    except ImportError:
        print("jax is not installed: its ratios are left out (pip install 'chronovox[bench]')")
        return None


def table(rows: list[dict]) -> str:
    lines = ["| case | ratio | measured | limit |", "| --- | --- | --- | --- |"]
    for one in rows:
        mark = "" if one["value"] <= one["limit"] else " (missed)"
        lines.append(f"| {one['case']} | {one['ratio']} | {one['value']:.2f}{mark} | {one['limit']:.3g} |")
    return "\n".join(lines)


def publish(rows: list[dict], name: str, page: Path, rounds: int = ROUNDS) -> None:
    """Writes results/NAME and the table of a page, and tells how many limits were kept."""
    machine = {"processor": platform.processor() or platform.machine(), "threads": torch.get_num_threads()}
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    results = {"machine": machine, "versions": versions, "rounds": rounds, "rows": rows}
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / name).write_text(json.dumps(results, indent=1) + "\n")
    start, end = "<!-- measured -->\n", "<!-- end -->"
    before, _, rest = page.read_text().partition(start)
    page.write_text(before + start + table(rows) + "\n" + end + rest.partition(end)[2])
    missed = sum(one["value"] > one["limit"] for one in rows)
    print(f"{len(rows) - missed} of {len(rows)} limits kept")


def main() -> None:
    rows = [*against_peers(), *floor(), *linear_time(), *boundaries(), *memory()]
    publish(rows, "scan.json", Path("docs/speed.md"))


if __name__ == "__main__":
    main()
