"""Background around positions, and the box search for excesses over it."""

import numpy as np
import pytest
from detect_inputs import BACKGROUND, EXPOSURE, PARAMETERS, Scene, exposure
from scipy.stats import poisson

from clustermass.detect.background import box_likelihood, estimate_background
from clustermass.detect.stamps import Stamps, build_templates, index_events


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


BOX = {
    "pixel_arcsec": 4.0,
    "stamp_pixels": 31,
    "cut_radius_arcsec": 60.0,
    "extents_arcsec": [8.0, 30.0],
    "shift_arcsec": 8.0,
    "refine_arcsec": [4.0],
}
BOX_TEMPLATES = build_templates(lambda r: (1 + (r / 8.0) ** 2) ** -1.5 / (2 * np.pi * 64.0), BOX)
LEVEL = 0.03  # counts a pixel: 6.75 / arcmin2


def _stamps(*images):
    """Stamps of images {(column, row): counts} in pixels from the centre, West and North."""
    owner, pixel, counts = [], [], []
    for number, image in enumerate(images):
        for (x, y), value in sorted(
            image.items(), key=lambda item: BOX_TEMPLATES.pixel_of[item[0][1] + 15, item[0][0] + 15]
        ):
            owner.append(number)
            pixel.append(BOX_TEMPLATES.pixel_of[y + 15, x + 15])
            counts.append(value)
    first = np.searchsorted(owner, np.arange(len(images) + 1))
    nothing = np.zeros(0, np.int64)
    zeros = np.zeros(len(images))
    return Stamps(
        first, np.array(owner, np.int32), np.array(pixel, np.int32), np.array(counts, np.float32),
        zeros, zeros, nothing, nothing,
    )  # fmt: skip


def _search(stamps, neighbours=0.0):
    size = len(stamps.pixel)
    return box_likelihood(stamps, np.full(len(stamps.ra), LEVEL), np.full(size, neighbours), BOX_TEMPLATES, BOX)


def _kernel_sum(core, half_pixels):
    """Sum of the kernel over a box that lies inside the stamp, pixel by pixel."""
    offsets = [4.0 * i for i in range(-half_pixels, half_pixels + 1)]
    return sum((1 + (x * x + y * y) / core**2) ** -1.5 for x in offsets for y in offsets)


@pytest.mark.parametrize("counts", [3, 8, 20])
def test_counts_in_one_pixel_are_as_unlikely_as_poisson_says(counts):
    # the kernel is 1 in its middle, and the smallest box (9 x 9 pixels, core 15 arcsec) expects the fewest counts
    expected = LEVEL * _kernel_sum(15.0, 4)
    assert _search(_stamps({(0, 0): counts}))[0] == pytest.approx(-poisson.logsf(counts - 1, expected), rel=1e-6)


def test_a_box_away_from_the_centre_finds_its_peak():
    # 8 arcsec are two pixels: the box there has the peak in its middle
    assert _search(_stamps({(2, -2): 12})) == pytest.approx(_search(_stamps({(0, 0): 12})))


def test_wide_boxes_see_what_narrow_ones_miss():
    ring = {(x, y): 1 for x in range(-8, 9, 2) for y in range(-8, 9, 2) if max(abs(x), abs(y)) >= 6}
    narrow = -poisson.logsf(0, LEVEL * _kernel_sum(15.0, 4))
    assert _search(_stamps(ring))[0] > narrow + 5


def test_counts_expected_of_neighbours_do_not_count():
    stamps = _stamps({(0, 0): 12})
    # of each photon the share flat / (flat + neighbour) = 1/3 is left: four counts
    assert _search(stamps, 2 * LEVEL) == pytest.approx(_search(_stamps({(0, 0): 4})), rel=1e-5)


def test_each_stamp_is_searched_on_its_own():
    many = _search(_stamps({(0, 0): 5}, {}, {(0, 0): 30}))
    assert many == pytest.approx([_search(_stamps(image))[0] for image in ({(0, 0): 5}, {}, {(0, 0): 30})])
    assert many[1] < 1e-3
