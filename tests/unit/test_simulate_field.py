import dataclasses

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from clustermass.errors import InputError
from clustermass.simulate.field import ExposureMap, Field

SURVEY = {
    "depth_s": 1200.0,
    "taper_deg": 0.5,
    "scans": 1,
    "overlap_deg": 1.0,
    "particle_slope": 0.5,
    "pixel_arcsec": 60.0,
}


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 360), st.floats(-89, 89), st.floats(-10, 10), st.floats(-5, 5))
def test_native_frame_is_that_of_astropy(ra, dec, longitude, latitude):
    field = Field(ra, dec, 20.0, 10.0)
    centre = SkyCoord(ra * u.deg, dec * u.deg)
    expected = SkyCoord(longitude * u.deg, latitude * u.deg, frame=centre.skyoffset_frame()).icrs
    sky = field.to_sky(np.array([longitude]), np.array([latitude]))
    assert SkyCoord(*sky, unit="deg").separation(expected).arcsec[0] < 1e-4
    back = field.to_native(*sky)
    assert back[0][0] == pytest.approx(longitude, abs=1e-7)
    assert back[1][0] == pytest.approx(latitude, abs=1e-7)


def test_positions_are_uniform_on_the_sphere():
    field = Field(359.9, -60.0, 40.0, 50.0)
    longitude, latitude = field.draw(np.random.default_rng(1), 100_000)
    assert field.area_deg2 == pytest.approx(40 * np.degrees(2 * np.sin(np.radians(25))))
    # between 20 and 25 deg there is less sky than between 0 and 5 deg
    outer, inner = (np.abs(latitude) > 20).sum(), (np.abs(latitude) < 5).sum()
    ratio = (np.sin(np.radians(25)) - np.sin(np.radians(20))) / np.sin(np.radians(5))
    assert outer / inner == pytest.approx(ratio, rel=0.03)
    assert np.abs(longitude).max() <= 20


@pytest.mark.parametrize("field", [Field(136.0, 1.5, 6.0, 4.0), Field(0.1, -70.0, 6.0, 4.0)])
def test_exposure_lookup_is_that_of_the_written_wcs(field, tmp_path):
    exposure = ExposureMap.from_config(field, SURVEY)
    # Unlike anywhere: a mirrored or shifted lookup must show.
    unlike = np.arange(exposure.image_s.size, dtype=np.float32).reshape(exposure.image_s.shape)
    exposure = dataclasses.replace(exposure, image_s=unlike)
    exposure.write(tmp_path / "exposure.fits", {})
    image, header = fits.getdata(tmp_path / "exposure.fits", header=True)
    longitude, latitude = field.draw(np.random.default_rng(2), 2000)
    ra, dec = field.to_sky(longitude, latitude)
    x, y = WCS(header).wcs_world2pix(ra, dec, 0)
    expected = image[np.rint(y).astype(int), np.rint(x).astype(int)]
    assert np.mean(exposure.at(ra, dec) == expected) > 0.999


def test_exposure_falls_to_zero_at_the_edges():
    exposure = ExposureMap.from_config(Field(136.0, 1.5, 6.0, 4.0), SURVEY)
    at = exposure.at_native(np.array([0.0, 2.75, 2.999, 3.1, 2.75]), np.array([0.0, 0.0, 0.0, 0.0, 1.75]))
    assert at == pytest.approx([1200, 600, 0, 0, 300], abs=45)
    assert at[3] == 0


def test_neighbouring_scans_add_up_to_twice_the_depth_where_they_overlap():
    exposure = ExposureMap.from_config(Field(136.0, 1.5, 8.0, 4.0), SURVEY | {"scans": 2, "overlap_deg": 0.8})
    at = exposure.at_native(np.array([0.0, 0.2, -0.2, 0.41, 2.0, 3.75]), np.zeros(6))
    assert at == pytest.approx([2400, 1800, 1800, 1200, 1200, 600], abs=60)


def test_particles_are_not_vignetted():
    exposure = ExposureMap.from_config(Field(136.0, 1.5, 6.0, 4.0), SURVEY)
    particles = ExposureMap.from_config(exposure.field, SURVEY, vignetted=False)
    assert particles.image_s == pytest.approx(np.sqrt(exposure.image_s * 1200.0), rel=1e-5)


def test_background_photons_are_uniform_on_the_sphere_and_poisson():
    field = Field(359.9, -60.0, 30.0, 40.0)
    flat = ExposureMap.from_config(field, SURVEY | {"taper_deg": 0.0, "pixel_arcsec": 300.0})
    longitude, latitude = flat.draw(1e-3 / 60, np.random.default_rng(3))
    inside = (np.abs(longitude) < 15) & (np.abs(latitude) < 20)
    expected = 1e-3 / 60 * 1200 * 3600 * field.area_deg2
    assert inside.sum() == pytest.approx(expected, abs=5 * np.sqrt(expected))
    outer, inner = (np.abs(latitude) > 15)[inside].sum(), (np.abs(latitude) < 5)[inside].sum()
    ratio = (np.sin(np.radians(20)) - np.sin(np.radians(15))) / np.sin(np.radians(5))
    assert outer / inner == pytest.approx(ratio, rel=0.03)
    assert np.abs(np.histogram(longitude[inside], 10)[0] / inside.sum() - 0.1).max() < 0.005


def test_the_widened_map_bounds_every_photon_that_may_land():
    exposure = ExposureMap.from_config(Field(136.0, 1.5, 8.0, 4.0), SURVEY | {"scans": 3})
    rng, reach = np.random.default_rng(4), 900.0
    longitude, latitude = exposure.field.draw(rng, 3000)
    angle, distance = rng.uniform(0, 2 * np.pi, 3000), reach / 3600 * rng.random(3000)
    landed = exposure.at_native(longitude + distance * np.cos(angle), latitude + distance * np.sin(angle))
    bound = exposure.widened(reach).at_native(longitude, latitude)
    assert np.all(landed <= bound)
    assert np.median(bound) < 1.05 * np.median(landed)


def test_a_field_too_large_is_refused():
    with pytest.raises(InputError, match="width_deg"):
        Field.from_config({"ra_deg": 0, "dec_deg": 0, "width_deg": 200, "height_deg": 10})


def test_a_map_that_was_written_is_read_back_whole(tmp_path):
    field = Field(0.2, 1.5, 2.4, 2.0)
    for pixel_arcsec in (60.0, 16.0, 7.3):
        exposure = ExposureMap.from_config(field, SURVEY | {"pixel_arcsec": pixel_arcsec})
        exposure.write(tmp_path / "exposure.fits", {})
        again = ExposureMap.read(tmp_path / "exposure.fits", field)
        assert again.image_s.tobytes() == exposure.image_s.tobytes()
        assert again.pixel_deg == pytest.approx(exposure.pixel_deg, rel=1e-14)
