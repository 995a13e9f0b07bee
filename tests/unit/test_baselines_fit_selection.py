"""The selection function against a simulated one, and the shifted relation against drawn clusters."""

import numpy as np

from clustermass.baselines.fit import fit_selection, predict_luminosity_selected
from clustermass.baselines.scaling_relations import luminosity_relation

BLOCK = {
    "log10_l_pivot": 43.5,
    "mass_pivot_msun": 2.0e14,
    "slope": 1.44,
    "delta": -0.07,
    "evolution": 2.0,
    "gamma": -0.51,
    "pivot_z": 0.35,
    "scatter_ln": 0.46,
}


def true_log_odds(log10_l, z):
    """Half of the haloes at log10 L = 42.9 + ln(1 + z) are selected, and almost all 0.3 dex above."""
    return 12 * (log10_l - 42.9 - np.log1p(z))


def test_a_simulated_selection_is_recovered():
    rng = np.random.default_rng(3)
    n = 60_000
    log10_l, z = rng.normal(42.9, 0.6, n), rng.uniform(0.05, 0.9, n)
    selected = rng.uniform(size=n) < 1 / (1 + np.exp(-true_log_odds(log10_l, z)))
    log_odds = fit_selection(10**log10_l, z, selected)
    at_z = np.array([0.1, 0.4, 0.8])
    half = 42.9 + np.log1p(at_z)
    # the error of p is about sqrt(p q / n) in a neighbourhood of some 1,000 haloes; 5 of them
    for offset in (-0.15, 0.0, 0.15):
        expected = 1 / (1 + np.exp(-12 * offset))
        found = 1 / (1 + np.exp(-log_odds(half + offset, at_z)))
        np.testing.assert_allclose(found, expected, atol=5 * 0.016)


def test_mean_of_drawn_selected_clusters_gives_back_their_mass():
    """Clusters of one mass and redshift, drawn with scatter and selected by chance; their mean ln L, inverted."""
    rng = np.random.default_rng(5)
    mass, z = np.array([13.8, 14.1, 14.8]), np.array([0.3, 0.3, 0.6])
    means = []
    for log10_m, redshift in zip(mass, z, strict=True):
        mean = luminosity_relation(np.array([redshift]), BLOCK).log10_observable(np.array([log10_m]))
        log10_l = mean + rng.normal(0, 0.46 / np.log(10), 400_000)
        chosen = rng.uniform(size=log10_l.size) < 1 / (1 + np.exp(-true_log_odds(log10_l, redshift)))
        means.append(log10_l[chosen].mean())
    relation = luminosity_relation(z, BLOCK)
    found = predict_luminosity_selected(10 ** np.array(means), z, relation, 0.46, true_log_odds)
    # a mean of >= 2,000 draws is good to 0.2 / sqrt(2,000) = 0.0045 dex in L; the shifted relation is up to 4 times
    # flatter than the slope of 1.44 where few are selected
    np.testing.assert_allclose(found, mass, atol=5 * 0.0045 * 4 / 1.44)
    published = relation.log10_mass(10 ** np.array(means))
    assert published[0] - mass[0] > 0.1  # where few are selected, their light misleads
    assert abs(published[2] - mass[2]) < 0.02


def test_a_survey_that_sees_all_shifts_nothing():
    log10_m, z = np.linspace(13.2, 15.0, 7), np.linspace(0.1, 1.0, 7)
    relation = luminosity_relation(z, BLOCK)
    l500 = 10 ** relation.log10_observable(log10_m)
    found = predict_luminosity_selected(l500, z, relation, 0.46, lambda log10_l, z: np.full(np.shape(log10_l), 50.0))
    np.testing.assert_allclose(found, log10_m, atol=1e-6)


def test_too_few_haloes_have_no_selection_function():
    l500, z = np.full(100, 1e43), np.full(100, 0.3)
    assert fit_selection(l500, z, np.arange(100) < 19) is None
    assert fit_selection(l500, z, np.arange(100) >= 19) is None
