"""Scaling relations computed by hand, and each fit compared with a known truth."""

from math import comb

import numpy as np
import pytest
from baseline_inputs import LUMINOSITY, RATE, split_of

from clustermass.baselines.scaling_relations import (
    count_rate_relation,
    design_matrix,
    fit_best_form,
    gas_forms,
    luminosity_relation,
    polynomial_forms,
    published_luminosity,
)
from clustermass.errors import InputError


def test_count_rate_relation_by_hand():
    # at both pivots the relation gives its constant; ten times the rate adds the slope
    mu = count_rate_relation(np.array([0.35, 0.35, 0.0]), RATE).log10_mass(np.array([0.1, 1.0, 0.1]))
    q = np.log10(1 / 1.35)  # -0.130334
    np.testing.assert_allclose(mu, [14.119, 14.704, 14.119 + 4.311 * q - 11.548 * q * q], atol=1e-12)
    assert mu[2] == pytest.approx(13.36096, abs=1e-5)


def test_equation_67_gives_back_the_mass_that_made_the_luminosity():
    mass, z = 10 ** np.array([13.3, 14.0, 14.9]), np.array([0.1, 0.35, 1.0])
    e = np.sqrt(0.3 * (1 + z) ** 3 + 0.7) / np.sqrt(0.3 * 1.35**3 + 0.7)
    log_l = (
        np.log(10**43.5263)
        + (1.44 - 0.07 * np.log((1 + z) / 1.35)) * np.log(mass / 2e14)
        + 2 * np.log(e)
        - 0.51 * np.log((1 + z) / 1.35)
    )
    # astropy's E(z) counts no radiation either (Tcmb0 = 0)
    relation = luminosity_relation(z, LUMINOSITY)
    np.testing.assert_allclose(relation.log10_mass(np.exp(log_l)), np.log10(mass), atol=1e-10)
    np.testing.assert_allclose(relation.log10_observable(np.log10(mass)), log_l / np.log(10), atol=1e-10)


def test_equation_67_at_the_pivots():
    assert luminosity_relation(np.array([0.35]), LUMINOSITY).log10_mass(np.array([10**43.5263]))[0] == pytest.approx(
        np.log10(2e14)
    )


def test_luminosity_keeps_the_flux_when_the_cosmology_changes():
    z = np.array([0.3])
    # only H0 differs: distances scale as 1 / H0, luminosities as 1 / H0^2
    found = published_luminosity(np.array([1e44]), z, {"h0_km_s_mpc": 50.0, "omega_m": 0.3})
    assert found[0] == pytest.approx(1e44 * (50 / 70) ** 2)


@pytest.mark.parametrize("published", [count_rate_relation, luminosity_relation])
def test_refits_find_the_surface_that_the_masses_lie_on(published):
    rng = np.random.default_rng(41)
    x, z = rng.uniform(-1, 1, 400), rng.uniform(0.05, 1, 400)
    q = np.log10((1 + z) / 1.35)
    mass = 14 + 0.6 * x + 2 * q - 5 * q**2 + 0.05 * x**2
    observable = 0.1 * 10**x if published is count_rate_relation else 10 ** (43.5263 + x)
    label = np.where(split_of(400) == "test", np.nan, mass)
    relation = published(z, RATE if published is count_rate_relation else LUMINOSITY)
    found = fit_best_form("refit", relation.refit_forms(observable), label, split_of(400))
    np.testing.assert_allclose(found, mass, atol=1e-9)


def test_prior_finds_a_parabola_of_redshift():
    z = np.random.default_rng(42).uniform(0.05, 1, 400)
    mass = 13.5 + 2 * np.log1p(z) - np.log1p(z) ** 2
    label = np.where(split_of(400) == "test", np.nan, mass)
    np.testing.assert_allclose(
        fit_best_form("prior", polynomial_forms(np.log1p(z)), label, split_of(400)), mass, atol=1e-9
    )


def test_validation_set_chooses_the_form():
    """The training set alone would favour the most flexible form; on this validation set the line is better."""
    rng = np.random.default_rng(43)
    x = rng.uniform(-1, 1, 60)
    split = np.array(["train"] * 14 + ["val"] * 40 + ["test"] * 6)
    mass = 14 + x + rng.normal(0, 0.3, 60)
    forms = {"line": design_matrix(x), "degree 10": design_matrix(*(x**power for power in range(1, 11)))}
    chosen = fit_best_form("test", forms, mass, split)
    line = np.polynomial.Polynomial.fit(x[:14], mass[:14], 1)
    np.testing.assert_allclose(chosen, line(x))


def test_too_few_training_clusters_are_refused():
    with pytest.raises(InputError, match="2 training clusters can't fit 4 coefficients"):
        fit_best_form("prior", polynomial_forms(np.arange(3.0)), np.ones(3), np.array(["train", "train", "val"]))


SPREAD, SLOPE_L, SLOPE_T, SCATTER_L, SCATTER_T = 0.32, 1.4, 0.55, 0.2, 0.065
N = 20_000


def drawn(seed=11):
    """Gaussian masses; luminosity and temperature scatter about power laws of the mass."""
    rng = np.random.default_rng(seed)
    mass, z = rng.normal(14.1, SPREAD, N), rng.uniform(0.1, 0.8, N)
    l500 = 10 ** (43.5 + SLOPE_L * (mass - 14.1) + 1.2 * np.log10(1 + z) + rng.normal(0, SCATTER_L, N))
    kt = 10 ** (0.4 + SLOPE_T * (mass - 14.1) + 0.3 * np.log10(1 + z) + rng.normal(0, SCATTER_T, N))
    return mass, z, l500, kt, np.repeat(["train", "val", "test"], [N // 2, N // 4, N // 4])


def scatter_of_posterior(*slopes_and_scatters):
    """Information adds up: 1/variance = 1/prior + the sum of (slope / scatter)^2."""
    return (SPREAD**-2 + sum((slope / scatter) ** 2 for slope, scatter in slopes_and_scatters)) ** -0.5


def predictions(mass, z, l500, kt, split):
    return {
        "temperature": fit_best_form("temperature", gas_forms(z, kt), mass, split),
        "luminosity_temperature": fit_best_form("both", gas_forms(z, kt, l500), mass, split),
    }


def test_scatter_is_that_of_the_linear_gaussian_posterior():
    # error of a scatter from 5,000 clusters: 1 % (1 / sqrt(2 n)); 4.5 % off by chance: once in 150,000
    mass, *observed, split = drawn()
    limits = {
        "temperature": scatter_of_posterior((SLOPE_T, SCATTER_T)),
        "luminosity_temperature": scatter_of_posterior((SLOPE_T, SCATTER_T), (SLOPE_L, SCATTER_L)),
    }
    for name, mu in predictions(mass, *observed, split).items():
        assert (mu - mass)[split == "test"].std() == pytest.approx(limits[name], rel=0.045)


def test_labels_of_the_test_set_are_not_read():
    mass, *observed, split = drawn()
    hidden = np.where(split == "test", np.nan, mass)
    with_labels, without = predictions(mass, *observed, split), predictions(hidden, *observed, split)
    assert all(np.array_equal(with_labels[name], mu) for name, mu in without.items())


def test_planted_cubic_surface_is_recovered():
    # every third-order product of the three observables must be among the terms
    _, z, l500, kt, split = drawn()
    lum, t, q = np.log10(l500) - 43.5, np.log10(kt / 3), np.log10((1 + z) / 1.35)
    mass = 14 + 0.4 * lum + t - 0.2 * q + 0.1 * lum * t * q + 0.05 * lum**3 - 0.2 * t**2 * q + 0.3 * t * q**2
    assert fit_best_form("both", gas_forms(z, kt, l500), mass, split) == pytest.approx(mass, abs=1e-9)


def test_planted_power_law_of_the_temperature_is_recovered():
    _, z, _, kt, split = drawn()
    mass = 13.9 + 1.7 * np.log10(kt) - 0.5 * np.log10(1 + z)
    assert fit_best_form("temperature", gas_forms(z, kt), mass, split) == pytest.approx(mass, abs=1e-9)


def test_number_of_terms():
    x = np.linspace(-1, 1, 7)
    widths = {form: design.shape[1] for form, design in polynomial_forms(x, x**2, x + 1).items()}
    assert widths == {"linear": comb(4, 1), "quadratic": comb(5, 2), "cubic": comb(6, 3)}
