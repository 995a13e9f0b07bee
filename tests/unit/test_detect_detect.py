"""Detection from photons alone, on scenes with known sources."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from detect_inputs import EXPOSURE, PARAMETERS, Scene, exposure, grid_scene, offset_arcsec, photons_of, psf
from scipy.optimize import minimize

from clustermass.detect.detect import detect
from clustermass.detect.maximum_likelihood import negative_log_q


def found(scene, **changes):
    return detect(photons_of(scene), exposure, psf, PARAMETERS | changes)


def at(catalogue, scene, east, north, radius=10.0, ra=None, dec=None):
    """Rows within a radius of a place."""
    centre = SkyCoord(scene.ra if ra is None else ra, scene.dec if dec is None else dec, unit="deg")
    place = centre.spherical_offsets_by(east * u.arcsec, north * u.arcsec)
    distance = place.separation(SkyCoord(catalogue["RA"], catalogue["DEC"], unit="deg"))
    return np.flatnonzero(distance.arcsec < radius)


def reference_fit(scene, level):
    """Best position, counts and drop of C of a point source, with scipy and without pixels."""
    x, y = np.concatenate(scene.east), np.concatenate(scene.north)
    near = np.hypot(x, y) <= 60.0
    x, y, flat = x[near], y[near], level / 3600.0
    ring = (np.arange(600) + 0.5) * 0.1

    def statistic(p):
        model = flat + np.exp(p[2]) * psf(np.hypot(x - p[0], y - p[1]))
        inside = np.sum(psf(ring) * 2.0 * np.pi * ring * 0.1)  # exact at the centre
        return 2.0 * (np.exp(p[2]) * inside - np.sum(np.log(model / flat)))

    simplex = [[0, 0, 4], [5, 0, 4], [0, 5, 4], [0, 0, 6]]
    best = minimize(statistic, np.zeros(3), method="Nelder-Mead", options={"initial_simplex": simplex, "xatol": 1e-3})
    return best.x, -best.fun


@pytest.mark.parametrize("counts", [40, 200, 1500])
def test_point_source_agrees_with_an_unbinned_fit(counts):
    scene = Scene(21).add(-1, 0.0, 0.0, counts)
    catalogue = found(scene)
    row = at(catalogue, scene, 0.0, 0.0)
    assert len(row) == 1
    (x, y, log_counts), drop = reference_fit(scene, float(catalogue["ML_BKG"][row[0]]))
    assert catalogue["EXT"][row[0]] == catalogue["EXT_LIKE"][row[0]] == 0.0
    assert catalogue["ML_CTS"][row[0]] == pytest.approx(np.exp(log_counts), rel=0.03)
    assert catalogue["DET_LIKE"][row[0]] == pytest.approx(float(negative_log_q(3.0, np.array(drop))), rel=0.05)
    assert offset_arcsec(catalogue, row[0], scene, x, y) < 1.0
    assert catalogue["ML_EXP"][row[0]] == EXPOSURE
    assert catalogue["ML_RATE"][row[0]] == pytest.approx(catalogue["ML_CTS"][row[0]] / EXPOSURE)


@pytest.mark.parametrize("core", [12.0, 30.0])
def test_beta_models_are_recovered(core):
    scene = grid_scene(31, 5, 400, core, sign=1)
    catalogue = found(scene)
    extended = catalogue["EXT_LIKE"] > 6.0
    assert np.count_nonzero(extended) == 25
    # the error of 25 clusters is 4 %; their wings raise the background
    assert np.median(catalogue["EXT"][extended]) == pytest.approx(core, rel=0.15)
    assert np.mean(catalogue["ML_CTS"][extended]) == pytest.approx(400.0, rel=0.12)
    for _, east, north, _ in scene.sources:
        near = at(catalogue, scene, east, north, 15.0)
        assert np.count_nonzero(extended[near]) == 1


@pytest.mark.parametrize("distance", [28.0, 40.0])
def test_two_point_sources_are_separated(distance):
    """Of 12 pairs, 7 are separated on average at 28", and all at 40"; fewer than 3 are at 28" once in 3,000 tests."""
    separated = []
    for seed in range(12):
        scene = Scene(seed).add(-1, 0.0, 0.0, 150).add(-2, distance, 0.0, 70)
        catalogue = found(scene)
        rows = [at(catalogue, scene, east, 0.0, 8.0) for east in (0.0, distance)]
        if all(len(row) == 1 for row in rows):
            rows = np.concatenate(rows)
            assert (catalogue["EXT"][rows] == 0.0).all()
            separated.append(catalogue["ML_CTS"][rows])
    assert len(separated) >= (3 if distance < 30.0 else 11)
    error = np.sqrt(np.array([150.0, 70.0]) + 20.0) / np.sqrt(len(separated))
    assert (np.abs(np.mean(separated, axis=0) - [150.0, 70.0]) < 3.0 * error).all()


def test_a_source_beside_a_brighter_cluster_is_found():
    scene = Scene(6).add(1, 0.0, 0.0, 600, 25.0).add(-1, -70.0, 30.0, 80)
    catalogue = found(scene)
    (cluster,), (point,) = at(catalogue, scene, 0.0, 0.0), at(catalogue, scene, -70.0, 30.0, 8.0)
    assert catalogue["EXT"][cluster] == pytest.approx(25.0, rel=0.25)
    assert catalogue["ML_CTS"][cluster] == pytest.approx(600.0, rel=0.15)
    assert catalogue["EXT"][point] == 0.0
    assert catalogue["ML_CTS"][point] == pytest.approx(80.0, abs=30.0)


def test_sources_of_known_counts_are_found_at_their_places_with_these_counts():
    """100 equal sources: errors of counts and places are those of the Fisher information."""
    scene = grid_scene(41, 10, 60)
    catalogue = found(scene)
    rows = [at(catalogue, scene, east, north) for _, east, north, _ in scene.sources]
    assert [len(row) for row in rows] == [1] * 100
    row, (_, east, north, _) = np.concatenate(rows), np.array(scene.sources).T
    x, y = (np.arange(-60.0, 61.0) for _ in range(2))
    near = np.hypot(*np.meshgrid(x, y)) < 60.0
    profile = psf(np.hypot(*np.meshgrid(x, y)))
    expected, along = 5.0 / 3600.0 + 60.0 * profile, 60.0 * np.gradient(profile, axis=1)
    error, shift = (np.sum((part**2 / expected)[near]) ** -0.5 for part in (profile, along))
    counts = catalogue["ML_CTS"][row]
    assert abs(np.mean(counts) - 60.0) < 0.05 * 60.0 + 3.0 * error / 10.0  # wings in the background: a few percent
    assert np.std(counts) == pytest.approx(np.sqrt(error**2 - 60.0), rel=0.25)  # each has exactly 60 photons
    distance = offset_arcsec(catalogue, row, scene, east, north)
    assert np.mean(distance**2) ** 0.5 == pytest.approx(np.sqrt(2.0) * shift, rel=0.2)


@pytest.mark.parametrize("number", [0, 1, 30])
def test_hardly_any_photon_makes_no_source(number):
    places = np.random.default_rng(number).uniform(-0.2, 0.2, (2, number))
    photons = {"ra": 150.0 + places[0], "dec": 2.0 + places[1], "pi_ev": np.full(number, 1000.0)}
    catalogue = detect(photons, exposure, psf, PARAMETERS)
    assert all(len(values) == 0 for values in catalogue.values())


def test_background_alone_makes_hardly_any_source():
    scene = Scene(51, half_arcmin=75.0)
    catalogue = found(scene)
    area = 2.5**2
    # A square of 15 arcsec is one place that differs from the next; a place passes DET_LIKE 10 with exp(-10).
    expected = area * 240**2 * np.exp(-10.0)
    assert np.count_nonzero(catalogue["DET_LIKE"] > 10.0) <= expected + 3.0 * np.sqrt(expected) + 5.0
    assert np.count_nonzero(catalogue["EXT_LIKE"] > 6.0) <= 0.5 * area


@pytest.mark.parametrize(("ra", "dec"), [(0.0, 2.0), (150.0, 5.0), (152.5, 2.5), (10.0, 80.0), (77.0, -87.5)])
def test_every_place_on_the_sky_gives_the_same_sources(ra, dec):
    """RA 0 and the borders of facets (RA 150, Dec 5) run through the middle of these scenes."""
    scene = grid_scene(8, 5, 120)
    first, second = found(scene), detect(photons_of(scene, ra, dec), exposure, psf, PARAMETERS)
    for _, east, north, _ in scene.sources:
        (one,), (other,) = at(first, scene, east, north), at(second, scene, east, north, ra=ra, dec=dec)
        assert second["DET_LIKE"][other] == pytest.approx(first["DET_LIKE"][one], rel=0.06)
        assert second["ML_CTS"][other] == pytest.approx(first["ML_CTS"][one], rel=0.05)
    assert np.all((second["RA"] >= 0.0) & (second["RA"] < 360.0))


def test_the_order_of_the_photons_does_not_matter():
    scene = grid_scene(9, 3, 100).add(1, 180.0, 180.0, 300, 25.0)
    photons = photons_of(scene)
    order = np.random.default_rng(1).permutation(len(photons["ra"]))
    first = detect(photons, exposure, psf, PARAMETERS)
    second = detect({name: values[order] for name, values in photons.items()}, exposure, psf, PARAMETERS)
    for name, values in first.items():
        np.testing.assert_array_equal(second[name], values)


def test_photons_of_other_energies_do_not_count():
    scene = grid_scene(10, 2, 100)
    photons = photons_of(scene)
    more = {name: np.concatenate([values, values]) for name, values in photons.items()}
    more["pi_ev"][len(photons["ra"]) :] = 3000.0
    np.testing.assert_array_equal(detect(more, exposure, psf, PARAMETERS)["ML_CTS"], found(scene)["ML_CTS"])


def test_no_source_without_exposure():
    scene = grid_scene(11, 3, 100)
    catalogue = detect(photons_of(scene), lambda ra, dec: np.zeros(len(ra)), psf, PARAMETERS)
    assert len(catalogue["RA"]) == 0


def test_the_edge_of_the_exposure_is_no_source():
    """The exposure ends 15 arcsec West of the middle sources, as do the photons."""
    scene = grid_scene(11, 3, 150)
    photons = photons_of(scene)
    edge = scene.ra - 15.0 / 3600.0
    inside = photons["ra"] > edge
    seen = {name: values[inside] for name, values in photons.items()}
    catalogue = detect(seen, lambda ra, dec: np.where(ra > edge, EXPOSURE, 0.0), psf, PARAMETERS)
    bright = catalogue["DET_LIKE"] > 20.0
    assert np.count_nonzero(bright) == 6
    for _, east, north, _ in scene.sources:
        near = at(catalogue, scene, east, north)
        assert np.count_nonzero(bright[near]) == (east > -100.0)
    assert np.count_nonzero(catalogue["EXT_LIKE"] > 6.0) == 0
    assert np.all(catalogue["RA"] > edge)


def test_an_extended_source_must_be_seen_as_a_point_too():
    # a flat source: much better as an extended one, poor as a point
    scene = Scene(32).add(1, 0.0, 0.0, 250, core=50.0)
    catalogue = found(scene)
    assert catalogue["EXT_LIKE"][0] > 6.0
    demanding = found(scene, extent_point_like_min=float(catalogue["DET_LIKE"][0]))
    assert not demanding["EXT_LIKE"].any()


def test_identifiers_follow_the_likelihood():
    scene = grid_scene(75, 4, 30)
    for k in range(8):
        scene.add(k + 1, 180.0 + 360.0 * (k % 3 - 1), 180.0 + 360.0 * (k // 3 - 1), 50 + 40 * k, 25.0)
    catalogue = found(scene)
    assert list(catalogue["ID_SRC"]) == list(range(1, len(catalogue["RA"]) + 1))
    assert np.all(np.diff(catalogue["DET_LIKE"]) <= 0.0)
    assert np.all(catalogue["DET_LIKE"] >= 5.0)
    extended = catalogue["EXT_LIKE"] > 0.0
    assert extended.any()
    assert np.array_equal(extended, catalogue["EXT"] > 0.0)
    assert np.all(catalogue["EXT_LIKE"][extended] >= 3.0)


def bright_cluster(seed):
    """Return a bright core in a wide halo, which no beta model of the fits describes, beside a point source."""
    scene = Scene(seed).add(1, 0.0, 0.0, 1500, 20.0).add(2, 0.0, 0.0, 6000, 200.0, candidate=False)
    return scene.add(-1, 150.0, 100.0, 90)


def test_the_outskirts_of_a_bright_cluster_are_not_sources():
    scene = bright_cluster(12)
    catalogue = found(scene)
    candidates = catalogue["EXT_LIKE"] > 6.0
    near = at(catalogue, scene, 0.0, 0.0, 600.0)
    assert np.count_nonzero(candidates[near]) <= 2
    assert np.count_nonzero(candidates[at(catalogue, scene, 0.0, 0.0, 10.0)]) == 1
    (point,) = at(catalogue, scene, 150.0, 100.0, 8.0)
    assert catalogue["EXT"][point] == 0.0
    assert catalogue["ML_CTS"][point] == pytest.approx(90.0, abs=30.0)


@pytest.mark.parametrize("distance", [16.0, 24.0])
def test_two_near_point_sources_are_no_cluster(distance):
    extended = 0
    for seed in range(5):
        scene = Scene(seed).add(-1, 0.0, 0.0, 60).add(-2, distance, 0.0, 60)
        catalogue = found(scene)
        near = at(catalogue, scene, distance / 2.0, 0.0, 30.0)
        extended += np.count_nonzero(catalogue["EXT_LIKE"][near] > 6.0)
        if len(near) > 1:  # the counts of each are 60 +- 11, which alone would give a likelihood of some 50
            assert np.sum(catalogue["DET_LIKE"][near]) > 40.0
            assert np.sum(catalogue["DET_LIKE"][near] > 8.0) >= 2
    assert extended <= 1
