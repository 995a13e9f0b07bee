"""Quantiles of an equal-weight mixture of Gaussians: what an ensemble says of one cluster's mass."""

import numpy as np
from scipy.special import ndtr

from clustermass.cosmology import FloatArray

#: halvings of the bracket; 64 exhaust double precision
HALVINGS = 64
#: a mixture's quantiles between 1e-15 and 1 - 1e-15 lie within this many sigma of its outermost components
BRACKET_SIGMA = 8.0


def mixture_quantile(probability: float, mu: FloatArray, sigma: FloatArray) -> FloatArray:
    """Solve mean_i Phi((q - mu_i) / sigma_i) = probability for q, by bisection of all clusters at once.

    Parameters
    ----------
    probability
        Between 1e-15 and 1 - 1e-15.
    mu, sigma
        Means and standard deviations of the components, (member, cluster), sigma positive.

    Returns
    -------
    quantile
        float64 (cluster,).
    """
    low = (mu - BRACKET_SIGMA * sigma).min(axis=0)
    high = (mu + BRACKET_SIGMA * sigma).max(axis=0)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        below = ndtr((middle - mu) / sigma).mean(axis=0) < probability
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray((low + high) / 2, dtype=float)
