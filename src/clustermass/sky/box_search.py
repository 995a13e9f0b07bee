"""Sliding-box search, after eSASS erbox: a source is fitted only where a box around it holds too many counts."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc

from clustermass.sky.stamps import Stamps
from clustermass.sky.templates import Templates

CORES_ARCSEC = (15.0, 30.0, 60.0)  # of the kernel 1 / (1 + r^2 / core^2)^1.5: each pass of erbox doubles its pixels
HALF_BOX = 1.2  # half the side of the box in units of the core: 4.5 pixels of 4 arcsec for 15 arcsec
STEPS = (-1.0, 0.0, 1.0)


def box_likelihood(
    stamps: Stamps,
    level: NDArray[np.floating],
    neighbours: NDArray[np.floating],
    templates: Templates,
    parameters: Mapping[str, Any],
) -> NDArray[np.float64]:
    """Return the largest likelihood -ln P(n, b) of the boxes near the centre of each stamp.

    P is the regularised lower incomplete gamma function, the chance of n counts or more where b are expected; n and b
    are sums over the box weighted by the kernel, as erbox's with boxsize 4 in three passes. The boxes lie on the
    3 x 3 grid of positions where the fits start; the largest is cut at the stamps' radius.

    Parameters
    ----------
    stamps
        The counts.
    level
        Background, counts / pixel, shape (stamp,).
    neighbours
        Expected counts of known sources near by in the pixel of each entry of `stamps`: the share of the counts that
        is theirs is left out.
    templates
        Pixels of a stamp.
    parameters
        Uses shift_arcsec.

    Returns
    -------
    float64, shape (stamp,); infinite where the chance is below the smallest number.
    """
    flat = level[stamps.owner]
    counts = stamps.counts * flat / (flat + neighbours)
    least = np.ones(len(stamps.ra))
    for core in CORES_ARCSEC:
        for x in STEPS:
            for y in STEPS:
                dx, dy = templates.x - x * parameters["shift_arcsec"], templates.y - y * parameters["shift_arcsec"]
                inside = np.maximum(np.abs(dx), np.abs(dy)) <= HALF_BOX * core
                kernel = np.where(inside, (1.0 + (dx**2 + dy**2) / core**2) ** -1.5, 0.0)
                number = np.bincount(stamps.owner, kernel[stamps.pixel] * counts, minlength=len(least))
                least = np.minimum(least, gammainc(np.maximum(number, 1e-9), level * kernel.sum()))
    with np.errstate(divide="ignore"):
        return np.asarray(-np.log(least))
