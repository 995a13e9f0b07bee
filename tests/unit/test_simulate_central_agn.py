import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import kstest

from clustermass.config.resolve import default_config, merge
from clustermass.cosmology import luminosity_distance_cm
from clustermass.simulate.central_agn import draw_central_agn, occupied
from clustermass.simulate.field import Field
from clustermass.simulate.sources import Haloes, PointSources, counts_above, draw_haloes
from clustermass.simulate.spectra import power_law

CONFIG = default_config()
COSMOLOGY, SKY = CONFIG["cosmology"], CONFIG["skies"]["embedded"]
EVERY_FLUX = {"flux_min_cgs": 1e-30, "flux_max_cgs": 1.0}


def _agn(**central):
    return merge(SKY["agn"], {"central": central})


def _draw(parameters, haloes, r500=6.0):
    return draw_central_agn(parameters, haloes, np.full(len(haloes), r500), COSMOLOGY, np.random.default_rng(1))


def _haloes(number, log10_mass=14.0, redshift=0.35):
    return Haloes(np.zeros(number), np.full(number, 60.0), np.full(number, redshift), np.full(number, log10_mass))


def test_the_number_is_that_of_mass_redshift_and_luminosity_function():
    agn = _agn(fraction=0.06, mass_slope=0.5, evolution=3.0)
    central = agn["central"]
    mass, redshift, number = 14.4, 0.9, 100_000
    sources = _draw(agn, _haloes(number, mass, redshift))

    def density(log_luminosity):
        ratio = 10 ** (log_luminosity - 43.9)
        return 1 / (ratio**0.9 + ratio**2.2)

    area = 4 * np.pi * luminosity_distance_cm(redshift, COSMOLOGY) ** 2
    faintest = np.log10(5e-16 * area * 1.9 ** (1.9 - 2))
    assert faintest > central["log10_luminosity_min"]  # so that the limit of flux counts
    share = quad(density, faintest, 45.0)[0] / quad(density, 42.0, 45.0)[0]
    expected = number * 0.06 * 10 ** (0.5 * 0.4) * (1.9 / 1.35) ** 3 * share
    assert abs(len(sources) - expected) < 4 * np.sqrt(expected)
    assert sources.flux.min() >= 5e-16


def test_luminosities_follow_the_double_power_law():
    sources = _draw(_agn(fraction=1.0) | EVERY_FLUX, _haloes(20_000))
    assert len(sources) == 20_000
    area = 4 * np.pi * luminosity_distance_cm(0.35, COSMOLOGY) ** 2
    log_luminosity = np.log10(sources.flux * area * 1.35 ** (1.9 - 2))
    grid = np.linspace(42, 45, 20_001)
    ratio = 10 ** (grid - 43.9)
    below = np.cumsum(1 / (ratio**0.9 + ratio**2.2))
    assert kstest(log_luminosity, lambda x: np.interp(x, grid, below / below[-1])).pvalue > 0.01


def test_the_flux_is_that_of_the_redshifted_power_law():
    narrow = {"fraction": 1.0, "log10_luminosity_min": 44.0, "log10_luminosity_max": 44.0001}
    for z, index in ((0.3, 1.9), (1.2, 1.5)):
        sources = _draw(_agn(**narrow) | EVERY_FLUX | {"photon_index": index}, _haloes(5, redshift=z))
        emitted = (
            quad(lambda e, g=index: e * power_law(e, g), *band)[0] for band in ((0.5 * (1 + z), 2 * (1 + z)), (0.5, 2))
        )
        observed, rest = emitted
        expected = 1e44 * observed / rest / (4 * np.pi * luminosity_distance_cm(z, COSMOLOGY) ** 2)
        assert len(sources) > 0
        assert sources.flux == pytest.approx(expected, rel=1e-3, abs=0)


def test_they_lie_in_the_centres():
    sources = _draw(_agn(fraction=1.0, offset_r500=0.05) | EVERY_FLUX, _haloes(20_000), r500=6.0)
    north, east = 60 * (sources.latitude - 60.0), 60 * sources.longitude * np.cos(np.radians(60.0))
    assert north.std() == pytest.approx(0.3, rel=0.03)
    assert east.std() == pytest.approx(0.3, rel=0.03)


def test_no_halo_has_an_agn_if_the_share_is_0_and_no_share_exceeds_one():
    assert len(_draw(_agn(fraction=0.0) | EVERY_FLUX, _haloes(1000))) == 0
    central = _agn(fraction=0.9, mass_slope=1.0)["central"]
    shares = occupied(np.array([13.0, 14.0, 15.0]), np.full(3, 0.35), central)
    assert shares == pytest.approx([0.09, 0.9, 1.0])


def test_with_the_recommended_share_they_are_few_among_all_agn():
    field = Field(136.0, 1.5, 10.0, 7.0)
    haloes = draw_haloes(field, SKY["clusters"], COSMOLOGY, np.random.default_rng(1))
    sources = _draw(_agn(fraction=0.06), haloes)
    for flux in (5e-16, 6.5e-15):
        share = (sources.flux > flux).sum() / (counts_above(flux, 6150.0) * field.area_deg2)
        assert 0.005 < share < 0.03


def test_tables_of_sources_are_joined():
    joined = PointSources.join(PointSources(*np.ones((3, 2))), PointSources(*np.zeros((3, 1))))
    assert joined.flux.tolist() == [1, 1, 0]
    assert joined.source_ids.tolist() == [-1, -2, -3]
