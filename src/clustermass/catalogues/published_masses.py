"""Reading of published masses from several kinds of tables, as log10(M500c / Msun) with errors in dex."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.io import ascii as ascii_tables
from astropy.table import Table
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.catalogues.surveys import read_survey_table
from clustermass.catalogues.tables import Renamed, find_columns, find_rows, warn_of_rows
from clustermass.cosmology import PUBLISHED_RELATIONS
from clustermass.errors import InputError
from clustermass.io.fits import UNREADABLE
from clustermass.io.log import LOGGER
from clustermass.io.room import check_memory

#: h of the cosmology in which Chiu et al. (2022, 2023) give masses in Msun/h
H = PUBLISHED_RELATIONS["h0_km_s_mpc"] / 100
#: a log10(M500c / Msun) outside this range isn't a cluster's mass, but a number in another unit
_MASS_RANGE = (11.0, 16.5)
#: columns of tablec1.dat (CDS: J/A+A/661/A11) that are read -> their first and last byte, from 0, as its ReadMe says
_TABLEC1 = {"Name": (0, 15), "logM500R0.5B": (45, 50), "e_logM500R0.5B": (52, 56)}


class Published(NamedTuple):
    """Published masses. The arrays have the shape (rows,), and NaN stands for values that aren't given."""

    key: str  #: column of `catalogue.fits` that identifies clusters: `ID_SRC` or `NAME_CAT`
    ids: NDArray[np.str_]  #: the user's ids, or names without the survey's acronym, such as "J083811.9-015935"
    mass: FloatArray  #: log10(M500c / Msun), no h
    low: FloatArray  #: error downwards in dex, positive
    high: FloatArray  #: error upwards in dex, positive


def read_published(path: Path, kind: str, columns: Renamed | None = None) -> Published:
    """Return the masses in a table of published masses of the given `kind`, one of `KINDS`.

    The file must be readable by `read_table`, or be `tablec1.dat` of Chiu et al. (2022). For the kind `table`,
    `columns` maps our column names to the user's. InputError if the columns aren't those of this kind, if a cell is
    bad, if a cluster has two rows, or if a mass is so small or large that it must be in another unit.
    """
    if kind not in KINDS:
        raise InputError(f"published masses: kind is {kind!r}, but must be one of: {', '.join(KINDS)}.")
    path = Path(path)
    paper, number_published, unit, read = KINDS[kind]
    published = read(path, columns or {})
    outside = np.isfinite(published.mass) & ((published.mass < _MASS_RANGE[0]) | (published.mass > _MASS_RANGE[1]))
    if outside.any():
        row = int(np.argmax(outside))
        raise InputError(
            f"{path}: row {row + 1} would have log10(M500c / Msun) = {published.mass[row]:.2f}, no mass of a cluster. "
            f"Is the table of kind {kind}, with masses as {unit}?"
        )
    ids, number = np.unique(published.ids, return_counts=True)
    if (number > 1).any():
        raise InputError(f"{path}: {ids[number > 1][0]} is in more than one row. Keep one of them.")
    LOGGER.info("%s: masses of %s (%s), %d rows", path, paper, unit, published.mass.size)
    if number_published is not None and published.mass.size != number_published:
        text = "%s: %d rows, but %s has %d. Was it cut short? VizieR gives 50 rows by default."
        LOGGER.warning(text, path, published.mass.size, paper, number_published)
    warn_of_rows(path, ~np.isfinite(published.mass), "without a mass")
    return published


def look_up(published: Published, ids: NDArray[Any], name: NDArray[np.str_] | None) -> NDArray[np.int64]:
    """Return each cluster's row in a table of published masses, or -1 if the cluster isn't in the table, (cluster,).

    `published.key` says whether clusters are identified by `ids` or by `name`. InputError if names are needed but the
    catalogue has none (`name` is None), or if no cluster is found.
    """
    if published.key == "NAME_CAT" and name is None:
        raise InputError(
            "the published masses go by the clusters' names, which the field's catalogue lacks. Name the table that "
            "has them (eFEDS: Klein et al. 2022) as catalogue or under joined_catalogues, or their column as "
            "catalogue_columns: {NAME_CAT: <your column>}."
        )
    wanted = ids.astype(str).tolist() if name is None or published.key == "ID_SRC" else short_names(name.tolist())
    rows = find_rows(wanted, published.ids.tolist())
    if not (rows >= 0).any():
        raise InputError(
            f"none of the {rows.size} clusters is in the table of published masses (by {published.key}: "
            f"{wanted[0]!r} here, {published.ids[0]!r} there). Are both of one survey?"
        )
    return rows


def short_names(names: list[str]) -> list[str]:
    """Return names without the acronym of the survey: "eFEDS J083811.9-015935" -> "J083811.9-015935"."""
    return [name.split()[-1] if name.split() else "" for name in names]


def _chiu2023(path: Path, _: Renamed) -> Published:
    names, (log_mass, low, high) = _read(path, "median_500c_lcdm", "m500c_lcdm_loerr", "m500c_lcdm_hierr")
    # the mass is a logarithm, its errors are not
    below, above = low / 10**log_mass, high / 10**log_mass
    below = np.where((below >= 0) & (below < 1), below, np.nan)
    return Published("NAME_CAT", names, log_mass - np.log10(H), -np.log10(1 - below), np.log10(1 + above))


def _chiu2022(path: Path, _: Renamed) -> Published:
    names, (log_mass, error) = _read(path, "logM500R0.5B", "e_logM500R0.5B")
    return Published("NAME_CAT", names, log_mass - np.log10(H), error, error)


def _bulbul2024(path: Path, _: Renamed) -> Published:
    names, (mass, low, high) = _read(path, "M500", "M500_L", "M500_H")
    if ((low > mass) | (high < mass))[np.isfinite(mass + low + high)].any():
        raise InputError(
            f"{path}: M500_L and M500_H don't enclose M500 in every row, as the bounds of its interval would. Convert "
            "them, and give the table as kind: table."
        )
    return Published("NAME_CAT", names, np.log10(mass) + 13, np.log10(mass / low), np.log10(high / mass))


def _user(path: Path, columns: Renamed) -> Published:
    usual = {name: (name,) for name in ("NAME_CAT", "ID_SRC", "LOGM500_REF", "LOGM500_REF_ERR")}
    table = find_columns(read_survey_table(path), path, usual, columns)
    key = "NAME_CAT" if "NAME_CAT" in table else "ID_SRC"
    needed = {key: "number of the cluster, or NAME_CAT, its name", "LOGM500_REF": "log10(M500c / Msun)"}
    table.require(needed, "columns")
    log_mass = table.numbers("LOGM500_REF")
    error = table.numbers("LOGM500_REF_ERR") if "LOGM500_REF_ERR" in table else np.full(log_mass.size, np.nan)
    ids = table.ids(key) if key == "ID_SRC" else short_names(table.texts(key))
    return Published(key, np.array(ids, dtype=str), log_mass, error, error)


class Kind(NamedTuple):
    """A kind of table: its paper, its number of rows in the paper (None = any), its unit of masses, and its reader."""

    paper: str
    rows: int | None
    unit: str
    read: Callable[[Path, Renamed], Published]


KINDS: dict[str, Kind] = {
    "chiu2022": Kind("Chiu et al. 2022, table C1", 457, "log10 of Msun/h", _chiu2022),
    "chiu2023": Kind("Chiu et al. 2023", 542, "log10 of Msun/h", _chiu2023),
    "bulbul2024": Kind("Bulbul et al. 2024", 12247, "1e13 Msun", _bulbul2024),
    "table": Kind("the user's own table", None, "log10 of Msun", _user),
}


def _read(path: Path, *columns: str) -> tuple[NDArray[np.str_], list[FloatArray]]:
    """Return the column Name without the survey's acronym, and the given `columns` as numbers, each (rows,)."""
    read = _read_tablec1(path) if path.suffix.lower() == ".dat" else read_survey_table(path)
    # FITS and VOTable allow no dot in a name
    table = find_columns(read, path, {name: (name, name.replace(".", "_")) for name in ("Name", *columns)})
    table.require(dict.fromkeys(("Name", *columns), "as published"), "kind: table, columns")
    return np.array(short_names(table.texts("Name")), dtype=str), [table.numbers(name) for name in columns]


def _read_tablec1(path: Path) -> Table:
    if not path.is_file():
        raise InputError(f"{path}: no such file. Check the path in the configuration.")
    check_memory(20 * path.stat().st_size, path)
    first, last = zip(*_TABLEC1.values(), strict=True)
    try:
        return ascii_tables.read(
            path.read_text(encoding="ascii").splitlines(),
            format="fixed_width_no_header", names=list(_TABLEC1), col_starts=first, col_ends=last, guess=False,
        )  # fmt: skip
    except (*UNREADABLE, ascii_tables.InconsistentTableError) as error:
        raise InputError(f"{path}: not the fixed-width table C1 of Chiu et al. (2022) ({error}).") from error
