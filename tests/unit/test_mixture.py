"""Quantiles of an ensemble's mixture against scipy."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from clustermass.ensemble.aggregate import mixture_cdf, mixture_quantile


def _below(q, mu, sigma, probability):
    return norm.cdf(q, mu, sigma).mean() - probability


def test_quantile_solves_the_mixture_s_distribution_function():
    rng = np.random.default_rng(32)
    mu, sigma = rng.normal(14, 0.3, (6, 20)), rng.uniform(0.02, 0.3, (6, 20))
    for probability in (0.001, 0.16, 0.5, 0.84):
        found = mixture_quantile(probability, mu, sigma)
        for k in range(20):
            expected = brentq(_below, 5, 25, args=(mu[:, k], sigma[:, k], probability), xtol=1e-13)
            assert found[k] == pytest.approx(expected, abs=1e-10)


def test_distribution_function_is_the_mean_of_the_components():
    mu, sigma = np.array([[14.0, 13.0], [14.4, 13.0]]), np.array([[0.2, 0.1], [0.1, 0.3]])
    # (Phi(1) + Phi(-2)) / 2 and, in the middle of both, one half
    np.testing.assert_allclose(
        mixture_cdf(np.array([14.2, 13.0]), mu, sigma), [(0.841345 + 0.022750) / 2, 0.5], atol=1e-6
    )
