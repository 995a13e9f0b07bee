"""Damaged exposure maps and images, also Galactic or compressed: each gives what can be right, or an InputError."""

import gzip
import shutil

import numpy as np
import pytest
from astropy.io import fits
from fuzz_inputs import campaign, check_events, damages, galactic_projection, tried
from test_images_band_images import CENTRE, edges, image_set, images_of, photons

from clustermass.images.band_images import photons_of_images
from clustermass.images.exposure import exposure_at, read_exposure
from clustermass.io.netcdf import read_netcdf


def pack(path, packed):
    """Write the image of a file anew: gzipped, with a checksum, or compressed in tiles by an algorithm of FITS."""
    data, header = fits.getdata(path, header=True)
    if packed == "checksum":
        fits.PrimaryHDU(data, header).writeto(path, overwrite=True, checksum=True)
    elif packed == "gz":
        path.write_bytes(gzip.compress(path.read_bytes()))
    elif packed:
        fits.CompImageHDU(data, header, compression_type=packed).writeto(path, overwrite=True)


@pytest.mark.parametrize("galactic", [False, True])
@pytest.mark.parametrize("packed", ["", "gz", "checksum", "RICE_1", "GZIP_2"])
def test_exposure_maps(tmp_path, galactic, packed):
    path = image_set(tmp_path, photons(), [250, 2300])[0]
    data, header = fits.getdata(path, header=True)
    header = galactic_projection(CENTRE, 4 / 3600, data.shape[0]).to_header() if galactic else header
    fits.PrimaryHDU(data.astype(np.float32) + 100, header).writeto(path, overwrite=True)
    pack(path, packed)

    def read(path):
        image, wcs = read_exposure(path)
        return image, exposure_at(image, wcs, np.array([136.0, 136.01]), np.array([60.0, 60.001]))

    content, whole = path.read_bytes(), read(path)
    assert whole[1].min() >= 99

    def case(damage):
        found = tried(path, damage.apply(content), read)
        if found is None:
            return
        assert all(np.isfinite(values).all() and np.all(values >= 0) for values in found)
        assert found[0].any()
        if packed in ("gz", "checksum"):
            np.testing.assert_array_equal(found[0], whole[0])
            np.testing.assert_array_equal(found[1], whole[1])

    campaign(0.0125, damages(), case)


@pytest.mark.parametrize("packed", ["", "gz", "checksum", "RICE_1", "GZIP_1"])
def test_band_images(tmp_path, packed):
    path = image_set(tmp_path, photons(), edges())[3]
    pack(path, packed)
    paths = sorted(tmp_path.glob("b*.fits"))
    content, whole = path.read_bytes(), photons_of_images(paths, edges()).events

    def case(damage):
        found = tried(path, damage.apply(content), lambda path: photons_of_images(paths, edges()))
        if found is None:
            return
        check_events(found.events)
        # a flipped bit changes at most one pixel
        assert damage.kind not in ("cut", "delete") or len(found.events) == len(whole)
        if packed in ("gz", "checksum"):
            np.testing.assert_array_equal(found.events.ra, whole.ra)

    campaign(0.015, damages(), case)


def test_images_of_the_pipeline(tmp_path):
    path = tmp_path / "work" / "images.nc"
    path.parent.mkdir()
    whole = images_of(tmp_path, image_set(tmp_path, photons(), edges()))
    shutil.copy(tmp_path / "images.nc", path)
    content = path.read_bytes()

    def case(damage):
        found = tried(path, damage.apply(content), lambda path: read_netcdf(path, ("counts", "redshift")))
        if found is not None and damage.kind != "double":
            # zlib keeps a checksum of every image
            np.testing.assert_array_equal(found["counts"].values, whole["counts"].values)

    campaign(0.05, damages(), case)
