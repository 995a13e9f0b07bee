"""Regressions on the true gas: the linear-Gaussian limit by formula, planted surfaces, and no look at test labels."""

from math import comb

import numpy as np
import pytest

from clustermass.baselines.scaling_relations import fit_best_form, gas_forms, polynomial_forms

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
