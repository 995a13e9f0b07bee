import numpy as np
import pytest
from bayes_limit_inputs import COSMOLOGY, sky

from clustermass.arrays import generator
from clustermass.baselines.mass_information import MassFunction, PropertyShare
from clustermass.simulate.field import Field
from clustermass.simulate.sources import draw_haloes


def test_the_mass_function_is_that_of_drawn_haloes():
    haloes = draw_haloes(Field(136.0, 1.5, 20.0, 7.0), sky()["clusters"], COSMOLOGY, generator(1, "haloes"))
    function = MassFunction.from_config(sky(), COSMOLOGY)
    near = (haloes.redshift > 0.45) & (haloes.redshift < 0.55)
    density = function.at(0.5)
    assert np.trapezoid(density, function.log10_m500c) == pytest.approx(1)
    share = np.mean(haloes.log10_m500c[near] > 13.5)
    above = function.log10_m500c >= 13.5
    expected = np.trapezoid(density[above], function.log10_m500c[above])
    assert near.sum() > 1000
    assert share == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / near.sum()) + 0.01)


def test_a_uniform_population_has_a_flat_density_between_its_limits():
    population = {
        "distribution": "uniform", "log10_m500c_min": 13.6, "log10_m500c_max": 15.2, "redshift_min": 0.1,
        "redshift_max": 0.5,
    }  # fmt: skip
    function = MassFunction.from_config({**sky(), "population": population}, COSMOLOGY)
    assert (function.log10_m500c[0], function.log10_m500c[-1]) == (13.6, 15.2)
    assert function.at(0.3) == pytest.approx(np.full(161, 1 / 1.6))


def test_the_share_of_haloes_with_a_property_is_found():
    rng = np.random.default_rng(1)
    mass, redshift = rng.uniform(13, 15, 40_000), rng.uniform(0.05, 1, 40_000)
    true = 1 / (1 + np.exp(-2.5 * (mass - 14) + 2 * (redshift - 0.4)))
    value = np.where(rng.random(mass.size) < true, 2, 0)
    share = PropertyShare(mass, redshift, value)
    grid = np.array([13.4, 14.0, 14.6])
    expected = 1 / (1 + np.exp(-2.5 * (grid - 14) + 2 * (0.6 - 0.4)))
    assert share.density(grid, 0.6, 2) == pytest.approx(expected, abs=0.02)
    assert share.density(grid, 0.6, 2) + share.density(grid, 0.6, 0) == pytest.approx(np.ones(3))


def test_a_property_that_all_haloes_share_says_nothing():
    share = PropertyShare(np.array([13.0, 14.0]), np.array([0.1, 0.2]), np.ones(2, dtype=int))
    assert share.density(np.array([13.5, 14.5]), 0.3, 1).tolist() == [1.0, 1.0]
