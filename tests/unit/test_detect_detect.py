"""Source detection on simulated scenes, in which the source of every photon is labelled."""

import numpy as np
import pytest
from detect_inputs import EXPOSURE, PARAMETERS, Scene, detect_and_match, exposure, grid_scene, offset_arcsec, psf
from scipy.optimize import minimize

from clustermass.arrays import neighbours
from clustermass.detect.maximum_likelihood import negative_log_q


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
    expected, _ = detect_and_match(events, candidates, exposure, psf, PARAMETERS, 1)
    soft = {name: np.concatenate([values, values]) for name, values in events.items()}
    soft["pi_ev"][: len(events["ra"])] = 2301.0
    shuffle = np.random.default_rng(2).permutation(len(soft["ra"]))
    catalogue, _ = detect_and_match(
        {name: v[shuffle] for name, v in soft.items()}, candidates, exposure, psf, PARAMETERS, 1
    )
    for name, values in expected.items():
        np.testing.assert_allclose(catalogue[name], values, rtol=1e-6)


def test_same_seed_same_bytes_and_another_seed_another_start():
    scene = Scene(77).add(1, 0.0, 0.0, 300, 20.0)
    first, again, other = scene.detect(seed=1)[0], scene.detect(seed=1)[0], scene.detect(seed=2)[0]
    assert all(first[name].tobytes() == again[name].tobytes() for name in first)
    assert first["RA"][0] != other["RA"][0]
    assert abs(first["RA"][0] - other["RA"][0]) * 3600.0 < 3.0


def test_candidates_without_exposure_or_photons_are_left_out(caplog):
    scene = Scene(78).add(1, 0.0, 0.0, 300, 20.0)
    candidates = scene.candidates()

    def unexposed(ra, dec):
        return np.zeros(len(ra))

    with caplog.at_level("INFO", logger="clustermass"):
        catalogue, matches = detect_and_match(scene.events(), candidates, unexposed, psf, PARAMETERS, 1)
    assert len(catalogue["ID_SRC"]) == len(matches["ID_SRC"]) == 0
    assert "1 without exposure" in caplog.text
    nothing = {name: values[:0] for name, values in scene.events().items()}
    catalogue, _ = detect_and_match(nothing, candidates, exposure, psf, PARAMETERS, 1)
    assert {name: values.dtype.kind for name, values in catalogue.items()}["ID_SRC"] == "i"
    assert len(catalogue["RA"]) == 0


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


def test_neighbours_are_found_across_the_wrap():
    first, second = neighbours(np.array([359.999, 10.0]), np.zeros(2), np.array([0.001]), np.zeros(1), 8.0)
    assert (list(first), list(second)) == ([0], [0])
