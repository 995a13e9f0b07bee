"""A cluster's rank among the validation clusters: by hand, and against scikit-learn and scipy."""

from dataclasses import replace

import numpy as np
import pytest
from ood_inputs import by_hand, rows_of
from scipy.stats import mannwhitneyu, norm
from sklearn.mixture import GaussianMixture

from clustermass.evaluate.ood_scores import sample_p


def test_rank_by_hand():
    known = by_hand([[0.1], [-1.0], [2.0], [-3.0]])
    found = known.score(rows_of(mass=[1.5, -5.0, 0.0, 2.0]))
    # |score| among 0.1, 1, 2, 3: two above 1.5; none above 5; all above 0; 2 and 3 at or above 2
    np.testing.assert_allclose(found.p, [3 / 5, 1 / 5, 5 / 5, 3 / 5])
    assert not found.flagged.any()  # four validation clusters can't tell one in a hundred


def test_flag_needs_99_validation_clusters():
    for number, flagged in ((98, False), (99, True)):
        assert by_hand(norm.ppf(np.arange(1, number + 1) / (number + 1))[:, None]).score(
            rows_of(mass=[9.0])
        ).flagged.tolist() == [flagged]


def test_rarity_is_the_density_that_scikit_learn_tells():
    rng = np.random.default_rng(5)
    scores = np.concatenate([rng.normal(0, 1, (400, 2)), rng.normal(3, 0.5, (200, 2))])
    mixture = GaussianMixture(2, random_state=0).fit(scores)
    known = replace(
        by_hand(scores, ("rate", "mass"), np.eye(2)),
        weight=mixture.weights_,
        mean=mixture.means_,
        covariance=mixture.covariances_,
    )
    new = np.random.default_rng(6).normal(1, 2, (50, 2))
    density, gauge = mixture.score_samples(new), mixture.score_samples(scores)
    expected = (1 + (gauge[None] <= density[:, None]).sum(axis=1)) / 601
    np.testing.assert_allclose(known.score(rows_of(rate=new[:, 0], mass=new[:, 1])).p, expected)


def test_what_is_not_known_is_left_out_on_both_sides():
    rng = np.random.default_rng(7)
    covariance = np.array([[1.0, 0.6], [0.6, 1.0]])
    validation = rng.multivariate_normal([0, 0], covariance, 199)
    both = by_hand(validation, ("rate", "mass"), covariance)
    alone = by_hand(validation[:, 1:])
    new = rng.normal(0, 1.5, 20)
    there = both.score(rows_of(rate=np.full(20, np.nan), mass=new))
    np.testing.assert_allclose(there.p, alone.score(rows_of(mass=new)).p)
    assert set(there.why.tolist()) == {"mass"}
    incomplete = validation.copy()
    incomplete[:100, 0] = np.nan
    fewer = by_hand(incomplete, ("rate", "mass"), covariance).score(rows_of(rate=[9.0], mass=[-9.0]))
    assert fewer.p.tolist() == [1 / 100]  # 99 validation clusters have both
    assert np.isnan(both.score(rows_of(extent=[1.0])).p).all()


def test_why_names_what_contradicts_the_others():
    covariance = np.full((3, 3), 0.95) + 0.05 * np.eye(3)
    known = by_hand(np.zeros((10, 3)), ("rate", "extent", "mass"), covariance)
    found = known.score(rows_of(rate=[2.0, 2.0], extent=[2.0, -2.0], mass=[-2.0, 2.0]))
    assert found.why.tolist() == ["mass", "extent"]


def test_sample_p_is_the_mann_whitney_test_of_the_scores():
    rng = np.random.default_rng(14)
    validation, new = rng.normal(0, 1, 150), rng.normal(0, 1.3, 80)
    p = by_hand(validation[:, None]).score(rows_of(mass=new)).p
    expected = mannwhitneyu(np.abs(new), np.abs(validation), alternative="greater").pvalue
    assert sample_p(p, 150) == pytest.approx(expected, rel=0.01)  # more ties
    assert sample_p(np.array([np.nan]), 150) is None
