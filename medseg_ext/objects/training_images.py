"""Tell images that are unlike those that a network was trained on."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from medseg_ext.errors import DataError
from medseg_ext.files import told_if_unreadable, write_atomically
from medseg_ext.images.appearance import ASPECTS, appearance

TRAINING_IMAGES_FILE = "training_images.json"  # beside the weights
FORMAT = 1
SIZE = "object_size"
MEASURES = {**ASPECTS, SIZE: "size of objects"}
PLURALS = ("colours", "noise and detail")
NEIGHBOURS = 3  # training images that an image is compared with: those nearest to it
UNLIKE = "unlike the training images"  # begins each remark
# Of images like those of the validation, this part is to be flagged, or one in so many as there are and one more.
FLAGGED = 0.02
FEW = 19  # fewer distances set no limit: it would flag more than one in twenty images like them
SAME = 2e-3  # of each aspect: an image and the one that was prepared of it differ by half of it at most
NAMED_SHARE = 0.25  # of the squared distance, from which on a person is told of an aspect
LEAST_SPREAD = 0.01  # of a measure: training images that are all alike tell nothing of it
DIGITS = 4  # of what is measured and written


def measures(image: np.ndarray, diameter_px: float | None = None) -> dict[str, float]:
    """Measure an image, float (H, W, C) in [0, 1].

    Args:
        image: as it came.
        diameter_px: of a typical object; None or NaN where it is unknown.

    Returns:
        Those of `MEASURES`; of the size, the logarithm of the part of the shorter side, NaN where it is unknown.
    """
    is_known = diameter_px is not None and diameter_px > 0
    size = math.log(diameter_px / min(image.shape[:2])) if is_known and diameter_px else math.nan
    return {name: round(value, DIGITS) for name, value in {**appearance(image), SIZE: size}.items()}


class TrainingImages(NamedTuple):
    """What is known of the images that a network was trained on.

    An image's distance is the mean of those to its nearest training images, of which each measure counts in units of
    its spread over the training images. The nearest, as a data set may hold several kinds of images.

    Attributes:
        values: of the training images, float (N, measures); NaN where one is unknown.
        spreads: of each measure, float (measures,).
        threshold: the distance from which on an image is unlike; infinite where there are too few images to say.

    Source: Sun et al., Out-of-Distribution Detection with Deep Nearest Neighbors, ICML 2022; here of measures that can
        be told to people. The threshold is that of conformal prediction.
    """

    values: np.ndarray
    spreads: np.ndarray
    threshold: float

    @classmethod
    def of(cls, training: Sequence[Mapping[str, float]], validation: Sequence[Mapping[str, float]]) -> TrainingImages:
        """Take the measures of training images, and the threshold from those of validation images; 1 each or more.

        Where the latter are few, so do the distances of training images from the others, which are nearly as many draws
        of images like them; where both together are few, too, there is no threshold.
        """
        values = _as_array(training)
        columns = [column[~np.isnan(column)] for column in values.T]
        spreads = np.array(
            [max(LEAST_SPREAD, round(float(each.std()), DIGITS)) if len(each) else 1 for each in columns]
        )
        without = cls(values, spreads, math.inf)
        distances = [without.distance(each) for each in validation]
        if len(distances) >= FEW:
            return without._replace(threshold=_limit(distances))
        if len(values) > 1:
            both = [*distances, *without._distances_from_others()]
            if len(both) >= FEW:
                return without._replace(threshold=max(*distances, _limit(both)))
        return without

    @property
    def can_tell(self) -> bool:
        """Say whether there were enough images to tell what is unlike them."""
        return not math.isinf(self.threshold)

    def distance(self, measured: Mapping[str, float]) -> float:
        """Give the distance of an image from the training images, by its measures."""
        return float(np.sqrt(self._squares(measured).sum(axis=1)).mean())

    def remark(self, measured: Mapping[str, float]) -> str | None:
        """Tell a person that an image is unlike the training images, and in what; None where it is not."""
        if self.distance(measured) <= self.threshold or self._holds(measured):
            return None
        squares = self._squares(measured).mean(axis=0)
        share: dict[str, float] = {}
        for aspect, square in zip(MEASURES.values(), squares / squares.sum(), strict=True):
            share[aspect] = share.get(aspect, 0.0) + float(square)
        least = min(NAMED_SHARE, max(share.values()))
        named = [aspect for aspect in share if share[aspect] >= least]  # in one order: images share their remarks
        verb = "differ" if len(named) > 1 or named[0] in PLURALS else "differs"
        return f"{UNLIKE}: its {' and '.join(named)} {verb}; check the result"

    def _holds(self, measured: Mapping[str, float]) -> bool:
        """Say whether an image is one of the training images; the size of objects may be estimated otherwise."""
        differences = np.abs(_as_array([measured]) - self.values)[:, : len(ASPECTS)]
        return bool((differences <= SAME).all(axis=1).any())

    def _distances_from_others(self) -> list[float]:
        """Give the distance of each training image from all others."""
        rows = [dict(zip(MEASURES, row, strict=True)) for row in self.values.tolist()]
        return [
            self._replace(values=np.delete(self.values, place, axis=0)).distance(row) for place, row in enumerate(rows)
        ]

    def _squares(self, measured: Mapping[str, float]) -> np.ndarray:
        """Give the squared differences to the nearest training images, (neighbours, measures); 0 where unknown."""
        squares = np.nan_to_num((_as_array([measured]) - self.values) / self.spreads) ** 2
        return squares[np.argsort(squares.sum(axis=1), kind="stable")[:NEIGHBOURS]]

    def write(self, path: Path) -> None:
        """Write it as JSON, replacing an older file."""
        rows = [[None if math.isnan(value) else value for value in row] for row in self.values.tolist()]
        content = {
            "format": FORMAT,
            "measures": list(MEASURES),
            "threshold": math.ceil(self.threshold * 10**DIGITS) / 10**DIGITS  # the image that set it lies within
            if self.can_tell
            else None,  # JSON has no infinity
            "spreads": self.spreads.tolist(),
        }
        head = json.dumps(content, indent=4)[:-2]
        lines = ",\n".join(f"        {json.dumps(row)}" for row in rows)
        write_atomically(path, f'{head},\n    "values": [\n{lines}\n    ]\n}}\n'.encode())

    @classmethod
    def read(cls, path: Path) -> TrainingImages:
        """Read what `write` wrote. Raises: DataError: it is broken, or of other measures; names the file."""
        remedy = "delete it, or get it again, or ship the weights again"
        with told_if_unreadable(path):
            text = path.read_bytes()
        try:
            content: dict[str, Any] = json.loads(text)
            if content["format"] != FORMAT or content["measures"] != list(MEASURES):
                raise ValueError("it is of another version")
            values = np.array(content["values"], dtype=float)
            spreads = np.array(content["spreads"], dtype=float)
            if values.ndim != 2 or values.shape[1:] != spreads.shape or spreads.shape != (len(MEASURES),):
                raise ValueError("its rows are of another length")
            threshold = content["threshold"]
            return cls(values, spreads, math.inf if threshold is None else float(threshold))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path} is broken ({error}): {remedy}") from error


def _limit(distances: Sequence[float]) -> float:
    """Give the distance above which so many of further images like these are expected, `FLAGGED` or one in all."""
    rank = min(math.ceil((1 - FLAGGED) * (len(distances) + 1)), len(distances))
    return sorted(distances)[rank - 1]


def _as_array(measured: Sequence[Mapping[str, float]]) -> np.ndarray:
    return np.array([[each[name] for name in MEASURES] for each in measured], dtype=float)
