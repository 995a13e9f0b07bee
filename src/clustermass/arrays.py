"""Names of array types, tables as dataclasses of arrays, unit vectors, and bisection for many elements at once."""

from collections.abc import Callable
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
Float32Array: TypeAlias = NDArray[np.float32]
IntArray: TypeAlias = NDArray[np.intp]
IdArray: TypeAlias = NDArray[np.int32]
BoolArray: TypeAlias = NDArray[np.bool_]


class Rows:
    """Base of dataclasses of arrays of one length: ``haloes[rows]`` indexes every field, as NumPy does one array."""

    def __getitem__(self, rows: Any) -> Self:
        """Return the same table of these rows: numbers, a mask or a slice."""
        return type(self)(**{name: values[rows] for name, values in vars(self).items()})

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(next(iter(vars(self).values())))


def bisect(
    below_root: Callable[[FloatArray], NDArray[np.bool_]], low: FloatArray, high: FloatArray, halvings: int
) -> FloatArray:
    """Find the roots of many increasing functions at once between `low` and `high`, arrays of one shape.

    `below_root` says for each element whether an argument is below its root. Returns the middle of each bracket after
    `halvings`.
    """
    for _ in range(halvings):
        middle = (low + high) / 2
        below = below_root(middle)
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray((low + high) / 2, dtype=float)


def unit_vectors(longitude: FloatArray, latitude: FloatArray) -> FloatArray:
    """Return the directions (..., 3) of positions (...) in deg, such as right ascension and declination."""
    lon, lat = np.radians(longitude), np.radians(latitude)
    cosine = np.cos(lat)
    return np.stack([cosine * np.cos(lon), cosine * np.sin(lon), np.sin(lat)], axis=-1)
