"""Count detections near each other: pairs of extended candidates, and point sources around candidates."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from clustermass.arrays import BoolArray, FloatArray, neighbours

SEPARATION = np.array([60.0, 90.0, 120.0, 180.0])  #: largest separations of pairs of detections, arcsec


def surroundings(
    catalogue: Mapping[str, FloatArray], candidate: BoolArray, selected: BoolArray, point: BoolArray
) -> dict[str, tuple[str, FloatArray]]:
    """Return those `measure.VARIABLES` that depend on pairs of detections: a dict from name to dimension and values.

    `catalogue` holds the columns RA, DEC and ML_CTS of all detections. The other arguments are bool (detection,):
    `candidate` marks the extended candidates, `selected` the candidates that match a halo, and `point` the point
    sources.
    """

    def number(first: BoolArray, second: BoolArray) -> FloatArray:
        return np.array([float(_near(catalogue, first, second, radius)[0].size) for radius in SEPARATION])

    return {
        "pairs_within": ("separation", number(candidate, candidate) / 2),
        "points_within": ("separation", number(selected, point)),
        "point_60": ("candidate", _brightest(catalogue, candidate, point, 60.0)),
        "point_120": ("candidate", _brightest(catalogue, candidate, point, 120.0)),
    }


def _near(
    catalogue: Mapping[str, FloatArray], first: BoolArray, second: BoolArray, radius_arcsec: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows of all pairs within `radius_arcsec`: a detection marked in `first`, and another one in `second`."""
    ra, dec, rows, others = catalogue["RA"], catalogue["DEC"], np.flatnonzero(first), np.flatnonzero(second)
    one, other = neighbours(ra[rows], dec[rows], ra[others], dec[others], radius_arcsec)
    one, other = rows[one], others[other]
    return one[one != other], other[one != other]


def _brightest(
    catalogue: Mapping[str, FloatArray], candidate: BoolArray, point: BoolArray, radius_arcsec: float
) -> FloatArray:
    """Return the largest ML_CTS of the point sources near each candidate, divided by the candidate's ML_CTS.

    A point source is near if its distance is at most `radius_arcsec`. `candidate` and `point` are as in `surroundings`.
    The result has the shape (candidate,). It is 0 for candidates without a point source near.
    """
    row, other = _near(catalogue, candidate, point, radius_arcsec)
    largest = np.zeros(candidate.size)
    np.maximum.at(largest, row, catalogue["ML_CTS"][other])
    return np.asarray(largest[candidate] / catalogue["ML_CTS"][candidate])
