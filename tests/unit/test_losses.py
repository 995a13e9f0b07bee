"""The loss against hand-worked numbers and scipy."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from clustermass.networks.losses import gaussian_nll


def test_equals_eq_1_worked_by_hand():
    # y = 14.0, mu = 13.8, sigma = 0.2: ln(0.04) / 2 + 0.04 / 0.08 = -1.6094379 + 0.5
    by_hand = -1.1094379
    assert float(gaussian_nll(jnp.array([14.0]), jnp.array([13.8]), jnp.log(jnp.array([0.04])))) == pytest.approx(
        by_hand, abs=1e-5
    )


def test_equals_scipy_but_for_the_constant():
    rng = np.random.default_rng(1)
    truth, mean, sigma = rng.normal(size=50), rng.normal(size=50), rng.uniform(0.3, 2, 50)
    expected = -norm.logpdf(truth, mean, sigma).mean() - np.log(2 * np.pi) / 2
    assert float(gaussian_nll(*map(jnp.asarray, (truth, mean, 2 * np.log(sigma))))) == pytest.approx(expected, rel=1e-5)


def test_weight_two_counts_a_sample_twice():
    rng = np.random.default_rng(2)
    truth, mean, log_variance = (jnp.asarray(rng.normal(size=3)) for _ in range(3))
    doubled = [jnp.concatenate([column, column[:1]]) for column in (truth, mean, log_variance)]
    weight = jnp.array([2.0, 1.0, 1.0]) * 3 / 4  # mean 1
    assert float(gaussian_nll(truth, mean, log_variance, weight)) == pytest.approx(
        float(gaussian_nll(*doubled)), rel=1e-5
    )
