"""Recalibrated sigma: planted errors are found, honest ones left alone, and the fits against a plain optimiser."""

from dataclasses import asdict

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import norm

from clustermass.ensemble.calibration import (
    FOLDS,
    Recalibration,
    choose_recalibration,
    fit_scale,
    fit_scale_and_floor,
    folds,
    left_out_loss,
    paired_gain,
)
from clustermass.ensemble.ensemble import mixture_cdf, mixture_quantile
from clustermass.ensemble.scores import negative_log_likelihood


def choose(residual, sigma, group, seed):
    """Chosen constants and the report in one table."""
    chosen, report = choose_recalibration(residual, sigma, group, seed)
    return asdict(chosen) | report


def planted(seed, n=400, scale=1.0, floor=0.0):
    """Residuals whose true spread is `scale` times the predicted sigma, and `floor` in quadrature."""
    rng = np.random.default_rng([50, seed])
    sigma = rng.uniform(0.05, 0.3, n)
    return rng.normal(0, np.hypot(scale * sigma, floor)), sigma, np.array([f"g{k}" for k in range(n)])


def test_likelihood_is_that_of_scipy():
    residual, sigma, _ = planted(0)
    np.testing.assert_allclose(negative_log_likelihood(residual, sigma), -norm.logpdf(residual, 0, sigma))


@pytest.mark.parametrize(("fit", "free"), [(fit_scale, 1), (fit_scale_and_floor, 2)])
@pytest.mark.parametrize("floor", [0.0, 0.1])
def test_fits_are_where_a_plain_optimiser_ends(fit, free, floor):
    residual, sigma, _ = planted(1, scale=0.8, floor=floor)

    def loss(logs):
        constants = np.exp(np.append(logs, -50)[:2])
        return negative_log_likelihood(residual, Recalibration(*constants).sigma(sigma)).mean()

    starts = [np.log([scale, 0.05])[:free] for scale in (0.5, 1.0, 2.0)]
    best = min((minimize(loss, start, method="Nelder-Mead", options={"fatol": 1e-12}) for start in starts),
               key=lambda found: found.fun)  # fmt: skip
    found = fit(residual, sigma)
    assert negative_log_likelihood(residual, found.sigma(sigma)).mean() == pytest.approx(best.fun, abs=1e-8)
    if free == 1:
        assert found.scale == pytest.approx(np.exp(best.x[0]), rel=1e-3)


@pytest.mark.parametrize("scale", [0.7, 1.6])
def test_a_planted_factor_is_found_and_accepted(scale):
    residual, sigma, group = planted(2, scale=scale)
    found = choose(residual, sigma, group, seed=1)
    assert found["form"] == "scale"
    # its standard error is scale / sqrt(2 n): five of them
    assert found["scale"] == pytest.approx(scale, abs=5 * scale / np.sqrt(800))
    assert found["floor_dex"] == 0
    told = found["forms"]["scale"]
    assert told["gain"] > told["gain_error"] > 0
    # what a known factor gains: the expectation of z^2 / 2 falls from scale^2 / 2 to 1 / 2, ln(sigma) grows
    assert told["gain"] == pytest.approx((scale**2 - 1) / 2 - np.log(scale), rel=0.5)


def test_a_planted_floor_is_found_and_accepted():
    residual, sigma, group = planted(3, n=2000, floor=0.15)
    found = choose(residual, sigma, group, seed=1)
    assert found["form"] == "scale_and_floor"
    assert found["floor_dex"] == pytest.approx(0.15, abs=0.03)
    assert found["scale"] == pytest.approx(1, abs=0.15)
    assert found["forms"]["scale_and_floor"]["over"] == "scale"


def test_honest_sigma_is_mostly_left_alone_and_never_bent_far():
    chosen = [choose(*planted(seed, n=200), seed=1) for seed in range(10, 50)]
    # 14 of 900 honest sets of 100 to 1,200 clusters were changed, 2 %: more than 4 of 40 is one fresh seed in 1,000
    assert sum(found["form"] != "none" for found in chosen) <= 4
    assert all(0.8 < found["scale"] < 1.25 for found in chosen if found["form"] == "scale")


def test_too_few_groups_tell_nothing():
    residual, sigma, group = planted(4, n=29, scale=5.0)
    found = choose(residual, sigma, group, seed=1)
    assert (found["form"], found["scale"], found["floor_dex"], found["forms"]) == ("none", 1.0, 0.0, {})
    assert "29 validation groups are too few" in found["reason"]
    # many clusters of few groups are no better
    assert choose(*planted(4, n=400, scale=5.0)[:2], np.resize(group, 400), seed=1)["form"] == "none"
    assert choose(*planted(4, n=40, scale=5.0), seed=1)["form"] == "scale"


def test_folds_keep_groups_whole_are_even_and_follow_the_names():
    group = np.repeat([f"g{k}" for k in range(45)], 3)
    fold = folds(group, seed=1)
    assert all(np.unique(fold[group == name]).size == 1 for name in np.unique(group))
    assert sorted(np.bincount(fold) // 3) == [4] * 5 + [5] * 5
    order = np.random.default_rng(51).permutation(group.size)
    np.testing.assert_array_equal(folds(group[order], seed=1), fold[order])
    assert not np.array_equal(folds(group, seed=2), fold)


def test_left_out_clusters_shape_nothing_that_they_are_judged_by():
    residual, sigma, group = planted(5, n=60)
    fold = folds(group, seed=1)
    loss = left_out_loss(fit_scale, residual, sigma, fold)
    for number in range(FOLDS):
        out = fold == number
        scale = np.sqrt(np.mean((residual[~out] / sigma[~out]) ** 2))
        np.testing.assert_allclose(loss[out], -norm.logpdf(residual[out], 0, scale * sigma[out]))


def test_error_of_the_gain_counts_groups_not_clusters():
    gain = np.random.default_rng(52).normal(0.1, 1, 100)
    mean, error = paired_gain(gain, np.arange(100).astype(str))
    assert (mean, error) == (pytest.approx(gain.mean()), pytest.approx(gain.std(ddof=1) / 10))
    twice, group = np.repeat(gain, 2), np.repeat(np.arange(100), 2).astype(str)
    assert paired_gain(twice, group) == (pytest.approx(mean), pytest.approx(error))


def test_the_stretched_mixture_has_exactly_the_recalibrated_sigma():
    rng = np.random.default_rng(53)
    mu, sigma = rng.normal(14, 0.2, (5, 8)), rng.uniform(0.05, 0.2, (5, 8))
    raw = np.sqrt((sigma**2).mean(axis=0) + mu.var(axis=0))
    again = Recalibration(1.3, 0.07)
    centre, width = again.components(mu, sigma)
    np.testing.assert_allclose(centre.mean(axis=0), mu.mean(axis=0))
    np.testing.assert_allclose(np.sqrt((width**2).mean(axis=0) + centre.var(axis=0)), again.sigma(raw))
    # a pure factor moves every quantile away from the mean by that factor
    centre, width = Recalibration(1.3).components(mu, sigma)
    stretched = mu.mean(axis=0) + 1.3 * (mixture_quantile(0.16, mu, sigma) - mu.mean(axis=0))
    np.testing.assert_allclose(mixture_quantile(0.16, centre, width), stretched, atol=1e-12)
    np.testing.assert_allclose(mixture_cdf(stretched, centre, width), 0.16, atol=1e-12)
