"""The bootstrap against formulas for Gaussians and against the plain loop that it replaces."""

import numpy as np
import pytest

from clustermass.arrays import generator
from clustermass.evaluate.metrics import interval68, paired_ratios, resampled_moments


def plain_loop(residuals, group, drawn_groups):
    """Mean and scatter of one resampling, by gathering the clusters of the drawn groups."""
    rows = np.concatenate([np.flatnonzero(group == name) for name in drawn_groups])
    return residuals[:, rows].mean(axis=1), residuals[:, rows].std(axis=1)


def test_moments_equal_those_of_gathered_clusters():
    rng = np.random.default_rng(3)
    group = rng.integers(0, 12, 40).astype(str)
    residuals = rng.normal(0.3, 0.2, (2, 40))
    names = np.unique(group)
    mean, scatter = resampled_moments(residuals, group, 50, np.random.default_rng(4))
    weights = np.random.default_rng(4).multinomial(len(names), np.full(len(names), 1 / len(names)), size=50)
    for number, weight in enumerate(weights):
        expected_mean, expected_scatter = plain_loop(residuals, group, np.repeat(names, weight))
        np.testing.assert_allclose(mean[:, number], expected_mean, rtol=1e-12)
        np.testing.assert_allclose(scatter[:, number], expected_scatter, rtol=1e-9)


def test_intervals_of_gaussian_residuals_have_the_analytic_width():
    n, sigma = 2000, 0.15
    residuals = np.random.default_rng(5).normal(0.02, sigma, (1, n))
    mean, scatter = resampled_moments(residuals, np.arange(n), 4000, np.random.default_rng(6))
    for values, error in ((mean, sigma / np.sqrt(n)), (scatter, sigma / np.sqrt(2 * n))):
        low, high = interval68(values[0])
        # one sigma of the width: 5 % by the sample's own fourth moment, 2 % by 4,000 resamplings; 25 % is > 4 sigma
        assert (high - low) / 2 == pytest.approx(error, rel=0.25)


def test_interval_covers_the_true_scatter_as_often_as_it_says():
    rng = np.random.default_rng(7)
    trials, n = 300, 200
    hits = 0
    for _ in range(trials):
        _, scatter = resampled_moments(rng.normal(0, 1, (1, n)), np.arange(n), 200, rng)
        low, high = interval68(scatter[0])
        hits += low <= 1 <= high
    # binomial standard error 0.027, and 200 resamplings undercover by some 0.02: a false alarm in > 10,000 seeds
    assert hits / trials == pytest.approx(0.68, abs=0.13)


def test_groups_that_repeat_their_cluster_widen_the_interval():
    rng = np.random.default_rng(8)
    once = rng.normal(0, 0.2, (1, 300))
    four_times = np.repeat(once, 4, axis=1)
    widths = []
    for group in (np.repeat(np.arange(300), 4), np.arange(1200)):
        _, scatter = resampled_moments(four_times, group, 2000, np.random.default_rng(9))
        widths.append(np.ptp(interval68(scatter[0])))
    # 300 independent clusters, not 1200: twice the width
    assert widths[0] / widths[1] == pytest.approx(2, rel=0.15)


def test_pairing_makes_a_common_fluctuation_cancel():
    rng = np.random.default_rng(10)
    common = rng.normal(0, 0.15, 1000)
    residuals = np.stack([common, 1.1 * common])
    _, scatter = resampled_moments(residuals, np.arange(1000), 500, rng)
    low, high = paired_ratios(scatter, ["other"])["other"]
    assert low == pytest.approx(1 / 1.1, rel=1e-9)
    assert high == pytest.approx(1 / 1.1, rel=1e-9)


def test_a_common_offset_costs_no_digits():
    residuals = np.random.default_rng(11).normal(0, 1e-3, (1, 500))
    args = (np.arange(500), 100)
    _, near = resampled_moments(residuals, *args, np.random.default_rng(12))
    mean, far = resampled_moments(residuals + 1e6, *args, np.random.default_rng(12))
    np.testing.assert_allclose(far, near, rtol=1e-6)
    assert mean.mean() == pytest.approx(1e6)


def test_random_numbers_depend_on_seed_and_name_only():
    assert generator(1, "test").random() == generator(1, "test").random()
    assert len({generator(1, "test").random(), generator(2, "test").random(), generator(1, "val").random()}) == 3


def test_a_baseline_without_scatter_has_no_ratio():
    assert paired_ratios(np.array([[0.1, 0.2], [0.0, 0.0]]), ["exact"]) == {"exact": None}
