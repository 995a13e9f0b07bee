"""The published catalogue of simulated clusters: read, checked row by row, and converted to our units."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.catalogues.columns import UserTable, find_columns
from clustermass.catalogues.tables import nearest, read_table
from clustermass.cosmology import arcmin_per_mpc, r500c_mpc
from clustermass.errors import InputError
from clustermass.io.log import LOGGER

#: columns that training and comparison need
NEEDED = (
    *("SRC_ID_IN", "RA", "DEC", "z", "M500c", "EXT", "EXT_LIKE", "DET_LIKE"),
    *("ML_RATE", "ML_BKG", "ML_EXP", "Nreal"),
)
OPTIONAL = ("ID_SRC_OUT", "input_SRC_ID", "pid", "kT", "Lx_soft", "Fx_soft", "R500c_arcmin")
_POSITIVE = ("z", "ML_RATE", "ML_EXP")
_NOT_NEGATIVE = ("EXT", "EXT_LIKE", "DET_LIKE", "ML_BKG")
_WHOLE = ("SRC_ID_IN", "Nreal")
#: log10(M500c / Msun) outside this is not the mass of a group or cluster, but in other units
_MASS_RANGE = (12.0, 16.5)
#: M500c and R500c_arcmin may differ by this: half of what a forgotten h makes
_AGREE_DEX = 0.085
#: config value `mass_unit` -> power of h by which the column is divided
MASS_UNITS = {"Msun": 0, "Msun/h": 1}
#: luminosities as log10(erg/s) and as erg/s don't overlap
_LOG10_L = (38.0, 48.0)


def read_published_catalogue(
    path: Path, realizations: int, mass_unit: str, cosmology: Mapping[str, float]
) -> dict[str, NDArray[Any]]:
    """Return the columns of the catalogue, which has one row a cluster.

    Parameters
    ----------
    path
        The published `.fits` (or the same table as .csv or .ecsv).
    realizations
        Number of realizations; every one from 1 to this must occur in Nreal, and no other.
    mass_unit
        Unit of M500c, a key of `MASS_UNITS`; checked against R500c_arcmin where the table has it.
    cosmology
        Of the simulation: `h0_km_s_mpc`, `omega_m`.

    Returns
    -------
    dict
        Arrays (clusters,) in the order of the file by the catalogue's own names: `NEEDED` and those of `OPTIONAL` that
        it has, as float64, but `SRC_ID_IN` and `Nreal` int64; also `log10_m500c` in log10(Msun), `l500` in erg/s (NaN
        = unknown) and `halo_id` (int64), the same for all rows of one halo, also of other realizations.

    Raises
    ------
    InputError
        The file is missing, faulty, a feather file or lacks a column; a cell has an impossible value (file, column
        and row are named); realizations are missing; or the masses are in the other unit.
    """
    path = Path(path)
    if path.suffix.lower() in (".f", ".feather"):
        raise InputError(
            f"{path}: is a feather file, which isn't read here. Download the same catalogue with the ending .fits, or "
            "convert it (docs/published.md)."
        )
    table = find_columns(read_table(path), path, {name: (name,) for name in (*NEEDED, *OPTIONAL)})
    columns = _columns(table)
    _check_numbers(columns, table)
    _check_realizations(columns["Nreal"], realizations, table)
    columns["log10_m500c"] = _log10_mass(columns, table, mass_unit, cosmology)
    columns["l500"] = _luminosity(columns, path)
    columns["halo_id"] = _halo_id(columns)
    LOGGER.info(
        "%s: %d clusters of %d haloes in %d realizations",
        path, len(table), np.unique(columns["halo_id"]).size, realizations,
    )  # fmt: skip
    return columns


def _columns(table: UserTable) -> dict[str, NDArray[Any]]:
    missing = [name for name in NEEDED if name not in table]
    if missing:
        raise InputError(
            f"{table.path}: has no column {missing[0]} ({len(missing)} of {len(NEEDED)} are missing: "
            f"{', '.join(missing)}).{nearest(missing[0], table.table.colnames)} Is this the published catalogue?"
        )
    columns: dict[str, NDArray[Any]] = {name: table.numbers(name) for name in table.names}
    columns["RA"], columns["DEC"] = table.positions()
    return columns


def _check_numbers(columns: dict[str, NDArray[Any]], table: UserTable) -> None:
    for name in _WHOLE:
        values = columns[name]
        table.check((values == np.rint(values)) & (np.abs(values) < 2**31), values, name, "no whole number")
        columns[name] = values.astype(np.int64)
    for name in (*_POSITIVE, *_NOT_NEGATIVE):
        values, positive = columns[name], name in _POSITIVE
        good = np.isfinite(values) & (values > 0 if positive else values >= 0)
        table.check(good, values, name, "not above 0" if positive else "negative")


def _check_realizations(number: NDArray[np.int64], realizations: int, table: UserTable) -> None:
    complaint = f"no realization from 1 to {realizations}, as skies.<name>.realizations has it"
    table.check((number >= 1) & (number <= realizations), number, "Nreal", complaint)
    missing = sorted(set(range(1, realizations + 1)) - set(number.tolist()))
    if missing:
        raise InputError(
            f"{table.path}: column Nreal has no row of realization {missing[0]} ({len(missing)} of {realizations} are "
            f"missing). Set skies.<name>.realizations to what the file holds, {int(number.max())} at most."
        )


def _log10_mass(
    columns: Mapping[str, FloatArray], table: UserTable, mass_unit: str, cosmology: Mapping[str, float]
) -> FloatArray:
    """Return log10(M500c / Msun); InputError if R500c_arcmin shows that M500c is in the other unit."""
    path, mass, h = table.path, columns["M500c"], cosmology["h0_km_s_mpc"] / 100
    with np.errstate(divide="ignore", invalid="ignore"):
        log10_mass = np.log10(mass) - MASS_UNITS[mass_unit] * np.log10(h)
    low, high = _MASS_RANGE
    complaint = f"no mass of a cluster in {mass_unit} (10^{low:g} to 10^{high:g} Msun)"
    table.check((log10_mass >= low) & (log10_mass <= high), mass, "M500c", complaint)
    if "R500c_arcmin" not in columns:
        LOGGER.warning("%s: no R500c_arcmin; that M500c is in %s can't be checked", path, mass_unit)
        return np.asarray(log10_mass)
    redshift, radius = columns["z"], columns["R500c_arcmin"]
    table.check(radius > 0, radius, "R500c_arcmin", "not above 0")
    expected = r500c_mpc(log10_mass, redshift, cosmology) * arcmin_per_mpc(redshift, cosmology)
    offset = float(np.median(3 * np.log10(radius / expected)))
    (other,) = set(MASS_UNITS) - {mass_unit}
    if abs(offset + (MASS_UNITS[other] - MASS_UNITS[mass_unit]) * np.log10(h)) < _AGREE_DEX <= abs(offset):
        raise InputError(
            f"{path}: M500c as {mass_unit} is {-offset:+.3f} dex above what R500c_arcmin implies (median), but as "
            f"{other} it agrees. Set skies.<name>.mass_unit: {other}"
        )
    say = LOGGER.info if abs(offset) < _AGREE_DEX else LOGGER.warning
    say("%s: M500c in %s is %+.3f dex above what R500c_arcmin implies (median)", path, mass_unit, -offset)
    return np.asarray(log10_mass)


def _luminosity(columns: Mapping[str, NDArray[Any]], path: Path) -> FloatArray:
    """Return Lx_soft in erg/s, which the file may hold as log10; all NaN if it is neither."""
    unknown = np.full(columns["z"].size, np.nan)
    if "Lx_soft" not in columns:
        LOGGER.warning("%s: no Lx_soft; baselines by luminosity will be left out", path)
        return unknown
    given, (low, high) = columns["Lx_soft"], _LOG10_L
    if ((given > low) & (given < high)).all():
        return np.asarray(10**given)
    if ((given > 10**low) & (given < 10**high)).all():
        return given
    LOGGER.warning("%s: Lx_soft is no luminosity in erg/s nor its log10; baselines by it will be left out", path)
    return unknown


def _halo_id(columns: Mapping[str, NDArray[Any]]) -> NDArray[np.int64]:
    """Return a number for each halo: rows of equal mass and redshift, to the last digit, are the same halo."""
    both = np.stack([columns["M500c"], columns["z"]], axis=1)
    return np.unique(both, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
