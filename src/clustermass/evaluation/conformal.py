"""Intervals whose coverage is guaranteed by ranks alone: split conformal prediction on the validation set."""

from math import ceil, sqrt
from typing import Any

import numpy as np

from clustermass.cosmology import FloatArray

#: nominal coverages, percent
LEVELS = (68, 90, 95)
GUARANTEE = (
    "The interval mu -+ half_width x sigma (sigma as in ensemble.nc, not recalibrated) holds the true mass of a new "
    "cluster with at least the stated probability, whatever the networks' errors look like, if that cluster is "
    "exchangeable with the validation clusters: same sky, same selection, validation clusters that chose nothing about "
    "the networks and that are independent of each other (some have overlapping images). The probability is an average "
    "over clusters and over validation sets (marginal): it isn't promised for every mass, redshift or count rate, nor "
    "for a sky that differs from the simulated one."
)


def half_widths(residual: FloatArray, sigma: FloatArray) -> dict[str, dict[str, Any]]:
    """Half-widths of the intervals in units of sigma, with the finite-sample correction.

    The scores |residual| / sigma of n validation clusters are ranked; the k-th smallest, k = ceil((n + 1) level), is
    the half-width. A new cluster's score is equally likely to fall anywhere among them, so that it is covered with
    probability k / (n + 1) (Vovk et al. 2005; Lei et al. 2018, JASA 113, 1094, Theorem 2.2).

    Parameters
    ----------
    residual, sigma
        Predicted minus true log10 mass and predicted standard deviation of the validation clusters, dex, (cluster,).

    Returns
    -------
    dict
        By level in percent, as text: `rank` k, `half_width` (None where k > n: no finite interval is guaranteed) and
        `coverage_std`, by how much the coverage varies from one validation set of this size to another.
    """
    score = np.sort(np.abs(residual) / sigma)
    return {str(level): _half_width(score, level) for level in LEVELS}


def _half_width(score: FloatArray, level: int) -> dict[str, Any]:
    n = score.size
    rank = ceil((n + 1) * level / 100)
    if rank > n:
        return {"rank": rank, "half_width": None, "coverage_std": None}
    # the coverage of one validation set's interval follows a beta distribution with parameters rank, n + 1 - rank
    spread = sqrt(rank * (n + 1 - rank) / ((n + 1) ** 2 * (n + 2)))
    return {"rank": rank, "half_width": float(score[rank - 1]), "coverage_std": spread}
