"""The truth of a user's own simulation: haloes with their masses."""

from pathlib import Path

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from clustermass.catalogues.columns import Renamed, UserTable, find_columns
from clustermass.catalogues.redshifts import MAX_REDSHIFT
from clustermass.catalogues.tables import read_table
from clustermass.io.log import LOGGER
from clustermass.io.products import TRUTH

_QUANTITIES = {
    "SRC_ID": "number of the halo",
    "RA": "right ascension",
    "DEC": "declination",
    "Z": "redshift",
    "LOG10_M500C": "log10 of its mass in Msun, or M500C, the mass itself",
    "M500C": "mass in Msun",
}
_SYNONYMS = {name: (name,) for name in (*(column.name for column in TRUTH), "M500C") if name != "COUNTS"}
_OPTIONAL = ("KT", "L500", "FLUX", "R500_ARCMIN")
#: log10(M500c / Msun) outside this is no mass of a halo but one in other units
_MASS_RANGE = (9.0, 17.0)


def read_truth(path: Path, columns: Renamed | None, realization: str) -> Table:
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
        One row a halo in the order of the file, columns of `clustermass.io.products.TRUTH`; KT, L500, FLUX and
        R500_ARCMIN are NaN where the table lacks them.

    Raises
    ------
    InputError
        See `clustermass.catalogues.tables`; a redshift or mass that can't be one; or a HALO_ID in two rows.
    """
    table = find_columns(read_table(path), Path(path), _SYNONYMS, columns)
    mass = "LOG10_M500C" if "LOG10_M500C" in table or "M500C" not in table else "M500C"
    needed = {name: _QUANTITIES[name] for name in ("SRC_ID", "RA", "DEC", "Z", mass)}
    table.require(needed, "truth_columns")
    truth = Table()
    truth["SRC_ID"] = table.whole_numbers("SRC_ID").astype(np.int32)
    table.check(truth["SRC_ID"] > 0, truth["SRC_ID"], "SRC_ID", "no SRC_ID of a halo (above 0)")
    truth["HALO_ID"] = _halo_ids(table, truth["SRC_ID"], realization)
    truth["RA"], truth["DEC"] = table.positions()
    redshift = table.numbers("Z")
    table.check((redshift > 0) & (redshift <= MAX_REDSHIFT), redshift, "Z", "no redshift of a halo")
    truth["Z"] = redshift.astype(np.float32)
    truth["LOG10_M500C"] = _log10_mass(table, mass)
    for name in _OPTIONAL:
        if name not in table:
            LOGGER.warning("%s: no %s; it is NaN for every halo", path, name)
        values = table.numbers(name) if name in table else np.full(len(table), np.nan)
        # a luminosity in erg/s is too large for 32 bits
        truth[name] = values if name == "L500" else table.single(values, name)
    LOGGER.info("%s: %d haloes; mass from %s", path, len(truth), table.names[mass])
    return truth


def _halo_ids(table: UserTable, src_id: NDArray[np.int32], realization: str) -> NDArray[np.int64]:
    if "HALO_ID" not in table:
        return int(realization) * 2**32 + np.asarray(src_id, dtype=np.int64)
    values = table.numbers("HALO_ID")
    exact = (values == np.rint(values)) & (values >= 0) & (values < 2**53)
    table.check(exact, values, "HALO_ID", "no HALO_ID (whole number from 0 to 2^53)")
    _, first, row = np.unique(values, return_index=True, return_inverse=True)
    once = first[row] == np.arange(values.size)
    complaint = "the HALO_ID of an earlier row too; of one realization each row needs its own"
    table.check(once, values, "HALO_ID", complaint)
    return values.astype(np.int64)


def _log10_mass(table: UserTable, name: str) -> NDArray[np.float32]:
    values = table.numbers(name)
    with np.errstate(divide="ignore", invalid="ignore"):
        masses = np.log10(values) if name == "M500C" else values
    fits_in = (masses >= _MASS_RANGE[0]) & (masses <= _MASS_RANGE[1])
    unit = "M500c in Msun" if name == "M500C" else "log10(M500c / Msun)"
    table.check(fits_in, values, name, f"no {unit}; if it is the other of M500C and LOG10_M500C, name it so")
    return masses.astype(np.float32)
