import numpy as np
import pytest
from scipy.stats import kstest

from clustermass.simulate.field import Field
from clustermass.simulate.sources import Haloes, agn_spectrum, counts_above, draw_agn, draw_haloes, halo_density
from clustermass.simulate.telescope import Response

COSMOLOGY = {"h0_km_s_mpc": 67.74, "omega_m": 0.3089, "omega_b": 0.048206, "sigma8": 0.8147, "ns": 0.9667}
LIMITS = {"redshift_min": 0.01, "redshift_max": 1.5, "log10_m500c_min": 13.0, "log10_m500c_max": 15.3}
FIELD = Field(136.0, 1.5, 20.0, 7.0)
AGN = {
    "flux_min_cgs": 5e-16,
    "flux_max_cgs": 1e-12,
    "normalisation_per_deg2": 6150.0,
    "clustered_fraction": 0.0,
    "clustered_evolution": 0.0,
    "clustered_r500": 2.0,
}
NO_HALOES = Haloes(*np.zeros((4, 0)))


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


def test_counts_are_those_of_efeds():
    # 27,369 point sources in 142 deg2 down to 6.5e-15 erg/s/cm2 (Brunner et al. 2022)
    assert counts_above(6.5e-15, 6150.0) == pytest.approx(193, rel=0.01)


def test_slopes_are_those_of_moretti():
    bright = np.log(counts_above(2e-12, 1.0) / counts_above(1e-12, 1.0)) / np.log(2)
    assert bright == pytest.approx(-1.82, abs=0.01)


def test_draws_follow_the_counts():
    sources = draw_agn(Field(0.0, 0.0, 10.0, 5.0), AGN, NO_HALOES, np.zeros(0), np.random.default_rng(1))
    area = Field(0.0, 0.0, 10.0, 5.0).area_deg2
    assert sources.flux.min() >= 5e-16
    assert sources.flux.max() <= 1e-12
    for flux in (5e-16, 3e-15, 2e-14):
        expected = counts_above(flux, 6150.0) * area
        assert abs((sources.flux > flux).sum() - expected) < 4 * np.sqrt(expected) + 1


def test_no_agn_if_none_are_wanted():
    none = AGN | {"normalisation_per_deg2": 0.0}
    sources = draw_agn(Field(0.0, 0.0, 1.0, 1.0), none, NO_HALOES, np.zeros(0), np.random.default_rng(1))
    assert len(sources.flux) == 0


def test_clustered_agn_lie_around_haloes_in_proportion_to_their_mass():
    field = Field(0.0, 0.0, 10.0, 6.0)
    haloes = Haloes(np.array([-3.0, 3.0]), np.array([2.0, -2.0]), np.full(2, 0.2), np.log10([1e14, 3e14]))
    parameters = AGN | {"clustered_fraction": 0.3, "flux_min_cgs": 5e-15}
    sources = draw_agn(field, parameters, haloes, np.array([3.0, 6.0]), np.random.default_rng(5))
    number, near = len(sources.flux), []
    for halo, reach in ((0, 6.0), (1, 12.0)):  # arcmin: two R500c
        east = (sources.longitude - haloes.longitude[halo]) * np.cos(np.radians(haloes.latitude[halo]))
        distance = 60 * np.hypot(east, sources.latitude - haloes.latitude[halo])
        inside = distance < reach
        near.append(inside.sum() - number * 0.7 * np.pi * (reach / 60) ** 2 / field.area_deg2)
        assert np.median(distance[inside]) == pytest.approx(reach / 2, rel=0.1)
    assert sum(near) == pytest.approx(0.3 * number, abs=4 * np.sqrt(0.3 * 0.7 * number))
    assert near[1] / near[0] == pytest.approx(3.0, rel=0.2)
    # the number of AGN and their fluxes are those of unclustered ones
    assert np.array_equal(
        sources.flux,
        draw_agn(field, parameters | {"clustered_fraction": 0.0}, haloes, np.ones(2), np.random.default_rng(5)).flux,
    )


def test_clustered_agn_prefer_distant_haloes_if_configured():
    haloes = Haloes(np.array([-3.0, 3.0]), np.zeros(2), np.array([0.2, 1.0]), np.full(2, 14.0))
    parameters = AGN | {"clustered_fraction": 1.0, "clustered_evolution": 3.0}
    sources = draw_agn(Field(0.0, 0.0, 10.0, 6.0), parameters, haloes, np.full(2, 3.0), np.random.default_rng(5))
    west = np.count_nonzero(sources.longitude < 0) / len(sources)
    assert west == pytest.approx(1 / (1 + (2.0 / 1.2) ** 3), abs=4 * np.sqrt(0.15 / len(sources)))


def test_faintest_efeds_source_gives_about_ten_counts():
    assert agn_spectrum(1.9, 3e20, Response()).rate[0] * 6.5e-15 * 1200 == pytest.approx(11, rel=0.1)
