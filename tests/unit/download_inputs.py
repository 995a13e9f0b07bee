"""Small files to download, a bound on the time that this may take, and what it leaves behind."""

import io
import time

import numpy as np
import pytest
from astropy.io import fits
from flawed_server import serving

from clustermass.io.download import download_files

CONTENT = np.random.default_rng(1).bytes(300_000)
#: bound on what any of these may take: tries x (time-out + pause), with room for a busy machine
BOUND_S = 10.0


@pytest.fixture(autouse=True)
def bounded(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    start = time.monotonic()
    yield
    assert time.monotonic() - start < BOUND_S


def table(rows, **header):
    """Bytes of a FITS file with a table."""
    hdu = fits.BinTableHDU.from_columns([fits.Column("ID_SRC", "J", array=np.arange(rows))], name="CATALOGUE")
    for key, value in header.items():
        hdu.header[key] = value
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(stream := io.BytesIO())
    return stream.getvalue()


def config(path, *urls, **entry):
    return {"files": {"it": {"urls": list(urls), "path": str(path), **entry}}, "tries": 4, "stall_s": 0.3, "pause_s": 0}


def download(path, site, **entry):
    """Serve `site` and download it to `path`."""
    with serving(site) as url:
        download_files(config(path, url, **entry))


def leftovers(folder):
    return sorted(path.name for path in folder.iterdir())
