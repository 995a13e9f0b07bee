"""Other sources in the model of a stamp: they stand for ermldet's simultaneous fit of neighbours."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from clustermass.sky.stamps import Stamps, offsets, ranges
from clustermass.sky.templates import Templates
from clustermass.sphere import unit_vectors

REACH_ARCSEC = 120.0  # beyond the cut radius; farther sources are left to the local background


@dataclass(frozen=True)
class Components:
    """Sources of known position, shape and counts, each array of shape (component,).

    Attributes
    ----------
    ra, dec : float64
        Right ascension, relative to the event index's zero, and declination [deg].
    model : int64
        Number of the model in `Templates`.
    counts : float64
        Counts on the whole sky.
    """

    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    model: NDArray[np.int64]
    counts: NDArray[np.float64]


def neighbours(
    ra: NDArray[np.float64],
    dec: NDArray[np.float64],
    other_ra: NDArray[np.float64],
    other_dec: NDArray[np.float64],
    radius_arcsec: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return all pairs (i, j) of a position i and another position j within a radius; positions in deg."""
    if len(ra) == 0 or len(other_ra) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    chord = 2.0 * np.sin(np.radians(radius_arcsec / 3600.0) / 2.0)
    found = KDTree(unit_vectors(ra, dec)).query_ball_tree(KDTree(unit_vectors(other_ra, other_dec)), chord)
    first = np.repeat(np.arange(len(ra)), [len(near) for near in found])
    return first, np.fromiter((j for near in found for j in sorted(near)), np.int64, len(first))


def component_background(
    stamps: Stamps,
    templates: Templates,
    components: Components,
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> NDArray[np.float32]:
    """Return the expected counts that components add to each entry of `stamps`, shape (entry,).

    Parameters
    ----------
    stamps : Stamps
        The stamps.
    templates : Templates
        Shapes of the sources.
    components : Components
        The sources.
    pairs : (int64, int64), each of shape (pair,)
        Stamp and component for every component that a stamp's model holds.
    """
    stamp, component = pairs
    x, y = offsets(components.ra[component], components.dec[component], stamps.ra[stamp], stamps.dec[stamp])
    pair, entry = ranges(stamps.first[stamp], stamps.first[stamp + 1])
    pixel = stamps.pixel[entry]
    radius = np.hypot(templates.x[pixel] - x.astype(np.float32)[pair], templates.y[pixel] - y.astype(np.float32)[pair])
    counts = templates.value(components.model[component][pair], radius) * components.counts[component][pair]
    return np.bincount(entry, weights=counts, minlength=len(stamps.pixel)).astype(np.float32)
