"""The stage `threshold`: what is below a threshold becomes zero."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cluster import Executor
from pipeline.progress import Steps
from pipeline.storage.make import Storage, make
from pipeline.storage.means import Means
from pipeline.storage.store import open_volume
from pipeline.volume import Settings
from workflows import StageKind


@dataclass(frozen=True)
class ThresholdSettings(Settings):
    """Settings of a `threshold` stage. Its input is `raw`.

    Attributes:
        least: What is less becomes zero, in the data's units; missing values stay missing.
    """

    least: float

    def __post_init__(self):
        if self.least != self.least:
            raise ValueError("least is not a number; give one")


def threshold(settings: ThresholdSettings, inputs: dict[str, Path], output: Path, executor: Executor) -> Steps:
    """Writes `raw.zarr` into the folder `output`, as an `ingest` stage does."""
    volume = open_volume(inputs["raw"] / "raw.zarr", chunked=True)
    above = volume.assign(data=volume["data"].where(~(volume["data"] < settings.least), 0))
    with executor.dask_scheduler():
        yield from make({None: above}, output / "raw.zarr", Storage(), Means(executor.memory), {"made_by": "threshold"})


KIND = StageKind("threshold", ThresholdSettings, threshold, version=1, roles={"raw": "ingest"}, makes="ingest")
