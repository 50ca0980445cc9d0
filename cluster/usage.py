"""What a process takes: its memory now and at most, and that of its GPU."""

from __future__ import annotations

import os
import resource
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Usage:
    """What a process takes.

    Attributes:
        host, pid: Which one.
        resident: Bytes of memory now.
        peak: The most that it took since `forget_peak`, or since it began.
        device: The most bytes that torch reserved on this process' GPU; 0 without one.
    """

    host: str
    pid: int
    resident: int
    peak: int
    device: int = 0


def own_usage() -> Usage:
    """Of this process."""
    try:
        lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines() if line.startswith("Vm"))
        resident, peak = (1024 * int(lines[name].split()[0]) for name in ("VmRSS", "VmHWM"))
    except (OSError, KeyError):  # not on Linux: only the most that it ever took is known; macOS tells bytes
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        resident = peak
    return Usage(socket.gethostname(), os.getpid(), resident, peak, _on_device())


def forget_peak() -> None:
    """From now on the peak is that of what comes, where the system (Linux) can forget."""
    with suppress(OSError):
        CLEAR.write_text("5")
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()


def _on_device() -> int:
    torch = sys.modules.get("torch")  # who has not imported it holds nothing there
    return torch.cuda.max_memory_reserved() if torch is not None and torch.cuda.is_initialized() else 0
