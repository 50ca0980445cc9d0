"""Where and of what a benchmark was measured."""

import platform
import subprocess
from pathlib import Path

import torch


def machine() -> dict[str, str]:
    """Where and of what this was measured."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    cpus = Path("/proc/cpuinfo").read_text().splitlines()
    return {
        "commit": commit.stdout.strip(),
        "processor": next((line.split(": ")[1] for line in cpus if line.startswith("model name")), platform.machine()),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
