"""Basic tools: types of arrays, a base class of tables, random generators, pairs of close positions, and bisection."""

import zlib
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from clustermass.errors import InputError
from clustermass.io.room import check_memory

FloatArray: TypeAlias = NDArray[np.float64]
Float32Array: TypeAlias = NDArray[np.float32]
IntArray: TypeAlias = NDArray[np.intp]
IdArray: TypeAlias = NDArray[np.int32]
BoolArray: TypeAlias = NDArray[np.bool_]
#: components of a realization. Each has its own random generator, so that a change of one component does not change the
#: random numbers of the others.
STREAMS = (
    "haloes", "gas", "agn", "cluster_photons", "agn_photons", "background", "events", "population", "redshifts",
    "richness", "followup", "shape", "central_agn",
)  # fmt: skip
#: bytes of memory that a pair of near positions takes while pairs are searched
_PAIR_BYTES = 80
#: random generator of each component, by the component's name
Streams: TypeAlias = dict[str, np.random.Generator]


class Rows:
    """Base class of tables. A table is a dataclass whose fields are arrays of equal length.

    ``haloes[rows]`` is a table with some of the rows of the table ``haloes``.
    """

    def __getitem__(self, rows: Any) -> Self:
        return type(self)(**{name: values[rows] for name, values in vars(self).items()})

    def __setitem__(self, rows: Any, other: Self) -> None:
        for name, values in vars(self).items():
            values[rows] = getattr(other, name)

    def __len__(self) -> int:
        return len(next(iter(vars(self).values())))

    @classmethod
    def join(cls, *tables: Self) -> Self:
        """Return the rows of several tables as one table."""
        columns = {name: [vars(table)[name] for table in tables] for name in vars(tables[0])}
        return cls(**{name: _joined(parts) for name, parts in columns.items()})


def _joined(parts: Sequence[Any]) -> Any:
    return parts[0].join(*parts) if isinstance(parts[0], Rows) else np.concatenate(parts)


def generator(seed: int, *names: str) -> np.random.Generator:
    """Return a random generator for the purpose that `names` describe. It depends only on `seed` and `names`."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])


def random_streams(seed: int, name: str, realization: str) -> Streams:
    """Return the random generators of one realization of the sky `name`, as a dict by the names in `STREAMS`.

    InputError unless `realization` consists of digits, as "01" does.
    """
    if not realization.isdigit():
        raise InputError(f"realization {realization!r} of sky {name!r}: must be digits, such as 01.")
    root = [seed, zlib.crc32(name.encode()), zlib.crc32(realization.encode())]
    return {part: np.random.default_rng([*root, number]) for number, part in enumerate(STREAMS)}


def bisect(
    below_root: Callable[[FloatArray], NDArray[np.bool_]], low: FloatArray, high: FloatArray, halvings: int
) -> FloatArray:
    """Return the roots of many increasing functions, found by bisection between `low` and `high`.

    All arrays have the same shape, and each element belongs to one function. `below_root` takes an array with an
    argument for each function, and returns whether each argument is below the root of its function. The interval of
    each function is halved `halvings` times.
    """
    for _ in range(halvings):
        middle = (low + high) / 2
        below = below_root(middle)
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray((low + high) / 2, dtype=float)


def unit_vectors(longitude: FloatArray, latitude: FloatArray) -> FloatArray:
    """Return unit vectors to positions (deg) of any shape. A new last axis holds the three components."""
    return np.stack(components(longitude, latitude), axis=-1)


def components(longitude: FloatArray, latitude: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the three components of the unit vectors to positions (deg), each with the shape of the positions."""
    lon, lat = np.radians(longitude), np.radians(latitude)
    cosine = np.cos(lat)
    return cosine * np.cos(lon), cosine * np.sin(lon), np.sin(lat)


def neighbours(
    ra: FloatArray, dec: FloatArray, other_ra: FloatArray, other_dec: FloatArray, radius_arcsec: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return all pairs of a position i and a position j at most `radius_arcsec` apart, as two arrays of indices.

    `ra` and `dec` (deg) are the positions i, and `other_ra` and `other_dec` are the positions j. The pairs are sorted
    by i, then by j. InputError if there are so many that they don't fit into memory.
    """
    from scipy.spatial import KDTree  # most users of this module don't need it

    if len(ra) == 0 or len(other_ra) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    chord = 2.0 * np.sin(np.radians(radius_arcsec / 3600.0) / 2.0)
    here, there = (KDTree(unit_vectors(*at)) for at in ((ra, dec), (other_ra, other_dec)))
    check_pairs(float(here.count_neighbors(there, chord)), f"positions within {radius_arcsec:g} arcsec")
    pairs = here.sparse_distance_matrix(there, chord, output_type="ndarray")
    order = np.lexsort((pairs["j"], pairs["i"]))
    return pairs["i"][order], pairs["j"][order]


def near_pairs(ra: FloatArray, dec: FloatArray, chord: float) -> NDArray[np.intp]:
    """Return the pairs of positions (deg) whose unit vectors are at most `chord` apart, as row numbers (pair, 2).

    InputError if a position isn't finite, or if there are so many pairs that they don't fit into memory.
    """
    from scipy.spatial import cKDTree  # most users of this module don't need it

    vectors = unit_vectors(ra, dec)
    if bad := int((~np.isfinite(vectors).all(axis=-1)).sum()):
        raise InputError(f"{bad} of {len(ra)} positions aren't finite. Delete the file that holds them, and run again.")
    tree = cKDTree(vectors)
    check_pairs(float(tree.count_neighbors(tree, chord)), "near positions")
    return np.asarray(tree.query_pairs(chord, output_type="ndarray"))


def check_pairs(number: float, what: str) -> None:
    """Raise InputError if `number` pairs don't fit into memory. The message calls the paired objects `what`."""
    check_memory(number * _PAIR_BYTES, f"{number:.3g} pairs of {what}")
