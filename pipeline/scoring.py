"""What is scored of one frame: the whole of it, its channels, its levels, and regions, by every score there is.

A frame's scores are numbers; over frames each is the mean of the frames' own (every frame counts alike, one without any
value not at all), kept as exact sums: parts of an archive are scored anywhere, kept as JSON, and added in any order to
the same bits. What is not a mean over frames, as the root of the MSE, is taken at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from pipeline.dataset import Truth
from pipeline.masks import data_channels
from pipeline.regions import Region, regions_of
from pipeline.reshape.places import coordinate_of
from pipeline.scores import Ratios, anomaly_correlation, errors, latitude_weights, psnr, ssim, vrmse, with_roots
from pipeline.scores.image import WINDOW, scikit_image
from pipeline.volume import Settings

WHOLE = "all"
"""The part that is the whole frame; the others are `channel NAME`, `level NUMBER` and `region NAME`."""

Frame = Float[np.ndarray, "channel depth height width"]


@dataclass(frozen=True)
class ScoreSettings(Settings):
    """What is scored beside whole frames and their channels.

    Attributes:
        regions: Parts of space by name.
        levels: Whether each place along depth is scored by itself as well.
        peak: The range of the data in their units, as 255 for 8 bits. With it PSNR is computed, and SSIM of frames
            of at least 11 x 11 voxels (height, width), which wants the extra `images`.
    """

    regions: dict[str, Region] = field(default_factory=dict)
    levels: bool = False
    peak: float | None = None

    def __post_init__(self):
        if self.peak is not None and not self.peak > 0:
            raise ValueError(f"peak is {self.peak}; give the range of the data, a number above 0")


@dataclass(frozen=True)
class Scores:
    """Scores of some frames by part; `a + b` holds the frames of both.

    Attributes:
        parts: Of each part its scores.
    """

    parts: Mapping[str, Ratios]

    def __add__(self, other: Scores) -> Scores:
        if self.parts.keys() != other.parts.keys():
            raise ValueError(f"parts {list(self.parts)} and {list(other.parts)} do not add up: score frames alike")
        return Scores({name: own + other.parts[name] for name, own in self.parts.items()})

    def means(self) -> dict[str, dict[str, float]]:
        """Of each part the mean of each score over the frames, and the roots of mean squared errors. A score that no
        frame has (NaN) is left out."""
        found = {name: with_roots(own.pooled()) for name, own in self.parts.items()}
        return {name: {key: value for key, value in own.items() if not np.isnan(value)} for name, own in found.items()}

    def as_json(self) -> dict:
        """All of it as JSON can hold it, to the bit."""
        return {name: own.as_json() for name, own in self.parts.items()}

    @staticmethod
    def of_json(parts: Mapping[str, Mapping]) -> Scores:
        """What `as_json` gave."""
        return Scores({name: Ratios.of_json(own) for name, own in parts.items()})


@dataclass(frozen=True)
class Place:
    """Part of the space of a frame: one level or all, and all voxels or those inside."""

    level: int | None = None
    inside: Bool[np.ndarray, "depth height width"] | None = None

    def of(self, frame: Frame) -> Float[np.ndarray, "channel levels height width"]:
        """Of a frame what lies there; of a region the whole frame, with NaN outside."""
        if self.level is not None:
            return frame[:, self.level : self.level + 1]
        return frame if self.inside is None else np.where(self.inside, frame, np.nan)


def places_of(volume: xr.Dataset, settings: ScoreSettings, masks: Mapping[str, Path]) -> dict[str, Place]:
    """Of each part of the space of a frame where it is: the whole, the levels, the regions, and those of the masks.

    Raises:
        InputError: A region or a mask does not fit the volume.
    """
    found = {WHOLE: Place()}
    if settings.levels:
        found |= {f"level {name}": Place(level=k) for k, name in enumerate(level_names(volume))}
    regions = regions_of(volume, settings.regions, masks)
    return found | {f"region {name}": Place(inside=inside) for name, inside in regions.items()}


class Scorer:
    """Scores forecasts of one series, frame by frame.

    Scores of a frame: `mse`, `mae` and `bias` over all its values; `vrmse`, `acc` (against `Truth.expected`: the mean
    of the training frames, of the same phase of the year where the data are anomalies from it), `psnr` and `ssim`,
    each the mean over the channels that have one. Where rows have a latitude, there are errors weighted by it too
    (`mse_latitude_weighted`, ..), and `acc` is weighted so. See `pipeline.scores` for the definitions, and
    `pipeline.evaluation.labels` for labels, whose numbers mean something else.

    Args:
        truth: The series.
        settings: What is scored.
        masks: Further regions by name: stores that `ingest` wrote, whose voxels are not zero inside.

    Raises:
        InputError: A region or a mask does not fit the series, or scikit-image is wanted and missing.
    """

    def __init__(self, truth: Truth, settings: ScoreSettings, masks: Mapping[str, Path] | None = None):
        volume = truth.volume
        self._truth, self._peak = truth, settings.peak
        self._channels = channel_names(volume)
        latitude = volume.coords.get("latitude")
        along = latitude is not None and latitude.dims == ("height",)
        self._weights = latitude_weights(latitude.values) if along else None
        self._ssim = settings.peak is not None and min(volume.sizes["height"], volume.sizes["width"]) >= WINDOW
        if self._ssim:
            scikit_image()  # refused before hours of scoring
        self._places = places_of(volume, settings, masks or {})

    def score(self, number: int, forecast: Frame, frame: Frame) -> Scores:
        """Scores of one forecast.

        Args:
            number: Which frame of the series it is for.
            forecast, frame: In the data's units. A voxel that is NaN in the frame does not count.

        Raises:
            ValueError: The forecast is NaN where the frame has a value.
        """
        missing = int(np.count_nonzero(np.isnan(forecast) & ~np.isnan(frame)))
        if missing:
            raise ValueError(f"a forecast of frame {number} lacks {missing} voxels that the frame has")
        expected, parts = self._truth.expected(number), {}
        for name, where in self._places.items():
            sums, likeness = self._measured(*(where.of(field) for field in (forecast, frame, expected)))
            together = sums.pooled() | {score: mean_of_known(values) for score, values in likeness.items()}
            parts[name] = one_frame(together)
            if name == WHOLE and len(self._channels) > 1:
                each = sums.per_channel() | likeness
                for place, channel in enumerate(self._channels):
                    parts[f"channel {channel}"] = one_frame({key: float(own[place]) for key, own in each.items()})
        return Scores(parts)

    def _measured(self, forecast: Frame, frame: Frame, expected: Frame) -> tuple[Ratios, dict[str, np.ndarray]]:
        """Of each channel: what is pooled over channels, and what is not."""
        likeness = {
            "vrmse": vrmse(forecast, frame),
            "acc": anomaly_correlation(forecast, frame, expected, self._weights),
        }
        if self._peak is not None:
            likeness["psnr"] = psnr(forecast, frame, self._peak)
        if self._ssim:
            likeness["ssim"] = ssim(forecast, frame, self._peak)
        return errors(forecast, frame, self._weights), likeness


def one_frame(scores: Mapping[str, float]) -> Ratios:
    """The scores of a part of one frame, to be added to those of others; NaN is left out."""
    return Ratios.of_scores({name: np.array([value]) for name, value in scores.items()})


def channel_names(volume: xr.Dataset) -> list[str]:
    """Of the channels of a prepared volume that are data, and no masks."""
    return [str(name) for name in volume["channel"].values[: data_channels(volume)]]


def mean_of_known(values: Float[np.ndarray, "n"]) -> float:
    """The mean of those that are not NaN; NaN where none is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def level_names(volume: xr.Dataset) -> list[str]:
    """Of each place along depth its level or its z, in the coordinate's units; its number where there is neither."""
    coordinate = coordinate_of(volume, "depth")
    names = [] if coordinate is None else [f"{value:.10g}" for value in coordinate.values]
    count = volume.sizes["depth"]
    return names if len(set(names)) == count else [str(number) for number in range(count)]
