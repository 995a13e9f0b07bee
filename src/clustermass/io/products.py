"""The files of a field, simulated or from a user: names of the files, columns of their tables, and writing of tables.

Units are spelt so that readers of FITS, of VOTables and of netCDF (udunits) know them. Degrees, for instance, are `deg`
in FITS and `degree` in netCDF. None of these readers knows the unit dex, so it is named only in the descriptions of
columns. Units and descriptions are those of `VARIABLES` (in `netcdf.py`), except where a name has another meaning in a
file.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits
from astropy.table import Table
from numpy.typing import ArrayLike, NDArray

from clustermass.io.fits import write_fits
from clustermass.io.netcdf import VARIABLES
from clustermass.io.provenance import history

CREATOR = "clustermass"
#: DET_LIKE and EXT_LIKE of clusters that no source detection found, but that are known: above every threshold
VOUCHED_LIKELIHOOD = 1.0e6
#: first part of the names EXPOSURE2, EXPOSURE3, ... of further images in `exposure.fits`
EXPOSURE_PLANE = "EXPOSURE"
#: degrees per unit of the integer columns RA and DEC of event lists, as in eSASS (0.004 arcsec)
ANGLE_STEP = 1e-6
#: units of `VARIABLES` that FITS spells in another way
_FITS_UNITS = {"1": None, "degree": "deg"}
#: unit that neither FITS nor VOTable defines, so that readers would warn; only the description states it
UNDEFINED = "dex"


class FieldFiles(NamedTuple):
    """Paths of the files of one realization; None for a file that isn't written.

    `truth`, `matches` and `labels` exist only for simulated fields.
    """

    events: Path
    exposure: Path
    catalogue: Path
    truth: Path | None = None
    matches: Path | None = None
    labels: Path | None = None


class Column(NamedTuple):
    """Column of a FITS table.

    The first five fields become its TTYPE, the letter of its TFORM, its TUNIT, its TCOMM and its TUCD. With the letter
    "A", the column holds text, and is as wide as the longest entry.
    """

    name: str
    format: str
    unit: str | None
    description: str
    ucd: str = ""
    #: a table may be written without the column
    optional: bool = False
    #: TSCAL: the column holds integers, whose values in the unit of the column are multiples of this number
    scale: float = 1.0


def column(name: str, form: str, description: str = "", unit: str | None = None, **further: Any) -> Column:
    """Return a column. Without `description`, unit and description are those of its lower-case name in `VARIABLES`."""
    if not description:
        unit, description = VARIABLES[name.lower()]
    return Column(name, form, _FITS_UNITS.get(unit, unit) if unit else None, description, **further)


EVENTS = (
    column("TIME", "D", "arrival time, mission time", "s"),
    column("RA", "J", "right ascension of the photon", "deg", scale=ANGLE_STEP),
    column("DEC", "J", "declination of the photon", "deg", scale=ANGLE_STEP),
    column("PI", "E", "energy of the photon", "eV"),
    column("TM_NR", "B", "telescope module, 1 to 7"),
    column("PAT_TYP", "I", "pattern: 1 single, 2 double, 3 triple, 4 quadruple"),
    column("FLAG", "J", "0: photons with other flags were left out"),
)
GTI = (
    column("START", "D", "begin of the good time interval, mission time", "s"),
    column("STOP", "D", "end of the good time interval, mission time", "s"),
)
_LX500 = "measured luminosity, 0.5-2 keV rest frame, inside R500 or 500 kpc; NaN = limit only"
CATALOGUE = (
    column("ID_SRC", "J"),
    column("RA", "D", "right ascension of the detection, ICRS", "deg"),
    column("DEC", "D", "declination of the detection, ICRS", "deg"),
    *(column(name, "E") for name in ("DET_LIKE", "EXT_LIKE", "EXT", "ML_RATE", "ML_CTS")),
    column("ML_EXP", "E", "vignetting-corrected exposure at the source", "s"),
    *(column(name, "E") for name in ("ML_BKG", "Z", "Z_ERR")),
    column("Z_TYPE", "A", "kind of redshift: spec, photo or none"),
    *(column(name, "E", optional=True) for name in ("LOGM500_REF", "LOGM500_REF_ERR")),
    column("LX500", "D", _LX500, "erg s-1", optional=True),
    column("F_CONT", "E", "chance to be no cluster; below 0 = confirmed by other means", optional=True),
    column("IN_AREA90", "I", "1 = in the inner 90 % of the field, evenly exposed; -1 = unknown", optional=True),
    column("NAME_CAT", "A", "name in the published catalogue, by which published masses are found", optional=True),
    column("ID_CAT", "A", optional=True),
    column("Z_ORIGIN", "A", "column of the user's table that Z was taken from", optional=True),
    column("EXPOSURE", "E", "exposure that counts in place of the map's; NaN = none is known", "s", optional=True),
    column("EXP_FROM", "A", optional=True),
    column("LAMBDA", "E", "richness measured by the optical follow-up; NaN = none", optional=True),
    column("NH", "E", "measured column density of hydrogen towards the cluster", "cm-2", optional=True),
)
TRUTH = (
    column("SRC_ID", "J", "number of the halo, and label of its photons"),
    column("HALO_ID", "K", "identity of the halo over all realizations"),
    column("RA", "D", "right ascension of the halo, ICRS", "deg"),
    column("DEC", "D", "declination of the halo, ICRS", "deg"),
    column("Z", "E", "redshift of the halo"),
    column("LOG10_M500C", "E", "log10(M500c / Msun)"),
    column("KT", "E", "temperature", "keV"),
    column("L500", "D", "luminosity inside R500c, 0.5-2 keV rest frame", "erg s-1"),
    column("LBOL500", "D", "luminosity inside R500c, 0.01-100 keV rest frame", "erg s-1", optional=True),
    column("MGAS500", "E", "gas mass inside R500c", "solMass", optional=True),
    column("CONCENTRATION", "E", "flux inside 40 kpc divided by flux inside 400 kpc", optional=True),
    column("CORE", "I", "0 = no cool core, 1 = moderate, 2 = strong (CONCENTRATION 0.075 and 0.155)", optional=True),
    column("FLUX", "E", "flux inside R500c, 0.5-2 keV observed, unabsorbed", "erg s-1 cm-2"),
    column("FLUX500KPC", "E", "flux inside 500 kpc, otherwise as FLUX", "erg s-1 cm-2", optional=True),
    column("R500_ARCMIN", "E", "R500c", "arcmin"),
    column("COUNTS", "J", "photons of the halo in the event list; -1 = unknown", "count"),
    column("LAMBDA", "E", "richness", optional=True),
    column("LAMBDA_OBS", "E", "richness as an optical survey measures it", optional=True),
)
PHI = (
    column("NAME", "A", "key of the sky that differs between universes; errors.<key> = ln(true / measured)"),
    column("VALUE", "D", "value in this universe"),
    column("MEAN", "D", "mean of the prior"),
    column("SD", "D", "standard deviation of the prior"),
    column("UNIFORM", "I", "1 = the prior is uniform, 0 = it is normal"),
)
MATCHES = (
    column("ID_SRC", "J"),
    column("SRC_ID", "J", "number of the halo that was detected"),
    column("SEPARATION", "E", "distance of the detection from the halo", "arcsec"),
    column("PURITY", "E", "share of the fitted counts that the halo's photons account for; NaN = unknown"),
)
SOURCES = (
    column("SRC_ID", "J", "label of the source's photons: above 0 a halo, below 0 an AGN"),
    column("RA", "D", "true right ascension of the source, ICRS", "deg"),
    column("DEC", "D", "true declination of the source, ICRS", "deg"),
    column("Z", "D", "redshift of the halo; NaN = AGN"),
    column("EXPECTED", "D", "expected counts on the whole sky, 0.2-2.3 keV", "count"),
)
LABELS = (column("SRC_ID", "J", "label of the source that the photon is from, row by row of the event list"),)
MOC = (column("UNIQ", "K", "HEALPix cell: 4 * 4^order + number of the cell in nested order"),)
MASS, MASS_ERROR, COUNTS = "phys.mass", "stat.error;phys.mass", "phot.count;em.X-ray"
_QUANTILES = {"Q16": "value", "Q50": "median", "Q84": "value"}
_ENDS = (("LO", "min"), ("HI", "max"))
#: the mass catalogue; optional: LOGM500_FLAT* for `observed.mass_prior: flat`, ID_CAT and NAME_CAT of the user's table,
#: LOGM500_ERR_SYS, LOGM500_ERR_PRIOR and LOGM500_MARG* for networks that are conditioned on the physics
MASSES = (
    column("ID_SRC", "J", ucd="meta.id;meta.main"),
    column("NAME", "A", ucd="meta.id"),
    column("RA", "D", ucd="pos.eq.ra;meta.main"),
    column("DEC", "D", ucd="pos.eq.dec;meta.main"),
    column("Z", "E", ucd="src.redshift"),
    column("Z_ERR", "E", ucd="stat.error;src.redshift"),
    column("LOGM500", "E", ucd=MASS),
    *(column(f"LOGM500_ERR{part}", "E", ucd=MASS_ERROR) for part in ("", "_ALEATORIC", "_EPISTEMIC", "_Z")),
    *(column(f"LOGM500_{end}", "E", ucd=f"{MASS};stat.{ucd}") for end, ucd in _QUANTILES.items()),
    *(column(f"LOGM500_CONF{one}_{end}", "E", ucd=f"{MASS};stat.{ucd}") for one in (68, 90, 95) for end, ucd in _ENDS),
    *(column(f"LOGM500_ERR_{part}", "E", ucd=MASS_ERROR, optional=True) for part in ("SYS", "PRIOR")),
    column("LOGM500_MARG", "E", ucd=MASS, optional=True),
    column("LOGM500_MARG_ERR", "E", ucd=MASS_ERROR, optional=True),
    column("LOGM500_FLAT", "E", ucd=MASS, optional=True),
    column("LOGM500_FLAT_ERR", "E", ucd=MASS_ERROR, optional=True),
    *(column(f"LOGM500_FLAT_{end}", "E", ucd=f"{MASS};stat.{ucd}", optional=True) for end, ucd in _QUANTILES.items()),
    column("M500", "E", ucd=MASS),
    *(column(f"M500_{end}", "E", ucd=f"{MASS};stat.value") for end in ("Q16", "Q84")),
    column("R500C", "E", ucd="phys.size.radius"),
    column("R500C_ARCMIN", "E", ucd="phys.angSize"),
    column("N_MEMBER", "I", ucd="meta.number"),
    column("DET_LIKE", "E", ucd="stat.likelihood"),
    column("EXT_LIKE", "E", ucd="stat.likelihood;phys.angSize"),
    column("ML_RATE", "E", ucd="arith.rate;phot.count"),
    column("ML_CTS", "E", ucd=COUNTS),
    column("EXT", "E", ucd="phys.angSize;em.X-ray"),
    column("N_PHOT", "J", ucd=COUNTS),
    column("EXPOSURE", "E", ucd="time.duration;obs.exposure"),
    column("EXP_FROM", "A", ucd="meta.note"),
    column("COVERED_FRACTION", "E", ucd="stat.value;obs.field"),
    column("NEIGHBOUR_SEP", "E", ucd="pos.angDistance"),
    column("NEIGHBOUR_CTS", "E", ucd=COUNTS),
    column("GOOD", "I", ucd="meta.code.qual"),
    *(column(f"FLAG_{flag}", "I", ucd="meta.code.qual") for flag in ("RANGE", "OOD", "EDGE", "NOZ", "NOCAT")),
    column("OOD_P", "E", ucd="stat.probability"),
    column("OOD_WHY", "A", ucd="meta.note"),
    column("LOGM500_REF", "E", ucd=MASS),
    column("LOGM500_REF_ERR", "E", ucd=MASS_ERROR),
    column("REALIZATION", "A", ucd="meta.id;obs.field"),
    *(column(name, "A", ucd="meta.id", optional=True) for name in ("ID_CAT", "NAME_CAT")),
)
#: members' Gaussians of each cluster's posterior, (cluster, member): images in FITS, variables in netCDF
MEMBERS = {
    "MEMBER_MU": ("dex", "mean of each network's Gaussian in the posterior of log10(M500c / Msun)"),
    "MEMBER_SIGMA": ("dex", "standard deviation of each network's Gaussian in this posterior, dex"),
}


def is_simulated(header: fits.Header) -> bool:
    """Return whether the card SIMULATE (SIMULATED in older files) of a header says that photons were simulated."""
    stated = header.get("SIMULATE", header.get("SIMULATED", False))
    if isinstance(stated, str):  # a text in the place of a logical value
        return stated.strip().upper() not in ("", "F", "FALSE", "N", "NO", "0")
    return isinstance(stated, int | float) and bool(stated)


def write_table(
    path: Path,
    name: str,
    columns: Sequence[Column],
    values: Mapping[str, NDArray[Any]] | Table,
    header: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
    checksum: bool = False,
    further: Sequence[fits.ImageHDU | fits.BinTableHDU] = (),
) -> None:
    """Write a FITS file of one table atomically: ``write_table(path, "GTI", GTI, {"START": start, "STOP": stop})``.

    - `name` is EXTNAME.
    - `values` maps the names of `columns` to arrays (rows,); arrays under other names aren't written. KeyError if
      `values` lacks a column that isn't optional.
    - `header` maps keywords of the table's header to a value or to (value, comment).
    - `provenance`, the result of `io.provenance.provenance`, becomes HISTORY of the primary header.
    - If `checksum`, CHECKSUM and DATASUM are added.
    - The HDUs `further` follow the table.
    """
    hdus = [primary_hdu(provenance), table_hdu(name, columns, values, header), *further]
    write_fits(fits.HDUList(hdus), path, checksum)


def primary_hdu(provenance: Mapping[str, Any] | None = None) -> fits.PrimaryHDU:
    """Return an empty primary HDU with the card CREATOR, and with everything in `provenance` as HISTORY."""
    hdu = fits.PrimaryHDU()
    hdu.header["CREATOR"] = CREATOR
    add_history(hdu, provenance)
    return hdu


def add_history(hdu: Any, provenance: Mapping[str, Any] | None) -> None:
    """Add everything in `provenance` to the header of `hdu` as HISTORY."""
    for name, text in history(provenance or {}):
        hdu.header.add_history(f"{name} = {text}")


def table_hdu(
    name: str,
    columns: Iterable[Column],
    values: Mapping[str, NDArray[Any]] | Table | None = None,
    header: Mapping[str, Any] | None = None,
) -> fits.BinTableHDU:
    """Return a binary table with TTYPE, TFORM, TUNIT, TSCAL, TCOMM and TUCD.

    The arguments are those of `write_table`. The table has no rows if there are no `values`. The values of columns with
    a scale must be whole numbers, such as ``np.rint(ra_deg / ANGLE_STEP)``.
    """
    given = set() if values is None else set(values.keys())
    written = [one for one in columns if one.name in given or not one.optional]
    made = []
    for one in written:
        array = np.zeros(0) if values is None else np.asarray(values[one.name])
        width = max(1, array.dtype.itemsize // (4 if array.dtype.kind == "U" else 1)) if one.format == "A" else ""
        unit = None if one.unit == UNDEFINED else one.unit
        made.append(fits.Column(one.name, f"{width}{one.format}", unit=unit, array=array))
    table = fits.BinTableHDU.from_columns(made, name=name)
    for number, one in enumerate(written, start=1):
        if one.scale != 1.0:  # set by hand: astropy can't write scaled columns of whole numbers
            table.header.set(f"TSCAL{number}", one.scale, after=f"TUNIT{number}")
            table.header.set(f"TZERO{number}", 0.0, after=f"TSCAL{number}")
        table.header[f"TCOMM{number}"] = one.description
        if one.ucd:
            table.header[f"TUCD{number}"] = one.ucd
    table.header.update({"CREATOR": CREATOR, **(header or {})})
    return table


def gti_hdu(module: int, intervals: ArrayLike) -> fits.BinTableHDU:
    """Return the table GTI<module> (GTI for module 0) with the good time intervals of a telescope module.

    `intervals` holds starts and ends in s, (interval, 2).
    """
    start, stop = np.asarray(intervals, dtype=float).reshape(-1, 2).T
    return table_hdu(f"GTI{module or ''}", GTI, {"START": start, "STOP": stop})


def write_exposure(
    path: Path,
    image_s: NDArray[np.float32],
    coordinates: Mapping[str, Any],
    header: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
    further: Sequence[tuple[NDArray[np.float32], Mapping[str, Any]]] = (),
) -> None:
    """Write `exposure.fits`: the vignetting-corrected exposure in s, float32 (y, x), as the primary image.

    `coordinates` holds the cards of the image's celestial coordinates, such as CTYPE1 and CRVAL1. `header` and
    `provenance` are as in `write_table`. `further` holds more images with their coordinates, which become the
    extensions EXPOSURE2, EXPOSURE3, and so on.
    """
    hdu = fits.PrimaryHDU(np.asarray(image_s, dtype=np.float32))
    hdu.header.update(coordinates)
    hdu.header.update({"BUNIT": ("s", "vignetting-corrected exposure"), "CREATOR": CREATOR, **(header or {})})
    add_history(hdu, provenance)
    extensions = [
        fits.ImageHDU(image, fits.Header(cards), name=f"{EXPOSURE_PLANE}{number}")
        for number, (image, cards) in enumerate(further, start=2)
    ]
    write_fits(fits.HDUList([hdu, *extensions]), path)
