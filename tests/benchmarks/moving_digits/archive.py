"""Writes moving digits as an archive: `python -m tests.benchmarks.moving_digits.archive FOLDER`.

A folder for each split, in it a file a sequence, `run-000.npy` of (time, 64, 64) bytes. `ingest` joins the files of a
folder to one series, each a run of it. A digit of one split is in no other.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from tests.benchmarks.moving_digits.digits import digits_of
from tests.benchmarks.moving_digits.sequences import sequences

SEEDS = {"train": 1, "validation": 2, "test": 3}
COUNTS = {"train": 200, "validation": 16, "test": 32}
"""Sequences of each split."""
FRAMES = 100


def write(folder: Path, counts: dict[str, int] = COUNTS, frames: int = FRAMES) -> None:
    """Writes the archive.

    Args:
        folder: Where; made if it is not there.
        counts: Sequences of each split.
        frames: Of each sequence.
    """
    for split, count in counts.items():
        (folder / split).mkdir(parents=True, exist_ok=True)
        for number, sequence in enumerate(sequences(digits_of(split), count, frames, SEEDS[split])):
            np.save(folder / split / f"run-{number:03d}.npy", sequence)


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.benchmarks.moving_digits.archive FOLDER")
    write(Path(sys.argv[1]))
    print(f"{', '.join(f'{count} sequences for {split}' for split, count in COUNTS.items())}, {FRAMES} frames each")


if __name__ == "__main__":
    main()
