"""Rows of a table that lie in a field, and the time that it takes to tell them from those of a whole sky."""

import time

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from event_lists import sin_projection
from hypothesis import given, settings
from hypothesis import strategies as st

from clustermass.ingest.in_field import REACH_ARCMIN, in_field, meant


def field(centre, pixels=200, pixel_deg=0.01):
    """Return a map that is exposed in the middle, a square of half its side."""
    image = np.zeros((pixels, pixels), dtype=np.float32)
    image[pixels // 4 : -pixels // 4, pixels // 4 : -pixels // 4] = 1000.0
    return image, sin_projection(centre, pixel_deg, ((pixels + 1) / 2, (pixels + 1) / 2))


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.sampled_from([(0.05, 1.5), (136.0, 60.0), (200.0, -89.5), (10.0, 90.0)]), st.integers(0, 10**6))
def test_rows_within_reach_of_exposure_are_in_and_others_are_out(centre, seed):
    image, wcs = field(centre)
    rng = np.random.default_rng(seed)
    angle, away = rng.uniform(0, 360, 300) * u.deg, rng.uniform(0, 2, 300) * u.deg
    there = SkyCoord(*centre, unit="deg").directional_offset_by(angle, away)
    y, x = np.nonzero(image)
    exposed = SkyCoord(*wcs.wcs_pix2world(x, y, 0), unit="deg")
    distance = there.match_to_catalog_sky(exposed)[1].arcmin
    found = in_field([(image, wcs)], there.ra.deg, there.dec.deg)
    assert found[distance < REACH_ARCMIN].all()
    assert not found[distance > REACH_ARCMIN + 3].any()


def test_several_maps_count_together_and_the_far_side_of_the_sky_is_never_in():
    maps = [field((10.0, 0.0)), field((13.0, 0.0))]
    ra, dec = np.array([10.0, 11.5, 13.0, 190.0, 193.0]), np.zeros(5)
    assert in_field(maps, ra, dec).tolist() == [True, False, True, False, False]
    assert not in_field([(np.zeros((5, 5), np.float32), maps[0][1])], ra, dec).any()


def test_a_million_rows_of_the_whole_sky_take_seconds():
    rng = np.random.default_rng(1)
    ra, dec = rng.uniform(0, 360, 10**6), np.degrees(np.arcsin(rng.uniform(-1, 1, 10**6)))
    begin = time.process_time()
    found = in_field([field((136.0, 2.0), 3000, 0.004)], ra, dec)
    assert time.process_time() - begin < 20
    assert 0 < found.sum() < 3000


def test_positions_of_another_kind_are_recognised():
    maps = [field((136.0, 1.5))]
    ra, dec = np.array([135.8, 136.1, 136.2]), np.array([1.4, 1.5, 1.7])
    galactic = SkyCoord(ra, dec, unit="deg").galactic
    assert meant(maps, ra / 15, dec).startswith("RA is in hours")
    assert meant(maps, np.radians(ra), np.radians(dec)).startswith("they are in radians")
    assert meant(maps, galactic.l.deg, galactic.b.deg).startswith("they are Galactic. Name the columns GLON and GLAT")
    assert meant([field((40.0, 1.5))], np.array([1.5]), np.array([40.0])).startswith("RA and DEC are exchanged")
    assert meant(maps, ra + 40, dec) == ""
