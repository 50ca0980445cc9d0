"""Volumes from stores into the files of others: `export` chooses the format by the name of the file."""

from pipeline.export.choose import FORMATS, export
from pipeline.export.wish import Wish

__all__ = ["FORMATS", "Wish", "export"]
