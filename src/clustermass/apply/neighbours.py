"""The brightest detections near each cluster, from the table of detections."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from clustermass.arrays import BoolArray, FloatArray, unit_vectors

#: reach in arcsec: the networks' images of 6.4' have their corners at 4.5', and the point spread function adds the rest
REACH_ARCSEC = 300.0
#: detections that are compared with the clusters first, and most pairs that are in memory at a time
_FIRST, _MOST_PAIRS = 64, 10**6

Rows = NDArray[np.int64]


def brightest_near(ra: FloatArray, dec: FloatArray, counts: FloatArray, rows: Rows) -> tuple[FloatArray, FloatArray]:
    """Return the distance (arcsec) and the counts of the brightest detection near each cluster, both (row,).

    The clusters are the detections in `rows`. Near means within `REACH_ARCSEC`. `ra` and `dec` (deg) and `counts` hold
    all detections, (detection,) each. Unknown counts are NaN. If several detections have the same counts, or if all
    counts are unknown, the nearest one is chosen. Distance and counts are NaN if no other detection is near. If the
    counts of the chosen detection are unknown, only the counts are NaN.
    """
    place = unit_vectors(ra, dec)
    best = brightest(place[rows], place, counts, REACH_ARCSEC, 1, lambda own, other: other != rows[own])[:, 0]
    found = np.flatnonzero(best >= 0)
    best = _nearest_as_bright(place, counts, rows[found], best[found])
    separation, of_neighbour = np.full((2, rows.size), np.nan)
    apart = 2 * np.arcsin(np.linalg.norm(place[best] - place[rows[found]], axis=1) / 2)
    separation[found], of_neighbour[found] = 3600 * np.degrees(apart), counts[best]
    return separation, of_neighbour


def brightest(
    centres: FloatArray,
    place: FloatArray,
    counts: FloatArray,
    reach_arcsec: float,
    most: int,
    wanted: Callable[[Rows, Rows], BoolArray],
) -> Rows:
    """Return the row numbers of the brightest detections near each centre, the brightest first, (centre, `most`).

    The number is -1 where there are fewer than `most` detections within `reach_arcsec`. `centres` and `place` are unit
    vectors, (centre, 3) and (detection, 3). `counts` is (detection,); NaN counts as fainter than all others. Of equally
    bright detections, the one with the smaller row number comes first. `wanted` takes the row numbers of centres and
    of detections, (pair,) each, and returns which of these pairs may be used.

    Detections are compared with centres in the order of their brightness, and centres that have found `most` detections
    are left out. Therefore time and memory don't grow with the square of the number of detections at one place.
    """
    from scipy.spatial import KDTree  # most users of this module don't need it

    order = np.argsort(_faintness(counts), kind="stable")
    chord = 2.0 * np.sin(np.radians(reach_arcsec / 3600.0) / 2.0)
    found, number = np.full((len(centres), most), -1), np.zeros(len(centres), np.int64)
    unfinished, first, length = np.arange(len(centres)), 0, _FIRST
    while unfinished.size and first < order.size:
        part = order[first : first + length]
        here, there = KDTree(centres[unfinished]), KDTree(place[part])
        if part.size > 1 and here.count_neighbors(there, chord) > _MOST_PAIRS:
            length = part.size // 2
            continue
        pairs = here.sparse_distance_matrix(there, chord, output_type="ndarray")
        pairs = pairs[np.lexsort((pairs["j"], pairs["i"]))]
        own, other = unfinished[pairs["i"]], part[pairs["j"]]
        used = wanted(own, other)
        own, other = own[used], other[used]
        rank = number[own] + np.arange(own.size) - np.searchsorted(own, own)
        found[own[rank < most], rank[rank < most]] = other[rank < most]
        number += np.bincount(own, minlength=len(centres))
        unfinished, first, length = unfinished[number[unfinished] < most], first + part.size, 2 * length
    return found


def _nearest_as_bright(place: FloatArray, counts: FloatArray, rows: Rows, best: Rows) -> Rows:
    """Return the nearest of those detections that have the same counts as `best`, for each cluster in `rows`."""
    from scipy.spatial import KDTree

    _, level, number = np.unique(_faintness(counts), return_inverse=True, return_counts=True)
    members = np.split(np.argsort(level, kind="stable"), np.cumsum(number)[:-1])
    nearest = best.copy()
    for one in np.unique(level[best][number[level[best]] > 1]).tolist():
        of_level = np.flatnonzero(level[best] == one)
        near = members[one][KDTree(place[members[one]]).query(place[rows[of_level]], k=2)[1]]
        nearest[of_level] = np.where(near[:, 0] == rows[of_level], near[:, 1], near[:, 0])
    return nearest


def _faintness(counts: FloatArray) -> FloatArray:
    return np.asarray(-np.nan_to_num(counts, nan=-1.0))
