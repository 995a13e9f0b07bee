import numpy as np
import pytest

from clustermass.simulate.agn import agn_spectrum, counts_above, draw_agn
from clustermass.simulate.field import Field
from clustermass.simulate.haloes import Haloes

PARAMETERS = {
    "flux_min_cgs": 5e-16,
    "flux_max_cgs": 1e-12,
    "normalisation_per_deg2": 6150.0,
    "clustered_fraction": 0.0,
    "clustered_r500": 2.0,
}
NO_HALOES = Haloes(*np.zeros((4, 0)))


def test_counts_are_those_of_efeds():
    # 27,369 point sources in 142 deg2 down to 6.5e-15 erg/s/cm2 (Brunner et al. 2022)
    assert counts_above(6.5e-15, 6150.0) == pytest.approx(193, rel=0.01)


def test_slopes_are_those_of_moretti():
    bright = np.log(counts_above(2e-12, 1.0) / counts_above(1e-12, 1.0)) / np.log(2)
    assert bright == pytest.approx(-1.82, abs=0.01)


def test_draws_follow_the_counts():
    sources = draw_agn(Field(0.0, 0.0, 10.0, 5.0), PARAMETERS, NO_HALOES, np.zeros(0), np.random.default_rng(1))
    area = Field(0.0, 0.0, 10.0, 5.0).area_deg2
    assert sources.flux.min() >= 5e-16
    assert sources.flux.max() <= 1e-12
    for flux in (5e-16, 3e-15, 2e-14):
        expected = counts_above(flux, 6150.0) * area
        assert abs((sources.flux > flux).sum() - expected) < 4 * np.sqrt(expected) + 1


def test_no_agn_if_none_are_wanted():
    none = PARAMETERS | {"normalisation_per_deg2": 0.0}
    sources = draw_agn(Field(0.0, 0.0, 1.0, 1.0), none, NO_HALOES, np.zeros(0), np.random.default_rng(1))
    assert len(sources.flux) == 0


def test_clustered_agn_lie_around_haloes_in_proportion_to_their_mass():
    field = Field(0.0, 0.0, 10.0, 6.0)
    haloes = Haloes(np.array([-3.0, 3.0]), np.array([2.0, -2.0]), np.full(2, 0.2), np.log10([1e14, 3e14]))
    parameters = PARAMETERS | {"clustered_fraction": 0.3, "flux_min_cgs": 5e-15}
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


def test_faintest_efeds_source_gives_about_ten_counts():
    assert agn_spectrum(1.9, 3e20).rate[0] * 6.5e-15 * 1200 == pytest.approx(11, rel=0.1)
