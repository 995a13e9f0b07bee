"""Counting photons in pixels and bands: against evtool's rule by hand, a naive cube, and the real files."""

import json
from contextlib import closing

import numpy as np
import pytest
from event_lists import SHARED, photons, planted, select, sky_pixels, write_esass, write_sixte_calibrated
from hypothesis import given, settings
from hypothesis import strategies as st
from images_inputs import IMAGES, base_counts, cube, cube_sky_pixels, cut_images

from clustermass.errors import InputError
from clustermass.events.eventlist import EventList
from clustermass.events.read import read_events
from clustermass.images import sky_index
from clustermass.images.geometry import ImageGeometry, block_sum, box_bounds, deproject
from clustermass.images.sky_index import BoxCells, PhotonsByCell, SkyIndex, neighbours

GEOMETRY = ImageGeometry.from_config(IMAGES)
EDGES = 250 + 205 * np.arange(11)
CENTRES = [(136.0, 1.5), (0.02, -30.0), (359.99, 60.0), (75.0, 89.9), (10.0, -89.97), (200.0, 89.999)]


def event_list(ra, dec, pi_ev):
    number = len(ra)
    return EventList(
        np.asarray(ra, dtype=float), np.asarray(dec, dtype=float), np.asarray(pi_ev, dtype=np.float32),
        np.ones(number, np.uint8), np.ones(number, np.int16), np.zeros(number, np.uint32), np.zeros(number),
        "clustermass", "made up", {},
    )  # fmt: skip


def scattered(centre, number=20000, width_deg=0.6, seed=5):
    """Return photons scattered evenly around a position, poles and RA = 0 included."""
    rng = np.random.default_rng(seed)
    ra, dec = deproject(*(72000 * width_deg * (rng.random((2, number)) - 0.5)), *centre)
    return event_list(ra, dec, rng.uniform(100, 2500, number))


def naive_cube(events, centre):
    """Return the whole 10 x 300 x 300 cube by astropy's projection and numpy's histogram of all photons."""
    x, y = sky_pixels(events.ra, events.dec, centre)
    steps = -12000 + 80 * np.arange(301)
    # numpy's last bin includes its upper edge: whole sky pixels are moved off all edges
    sample = np.stack([events.pi_ev.astype(float), y + 0.5, x + 0.5], axis=1)
    return np.histogramdd(sample[events.pi_ev < 2300], (EDGES, steps, steps))[0]


@pytest.mark.parametrize("centre", CENTRES)
def test_base_grid_is_the_block_sum_of_the_naive_cube(centre):
    events = scattered(centre)
    full = naive_cube(events, centre)
    assert full.sum() > 3000
    np.testing.assert_array_equal(cube(events, *centre, GEOMETRY), full)
    base = base_counts(SkyIndex(events, GEOMETRY), *centre, GEOMETRY)
    np.testing.assert_array_equal(base, full.reshape(10, 100, 3, 100, 3).sum(axis=(2, 4)))


def test_many_boxes_of_one_field_equal_the_cubes_of_each():
    rng = np.random.default_rng(8)
    events = scattered((0.0, 1.5), number=30000, width_deg=1.5)
    ra, dec = deproject(*(72000 * 1.8 * (rng.random((2, 20)) - 0.5)), 0.0, 1.5)
    counts = cut_images(events, ra, dec, GEOMETRY)
    assert counts.dtype == np.uint16
    for image, ra0, dec0 in zip(counts, ra, dec, strict=True):
        np.testing.assert_array_equal(image, block_sum(cube(events, ra0, dec0, GEOMETRY), 3))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.floats(0, 360, exclude_max=True), st.floats(-90, 90), st.integers(0, 2**32 - 1))
def test_no_photon_of_the_box_is_lost_between_the_grids(ra, dec, seed):
    """Photons well inside the box: each counts once on every grid."""
    rng = np.random.default_rng(seed)
    position = deproject(*rng.uniform(-11990, 11990, (2, 50)), ra, dec)
    events = event_list(*position, rng.uniform(250, 2299, 50))
    full = cube(events, ra, dec, GEOMETRY)
    base = base_counts(SkyIndex(events, GEOMETRY), ra, dec, GEOMETRY)
    assert full.sum() == base.sum() == block_sum(base, 2).sum() == 50
    assert BoxCells(np.array([ra]), np.array([dec]), GEOMETRY).rows(events).size == 50


@pytest.mark.parametrize("dec", [-90, -89.9, -89.2, -80, -45, -1, 0, 1.5, 30, 60, 85, 89.2, 89.7, 90])
def test_photons_on_the_very_edges_of_the_box_are_found(dec):
    """Corners and the middles of the sides, a hundredth of an arcsec inside: the search is no narrower than the box."""
    edge = np.array([-11999.8, 0.0, 11999.8])
    x, y = (axis.ravel() for axis in np.meshgrid(edge, edge))
    ra, deg = deproject(x, y, 0.05, dec)
    events = event_list(ra, deg, np.full(9, 300.0))
    index = SkyIndex(events, GEOMETRY)
    assert index.near_box(0.05, dec).size == 9
    assert base_counts(index, 0.05, dec, GEOMETRY).sum() == 9
    assert BoxCells(np.array([0.05]), np.array([dec]), GEOMETRY).rows(events).size == 9


def test_cells_that_no_box_touches_hold_photons_left_out():
    ra, dec = np.array([0.05, 200.0]), np.array([1.5, -60.0])
    near = scattered((0.05, 1.5), 100, 0.3), scattered((200.0, -60.0), 100, 0.3)
    far = scattered((1.0, 1.5), 100, 0.3), scattered((200.0, 60.0), 100, 0.3), scattered((198.0, -60.0), 100, 0.3)
    cells = BoxCells(ra, dec, GEOMETRY)
    assert [cells.rows(events).size for events in (*near, *far)] == [100, 100, 0, 0, 0]


@pytest.mark.parametrize("centre", CENTRES)
def test_photons_stored_by_cells_give_the_same_counts_as_those_in_memory(tmp_path, monkeypatch, centre):
    monkeypatch.setattr(sky_index, "PIECE_ROWS", 900)
    events = scattered(centre, 8000, 1.5)
    ra, dec = deproject(*(72000 * 0.5 * np.random.default_rng(2).uniform(-1, 1, (2, 6))), *centre)
    with closing(PhotonsByCell(tmp_path, ra, dec, GEOMETRY)) as photons:
        for start in range(0, 8000, 3000):
            photons.add(events.take(slice(start, start + 3000)))
        for part in (slice(0, 6), slice(1, 3), slice(5, 6)):
            expected = cut_images(events, ra[part], dec[part], GEOMETRY)
            assert expected.sum() > 100
            np.testing.assert_array_equal(photons.count(ra[part], dec[part]), expected)


@pytest.mark.parametrize("number", [0, 1, 99, 1000])
def test_parts_hold_every_position_once_and_lie_together(number):
    ra, dec = np.random.default_rng(4).uniform(0, 10, (2, number))
    parts = neighbours(ra, dec, 25)
    assert sorted(np.concatenate([np.arange(0), *parts]).tolist()) == list(range(number))
    assert all(part.size <= 25 for part in parts)
    assert all((np.diff(part) > 0).all() for part in parts)
    if number == 1000:  # ten a deg2: 25 are in 2.5 deg of a strip, few parts reach from one strip to the next
        assert np.median([np.ptp(ra[part]) for part in parts]) < 4
        assert np.median([np.ptp(dec[part]) for part in parts]) < 1


@pytest.mark.parametrize("half_deg", [0.02, 1 / 6, 2.0])
@pytest.mark.parametrize("dec", [-77, -60, -1.5, 0, 1.5, 45, 77])
def test_bounds_of_a_box_are_those_of_its_sides(dec, half_deg):
    steps = 72000 * half_deg * np.linspace(-1, 1, 2001)
    side = np.full(steps.size, steps[-1])
    x, y = np.concatenate([(steps, side), (steps, -side), (side, steps), (-side, steps)], axis=1)
    ra, deg = deproject(x, y, 180.0, dec)
    bounds = (deg.min(), deg.max(), np.abs(ra - 180).max())
    assert box_bounds(dec, np.radians(half_deg)) == pytest.approx(bounds, abs=1e-9)


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_block_sum_equals_numpy_and_keeps_the_total(factor, rows, columns, seed):
    counts = np.random.default_rng(seed).integers(0, 50, (2, rows * factor, columns * factor)).astype(np.uint16)
    summed = block_sum(counts, factor)
    np.testing.assert_array_equal(summed, counts.reshape(2, rows, factor, columns, factor).sum(axis=(2, 4)))
    assert summed.sum() == counts.sum()


def test_block_sum_refuses_a_remainder():
    with pytest.raises(ValueError, match="3 does not divide 100 x 100"):
        block_sum(np.zeros((100, 100)), 3)


# X, Y in sky pixels, PI in eV -> (band, j, i) or None; evtool's rule by hand
PLANTED = [
    ((0, 0, 1000.0), (3, 150, 150)),
    ((-1, -1, 1000.0), (3, 149, 149)),
    ((79, 79, 1000.0), (3, 150, 150)),
    ((80, 0, 1000.0), (3, 150, 151)),
    ((-12000, -12000, 300.0), (0, 0, 0)),
    ((11999, 11999, 300.0), (0, 299, 299)),
    ((12000, 0, 300.0), None),
    ((0, -12001, 300.0), None),
    ((400, 400, 250.0), (0, 155, 155)),
    ((400, 400, 249.99), None),
    ((400, 400, 455.0), (1, 155, 155)),
    ((400, 400, 454.99), (0, 155, 155)),
    ((400, 400, 2299.9), (9, 155, 155)),
    ((400, 400, 2300.0), None),
]


@pytest.mark.parametrize(("photon", "expected"), PLANTED)
def test_planted_photons_fall_where_evtool_puts_them(tmp_path, photon, expected):
    x, y, energy = photon
    ra, dec = deproject(x + 0.5, y + 0.5, 136.0, 1.5)
    path = write_esass(tmp_path / "planted.fits", planted(RA=ra, DEC=dec, PI=energy, X=float(x), Y=float(y)))
    events = read_events(path)
    for counts in (cube_sky_pixels(events, 0, 0, GEOMETRY), cube(events, 136.0, 1.5, GEOMETRY)):
        where = [tuple(index) for index in np.argwhere(counts)]
        assert where == ([] if expected is None else [expected])


@pytest.mark.parametrize("write", [write_esass, write_sixte_calibrated])
def test_own_sky_pixels_and_positions_give_the_same_cube(tmp_path, write):
    events = select(read_events(write(tmp_path / "events.fits", photons(3000))))
    np.testing.assert_array_equal(cube_sky_pixels(events, 0, 0, GEOMETRY), cube(events, 136.0, 1.5, GEOMETRY))


def test_more_photons_than_a_pixel_can_hold_are_refused():
    many = event_list(np.full(65536, 136.0), np.full(65536, 1.5), np.full(65536, 1000.0))
    with pytest.raises(InputError, match="holds 65536 photons, more than the 65535"):
        cut_images(many, np.array([136.0]), np.array([1.5]), GEOMETRY)
    assert cut_images(many.take(slice(1, None)), np.array([136.0]), np.array([1.5]), GEOMETRY).max() == 65535


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base_rebin": 7}, r"images\.box_pixels is 300, but must be a multiple of 2 x images\.base_rebin \(7\)"),
        ({"box_pixels": 303}, r"images\.box_pixels is 303"),
        ({"pixel_arcsec": 4.01}, r"images\.pixel_arcsec is 4\.01, but must be a multiple of 0\.05"),
        ({"bands": {"start_ev": 250.5, "width_ev": 205, "number": 10}}, r"images\.bands\.start_ev is 250\.5"),
        ({"bands": {"start_ev": 250, "width_ev": 0, "number": 10}}, r"images\.bands\.width_ev is 0"),
    ],
)
def test_geometry_that_does_not_come_out_even_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        ImageGeometry.from_config({**IMAGES, **changes})


# the real files beside the checkout

FIXTURE = [389, 479, 498, 378, 357, 286, 249, 200, 162, 106]
FIXTURE_CENTRE = (-7200, 4800)
FIXTURE_REFERENCE = (133.600006103516, 1.29999995231628)


def shared(name):
    if not (SHARED / name).is_file():
        pytest.skip(f"{name} is not beside this checkout (../shared/data/sixte)")
    return SHARED / name


def test_real_calibrated_file_in_its_own_sky_pixels():
    events = select(read_events(shared("fixture_sixte_cal_tm0.fits.gz")))
    assert events.sky_reference == FIXTURE_REFERENCE
    assert cube_sky_pixels(events, *FIXTURE_CENTRE, GEOMETRY).sum(axis=(1, 2)).tolist() == FIXTURE


@pytest.mark.parametrize(
    ("name", "sums"),
    [
        ("fixture_sixte_cal_tm0.fits.gz", FIXTURE),
        ("sixte_evt_tm1.fits.gz", [59, 63, 77, 57, 46, 42, 46, 34, 23, 18]),
    ],
)
def test_real_files_by_re_projection_about_the_same_centre(name, sums):
    events = select(read_events(shared(name)))
    ra, dec = deproject(*FIXTURE_CENTRE, *FIXTURE_REFERENCE)
    assert cube(events, float(ra), float(dec), GEOMETRY).sum(axis=(1, 2)).tolist() == sums
    assert cut_images(events, ra[None], dec[None], GEOMETRY)[0].sum(axis=(1, 2)).tolist() == sums


def test_planted_file_row_by_row_and_in_its_four_totals():
    plan = json.loads(shared("planted_esass.json").read_text())
    events = read_events(shared("planted_esass.fits"))
    for selection, total in plan["totals"].items():
        mask, pattern = selection.split(",pattern")
        counts = cube_sky_pixels(select(events, mask, int(pattern)), 0, 0, GEOMETRY)
        assert counts.sum() == total
    expected = np.zeros_like(counts)
    kept = cube_sky_pixels(select(events), 0, 0, GEOMETRY)
    for row in plan["rows"]:
        if row["expect_band_j_i"] is not None:
            expected[tuple(row["expect_band_j_i"])] += 1
    np.testing.assert_array_equal(kept, expected)
