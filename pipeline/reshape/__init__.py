"""What is done to volumes before statistics: lazily, on dask arrays, each series by itself: `reshaped`."""

from pipeline.reshape.reshaped import Reshape, reshaped, told

__all__ = ["Reshape", "reshaped", "told"]
