import numpy as np
import pytest
from scipy.stats import kstest

from clustermass.errors import InputError
from clustermass.simulate.field import ExposureMap, Field
from clustermass.simulate.gas import EmittingHaloes, Gas
from clustermass.simulate.photons import (
    TIME_START_S,
    TIME_STOP_S,
    Background,
    Photons,
    background_photons,
    cluster_photons,
    event_list,
    point_source_photons,
)
from clustermass.simulate.profiles import RadialProfiles
from clustermass.simulate.sources import Haloes, PointSources, agn_spectrum
from clustermass.simulate.spectra import ClusterSpectra
from clustermass.simulate.telescope import KingPsf, Response

FIELD = Field(136.0, 1.5, 4.0, 3.0)
SURVEY = {
    "depth_s": 1000.0,
    "taper_deg": 0.5,
    "pixel_arcsec": 60.0,
    "scans": 1,
    "overlap_deg": 1.0,
    "particle_slope": 0.5,
}
EXPOSURE = ExposureMap.from_config(FIELD, SURVEY)
PARTICLES = ExposureMap.from_config(FIELD, SURVEY, vignetted=False)
PSF = KingPsf(8.66, 1.5, 0.0, 600.0)
RESPONSE = Response()
SPECTRUM = agn_spectrum(1.9, 3e20, RESPONSE)
SHARES = {"local_bubble": 0.2, "galactic_halo": 0.4, "extragalactic": 0.15, "particle": 0.25}


def _point_sources(longitude, counts):
    number = len(longitude)
    flux = np.full(number, counts / 1000.0 / SPECTRUM.rate[0])
    return PointSources(np.array(longitude), np.zeros(number), flux)


def test_point_sources_send_the_counts_of_their_flux_and_exposure():
    sources = _point_sources([0.0, 1.75], 20_000)
    photons = point_source_photons(sources, SPECTRUM, EXPOSURE, PSF, np.random.default_rng(1))
    assert (photons.source == -1).sum() == pytest.approx(20_000, abs=600)
    assert (photons.source == -2).sum() == pytest.approx(10_000, rel=0.04)  # half the exposure in the taper


def test_point_sources_have_the_shape_of_the_psf():
    sources = _point_sources([0.3], 5_000)
    photons = point_source_photons(sources, SPECTRUM, EXPOSURE, PSF, np.random.default_rng(2))
    radius = 3600 * np.hypot(photons.longitude - 0.3, photons.latitude)
    assert kstest(radius, PSF.enclosed).pvalue > 0.01


def test_background_follows_the_exposure():
    shares = {"local_bubble": 0.0, "galactic_halo": 0.0, "extragalactic": 1.0, "particle": 0.0}
    background = Background.from_config({"rate_per_arcmin2_ks": 5.0, "shares": shares}, 3e20, RESPONSE)
    photons = background_photons(background, EXPOSURE, PARTICLES, np.random.default_rng(3))
    inner = (np.abs(photons.longitude) < 0.5) & (np.abs(photons.latitude) < 0.5) & (photons.energy_ev < 2300)
    strip = (photons.longitude > 1.5) & (np.abs(photons.latitude) < 0.5) & (photons.energy_ev < 2300)
    assert inner.sum() == pytest.approx(5.0 * 3600, rel=0.03)
    assert strip.sum() == pytest.approx(5.0 * 3600 / 4, rel=0.05)
    assert not photons.source.any()


def test_particles_follow_the_unvignetted_exposure():
    shares = {"local_bubble": 0.0, "galactic_halo": 0.0, "extragalactic": 0.0, "particle": 1.0}
    background = Background.from_config({"rate_per_arcmin2_ks": 5.0, "shares": shares}, 3e20, RESPONSE)
    photons = background_photons(background, EXPOSURE, PARTICLES, np.random.default_rng(3))
    strip = (photons.longitude > 1.5) & (np.abs(photons.latitude) < 0.5) & (photons.energy_ev < 2300)
    # the mean of the square root of a ramp from 0 to 1 is 2/3, of the ramp itself 1/2
    assert strip.sum() == pytest.approx(5.0 * 3600 / 2 * 2 / 3, rel=0.03)


@pytest.fixture(scope="module")
def elongated():
    """One round and one elongated halo with a flat disc of 6', and a PSF that is almost a point."""
    profiles = RadialProfiles.from_nodes(np.array([0.5, 1.0]), np.zeros((2, 2)))
    haloes = Haloes(np.array([-0.7, 0.7]), np.zeros(2), np.array([0.2, 0.3]), np.full(2, 14.0))
    ones = np.ones(2)
    gas = Gas(3 * ones, ones, ones, profiles, 6 * ones, 6 * ones, np.array([1.0, 0.5]), np.array([0.0, np.pi / 2]))
    spectra = ClusterSpectra.build(0.5, 3e20, RESPONSE)
    sharp = KingPsf(0.01, 3.0, 0.0, 60.0)
    clusters = EmittingHaloes(haloes, gas, ones, 20 * ones, ones)
    return cluster_photons(clusters, spectra, EXPOSURE, sharp, np.random.default_rng(4))


def test_haloes_send_the_counts_of_their_rate(elongated):
    assert (elongated.source == 1).sum() == pytest.approx(20_000, abs=600)
    assert (elongated.source == 2).sum() == pytest.approx(20_000, abs=600)


def test_haloes_have_their_size_axis_ratio_and_position_angle(elongated):
    east, north = 60 * (elongated.longitude - 0.7), 60 * elongated.latitude
    chosen = elongated.source == 2
    # A flat ellipse has a standard deviation of half its semi-axis; the area is that of the circle of 6'.
    assert np.std(north[chosen]) == pytest.approx(3 / np.sqrt(0.5), rel=0.02)
    assert np.std(east[chosen]) == pytest.approx(3 * np.sqrt(0.5), rel=0.02)
    round_one = elongated.source == 1
    assert np.std(north[round_one]) == pytest.approx(3.0, rel=0.02)


def test_lists_are_joined_in_order():
    part = Photons(np.zeros(2), np.zeros(2), np.zeros(2, np.float32), np.array([1, 2], np.int32))
    assert Photons.join(part, part).source.tolist() == [1, 2, 1, 2]


EVENT_FIELD = Field(0.5, -30.0, 4.0, 3.0)


def _photons(number=40_000):
    rng = np.random.default_rng(1)
    source = np.repeat([3, -5, 0], [100, 900, number - 1000]).astype(np.int32)
    energy = rng.uniform(200, 2350, number).astype(np.float32)
    return Photons(rng.uniform(-2, 2, number), rng.uniform(-1.5, 1.5, number), energy, source)


@pytest.fixture(scope="module")
def drawn():
    """Event list and the label of each event."""
    return event_list(_photons(), EVENT_FIELD, "a sky", np.random.default_rng(2))


def test_times_are_uniform_in_the_good_time_interval_and_sorted(drawn):
    time = drawn[0].time
    assert np.all(np.diff(time) >= 0)
    assert kstest((time - TIME_START_S) / (TIME_STOP_S - TIME_START_S), "uniform").pvalue > 0.01


def test_photons_of_a_cluster_lie_among_all_others(drawn):
    labels = drawn[1]
    rows = np.flatnonzero(labels == 3)
    assert len(rows) == 100
    assert kstest(rows / len(labels), "uniform").pvalue > 0.01


def test_photons_keep_their_own_energy_and_label(drawn):
    photons, (events, labels) = _photons(), drawn
    order = np.lexsort((labels, events.pi_ev))
    expected = np.lexsort((photons.source, photons.energy_ev))
    assert np.array_equal(events.pi_ev[order], photons.energy_ev[expected])
    assert np.array_equal(labels[order], photons.source[expected])


def test_patterns_and_modules_have_the_measured_fractions(drawn):
    events = drawn[0]
    patterns = np.bincount(events.pat_typ, minlength=5)[1:] / len(events)
    assert patterns == pytest.approx(np.array([31503, 6730, 1091, 803]) / 40127, abs=0.006)
    assert np.bincount(events.tm_nr, minlength=8)[1:] / len(events) == pytest.approx(np.full(7, 1 / 7), abs=0.006)
    assert not events.flag.any()


def test_level_holds_in_the_detection_band():
    background = Background.from_config({"rate_per_arcmin2_ks": 5.3, "shares": SHARES}, 3e20, RESPONSE)
    sky, particle = (float(part.rate[0] * part.detection_fraction[0]) for part in (background.sky, background.particle))
    assert sky + particle == pytest.approx(5.3e-3)
    assert particle / (sky + particle) == pytest.approx(0.25)


def test_shares_set_the_shape():
    def median(name):
        shares = dict.fromkeys(SHARES, 0.0) | {name: 1.0}
        background = Background.from_config({"rate_per_arcmin2_ks": 1.0, "shares": shares}, 3e20, RESPONSE)
        return (background.particle if name == "particle" else background.sky).quantiles[0, 512]

    assert median("local_bubble") < median("galactic_halo") < median("extragalactic") < median("particle")
    assert median("particle") == pytest.approx(1275, abs=3)


def test_only_the_proportion_of_shares_matters():
    doubled = {name: share / 2 for name, share in SHARES.items()}
    first, second = (
        Background.from_config({"rate_per_arcmin2_ks": 1.0, "shares": s}, 3e20, RESPONSE).sky for s in (SHARES, doubled)
    )
    assert np.allclose(first.quantiles, second.quantiles)
    assert first.rate == pytest.approx(second.rate)


def test_a_background_without_particles_has_none():
    background = Background.from_config(
        {"rate_per_arcmin2_ks": 2.0, "shares": SHARES | {"particle": 0.0}}, 3e20, RESPONSE
    )
    assert background.particle.rate[0] == 0
    assert background.sky.rate[0] * background.sky.detection_fraction[0] == pytest.approx(2e-3)


def test_all_shares_zero_is_refused():
    with pytest.raises(InputError, match="shares"):
        Background.from_config({"rate_per_arcmin2_ks": 1.0, "shares": dict.fromkeys(SHARES, 0.0)}, 3e20, RESPONSE)
