"""The truth of a user's own simulation: haloes with known masses."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray

from clustermass.catalogues.columns import find_columns, require_columns
from clustermass.catalogues.redshifts import MAX_REDSHIFT
from clustermass.catalogues.tables import numbers, positions, read_table, single, whole_numbers
from clustermass.catalogues.user import Field, bintable, primary_hdu
from clustermass.datasets import write_fits
from clustermass.errors import InputError
from clustermass.progress import LOGGER

TRUTH_COLUMNS: dict[str, Field] = {
    "SRC_ID": Field("J", None, "number of the halo in the simulation's source list"),
    "HALO_ID": Field("K", None, "identity of the halo over all realizations"),
    "RA": Field("D", "deg", "right ascension, ICRS"),
    "DEC": Field("D", "deg", "declination, ICRS"),
    "Z": Field("E", None, "redshift"),
    "LOG10_M500C": Field("E", None, "log10(M500c / Msun)"),
    "KT": Field("E", "keV", "temperature"),
    "L500": Field("D", "erg/s", "luminosity inside R500, 0.5-2 keV rest frame"),
    "FLUX": Field("E", "erg/s/cm**2", "observed flux, 0.5-2 keV"),
    "R500_ARCMIN": Field("E", "arcmin", "R500c"),
    "COUNTS": Field("J", None, "photons in the event list, 0.2-2.3 keV; -1 = unknown"),
}
MATCH_COLUMNS: dict[str, Field] = {
    "ID_SRC": Field("J", None, "detection"),
    "SRC_ID": Field("J", None, "halo"),
    "SEPARATION": Field("E", "arcsec", "distance of the detection from the halo"),
    "PURITY": Field("E", None, "share of the fitted counts that the halo's photons can account for; NaN = unknown"),
}
_QUANTITIES = {
    "SRC_ID": "number of the halo",
    "RA": "right ascension",
    "DEC": "declination",
    "Z": "redshift",
    "LOG10_M500C": "log10 of its mass in Msun, or M500C, the mass itself",
    "M500C": "mass in Msun",
}
_SYNONYMS = {name: (name,) for name in (*TRUTH_COLUMNS, "M500C") if name != "COUNTS"}
_OPTIONAL = ("KT", "L500", "FLUX", "R500_ARCMIN")
#: log10(M500c / Msun) outside this is no mass of a halo but one in other units
_MASS_RANGE = (9.0, 17.0)


def read_truth(path: Path, columns: Mapping[str, str] | None, realization: str) -> Table:
    """Read a user's table of simulated haloes and return it under the names of `truth.fits`, but for COUNTS.

    Parameters
    ----------
    path
        FITS, CSV or ECSV file with at least SRC_ID, RA, DEC, Z and one of LOG10_M500C and M500C.
    columns
        Our name -> the table's name, where they differ.
    realization
        Label such as "01". Without a column HALO_ID every realization is taken to have haloes of its own.

    Returns
    -------
    Table
        One row a halo in the order of the file, columns of `TRUTH_COLUMNS`; KT, L500, FLUX, R500_ARCMIN NaN where the
        table lacks them.

    Raises
    ------
    InputError
        See `clustermass.catalogues.tables`; a redshift or mass that can't be one; or a HALO_ID in two rows.
    """
    path = Path(path)
    table = read_table(path)
    found = find_columns(table, path, _SYNONYMS, columns or {})
    mass = "LOG10_M500C" if "LOG10_M500C" in found or "M500C" not in found else "M500C"
    needed = {name: _QUANTITIES[name] for name in ("SRC_ID", "RA", "DEC", "Z", mass)}
    require_columns(table, path, found, needed, "truth_columns")
    truth = Table()
    truth["SRC_ID"] = whole_numbers(table, path, found["SRC_ID"]).astype(np.int32)
    _check(truth["SRC_ID"] > 0, truth["SRC_ID"], path, found["SRC_ID"], "no SRC_ID of a halo (above 0)")
    truth["HALO_ID"] = _halo_ids(table, path, found.get("HALO_ID"), truth["SRC_ID"], realization)
    truth["RA"], truth["DEC"] = positions(table, path, found["RA"], found["DEC"])
    redshift = numbers(table, path, found["Z"])
    _check((redshift > 0) & (redshift <= MAX_REDSHIFT), redshift, path, found["Z"], "no redshift of a halo")
    truth["Z"] = redshift.astype(np.float32)
    truth["LOG10_M500C"] = _log10_mass(numbers(table, path, found[mass]), path, found[mass], mass)
    for name in _OPTIONAL:
        if name not in found:
            LOGGER.warning("%s: no %s; it is NaN for every halo", path, name)
        values = numbers(table, path, found[name]) if name in found else np.full(len(table), np.nan)
        # a luminosity in erg/s is too large for 32 bits
        truth[name] = values if name == "L500" else single(values, path, found.get(name, name))
    LOGGER.info("%s: %d haloes; mass from %s", path, len(truth), found[mass])
    return truth


def _halo_ids(
    table: Table, path: Path, column: str | None, src_id: NDArray[np.int32], realization: str
) -> NDArray[np.int64]:
    if column is None:
        return int(realization) * 2**32 + np.asarray(src_id, dtype=np.int64)
    values = numbers(table, path, column)
    exact = (values == np.rint(values)) & (values >= 0) & (values < 2**53)
    _check(exact, values, path, column, "no HALO_ID (whole number from 0 to 2^53)")
    _, first, row = np.unique(values, return_index=True, return_inverse=True)
    once = first[row] == np.arange(values.size)
    _check(once, values, path, column, "the HALO_ID of an earlier row too; of one realization each row needs its own")
    return values.astype(np.int64)


def _log10_mass(values: NDArray[np.float64], path: Path, column: str, kind: str) -> NDArray[np.float32]:
    with np.errstate(divide="ignore", invalid="ignore"):
        masses = np.log10(values) if kind == "M500C" else values
    fits_in = (masses >= _MASS_RANGE[0]) & (masses <= _MASS_RANGE[1])
    unit = "M500c in Msun" if kind == "M500C" else "log10(M500c / Msun)"
    _check(fits_in, values, path, column, f"no {unit}; if it is the other of M500C and LOG10_M500C, name it so")
    return masses.astype(np.float32)


def _check(good: NDArray[np.bool_], values: NDArray[np.generic], path: Path, column: str, complaint: str) -> None:
    bad = np.flatnonzero(~np.asarray(good))
    if bad.size:
        raise InputError(f"{path}: column {column}, row {bad[0] + 1}: {values[bad[0]]:g} is {complaint}.")


def write_truth(truth: Table, path: Path, provenance: Mapping[str, Any] | None = None) -> None:
    """Write `truth.fits`: bintable TRUTH with the columns of `TRUTH_COLUMNS`."""
    write_fits(fits.HDUList([primary_hdu(provenance), bintable("TRUTH", truth, TRUTH_COLUMNS)]), path)


def write_matches(matches: Table, path: Path, provenance: Mapping[str, Any] | None = None) -> None:
    """Write `matches.fits`: bintable MATCHES with the columns of `MATCH_COLUMNS`."""
    write_fits(fits.HDUList([primary_hdu(provenance), bintable("MATCHES", matches, MATCH_COLUMNS)]), path)
