"""Likelihoods of detection: against scipy's and closed forms, and the amplitude that makes them largest."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_ndtr
from scipy.stats import chi2

from clustermass.detect.maximum_likelihood import fit_amplitude, negative_log_q


@pytest.mark.parametrize("dof", [1.0, 2.0, 3.0, 4.0, 2.7])
def test_likelihood_is_the_chi_square_tail(dof):
    drop = np.concatenate([[0.0], np.logspace(-3, np.log10(1300.0), 200)])
    np.testing.assert_allclose(negative_log_q(dof, drop), -chi2.logsf(drop, dof), rtol=1e-9, atol=1e-12)


def test_likelihood_of_huge_drops_follows_the_closed_forms():
    drop = np.logspace(2, 7, 300)
    x = drop / 2
    half = -log_ndtr(-np.sqrt(drop)) - np.log(2.0)  # Q(1/2, x) = erfc(sqrt(x))
    three_halves = half - np.log1p(np.exp(0.5 * np.log(x) - x + half) / (np.sqrt(np.pi) / 2))  # recurrence in a
    np.testing.assert_allclose(negative_log_q(1.0, drop), half, rtol=1e-11)
    np.testing.assert_allclose(negative_log_q(2.0, drop), x, rtol=1e-12)
    np.testing.assert_allclose(negative_log_q(3.0, drop), three_halves, rtol=1e-10)
    np.testing.assert_allclose(negative_log_q(4.0, drop), x - np.log1p(x), rtol=1e-12)


def test_negative_drop_counts_as_none():
    assert negative_log_q(3.0, np.array([-5.0]))[0] == 0.0


def test_amplitude_minimises_the_c_statistic():
    rng = np.random.default_rng(5)
    template = rng.dirichlet(np.full(700, 0.05), size=(8, 3)).transpose(0, 2, 1)
    background = rng.uniform(0.01, 0.1, size=(8, 700))
    true = np.array([0.0, 0.0, 3.0, 10.0, 30.0, 200.0, 3000.0, 30000.0])
    counts = rng.poisson(background + true[:, None] * template[:, :, 0]).astype(float)
    inside = template.sum(axis=1)
    start = counts.sum(axis=1, keepdims=True) + 1.0
    amplitude, drop = fit_amplitude(counts, background, template, inside, start, iterations=8)
    for i in range(8):
        for k in range(3):

            def statistic(a, i=i, k=k):
                model = background[i] + a * template[i, :, k]
                return 2.0 * np.sum(model - counts[i] * np.log(model))

            best = minimize_scalar(statistic, bounds=(0.0, 1e5), method="bounded", options={"xatol": 1e-7})
            expected = max(statistic(0.0) - best.fun, 0.0)
            assert drop[i, k] == pytest.approx(expected, rel=1e-5, abs=1e-4)
            assert amplitude[i, k] == pytest.approx(best.x, rel=1e-3, abs=1e-2)
