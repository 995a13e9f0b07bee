"""Clusters unlike the training ones: what is fitted to those, exact rates on like ones, power on planted changes."""

from dataclasses import replace

import numpy as np
import pytest
from ood_inputs import BANDS, NAMES, X, measured, simulated
from scipy.stats import chi2, norm

from clustermass.ensemble.fit_out_of_distribution import fit_ood_model
from clustermass.ensemble.ood_quantities import quantities
from clustermass.ensemble.out_of_distribution import TERMS, columns, terms
from clustermass.errors import InputError


@pytest.fixture(scope="module")
def domain():
    return fit_ood_model(measured(1500, 1), measured(499, 2), "none", 3)


@pytest.fixture(scope="module")
def pool():
    return measured(3000, 8)


def test_normal_scores_are_those_of_a_normal_distribution(domain, pool):
    """New clusters of the training clusters' kind, whatever redshift and exposure; errors of 5 quantiles of 1500."""
    scores = domain.normal_scores(pool)[
        :, [domain.names.index(name) for name in ("ring", "rate", "extent", "aleatoric")]
    ]
    for p, tolerance in ((0.01, 0.35), (0.16, 0.13), (0.5, 0.12), (0.84, 0.13), (0.99, 0.35)):
        np.testing.assert_allclose(np.quantile(scores, p, axis=0), norm.ppf(p), atol=tolerance)
    for name in ("redshift", "exposure"):
        high = columns(pool, [name])[:, 0] > np.median(columns(pool, [name]))
        np.testing.assert_allclose(np.median(scores[high], axis=0), 0, atol=0.15)
        np.testing.assert_allclose(scores[high].std(axis=0) / scores[~high].std(axis=0), 1, atol=0.15)


def test_no_covariate_is_explained_by_itself(domain):
    """Redshift and exposure depend on nothing, the core on these two, all else on all three."""
    for name, allowed in (("redshift", 0), ("exposure", 0), ("core", 2), ("ring", 3), ("mass", 3)):
        row = domain.names.index(name)
        for found in (domain.coefficient[row], domain.log_scale[row]):
            depends = {term: value != 0 for term, value in zip(TERMS, found.tolist(), strict=True)}
            assert depends == {term: all(covariate < allowed for covariate in term) for term in TERMS}


def test_an_outlier_in_training_does_not_widen_the_mixture():
    """Scores count up to 6 only: one of 1500 can make no mean larger than that, and no variance much larger than 1."""
    train = measured(1500, 17)
    train[0, NAMES.index("rate")] += 30
    found = fit_ood_model(train, measured(100, 18), "none", 1)
    assert found.normal_scores(train)[0].max() > 20
    assert np.abs(found.mean).max() < 6
    assert np.einsum("cqq->cq", found.covariance).max() < 3


def test_terms_by_hand_stop_growing_far_from_the_training_clusters():
    table = np.full((3, len(NAMES)), np.nan)
    table[:, :3] = [[3.0, 5.0, 7.0], [3.0, 5.0, 1e6], [-1e6, 5.0, 7.0]]
    found = terms(table, np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0]))
    a, b = 2.0, 1.5
    assert TERMS == ((), (0,), (1,), (2,), (0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    for row, (first, third) in zip(found, ((a, 1.0), (a, 4.0), (-4.0, 1.0)), strict=True):
        expected = [1, first, b, third, first**2, first * b, first * third, b**2, b * third, third**2]
        np.testing.assert_allclose(row, expected)


def test_p_is_uniform_on_exchangeable_clusters(domain, pool):
    """One cluster and 19 validation clusters, drawn 600 times: each rank as often; chi2 at 0.1 % (seed 9)."""
    rng, scores = np.random.default_rng(9), domain.normal_scores(pool)
    seen = np.zeros(21, dtype=int)
    for _ in range(600):
        one, *others = rng.choice(len(pool), 20, replace=False)
        p = replace(domain, validation=scores[others]).score(pool[[one]]).p[0]
        seen[round(20 * p)] += 1
    assert seen[0] == 0
    assert ((seen[1:] - 30) ** 2 / 30).sum() < chi2.ppf(0.999, 19)


def test_false_alarms_are_as_stated(domain, pool):
    """The rate of one validation set of 499 is beta-distributed (5, 495): 1 +- 0.44 %; 40 draws (seed 15)."""
    rng, scores, rates = np.random.default_rng(15), domain.normal_scores(pool), []
    for _ in range(40):
        rows = rng.permutation(len(pool))
        rates.append(replace(domain, validation=scores[rows[:499]]).score(pool[rows[499:999]]).flagged.mean())
    assert abs(np.mean(rates) - 0.01) < 3 * np.sqrt((0.0044**2 + 0.01 * 0.99 / 500) / 40)
    assert np.std(rates) > 0.002


def flagged(domain, image, facts, predicted):
    found = domain.score(quantities(image, X, X, "none", facts, predicted))
    return found.flagged.mean(), np.unique(found.why[found.flagged]).tolist()


def test_power_on_planted_changes(domain):
    """Images with twice the background, a neighbour, another redshift, disagreeing networks (seeds 10 to 12)."""
    image, facts, predicted = simulated(300, 10)
    assert flagged(domain, image, facts, predicted)[0] < 0.04
    double = simulated(300, 11, background=1.2)
    assert flagged(domain, *double)[0] > 0.9
    assert (
        flagged(domain, double[0], facts | {"ml_bkg": np.full(300, np.nan)}, predicted)[0] > 0.5
    )  # by the image alone
    neighbour = image.copy()
    neighbour[:, :, 11:14, 2:5] += np.random.default_rng(12).poisson(6.0, (300, BANDS, 3, 3))
    share, why = flagged(domain, neighbour, facts, predicted)
    assert share > 0.9
    assert "neighbour" in why
    wrong = facts | {"redshift": facts["redshift"] + 0.6}
    assert flagged(domain, image, wrong, predicted)[0] > 0.5
    share, why = flagged(domain, image, facts, predicted | {"sigma_epistemic": np.full(300, 0.2)})
    assert share > 0.9
    assert why == ["epistemic"]


def test_clusters_that_lack_catalogue_values_keep_the_rate(domain):
    image, facts, predicted = simulated(4000, 13)
    bare = {name: facts[name] for name in ("redshift", "exposure_s")}
    share, _ = flagged(domain, image, bare, predicted)
    # 3 sigma of the 499 validation clusters' beta distribution, and of 4000 clusters
    assert abs(share - 0.01) < 3 * np.hypot(0.0044, np.sqrt(0.01 * 0.99 / 4000))


def test_too_few_training_clusters_are_refused():
    with pytest.raises(InputError, match="9 training clusters are too few"):
        fit_ood_model(measured(9, 30), measured(9, 31), "none", 1)


def test_few_clusters_and_constant_or_unknown_quantities_are_managed():
    few = measured(40, 32)
    few[:, NAMES.index("background")] = -2.0  # the same for all
    few[:5, NAMES.index("extent")] = np.nan  # known for fewer than 90 %
    few[:3, NAMES.index("rate")] = np.nan
    few[7, NAMES.index("exposure")] = np.nan
    found = fit_ood_model(few, measured(30, 33), "none", 1)
    assert set(NAMES) - set(found.names) == {"background", "extent"}
    assert (found.score(measured(20, 34)).p > 0).all()
