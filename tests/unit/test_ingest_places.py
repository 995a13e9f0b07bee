"""Random places in a user's field, and the user's map in the form that photons need."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from event_lists import sin_projection
from scipy.stats import kstest

from clustermass.errors import InputError
from clustermass.images.exposure import ExposureMap
from clustermass.ingest.places import field_around, field_map, random_places


def one_map(centre, pixels=120, pixel_deg=0.02, image=None):
    image = np.full((pixels, pixels), 1000.0) if image is None else image
    return image.astype(np.float32), sin_projection(centre, pixel_deg, ((pixels + 1) / 2,) * 2)


@pytest.mark.parametrize("centre", [(0.1, 1.5), (136.0, 60.0), (200.0, -80.0)])
def test_the_field_contains_every_map_and_not_much_more(centre):
    east = SkyCoord(*centre, unit="deg").directional_offset_by(90 * u.deg, 3 * u.deg)
    maps = ExposureMap((one_map(centre), one_map((east.ra.deg, east.dec.deg))))
    field = field_around(maps, "map")
    y, x = np.indices((120, 120)).reshape(2, -1)
    for _, wcs in maps.planes:
        longitude, latitude = field.to_native(*wcs.wcs_pix2world(x, y, 0))
        assert np.abs(longitude).max() < field.width_deg / 2
        assert np.abs(latitude).max() < field.height_deg / 2
    # at most as large as a strip with the sides of both maps together, turned by any angle
    assert field.area_deg2 < (3 + 2.4 + 0.5) ** 2 * 1.5


def test_a_field_that_no_projection_holds_is_refused():
    maps = ExposureMap((one_map((10.0, 0.0)), one_map((150.0, 0.0))))
    with pytest.raises(InputError, match=r"mine\.fits: the field is .* deg, but at most 120 x 60 deg"):
        field_around(maps, "mine.fits")


def test_the_map_of_the_field_has_the_exposure_of_the_users_map():
    rng = np.random.default_rng(1)
    blocks = rng.uniform(0, 3000, (12, 12)).repeat(10, axis=0).repeat(10, axis=1)
    blocks[30:50, 30:80] = 0.0
    maps = ExposureMap((one_map((359.9, 40.0), image=blocks), one_map((3.0, 40.0))))
    field = field_around(maps, "map")
    made = field_map(maps, field, "map")
    there = SkyCoord(359.9, 40.0, unit="deg").directional_offset_by(
        rng.uniform(0, 360, 20_000) * u.deg, rng.uniform(0, 3, 20_000) * u.deg
    )
    expected, found = maps.at(there.ra.deg, there.dec.deg), made.at(there.ra.deg, there.dec.deg)
    assert (expected > 0).sum() > 5000
    # they differ only within 16" of the borders of blocks, which are 0.2 deg wide
    assert np.mean(expected != found) < 0.06
    assert np.mean(found) == pytest.approx(np.mean(expected), rel=0.01)


def test_places_are_uniform_on_the_sky_and_apart():
    maps = ExposureMap((one_map((50.0, 70.0), 400),))
    field = field_around(maps, "map")
    longitude, latitude = random_places(maps, field, 300, 3.0, (), np.random.default_rng(1))
    ra, dec = field.to_sky(longitude, latitude)
    places = SkyCoord(ra, dec, unit="deg")
    apart = places[:, None].separation(places[None]).arcmin[~np.eye(300, dtype=bool)]
    assert apart.min() >= 3.0
    x, y = maps.planes[0][1].wcs_world2pix(ra, dec, 0)
    # false alarm rate 0.001 each; pixels of this projection near its centre have equal areas to 0.3 %
    for axis in (x, y):
        assert kstest((axis + 0.5) / 400, "uniform").pvalue > 0.001


def test_places_are_outside_circles_and_inside_the_exposed_part():
    image = np.where(np.arange(120) < 60, 1000.0, 0.0) * np.ones((120, 1))
    maps = ExposureMap((one_map((50.0, 10.0), image=image),))
    field = field_around(maps, "map")
    circle = (np.array([50.5]), np.array([10.0]), 20.0)
    ra, dec = field.to_sky(*random_places(maps, field, 60, 2.0, [circle], np.random.default_rng(1)))
    assert SkyCoord(ra, dec, unit="deg").separation(SkyCoord(50.5, 10.0, unit="deg")).arcmin.min() >= 20.0
    assert ra.min() > 50.0


def test_too_many_places_are_refused(monkeypatch):
    monkeypatch.setattr("clustermass.ingest.places._TRIES", 3)
    maps = ExposureMap((one_map((50.0, 10.0), 20),))
    field = field_around(maps, "map")
    with pytest.raises(InputError, match=r"room for only about \d+ of 100 clusters, which must be 6' apart\."):
        random_places(maps, field, 100, 6.0, (), np.random.default_rng(1))
    everywhere = (np.array([50.0]), np.array([10.0]), 60.0)
    with pytest.raises(InputError, match=r"room for only about 0 of 1 clusters, .* and away from the sources"):
        random_places(maps, field, 1, 6.0, [everywhere], np.random.default_rng(1))
