"""Source detection on scenes whose every photon is known."""

import numpy as np
import pytest
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_ndtr
from scipy.stats import chi2

from clustermass.errors import InputError
from clustermass.sky.components import neighbours
from clustermass.sky.detection import Candidates, detect
from clustermass.sky.likelihood import fit_amplitude, negative_log_q
from clustermass.sky.local_background import estimate_background
from clustermass.sky.stamps import index_events
from clustermass.sky.templates import build_templates

PARAMETERS = {
    "e_min_ev": 200.0,
    "e_max_ev": 2300.0,
    "pixel_arcsec": 4.0,
    "stamp_pixels": 31,
    "cut_radius_arcsec": 60.0,
    "extents_arcsec": [8.0, 9.8, 12.0, 14.7, 18.0, 22.0, 27.0, 33.0, 40.0, 49.0, 60.0],
    "shift_arcsec": 8.0,
    "refine_arcsec": [4.0, 2.0],
    "start_scatter_arcsec": 3.0,
    "ext_dof": 3.0,
    "box_like_min": 0.0,
    "extent_point_like_min": 0.0,
    "det_like_floor": 5.0,
    "ext_like_floor": 3.0,
    "component_counts_min": 10.0,
    "background_cell_arcsec": 60.0,
    "background_radius_arcsec": 330.0,
    "background_exclusion_arcsec": 90.0,
    "background_clip_sigma": 2.0,
    "merge_extended_arcsec": 30.0,
    "merge_point_arcsec": 15.0,
    "match_counts_factor": 3.0,
    "match_counts_offset": 10.0,
}
CORE = 8.66  # arcsec, of a King PSF of slope 1.5: half the photons within 15 arcsec
EXPOSURE = 1200.0
BACKGROUND = 5.0  # counts / arcmin^2


def psf(radius):
    return (1.0 + (np.asarray(radius) / CORE) ** 2) ** -1.5 / (2.0 * np.pi * CORE**2)


def exposure(ra, dec):
    return np.full(len(ra), EXPOSURE)


def heavy_tailed_radius(rng, scale, size):
    """Radii of a surface brightness (1 + (r / scale)^2)^-3/2: both the PSF and the beta model."""
    return scale * np.sqrt((1.0 - rng.random(size)) ** -2 - 1.0)


class Scene:
    """Photons around (ra, dec) [deg] given as offsets to the East and North [arcsec]."""

    def __init__(self, seed, ra=150.0, dec=2.0, half_arcmin=15.0, background=BACKGROUND):
        self.rng, self.ra, self.dec = np.random.default_rng(seed), ra, dec
        n = self.rng.poisson(background * (2 * half_arcmin) ** 2)
        self.east = [self.rng.uniform(-half_arcmin, half_arcmin, n) * 60.0]
        self.north = [self.rng.uniform(-half_arcmin, half_arcmin, n) * 60.0]
        self.label = [np.zeros(n, dtype=int)]
        self.sources = []

    def add(self, src_id, east, north, counts, core=0.0, candidate=True):
        """Add exactly `counts` photons of one source."""
        e, n = np.full(counts, float(east)), np.full(counts, float(north))
        for scale in (CORE, core):
            angle, r = self.rng.uniform(0, 2 * np.pi, counts), heavy_tailed_radius(self.rng, scale, counts)
            e, n = e + r * np.cos(angle), n + r * np.sin(angle)
        self.east.append(e)
        self.north.append(n)
        self.label.append(np.full(counts, src_id))
        if candidate:
            self.sources.append((src_id, east, north, counts))
        return self

    def sky(self, east, north):
        dec = self.dec + np.asarray(north) / 3600.0
        return (self.ra + np.asarray(east) / 3600.0 / np.cos(np.radians(dec))) % 360.0, dec

    def events(self):
        ra, dec = self.sky(np.concatenate(self.east), np.concatenate(self.north))
        label = np.concatenate(self.label).astype(np.int32)
        return {"ra": ra, "dec": dec, "pi_ev": np.full(len(ra), 1000.0, np.float32), "src_id": label}

    def candidates(self):
        src_id, east, north, counts = (np.array(v) for v in zip(*self.sources, strict=True))
        ra, dec = self.sky(east, north)
        return Candidates(ra, dec, src_id, counts.astype(float))

    def detect(self, seed=1, **changes):
        return detect(self.events(), self.candidates(), exposure, psf, PARAMETERS | changes, seed)


def offset_arcsec(catalogue, row, scene, east, north):
    ra, dec = scene.sky(east, north)
    d_ra = (catalogue["RA"][row] - ra + 180.0) % 360.0 - 180.0
    return 3600.0 * np.hypot(d_ra * np.cos(np.radians(dec)), catalogue["DEC"][row] - dec)


def grid_scene(seed, number, counts, core=0.0, sign=-1):
    """`number`^2 equal sources 6 arcmin apart, numbered from 1 (times `sign`)."""
    scene = Scene(seed, half_arcmin=3.0 * number + 5.0)
    place = (np.arange(number) - (number - 1) / 2) * 360.0
    for k, (east, north) in enumerate(np.stack(np.meshgrid(place, place), axis=-1).reshape(-1, 2), start=1):
        scene.add(sign * k, east, north, counts, core)
    return scene


# --- likelihood ---


@pytest.mark.parametrize("dof", [1.0, 2.0, 3.0, 4.0, 2.7])
def test_likelihood_is_the_chi_square_tail(dof):
    drop = np.concatenate([[0.0], np.logspace(-3, np.log10(1300.0), 200)])
    np.testing.assert_allclose(negative_log_q(dof, drop), -chi2.logsf(drop, dof), rtol=1e-9, atol=1e-12)


def test_likelihood_of_huge_drops_follows_the_closed_forms():
    drop = np.logspace(2, 7, 300)
    x = drop / 2
    half = -log_ndtr(-np.sqrt(drop)) - np.log(2.0)  # Q(1/2, x) = erfc(sqrt(x))
    three_halves = half - np.log1p(np.exp(0.5 * np.log(x) - x + half) / (np.sqrt(np.pi) / 2))  # recurrence in a
    np.testing.assert_allclose(negative_log_q(1.0, drop), half, rtol=1e-11)
    np.testing.assert_allclose(negative_log_q(2.0, drop), x, rtol=1e-12)
    np.testing.assert_allclose(negative_log_q(3.0, drop), three_halves, rtol=1e-10)
    np.testing.assert_allclose(negative_log_q(4.0, drop), x - np.log1p(x), rtol=1e-12)


def test_negative_drop_counts_as_none():
    assert negative_log_q(3.0, np.array([-5.0]))[0] == 0.0


def test_amplitude_minimises_the_c_statistic():
    rng = np.random.default_rng(5)
    template = rng.dirichlet(np.full(700, 0.05), size=(8, 3)).transpose(0, 2, 1)
    background = rng.uniform(0.01, 0.1, size=(8, 700))
    true = np.array([0.0, 0.0, 3.0, 10.0, 30.0, 200.0, 3000.0, 30000.0])
    counts = rng.poisson(background + true[:, None] * template[:, :, 0]).astype(float)
    inside = template.sum(axis=1)
    start = counts.sum(axis=1, keepdims=True) + 1.0
    amplitude, drop = fit_amplitude(counts, background, template, inside, start, iterations=8)
    for i in range(8):
        for k in range(3):

            def statistic(a, i=i, k=k):
                model = background[i] + a * template[i, :, k]
                return 2.0 * np.sum(model - counts[i] * np.log(model))

            best = minimize_scalar(statistic, bounds=(0.0, 1e5), method="bounded", options={"xatol": 1e-7})
            expected = max(statistic(0.0) - best.fun, 0.0)
            assert drop[i, k] == pytest.approx(expected, rel=1e-5, abs=1e-4)
            assert amplitude[i, k] == pytest.approx(best.x, rel=1e-3, abs=1e-2)


# --- background ---


@pytest.mark.parametrize(("sources", "lowest", "highest"), [(0, 0.98, 1.02), (60, 1.0, 1.09)])
def test_background_is_that_of_the_photons_without_the_sources(sources, lowest, highest):
    scene = Scene(11, half_arcmin=40.0)
    for k in range(sources):  # 300 counts each: together 56 % of the background, 11 % more than 45 arcsec away
        scene.add(-k - 1, *scene.rng.uniform(-2300, 2300, 2), 300)
    index = index_events(scene.events(), scene.ra, 200.0, 2300.0)
    east, north = np.random.default_rng(1).uniform(-2000, 2000, (2, 400))
    ra, dec = scene.sky(east, north)
    level = estimate_background(index, ra - scene.ra, dec, exposure, PARAMETERS) * EXPOSURE / BACKGROUND
    assert lowest < np.mean(level) < highest
    assert np.std(level) < 0.1


def test_background_follows_the_exposure_and_ignores_the_uncovered_sky():
    scene = Scene(12, half_arcmin=20.0)
    index = index_events(scene.events(), scene.ra, 200.0, 2300.0)

    def half_seen(ra, dec):
        return np.where(dec > scene.dec, EXPOSURE, 0.0)

    ra, dec = scene.sky(np.array([0.0, 900.0]), np.array([30.0, 1170.0]))  # at the edge of exposure, in a corner
    level = estimate_background(index, ra - scene.ra, dec, half_seen, PARAMETERS) * EXPOSURE
    np.testing.assert_allclose(level, BACKGROUND, rtol=0.25)


# --- templates ---


def test_templates_hold_the_counts_of_the_source():
    templates = build_templates(psf, PARAMETERS)
    inside = 1.0 - (1.0 + (60.0 / CORE) ** 2) ** -0.5  # of the King profile
    assert templates.sum_inside(np.array(0), np.array(0.0)) == pytest.approx(inside, abs=0.005)
    rng, n = np.random.default_rng(3), 400_000
    for model in (1, 6, 11):  # PSF (x) beta model by Monte Carlo
        r1, angle = heavy_tailed_radius(rng, CORE, n), rng.uniform(0, 2 * np.pi, n)
        r2 = heavy_tailed_radius(rng, templates.core_radius[model], n)
        share = np.mean(np.hypot(r1 * np.cos(angle) + r2, r1 * np.sin(angle)) < 60.0)
        assert templates.sum_inside(np.array(model), np.array(0.0)) == pytest.approx(share, abs=0.006)


def test_cut_radius_must_fit_into_the_stamp():
    with pytest.raises(InputError, match="stamp_pixels"):
        build_templates(psf, PARAMETERS | {"stamp_pixels": 21})


def test_psf_must_be_normalised():
    with pytest.raises(InputError, match="PSF sums to"):
        build_templates(lambda r: 2.0 * psf(r), PARAMETERS)


# --- single sources ---


def reference_point_fit(scene, level, east, north):
    """Fit a point source with scipy to an image binned with numpy; PSF averaged over 5 x 5 points a pixel."""
    edges = (np.arange(32) - 15.5) * 4.0
    image = np.histogram2d(np.concatenate(scene.north) - north, np.concatenate(scene.east) - east, bins=[edges, edges])[
        0
    ]
    centre = 0.5 * (edges[1:] + edges[:-1])
    y, x = np.meshgrid(centre, centre, indexing="ij")
    used = np.hypot(x, y) <= 60.0
    sub = (np.arange(5) - 2) * 0.8
    flat = level * 16.0 / 3600.0

    def statistic(p):
        source = np.zeros_like(x)
        for dy in sub:
            for dx in sub:
                source += psf(np.hypot(x + dx - p[0], y + dy - p[1])) * 16.0 / 25.0
        model = (flat + np.exp(p[2]) * source)[used]
        return 2.0 * np.sum(model - image[used] * np.log(model))

    options = {"xatol": 1e-3, "fatol": 1e-5, "initial_simplex": [[0, 0, 4], [5, 0, 4], [0, 5, 4], [0, 0, 6]]}
    best = minimize(statistic, np.zeros(3), method="Nelder-Mead", options=options)
    return statistic([0.0, 0.0, -50.0]) - best.fun, best.x


@pytest.mark.parametrize("counts", [20, 100, 1500])
def test_point_source_agrees_with_an_independent_fit(counts):
    scene = Scene(21).add(-1, 7.0, -11.0, counts)
    catalogue, matches = scene.detect(start_scatter_arcsec=0.0)
    assert len(catalogue["RA"]) == 1
    assert len(matches["ID_SRC"]) == 0
    assert catalogue["EXT"][0] == catalogue["EXT_LIKE"][0] == 0.0
    drop, (x, y, log_counts) = reference_point_fit(scene, float(catalogue["ML_BKG"][0]), 7.0, -11.0)
    assert catalogue["DET_LIKE"][0] == pytest.approx(float(negative_log_q(3.0, np.array(drop))), rel=0.01)
    assert catalogue["ML_CTS"][0] == pytest.approx(np.exp(log_counts), rel=0.02)
    assert offset_arcsec(catalogue, 0, scene, 7.0 + x, -11.0 + y) < 0.7
    assert catalogue["ML_EXP"][0] == EXPOSURE
    assert catalogue["ML_RATE"][0] == pytest.approx(catalogue["ML_CTS"][0] / EXPOSURE)


@pytest.mark.parametrize("core", [12.0, 30.0])
def test_beta_models_are_recovered(core):
    scene = grid_scene(31, 5, 400, core, sign=1)
    catalogue, matches = scene.detect()
    extended = catalogue["EXT_LIKE"] > 6.0
    assert np.count_nonzero(extended) == len(matches["SRC_ID"]) == 25
    assert sorted(matches["SRC_ID"]) == list(range(1, 26))
    assert np.all(np.isin(matches["ID_SRC"], catalogue["ID_SRC"][extended]))
    assert np.median(catalogue["EXT"][extended]) == pytest.approx(core, rel=0.12)
    # 400 counts of which the beta model puts a third or more outside the cut: errors of about 10 % each
    assert np.mean(catalogue["ML_CTS"][extended]) == pytest.approx(400.0, rel=0.08)
    assert np.std(catalogue["ML_CTS"][extended]) < 100.0
    assert np.median(matches["SEPARATION"]) < 6.0  # per axis about 1.3 core radii / sqrt(400), more on a background
    assert np.all(matches["SEPARATION"] < 12.0)
    assert np.all(matches["PURITY"] > 0.7)
    for number, src_id, separation in zip(matches["ID_SRC"], matches["SRC_ID"], matches["SEPARATION"], strict=True):
        _, east, north, _ = scene.sources[src_id - 1]
        assert offset_arcsec(catalogue, number - 1, scene, east, north) == pytest.approx(separation, abs=0.05)


def test_right_ascension_may_wrap():
    tables = []
    for ra in (150.0, 0.0, 359.999):
        scene = Scene(41, ra=ra).add(1, 100.0, 20.0, 300, 25.0).add(-1, -300.0, 50.0, 60).add(-2, 300.0, -400.0, 40)
        catalogue, matches = scene.detect()
        assert np.all((catalogue["RA"] >= 0.0) & (catalogue["RA"] < 360.0))
        tables.append((catalogue, matches, (catalogue["RA"] - ra + 180.0) % 360.0 - 180.0))
    assert len(tables[0][0]["RA"]) == 3
    for catalogue, matches, relative in tables[1:]:
        np.testing.assert_allclose(relative, tables[0][2], atol=1e-6)
        for name in ("DET_LIKE", "EXT_LIKE", "EXT", "ML_CTS", "DEC"):
            np.testing.assert_allclose(catalogue[name], tables[0][0][name], rtol=1e-3)
        np.testing.assert_allclose(matches["SEPARATION"], tables[0][1]["SEPARATION"], atol=0.01)


# --- false alarms ---


def test_pure_background_rarely_looks_like_a_source():
    scene = Scene(51, half_arcmin=75.0)
    place = (np.arange(48) - 23.5) * 180.0
    for k, (east, north) in enumerate(np.stack(np.meshgrid(place, place), axis=-1).reshape(-1, 2), start=1):
        scene.sources.append((-k, east, north, 8.0))
    catalogue, _ = scene.detect()
    tried = 48 * 48
    # exp(-5) = 0.7 % for one trial; the position search is worth a few trials
    assert len(catalogue["RA"]) < 0.03 * tried
    assert np.count_nonzero(catalogue["EXT_LIKE"] > 6.0) < 0.003 * tried


def test_isolated_point_sources_are_rarely_extended():
    catalogue, _ = grid_scene(61, 32, 100).detect()
    assert len(catalogue["RA"]) == 1024  # all found
    assert np.count_nonzero(catalogue["EXT_LIKE"] > 6.0) <= 5  # the goal is < 0.5 %
    assert np.count_nonzero(catalogue["EXT_LIKE"] > 0.0) <= 20
    assert np.mean(catalogue["ML_CTS"]) == pytest.approx(100.0, rel=0.03)


# --- neighbours, merging, matching ---


def test_bright_agn_beside_a_halo_is_part_of_the_model():
    alone = Scene(71).add(1, 0.0, 0.0, 200, 25.0)
    beside = Scene(71).add(1, 0.0, 0.0, 200, 25.0).add(-1, 35.0, 0.0, 300)
    expected, _ = alone.detect()
    catalogue, matches = beside.detect()
    assert len(catalogue["RA"]) == 2
    row = np.flatnonzero(catalogue["EXT"] > 0.0)
    assert len(row) == 1
    assert list(matches["ID_SRC"]) == [catalogue["ID_SRC"][row[0]]]
    assert catalogue["ML_CTS"][row[0]] == pytest.approx(expected["ML_CTS"][0], rel=0.25)
    point = np.flatnonzero(catalogue["EXT"] == 0.0)[0]
    assert catalogue["ML_CTS"][point] == pytest.approx(300.0, rel=0.15)


def test_two_candidates_on_one_source_give_one_detection():
    scene = Scene(72).add(1, 0.0, 0.0, 300, 20.0)
    scene.sources += [(2, 8.0, 5.0, 20.0), (-1, -6.0, 4.0, 8.0)]
    catalogue, matches = scene.detect()
    assert list(catalogue["ID_SRC"]) == [1]
    assert list(matches["SRC_ID"]) == [1]


def test_extended_agn_photons_are_a_spurious_cluster():
    catalogue, matches = Scene(73).add(-1, 0.0, 0.0, 300, 25.0).detect()
    assert catalogue["EXT_LIKE"][0] > 6.0
    assert len(matches["ID_SRC"]) == 0


def test_halo_under_a_source_that_outshines_it_is_not_matched():
    scene = Scene(74).add(1, 0.0, 0.0, 20, 20.0).add(-1, 3.0, 0.0, 400, 20.0, candidate=False)
    catalogue, matches = scene.detect()
    assert len(catalogue["ID_SRC"]) == 1
    assert len(matches["ID_SRC"]) == 0


def test_identifiers_follow_the_likelihood():
    scene = grid_scene(75, 4, 30)
    for k in range(8):
        scene.add(k + 1, 180.0 + 360.0 * (k % 3 - 1), 180.0 + 360.0 * (k // 3 - 1), 50 + 40 * k, 25.0)
    catalogue, _ = scene.detect()
    assert list(catalogue["ID_SRC"]) == list(range(1, len(catalogue["RA"]) + 1))
    assert np.all(np.diff(catalogue["DET_LIKE"]) <= 0.0)
    assert np.all(catalogue["DET_LIKE"] >= 5.0)
    extended = catalogue["EXT_LIKE"] > 0.0
    assert np.array_equal(extended, catalogue["EXT"] > 0.0)
    assert np.all(catalogue["EXT_LIKE"][extended] >= 3.0)


def test_energy_band_and_order_of_the_events():
    scene = Scene(76).add(1, 0.0, 0.0, 300, 20.0).add(-1, 200.0, 100.0, 50)
    events, candidates = scene.events(), scene.candidates()
    expected, _ = detect(events, candidates, exposure, psf, PARAMETERS, 1)
    soft = {name: np.concatenate([values, values]) for name, values in events.items()}
    soft["pi_ev"][: len(events["ra"])] = 2301.0
    shuffle = np.random.default_rng(2).permutation(len(soft["ra"]))
    catalogue, _ = detect({name: v[shuffle] for name, v in soft.items()}, candidates, exposure, psf, PARAMETERS, 1)
    for name, values in expected.items():
        np.testing.assert_allclose(catalogue[name], values, rtol=1e-6)


def test_same_seed_same_bytes_and_another_seed_another_start():
    scene = Scene(77).add(1, 0.0, 0.0, 300, 20.0)
    first, again, other = scene.detect(seed=1)[0], scene.detect(seed=1)[0], scene.detect(seed=[1, 2])[0]
    assert all(first[name].tobytes() == again[name].tobytes() for name in first)
    assert first["RA"][0] != other["RA"][0]
    assert abs(first["RA"][0] - other["RA"][0]) * 3600.0 < 3.0


def test_candidates_without_exposure_or_photons_are_left_out(caplog):
    scene = Scene(78).add(1, 0.0, 0.0, 300, 20.0)
    candidates = scene.candidates()

    def unexposed(ra, dec):
        return np.zeros(len(ra))

    with caplog.at_level("INFO", logger="clustermass"):
        catalogue, matches = detect(scene.events(), candidates, unexposed, psf, PARAMETERS, 1)
    assert len(catalogue["ID_SRC"]) == len(matches["ID_SRC"]) == 0
    assert "1 without exposure" in caplog.text
    nothing = {name: values[:0] for name, values in scene.events().items()}
    catalogue, _ = detect(nothing, candidates, exposure, psf, PARAMETERS, 1)
    assert {name: values.dtype.kind for name, values in catalogue.items()}["ID_SRC"] == "i"
    assert len(catalogue["RA"]) == 0


def test_neighbours_are_found_across_the_wrap():
    first, second = neighbours(np.array([359.999, 10.0]), np.zeros(2), np.array([0.001]), np.zeros(1), 8.0)
    assert (list(first), list(second)) == ([0], [0])


def test_a_source_that_no_box_finds_is_not_fitted():
    scene = Scene(31).add(1, 0.0, 0.0, 60, core=15.0)
    assert len(scene.detect()[0]["RA"]) == 1
    assert len(scene.detect(box_like_min=1e4)[0]["RA"]) == 0


def test_an_extended_source_must_be_seen_as_a_point_too():
    # a flat source: much better as an extended one, poor as a point
    scene = Scene(32).add(1, 0.0, 0.0, 250, core=50.0)
    catalogue = scene.detect()[0]
    assert catalogue["EXT_LIKE"][0] > 6
    demanding = scene.detect(extent_point_like_min=float(catalogue["DET_LIKE"][0]))[0]
    assert not demanding["EXT_LIKE"].any()
