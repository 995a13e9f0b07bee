"""Conformal intervals: ranks by hand, and the coverage that they promise, for errors of any shape."""

import numpy as np
import pytest
from scipy.stats import beta

from clustermass.ensemble.calibration import LEVELS, half_widths


def test_ranks_and_half_widths_by_hand():
    # 19 scores 0.1 ... 1.9: (n + 1) = 20, ranks 13.6 -> 14, 18, 19
    found = half_widths(np.array([-1, 1] * 9 + [1]) * np.arange(19, 0, -1) / 10 * 0.2, np.full(19, 0.2))
    assert [found[level]["rank"] for level in ("68", "90", "95")] == [14, 18, 19]
    assert [found[level]["half_width"] for level in ("68", "90", "95")] == pytest.approx([1.4, 1.8, 1.9])
    assert found["90"]["coverage_std"] == pytest.approx(beta(18, 2).std())


@pytest.mark.parametrize(("number", "lacking"), [(18, ["95"]), (8, ["90", "95"]), (0, ["68", "90", "95"])])
def test_small_validation_sets_promise_no_finite_interval(number, lacking):
    found = half_widths(np.linspace(-1, 1, number), np.ones(number))
    assert [level for level, told in found.items() if told["half_width"] is None] == lacking


@pytest.mark.parametrize("n", [20, 137])
def test_new_clusters_are_covered_as_promised_though_errors_are_skewed_and_sigma_is_wrong(n):
    """Mean coverage over validation sets lies between the level and 1 / (n + 1) above it (to 4 standard errors)."""
    rng = np.random.default_rng(60)
    trials, new = 1500, 40

    def draw(shape):
        sigma = rng.uniform(0.05, 0.5, shape)
        return 3 * sigma * (rng.exponential(1, shape) - 0.7), sigma

    inside = {level: [] for level in LEVELS}
    for _ in range(trials):
        found = half_widths(*draw(n))
        residual, sigma = draw(new)
        for level in LEVELS:
            inside[level].append(np.mean(np.abs(residual) <= found[str(level)]["half_width"] * sigma))
    for level, shares in inside.items():
        error = np.std(shares) / np.sqrt(trials)
        assert level / 100 - 4 * error < np.mean(shares) < level / 100 + 1 / (n + 1) + 4 * error


def test_coverage_of_one_validation_set_scatters_as_stated():
    rng = np.random.default_rng(61)
    n, trials = 60, 1000
    shares, stated = [], 0.0
    for _ in range(trials):
        found = half_widths(rng.normal(0, 1, n), np.ones(n))["90"]
        shares.append(2 * _normal_below(found["half_width"]) - 1)
        stated = found["coverage_std"]
    # the standard error of a standard deviation from 1,000 draws is 2.2 %; 12 % is five of them
    assert np.std(shares) == pytest.approx(stated, rel=0.12)


def _normal_below(value):
    from scipy.special import ndtr

    return ndtr(value)
