"""The smaller files of a realization as FITS: exposure map, catalogue, truth and matches."""

from collections.abc import Mapping
from typing import Any

from astropy.io import fits
from numpy.typing import NDArray

from clustermass.simulate.field import ExposureMap

#: name, FITS format, unit, meaning
Column = tuple[str, str, str, str]

CATALOGUE: tuple[Column, ...] = (
    ("ID_SRC", "J", "", "number of the detection"),
    ("RA", "D", "deg", "fitted position, ICRS"),
    ("DEC", "D", "deg", "fitted position, ICRS"),
    ("DET_LIKE", "E", "", "detection likelihood"),
    ("EXT_LIKE", "E", "", "extent likelihood"),
    ("EXT", "E", "arcsec", "core radius of the beta model"),
    ("ML_RATE", "E", "ct/s", "fitted count rate, 0.2-2.3 keV"),
    ("ML_CTS", "E", "ct", "fitted counts, 0.2-2.3 keV"),
    ("ML_EXP", "E", "s", "vignetting-corrected exposure"),
    ("ML_BKG", "E", "ct/arcmin2", "background, 0.2-2.3 keV"),
    ("Z", "E", "", "redshift; NaN = none"),
    ("Z_ERR", "E", "", "standard error of Z; 0 = spectroscopic"),
    ("Z_TYPE", "5A", "", "spec, photo or none"),
)
TRUTH: tuple[Column, ...] = (
    ("SRC_ID", "J", "", "truth label of the halo's photons"),
    ("HALO_ID", "K", "", "unique over realizations"),
    ("RA", "D", "deg", "position, ICRS"),
    ("DEC", "D", "deg", "position, ICRS"),
    ("Z", "E", "", "redshift"),
    ("LOG10_M500C", "E", "", "log10(M500c / Msun)"),
    ("KT", "E", "keV", "temperature"),
    ("L500", "D", "erg/s", "inside R500c, 0.5-2 keV rest frame"),
    ("FLUX", "E", "erg/s/cm2", "inside R500c, 0.5-2 keV, unabsorbed"),
    ("R500_ARCMIN", "E", "arcmin", "R500c"),
    ("COUNTS", "J", "ct", "photons in the event list"),
)
MATCHES: tuple[Column, ...] = (
    ("ID_SRC", "J", "", "number of the detection"),
    ("SRC_ID", "J", "", "halo that it is"),
    ("SEPARATION", "E", "arcsec", "detection to halo"),
    ("PURITY", "E", "", "share of counts from the halo"),
)
SOURCES: tuple[Column, ...] = (
    ("SRC_ID", "J", "", "> 0 halo, < 0 AGN"),
    ("RA", "D", "deg", "position, ICRS"),
    ("DEC", "D", "deg", "position, ICRS"),
    ("Z", "D", "", "redshift; NaN = AGN"),
    ("EXPECTED", "D", "ct", "expected counts, 0.2-2.3 keV"),
)
LABELS: tuple[Column, ...] = (("SRC_ID", "J", "", "> 0 halo, < 0 AGN, 0 background"),)


def table_hdus(
    name: str, columns: tuple[Column, ...], values: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]
) -> fits.HDUList:
    """Return a FITS table `name` with `columns` filled from `values`, and `facts` in its header."""
    table = fits.BinTableHDU.from_columns(
        [fits.Column(column, form, unit=unit or None, array=values[column]) for column, form, unit, _ in columns],
        name=name,
    )
    for number, (column, _, _, meaning) in enumerate(columns, start=1):
        table.header.set(f"TTYPE{number}", column, meaning)
    for key, value in {"CREATOR": "clustermass", **facts}.items():
        table.header[key] = value
    return fits.HDUList([fits.PrimaryHDU(), table])


def exposure_hdus(exposure: ExposureMap, facts: Mapping[str, Any]) -> fits.HDUList:
    """Return the exposure map as a primary image in s with a celestial SIN projection about the field's centre."""
    image = fits.PrimaryHDU(exposure.image_s)
    rows, columns = exposure.image_s.shape
    header: dict[str, Any] = {
        "BUNIT": "s",
        "CTYPE1": "RA---SIN",
        "CTYPE2": "DEC--SIN",
        "CRPIX1": columns / 2 + 0.5,
        "CRPIX2": rows / 2 + 0.5,
        "CRVAL1": exposure.field.ra_deg,
        "CRVAL2": exposure.field.dec_deg,
        "CDELT1": -exposure.pixel_deg,
        "CDELT2": exposure.pixel_deg,
        "CUNIT1": "deg",
        "CUNIT2": "deg",
        "RADESYS": "ICRS",
        "CREATOR": "clustermass",
        **facts,
    }
    for key, value in header.items():
        image.header[key] = value
    return fits.HDUList([image])
