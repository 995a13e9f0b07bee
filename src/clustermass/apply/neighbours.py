"""The brightest other detection near each cluster, from the table of detections."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from clustermass.arrays import FloatArray, unit_vectors

#: reach in arcsec: the networks' images of 6.4' have their corners at 4.5', and the point spread function adds the rest
REACH_ARCSEC = 300.0


def brightest_near(
    ra: FloatArray, dec: FloatArray, counts: FloatArray, rows: NDArray[np.int64]
) -> tuple[FloatArray, FloatArray]:
    """Return distance in arcsec and counts (row,) of the brightest other detection within `REACH_ARCSEC` of `rows`.

    Takes positions in deg and counts of all detections, (detection,); NaN = unknown. Of detections with equal counts,
    or with unknown counts, the nearest one is taken. Both results are NaN if there is no other detection; its counts
    are NaN if they are unknown.
    """
    place = unit_vectors(ra, dec)
    near = cKDTree(place).query_ball_point(place[rows], 2 * np.sin(np.radians(REACH_ARCSEC / 3600) / 2))
    separation, of_neighbour = np.full((2, rows.size), np.nan)
    for number, (row, found) in enumerate(zip(rows, near, strict=True)):
        others = np.array([one for one in found if one != row], dtype=int)
        if others.size:
            apart = 2 * np.arcsin(np.linalg.norm(place[others] - place[row], axis=1) / 2)
            best = np.lexsort((apart, -np.nan_to_num(counts[others], nan=-1.0)))[0]
            separation[number], of_neighbour[number] = 3600 * np.degrees(apart[best]), counts[others[best]]
    return separation, of_neighbour
