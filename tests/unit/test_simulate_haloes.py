import numpy as np
import pytest
from scipy.stats import kstest

from clustermass.simulate.field import Field
from clustermass.simulate.haloes import draw_haloes, halo_density

COSMOLOGY = {"h0_km_s_mpc": 67.74, "omega_m": 0.3089, "omega_b": 0.048206, "sigma8": 0.8147, "ns": 0.9667}
LIMITS = {"redshift_min": 0.01, "redshift_max": 1.5, "log10_m500c_min": 13.0, "log10_m500c_max": 15.3}
FIELD = Field(136.0, 1.5, 20.0, 7.0)


@pytest.fixture(scope="module")
def haloes():
    return draw_haloes(FIELD, LIMITS, COSMOLOGY, np.random.default_rng(1))


def test_numbers_are_those_of_tinker_2008(haloes):
    # Computed once by hand with colossus over 140 deg2 (guide: physics, section 1e)
    mass = haloes.log10_m500c
    for limit, expected in ((13.0, 77_700), (13.5, 12_815), (14.0, 1_333)):
        number = (mass > limit).sum()
        assert abs(number - expected) < 4 * np.sqrt(expected) + 0.01 * expected


def test_draws_follow_the_mass_function(haloes):
    mass = np.linspace(13.0, 15.3, 400)
    redshift = np.linspace(0.01, 1.5, 300)
    density = np.trapezoid(halo_density(redshift, mass, COSMOLOGY), redshift, axis=0)
    cumulative = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    sample = haloes.log10_m500c[:20_000]
    assert kstest(sample, lambda m: np.interp(m, mass, cumulative / cumulative[-1])).pvalue > 0.01


def test_massive_haloes_are_rarer_at_high_redshift():
    density = halo_density(np.array([0.2, 0.8]), np.array([13.5, 14.8]), COSMOLOGY)
    assert density[1, 1] / density[1, 0] < 0.3 * density[0, 1] / density[0, 0]


def test_limits_hold_and_positions_fill_the_field(haloes):
    assert haloes.redshift.min() >= 0.01
    assert haloes.redshift.max() <= 1.5
    assert 13.0 <= haloes.log10_m500c.min() <= haloes.log10_m500c.max() <= 15.3
    assert kstest(haloes.longitude[:20_000] / 20 + 0.5, "uniform").pvalue > 0.01


def test_the_number_scales_with_the_area():
    small = draw_haloes(Field(10.0, 80.0, 5.0, 7.0), LIMITS, COSMOLOGY, np.random.default_rng(2))
    assert len(small) == pytest.approx(77_700 / 4, rel=0.03)
