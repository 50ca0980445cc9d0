"""What TensorBoard shows of a training. Nothing is written where the package `tensorboard` is not installed.

No setting turns it off: settings are part of what a training is known by, and a picture must not train anew.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


class Board:
    """Numbers by step, as event files.

    Args:
        folder: Where they lie.
    """

    def __init__(self, folder: Path):
        self._folder, self._writer = folder, None

    def go_on(self, step: int) -> None:
        """Begins after a step. What was shown of later ones, by this process or one that was killed, is purged by who
        reads the files."""
        self.close()
        if find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._folder), purge_step=step + 1)

    def show(self, step: int, **values: float) -> None:
        """Shows numbers of a step, each under its name."""
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def flush(self) -> None:
        """Writes what was shown: a run that goes on from here shows none of it again."""
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        """Writes the rest. `go_on` may begin again."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
