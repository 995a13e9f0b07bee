"""Damaged event lists, exposure maps and images: each ends in a result that can be right, or in an InputError."""

import shutil

import numpy as np
import pytest
from astropy.io import fits
from event_lists import photons, write_esass, write_sixte_calibrated, write_sixte_events
from fuzz_checks import check_events, tried
from fuzz_inputs import campaign, damages
from hypothesis import strategies as st
from test_images_band_images import edges, image_set, images_of
from test_images_band_images import photons as band_photons

from clustermass.events.read import read_events
from clustermass.images.band_images import photons_of_images
from clustermass.images.exposure import exposure_at, read_exposure
from clustermass.io.netcdf import read_netcdf

WRITERS = {"esass": write_esass, "sixte_cal": write_sixte_calibrated, "sixte_evt": write_sixte_events}


@pytest.mark.parametrize("dialect", WRITERS)
@pytest.mark.parametrize("checksum", [False, True])
def test_event_lists(tmp_path, dialect, checksum):
    path = WRITERS[dialect](tmp_path / "events.fits", photons())
    if checksum:
        with fits.open(path) as hdus:
            hdus.writeto(path, overwrite=True, checksum=True)
    content, whole = path.read_bytes(), read_events(path)
    outcomes = []

    def case(damage):
        found = tried(path, damage.apply(content), read_events)
        outcomes.append(found is None)
        if found is not None:
            check_events(found)
            if checksum and damage.kind.startswith("flip"):
                for name, column in whole.columns().items():
                    np.testing.assert_array_equal(found.columns()[name], column)

    campaign(0.05, damages(), case)
    assert sum(outcomes) > 0.2 * len(outcomes) > 0


@pytest.mark.parametrize("dialect", WRITERS)
def test_event_lists_with_columns_swapped(tmp_path, dialect):
    path = WRITERS[dialect](tmp_path / "events.fits", photons())
    content = path.read_bytes()
    names = fits.getdata(path, 1).names

    def case(pair):
        with fits.open(tmp_path / "whole", mode="readonly") as hdus:
            header = hdus[1].header.copy()
            numbers = [names.index(name) + 1 for name in pair]
            for number, name in zip(numbers, reversed(pair), strict=True):
                header[f"TTYPE{number}"] = name
            old, new = hdus[1].header.tostring().encode(), header.tostring().encode()
        assert content.count(old) == 1
        found = tried(path, content.replace(old, new), read_events)
        if found is not None:
            check_events(found)

    (tmp_path / "whole").write_bytes(content)
    pairs = st.lists(st.sampled_from(names), min_size=2, max_size=2, unique=True)
    campaign(0.02, pairs, case)


def test_exposure_maps(tmp_path):
    path = image_set(tmp_path, band_photons(), [250, 2300])[0]
    data, header = fits.getdata(path, header=True)
    fits.PrimaryHDU(data.astype(np.float32) + 100, header).writeto(path, overwrite=True)
    content = path.read_bytes()

    def read(path):
        image, wcs = read_exposure(path)
        return image, exposure_at(image, wcs, np.array([136.0, 136.01]), np.array([60.0, 60.001]))

    def case(damage):
        found = tried(path, damage.apply(content), read)
        if found is not None:
            assert all(np.isfinite(values).all() and np.all(values >= 0) for values in found)
            assert found[0].any()

    campaign(0.1, damages(), case)


def test_band_images(tmp_path):
    path = image_set(tmp_path, band_photons(), edges())[3]
    paths = sorted(tmp_path.glob("b*.fits"))
    content, total = path.read_bytes(), len(photons_of_images(paths, edges()).events)

    def case(damage):
        found = tried(path, damage.apply(content), lambda path: photons_of_images(paths, edges()))
        if found is not None:
            check_events(found.events)
            # a flipped bit changes at most one pixel
            assert damage.kind not in ("cut", "delete") or len(found.events) == total

    campaign(0.1, damages(), case)


def test_images_of_the_pipeline(tmp_path):
    path = tmp_path / "work" / "images.nc"
    path.parent.mkdir()
    whole = images_of(tmp_path, image_set(tmp_path, band_photons(), edges()))
    shutil.copy(tmp_path / "images.nc", path)
    content = path.read_bytes()

    def case(damage):
        found = tried(path, damage.apply(content), lambda path: read_netcdf(path, ("counts", "redshift")))
        if found is not None and damage.kind != "double":
            # zlib keeps a checksum of every image
            np.testing.assert_array_equal(found["counts"].values, whole["counts"].values)

    campaign(0.08, damages(), case)
