"""The brightest other detection near each cluster, from the table of detections."""

import numpy as np
from numpy.typing import NDArray

from clustermass import limits
from clustermass.arrays import FloatArray, neighbours, unit_vectors

#: reach in arcsec: the networks' images of 6.4' have their corners at 4.5', and the point spread function adds the rest
REACH_ARCSEC = 300.0


def brightest_near(
    ra: FloatArray, dec: FloatArray, counts: FloatArray, rows: NDArray[np.int64]
) -> tuple[FloatArray, FloatArray]:
    """Return the distance (arcsec) and the counts of the brightest detection near each cluster, both (row,).

    The clusters are the detections in `rows`. Near means within `REACH_ARCSEC`. `ra` and `dec` (deg) and `counts` hold
    all detections, (detection,) each. Unknown counts are NaN. If several detections have the same counts, or if all
    counts are unknown, the nearest one is chosen. Distance and counts are NaN if no other detection is near. If the
    counts of the chosen detection are unknown, only the counts are NaN. InputError if so many detections are near
    clusters that the search would take minutes.
    """
    own, other = neighbours(ra[rows], dec[rows], ra, dec, REACH_ARCSEC, limits.PAIRS.check)
    own, other = own[other != rows[own]], other[other != rows[own]]
    place = unit_vectors(ra, dec)
    apart = 2 * np.arcsin(np.linalg.norm(place[other] - place[rows[own]], axis=1) / 2)
    order = np.lexsort((apart, -np.nan_to_num(counts[other], nan=-1.0), own))
    number, first = np.unique(own[order], return_index=True)
    best = order[first]
    separation, of_neighbour = np.full((2, rows.size), np.nan)
    separation[number], of_neighbour[number] = 3600 * np.degrees(apart[best]), counts[other[best]]
    return separation, of_neighbour
