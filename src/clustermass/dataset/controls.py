"""Controls: one source of information is taken from the data, in training and test alike."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustermass.errors import InputError
from clustermass.images.preprocessing import TRANSFORMS

CONTROLS = ("none", "shuffled_redshift", "no_energy", "noise_images")
#: inverse of `clustermass.images.preprocessing.TRANSFORMS`: back to (smoothed) counts
INVERSES: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "none": lambda image: image,
    "sqrt": np.square,
    "anscombe": lambda image: np.square(image / 2) - 3 / 8,
    "log1p": np.expm1,
}
_AT_ONCE = 1024  # clusters whose counts are in memory at a time


@dataclass(frozen=True)
class Control:
    """What is taken from the data of an experiment.

    Attributes
    ----------
    name
        ``shuffled_redshift``: redshifts change places. ``no_energy``: each band holds the mean of all bands' counts.
        ``noise_images``: each pixel is Poisson noise of its band's mean level. ``none``: nothing.
    transform
        What the preprocessing did to the counts last; undone and done again around the control.
    level
        For noise: mean counts of a pixel (band,) in the training set.
    seed
        Root of the random numbers, each named after the control and what it acts on.
    """

    name: str
    transform: str
    level: list[float]
    seed: int

    @classmethod
    def from_training_images(cls, name: str, transform: str, train_images: np.ndarray, seed: int) -> Control:
        """Make the control of an experiment, by its training images (cluster, y, x, band).

        Raises
        ------
        InputError
            `name` or `transform` is unknown.
        """
        for key, word, choices in (("control", name, CONTROLS), ("transform", transform, INVERSES)):
            if word not in choices:
                raise InputError(f"{key} is {word!r}, but must be one of: {', '.join(choices)}.")
        return cls(name, transform, _level(train_images, transform) if name == "noise_images" else [], seed)

    def images(self, images: np.ndarray, clusters: Iterable[object]) -> np.ndarray:
        """Images (cluster, y, x, band) under the control; `clusters` are their ids, which set the noise."""
        if self.name == "no_energy":
            return self._without_energy(images)
        if self.name == "noise_images":
            shape, draw = images.shape[1:], TRANSFORMS[self.transform]
            noise = [draw(self._random(str(name)).poisson(self.level, shape)) for name in clusters]
            return np.asarray(noise, dtype=images.dtype).reshape(images.shape)
        return images

    def redshift(self, redshift: np.ndarray, where: str) -> np.ndarray:
        """Redshifts (cluster, ...) under the control, among the clusters of the set called `where`."""
        return self._random(where).permutation(redshift) if self.name == "shuffled_redshift" else redshift

    def measurements(self, measurements: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Measurements for side inputs under the control: noise keeps only the exposure of the image it replaces."""
        hidden = self.name == "noise_images"
        return {
            name: np.full_like(values, np.nan) if hidden and name != "exposure_s" else values
            for name, values in measurements.items()
        }

    def _random(self, purpose: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, zlib.crc32(self.name.encode()), zlib.crc32(purpose.encode())])

    def _without_energy(self, images: np.ndarray) -> np.ndarray:
        mixed = np.empty_like(images)
        for start in range(0, len(images), _AT_ONCE):
            rows = slice(start, start + _AT_ONCE)
            counts = INVERSES[self.transform](images[rows].astype(np.float64)).mean(axis=-1, keepdims=True)
            mixed[rows] = TRANSFORMS[self.transform](np.maximum(counts, 0))  # rounding may have led below 0
        return mixed


def _level(images: np.ndarray, transform: str) -> list[float]:
    total = np.zeros(images.shape[-1])
    for start in range(0, len(images), _AT_ONCE):
        total += INVERSES[transform](images[start : start + _AT_ONCE].astype(np.float64)).sum(axis=(0, 1, 2))
    return [float(counts) for counts in total / (images.size / images.shape[-1])]
