"""Archives as people have them, opened lazily as volumes: `open_archive` finds the format by content and its reader."""

from pipeline.archive.ask import Ask
from pipeline.archive.locate import locate
from pipeline.archive.open import open_archive

__all__ = ["Ask", "locate", "open_archive"]
