"""Array types, tables as dataclasses of arrays, random generators, unit vectors, bisection of many elements at once."""

import zlib
from collections.abc import Callable
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from clustermass.errors import InputError

FloatArray: TypeAlias = NDArray[np.float64]
Float32Array: TypeAlias = NDArray[np.float32]
IntArray: TypeAlias = NDArray[np.intp]
IdArray: TypeAlias = NDArray[np.int32]
BoolArray: TypeAlias = NDArray[np.bool_]
#: components of a realization, each with its own random stream: a change of one does not change the others' draws
STREAMS = ("haloes", "gas", "agn", "cluster_photons", "agn_photons", "background", "events", "detection", "redshifts")
#: random generator of each component
Streams: TypeAlias = dict[str, np.random.Generator]


class Rows:
    """Base of dataclasses of arrays of equal length: ``haloes[rows]`` takes these rows of every array."""

    def __getitem__(self, rows: Any) -> Self:
        """Return the table with only these rows (numbers, a mask or a slice)."""
        return type(self)(**{name: values[rows] for name, values in vars(self).items()})

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(next(iter(vars(self).values())))


def generator(seed: int, *names: str) -> np.random.Generator:
    """Return a generator that depends only on the seed and `names` (its purpose), not on the order of calls."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])


def random_streams(seed: int, name: str, realization: str) -> Streams:
    """Return the generator of each of `STREAMS` for a realization (digits, else InputError) of the sky `name`."""
    if not realization.isdigit():
        raise InputError(f"realization {realization!r} of sky {name!r}: must be digits, such as 01.")
    root = [seed, zlib.crc32(name.encode()), zlib.crc32(realization.encode())]
    return {part: np.random.default_rng([*root, number]) for number, part in enumerate(STREAMS)}


def bisect(
    below_root: Callable[[FloatArray], NDArray[np.bool_]], low: FloatArray, high: FloatArray, halvings: int
) -> FloatArray:
    """Return the roots of increasing functions between `low` and `high` (arrays of one shape) after some halvings.

    `below_root` says for each element whether an argument is below its root.
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
