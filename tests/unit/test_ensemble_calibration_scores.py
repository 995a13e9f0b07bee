"""Calibration against numerical integration and against draws of known calibration."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from clustermass.ensemble.scores import calibration_scores, crps_gaussian, fraction, pit, pit_scores
from clustermass.evaluate.metrics import by_bin


@pytest.mark.parametrize(("mu", "sigma", "truth"), [(14.0, 0.15, 14.0), (14.2, 0.1, 13.9), (13.5, 0.4, 14.6)])
def test_crps_is_the_integral_over_squared_differences_of_distributions(mu, sigma, truth):
    def integrand(value):
        return (norm.cdf(value, mu, sigma) - (value >= truth)) ** 2

    expected = quad(integrand, mu - 12 * sigma, truth, limit=200)[0] + quad(integrand, truth, 18, limit=200)[0]
    found = crps_gaussian(np.array([mu]), np.array([sigma]), np.array([truth]))[0]
    assert found == pytest.approx(expected, rel=1e-6)


def test_hand_worked_z_scores_and_pit():
    mu, sigma, truth = np.full(3, 14.0), np.array([0.1, 0.2, 0.1]), np.array([14.1, 13.6, 14.4])
    scores = calibration_scores(mu, sigma, truth)  # z = 1, -2, 4
    assert scores["z_score_mean"] == pytest.approx(1)
    assert scores["z_score_std"] == pytest.approx(np.sqrt(6))
    np.testing.assert_allclose(pit(mu, sigma, truth), [0.841345, 0.022750, 0.999968], atol=1e-6)


def test_honest_predictions_are_found_honest():
    rng = np.random.default_rng(1)
    n = 4000
    mu, sigma = rng.normal(14, 0.3, n), rng.uniform(0.1, 0.2, n)
    found = calibration_scores(mu, sigma, rng.normal(mu, sigma))
    # five standard errors each: a false alarm in 1 of 1.7 million fresh seeds
    assert found["coverage68"] == pytest.approx(0.6827, abs=5 * np.sqrt(0.6827 * 0.3173 / n))
    assert found["coverage95"] == pytest.approx(0.95, abs=5 * np.sqrt(0.95 * 0.05 / n))
    assert found["z_score_std"] == pytest.approx(1, abs=5 / np.sqrt(2 * n))
    assert found["z_score_mean"] == pytest.approx(0, abs=5 / np.sqrt(n))
    assert found["pit_ks_pvalue"] > 1e-4


@pytest.mark.parametrize(("factor", "offset"), [(0.5, 0.0), (2.0, 0.0), (1.0, 0.1)])
def test_dishonest_predictions_are_found_out(factor, offset):
    rng = np.random.default_rng(2)
    mu, sigma = rng.normal(14, 0.3, 2000), np.full(2000, 0.15)
    found = calibration_scores(mu + offset, factor * sigma, rng.normal(mu, sigma))
    assert found["pit_ks_pvalue"] < 1e-6
    assert found["z_score_std"] == pytest.approx(1 / factor, rel=0.1)
    assert found["z_score_mean"] == pytest.approx(-offset / 0.15, abs=0.15)


@pytest.mark.parametrize("n", [0, 2])
def test_too_few_clusters_give_none_and_never_nan(n):
    some = np.arange(float(n))
    for found, few in (
        (calibration_scores(np.ones(4), np.ones(4), np.ones(4)), calibration_scores(some, some + 1, some)),
        (pit_scores(np.full(4, 0.5)), pit_scores(some)),
    ):
        assert found.keys() == few.keys()
        assert few.pop("n") == n
        assert set(few.values()) == {None}


def test_interval_of_a_share_is_wilson_s():
    # 7 of 10 at z = 1: centre (7 + 1/2) / 11, half-width sqrt(7 x 3 / 10 + 1/4) / 11
    found = fraction("share", np.arange(10) < 7)
    assert found["share"] == 0.7
    assert found["share_ci68"] == pytest.approx([(7.5 - np.sqrt(2.35)) / 11, (7.5 + np.sqrt(2.35)) / 11])


def test_bins_tell_where_sigma_is_wrong():
    rng = np.random.default_rng(3)
    z, mu = rng.uniform(0, 1, 3000), rng.normal(14, 0.3, 3000)
    truth = rng.normal(mu, np.where(z < 0.5, 0.1, 0.2))
    low, high = by_bin(z, (0, 0.5, np.inf), calibration_scores, mu, np.full(3000, 0.1), truth)
    assert (low["low"], low["high"], high["high"]) == (0, 0.5, None)
    assert low["n"] + high["n"] == 3000
    # five standard errors of 1,500 clusters
    assert low["coverage68"] == pytest.approx(0.6827, abs=0.06)
    assert high["coverage68"] == pytest.approx(2 * norm.cdf(0.5) - 1, abs=0.065)
    assert high["z_score_std"] == pytest.approx(2, abs=10 / np.sqrt(3000))
    assert low["pit_ks_pvalue"] > 1e-4 > high["pit_ks_pvalue"]
    on_edges = by_bin(np.array([0.0, 1, 1, 1, 2]), (0, 1, 2), calibration_scores, np.ones(5), np.ones(5), np.ones(5))
    assert [row["n"] for row in on_edges] == [1, 3]


def test_a_skewed_but_honest_prediction_passes_by_its_own_distribution():
    found = pit_scores(np.random.default_rng(4).uniform(0, 1, 4000))
    assert found["coverage68"] == pytest.approx(0.6827, abs=5 * np.sqrt(0.6827 * 0.3173 / 4000))
    assert found["coverage95"] == pytest.approx(0.95, abs=5 * np.sqrt(0.95 * 0.05 / 4000))
    assert sum(found["pit_histogram"]) == 4000
    assert found["pit_ks_pvalue"] > 1e-4
