"""FITS files of the pipeline."""

from pathlib import Path

from astropy.io import fits

from clustermass.io.files import atomic


def write_fits(hdus: fits.HDUList, path: str | Path) -> None:
    """Write an HDU list atomically, with CHECKSUM-free, clock-free headers (the same content gives the same bytes)."""
    with atomic(path) as temporary:
        hdus.writeto(temporary, overwrite=True, output_verify="exception")
