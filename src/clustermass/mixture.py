"""The full prediction of an ensemble for one cluster's mass: an equal-weight mixture of Gaussians."""

import numpy as np
from scipy.special import ndtr

from clustermass.cosmology import FloatArray

#: halvings of the bracket; 64 exhaust double precision
HALVINGS = 64
#: a mixture's quantiles between 1e-15 and 1 - 1e-15 lie within this many sigma of its outermost components
BRACKET_SIGMA = 8.0


def mixture_cdf(value: FloatArray, mu: FloatArray, sigma: FloatArray) -> FloatArray:
    """Return mean_i Phi((value - mu_i) / sigma_i), (cluster,): at the truth, the probability integral transform.

    Parameters
    ----------
    value
        Where each cluster's distribution function is taken, (cluster,).
    mu, sigma
        Means and standard deviations of the components, (member, cluster), sigma positive.
    """
    return np.asarray(ndtr((value - mu) / sigma).mean(axis=0), dtype=float)


def mixture_quantile(probability: float, mu: FloatArray, sigma: FloatArray) -> FloatArray:
    """Solve mean_i Phi((q - mu_i) / sigma_i) = probability for q, by bisection of all clusters at once.

    Parameters
    ----------
    probability
        Between 1e-15 and 1 - 1e-15.
    mu, sigma
        As for `mixture_cdf`.

    Returns
    -------
    quantile
        float64 (cluster,).
    """
    low = (mu - BRACKET_SIGMA * sigma).min(axis=0)
    high = (mu + BRACKET_SIGMA * sigma).max(axis=0)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        below = mixture_cdf(middle, mu, sigma) < probability
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray((low + high) / 2, dtype=float)
