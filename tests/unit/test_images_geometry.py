"""The projection against astropy's, and evtool's pixel rule by hand."""

import numpy as np
import pytest
from event_lists import sin_projection
from hypothesis import given, settings
from hypothesis import strategies as st

from clustermass.images.geometry import deproject, image_pixels, project

CENTRES = [(136.0, 1.5), (0.001, -30.0), (359.999, 60.0), (12.0, 89.97), (200.0, -89.99), (180.0, 0.0)]
RA = st.floats(0, 360, exclude_max=True)
DEC = st.floats(-90, 90)
OFFSET = st.floats(-12000, 12000)


@pytest.mark.parametrize("centre", CENTRES)
def test_equals_astropy_within_a_thousandth_of_a_sky_pixel(centre):
    rng = np.random.default_rng(3)
    ra = (centre[0] + rng.uniform(-0.5, 0.5, 1000) / max(np.cos(np.radians(centre[1])), 0.01)) % 360
    dec = np.clip(centre[1] + rng.uniform(-0.3, 0.3, 1000), -90, 90)
    x, y = project(ra, dec, *centre)
    expected = sin_projection(centre).all_world2pix(ra, dec, 1)
    np.testing.assert_allclose(x, expected[0], atol=1e-3)
    np.testing.assert_allclose(y, expected[1], atol=1e-3)


@settings(deadline=None, derandomize=True)
@given(RA, DEC, OFFSET, OFFSET)
def test_projecting_a_deprojected_offset_gives_it_back(ra0, dec0, x, y):
    ra, dec = deproject(x, y, ra0, dec0)
    assert 0 <= ra < 360
    again = project(ra, dec, ra0, dec0)
    np.testing.assert_allclose(again, (x, y), atol=1e-5)


def test_signs_and_scale_by_hand():
    x, y = project([136.0, 136.0, 135.99], [1.5, 1.51, 1.5], 136.0, 1.5)
    assert (x[0], y[0]) == (0.0, 0.0)
    assert y[1] == pytest.approx(720.0, abs=1e-4)  # 0.01 deg = 720 sky pixels to the North
    assert x[2] == pytest.approx(720.0 * np.cos(np.radians(1.5)), abs=1e-4)  # x grows to the West


def test_neighbours_across_zero_right_ascension():
    x, _ = project([359.99, 0.01], [0.0, 0.0], 0.0, 0.0)
    np.testing.assert_allclose(x, [720.0, -720.0], atol=1e-4)


def test_the_other_side_of_the_sky_is_nowhere():
    x, y = project([316.0, 226.5, 136.0], [-1.5, 0.0, -89.0], 136.0, 1.5)
    assert np.isinf(x).all()
    assert np.isinf(y).all()


def test_no_position_beyond_the_horizon():
    with pytest.raises(ValueError, match="beyond the horizon"):
        deproject(5e6, 0.0, 136.0, 1.5)


@pytest.mark.parametrize(
    ("offset", "pixel"),
    [(0, 150), (-1, 149), (79, 150), (80, 151), (-12000, 0), (11999, 299), (12000, 300), (-12001, -1)],
)
def test_pixel_rule_includes_the_lower_edge(offset, pixel):
    assert image_pixels(np.array(float(offset)), 0.0, 80, 300) == pixel


@settings(deadline=None, derandomize=True)
@given(st.integers(-12000, 11999), st.integers(-50000, 50000))
def test_base_pixel_is_the_block_of_the_full_pixel(offset, centre):
    position = np.array(float(offset + centre))
    assert image_pixels(position, centre, 240, 100) == image_pixels(position, centre, 80, 300) // 3
