"""Images of somebody else: counts, pixels and coordinates are looked at before memory is taken for them."""

import ctypes
import gzip
import resource
import subprocess
from functools import partial

import numpy as np
import pytest
from astropy.io import fits
from confined import outcome, refused

from clustermass.errors import InputError
from clustermass.images.band_images import photons_of_images
from clustermass.images.exposure import read_exposure
from clustermass.io import fpack

SIDE = 1024
EDGES = (250, 455)
#: of Linux: an operation of prctl, and the right to raise limits
PR_CAPBSET_DROP, CAP_SYS_RESOURCE = 24, 24


def image(values, hdu=None, **cards):
    hdu = hdu or fits.PrimaryHDU(values)
    rows, columns = values.shape
    hdu.header.update({"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CRVAL1": 133.0, "CRVAL2": 1.0})
    hdu.header.update({"CRPIX1": columns / 2, "CRPIX2": rows / 2, "CDELT1": -4 / 3600, "CDELT2": 4 / 3600})
    hdu.header.update({"EMIN1": 0.25, "EMAX1": 0.455, **cards})
    return hdu


def total(path):
    return len(photons_of_images([path], EDGES).events)


def test_more_photons_than_fit_into_memory_are_refused(tmp_path):
    path = tmp_path / "a.fits"
    image(np.full((SIDE, SIDE), 65535, np.uint16)).writeto(path)
    path.write_bytes(gzip.compress(path.read_bytes()))
    refused(r"a\.fits: more than 1000000000 counts", total, path)
    path.unlink()
    image(np.full((SIDE, SIDE), 100, np.uint16)).writeto(path)
    refused(r"a\.fits: needs 10\.5 GB of memory", total, path)
    path.unlink()
    image(np.ones((SIDE, SIDE), np.uint16)).writeto(path)
    assert outcome(total, path) == f"result {SIDE**2}"


def test_more_pixels_than_fit_into_memory_are_refused(tmp_path):
    path = tmp_path / "a.fits"
    image(np.ones((4000, 4000), np.uint8)).writeto(path)
    refused(r"a\.fits: needs 0\.512 GB of memory", total, path, memory=400_000_000)
    refused(r"a\.fits: needs 0\.384 GB of memory", read_exposure, path, memory=300_000_000)


@pytest.mark.parametrize("card", ["WCSAXES", "WCSAXESB", "A_ORDER", "BP_ORDER"])
def test_coordinates_of_invented_size_are_refused(tmp_path, card):
    path = tmp_path / "a.fits"
    cards = {card: 100_000} | ({"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP"} if "ORDER" in card else {})
    image(np.ones((50, 50), np.uint8), **cards, **({"B_ORDER": 100_000} if card == "A_ORDER" else {})).writeto(path)
    what = "orders of a polynomial" if "ORDER" in card else "axes"
    refused(rf"a\.fits: {card}: more than 9 {what} ", total, path)
    refused(rf"a\.fits: {card}: more than 9 {what} ", read_exposure, path)


@pytest.mark.parametrize("card", ["CRPIX1", "CRVAL2", "CDELT1", "CD1_1", "PV2_1"])
def test_a_word_in_the_place_of_a_number_of_the_coordinates_is_refused(tmp_path, card):
    path = tmp_path / "a.fits"
    image(np.full((50, 50), 1000.0), **{card: "x"}).writeto(path)
    refused(rf"a\.fits: its card {card} holds no number", read_exposure, path)
    refused(rf"a\.fits: its card {card} holds no number", total, path)


def test_distorted_coordinates_are_refused(tmp_path):
    path = tmp_path / "a.fits"
    sip = {"CTYPE1": "RA---SIN-SIP", "CTYPE2": "DEC--SIN-SIP", "A_ORDER": 2, "B_ORDER": 2, "A_2_0": 0.01}
    image(np.full((50, 50), 1000.0), **sip).writeto(path)
    refused(r"a\.fits: its coordinates are distorted", read_exposure, path)


@pytest.mark.parametrize("unit", ["mag(s)", "dex(s)"])
def test_a_map_of_logarithms_is_refused(tmp_path, unit):
    path = tmp_path / "a.fits"
    image(np.full((50, 50), 1000.0), BUNIT=unit).writeto(path)
    refused(rf"a\.fits: is in {unit[:3]}.* but an exposure map holds seconds", read_exposure, path)


def test_a_power_in_the_unit_of_a_map_is_refused(tmp_path):
    path = tmp_path / "a.fits"
    image(np.full((50, 50), 1000.0), BUNIT="10**999999999 s").writeto(path)
    refused(r"a\.fits: the unit .* holds an impossible power", read_exposure, path)


def compressed(values, kind, **tile):
    hdu = fits.CompImageHDU(values, compression_type=kind, **tile)
    return fits.HDUList([fits.PrimaryHDU(), image(values, hdu)])


@pytest.mark.parametrize(
    ("kind", "card", "value", "message"),
    [
        ("HCOMPRESS_1", "ZTILE2", 7, "the compression HCOMPRESS_1"),
        ("RICE_1", "ZVAL2", -1, "ZVAL2 is -1"),
        ("RICE_1", "ZDITHER0", -5, "ZDITHER0 is -5"),
    ],
)
def test_compressions_that_leave_their_memory_are_refused(tmp_path, kind, card, value, message):
    compressed(np.full((100, 100), 1000, np.int16), kind).writeto(tmp_path / "packed.fits")
    with fits.open(tmp_path / "packed.fits", disable_image_compression=True) as hdus:
        hdus[1].header[card] = value
        hdus.writeto(tmp_path / "map.fits", output_verify="ignore")
    refused(message, read_exposure, tmp_path / "map.fits")


def test_an_image_compressed_by_fpack_is_read_under_a_lower_limit_of_time(tmp_path, monkeypatch):
    """As in a batch job: the hard limit is below that of the child, which may not raise it, not even as root."""
    compressed(np.ones((50, 60), np.int16), "RICE_1").writeto(tmp_path / "map.fits")
    monkeypatch.setattr(fpack.subprocess, "run", partial(subprocess.run, preexec_fn=limited))
    assert total(tmp_path / "map.fits") == 3000


def limited():
    resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_SYS_RESOURCE)


def test_a_crash_of_the_decompression_is_an_error_of_its_file(tmp_path, monkeypatch):
    crash = tmp_path / "crash.py"
    crash.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    monkeypatch.setattr(fpack, "_CHILD", crash)
    compressed(np.ones((50, 60), np.int16), "RICE_1").writeto(tmp_path / "map.fits")
    with pytest.raises(InputError, match=r"map\.fits: truncated or damaged FITS file \(unpacking ends with -11"):
        read_exposure(tmp_path / "map.fits")


@pytest.mark.parametrize("kind", ["RICE_1", "GZIP_1"])
def test_an_image_compressed_by_fpack_is_read(tmp_path, kind):
    path = tmp_path / "a.fits"
    compressed(np.ones((200, 300), np.int16), kind).writeto(path)
    assert outcome(total, path) == "result 60000"


def test_a_tile_that_could_hold_gigabytes_is_refused(tmp_path):
    path = tmp_path / "a.fits"
    noise = np.random.default_rng(1).integers(0, 30000, (1000, 1500)).astype(np.int16)
    compressed(noise, "GZIP_1", tile_shape=(1000, 1500)).writeto(path)
    refused(r"a\.fits: more than 1000000 bytes in a tile", total, path)
