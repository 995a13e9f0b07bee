"""Catalogues of detections: a user's table in, the pipeline's `catalogue.fits` out."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from clustermass.catalogues.columns import Joined, find_columns, join_tables, require_columns
from clustermass.catalogues.redshifts import redshifts
from clustermass.catalogues.surveys import read_survey_table
from clustermass.catalogues.tables import numbers, positions, single, texts_of, warn_of_rows, whole_numbers
from clustermass.errors import InputError
from clustermass.io.log import LOGGER

#: what read_catalogue sets a likelihood to that the user's table doesn't hold: above every threshold
VOUCHED_LIKELIHOOD = 1.0e6

#: usual names, best first (eSASS, eFEDS: Brunner, Liu, Klein et al. 2022; eRASS1: Bulbul et al. 2024)
SYNONYMS: dict[str, tuple[str, ...]] = {
    "ID_SRC": ("ID_SRC", "ID-SRC", "IDSRC"),
    "RA": ("RA_CORR", "RA", "RAdeg", "RAJ2000", "RA_ICRS"),
    "DEC": ("DEC_CORR", "DEC", "DEdeg", "DEJ2000", "DE_ICRS"),
    "DET_LIKE": ("DET_LIKE", "DetLike", "DET_LIKE_0"),
    "EXT_LIKE": ("EXT_LIKE", "ExtLike"),
    "EXT": ("EXT",),
    "ML_RATE": ("ML_RATE", "ML_RATE_0", "ML_RATE_1"),
    "ML_CTS": ("ML_CTS", "ML_CTS_0", "ML_CTS_1"),
    "ML_EXP": ("ML_EXP", "ML_EXP_0", "ML_EXP_1"),
    "ML_BKG": ("ML_BKG", "ML_BKG_0", "ML_BKG_1"),
    "Z": ("Z", "Z_BEST_COMB", "BEST_Z", "REDSHIFT"),
    "Z_ERR": ("Z_ERR", "SIGMA_Z_BEST_COMB", "BEST_ZERR", "REDSHIFT_ERR", "E_Z"),
    "Z_TYPE": ("Z_TYPE", "BEST_Z_TYPE"),
    "LOGM500_REF": ("LOGM500_REF",),
    "LOGM500_REF_ERR": ("LOGM500_REF_ERR",),
    "LX500": ("LX500", "L_500KPC"),
    "F_CONT": ("F_CONT", "F_CONT_BEST_COMB", "PCONT"),
    "IN_AREA90": ("IN_AREA90", "inArea90"),
    # no ID: that of Liu et al. (2022) differs from the names of all other eFEDS tables by rounding
    "NAME_CAT": ("NAME_CAT", "Name"),
}
_REQUIRED = {
    "ID_SRC": "a number for each cluster",
    "RA": "right ascension",
    "DEC": "declination",
    "Z": "redshift",
}
#: what the table of Klein et al. (2022) has beside Z_BEST_COMB
_SPECTROSCOPIC: dict[str, tuple[str, ...]] = {"Z_SPEC": ("SPEC_Z_BEST_COMB",)}
#: Krippendorf et al. (2023) leave out eFEDS clusters of which this is the chance, or more, to be none
F_CONT_MAX = 0.3
_LIKELIHOODS = ("DET_LIKE", "EXT_LIKE")
_MEASURED = ("EXT", "ML_RATE", "ML_CTS", "ML_EXP", "ML_BKG")
_PUBLISHED = ("LOGM500_REF", "LOGM500_REF_ERR", "LX500")
#: redshifts of two tables that differ by more are two opinions, and a luminosity for one is none for the other
MAX_REDSHIFT_DIFFERENCE = 0.02
#: no luminosity of a cluster is as low; in units of 1e42 or 1e44 erg/s all are
_LX500_MIN = 1.0e36


def read_catalogue(
    path: Path,
    columns: Mapping[str, str] | None = None,
    setting: str = "catalogue_columns",
    further: Sequence[Path] = (),
) -> Table:
    """Read a user's table of clusters and return it under the pipeline's names.

    Columns are found by `columns` first, then by the usual names of eSASS, eFEDS and eRASS1 tables (case doesn't
    matter; RA_CORR and DEC_CORR, where both exist, go before RA and DEC). Redshifts that aren't positive and finite,
    and negative errors, are sentinels (-1, -99.9, -9999, inf) and count as missing; so do photometric redshifts with an
    infinite or huge error (`clustermass.catalogues.redshifts`). Of Klein et al. (2022), SPEC_Z_BEST_COMB goes before
    Z_BEST_COMB unless `columns` says how redshifts are to be read. A table without DET_LIKE or EXT_LIKE is a list that
    the user vouches for: the likelihood becomes `VOUCHED_LIKELIHOOD`. Redshifts without any error or kind are taken as
    exact. Nothing is dropped, not even likely contaminants (`sample_cuts` may); all counts are logged.

    Parameters
    ----------
    path
        FITS, CSV, TSV or ECSV file.
    columns
        Our name -> the table's name, where they differ from the usual ones.
    setting
        Config key of `columns`, for messages.
    further
        Tables of the same detections, joined by ID_SRC: they fill in what this one lacks. Redshift, its error and its
        kind all come from one table. A luminosity from a table whose redshift differs by more than
        `MAX_REDSHIFT_DIFFERENCE` becomes NaN.

    Returns
    -------
    Table
        One row a detection in the order of the file; the columns and units of `clustermass.io.products.CATALOGUE` (of
        the optional ones those that the tables have; Z_ORIGIN always). Measured quantities that are missing are NaN;
        Z NaN goes with Z_TYPE 'none' and Z_ERR NaN. Z_ERR is 0 for spectroscopic redshifts, and (with a warning) for
        photometric ones of which the table gives no error.

    Raises
    ------
    InputError
        See `clustermass.catalogues.tables`; or no redshift at all, or an unknown Z_TYPE.
    """
    path, given = Path(path), dict(columns or {})
    joined = _find(read_survey_table(path), path, given, setting, further)
    table, found = joined.table, joined.found
    catalogue = Table()
    catalogue["ID_SRC"] = whole_numbers(table, path, found["ID_SRC"]).astype(np.int32)
    catalogue["RA"], catalogue["DEC"] = positions(table, path, found["RA"], found["DEC"])
    for name in _LIKELIHOODS:
        catalogue[name] = _likelihood(table, path, name, found.get(name))
    for name in _MEASURED:
        catalogue[name] = single(_measured(table, path, name, found.get(name)), path, found.get(name, name))
    redshift = redshifts(table, path, found)
    catalogue["Z"] = single(redshift.value, path, found["Z"])
    catalogue["Z_ERR"] = single(redshift.error, path, found.get("Z_ERR", "Z_ERR"))
    catalogue["Z_TYPE"], catalogue["Z_ORIGIN"] = redshift.kind, redshift.origin
    for name in _PUBLISHED:
        if name in found:
            catalogue[name] = _measured(table, path, name, found[name])
    _check_luminosities(catalogue, path, joined)
    if "F_CONT" in found:
        catalogue["F_CONT"] = single(numbers(table, path, found["F_CONT"]), path, found["F_CONT"])
        doubtful = np.asarray(catalogue["F_CONT"]) >= F_CONT_MAX
        what = "likely no clusters; catalogue_selection can drop them"
        warn_of_rows(path, doubtful, f"with {found['F_CONT']} >= {F_CONT_MAX:g}, {what}")
    if "IN_AREA90" in found:
        catalogue["IN_AREA90"] = _yes_or_no(table, path, found["IN_AREA90"])
    if "NAME_CAT" in found:
        catalogue["NAME_CAT"] = np.array(texts_of(table, found["NAME_CAT"]), dtype=str)
    return catalogue


def _find(table: Table, path: Path, given: Mapping[str, str], setting: str, further: Sequence[Path]) -> Joined:
    if ("RA" in given) != ("DEC" in given):
        raise InputError(f"{setting} names only one of RA and DEC. Name both, so that they are of one position.")
    corrected = {"RA_CORR", "DEC_CORR"} <= {name.upper() for name in table.colnames}
    usual = SYNONYMS if corrected else SYNONYMS | {name: SYNONYMS[name][1:] for name in ("RA", "DEC")}
    found = find_columns(table, path, usual, given)
    # a table without redshifts is completed by the next; it has its own word for everything else
    needed = {name: quantity for name, quantity in _REQUIRED.items() if name != "Z" or not further}
    require_columns(table, path, found, needed, setting, "--column")
    joined = join_tables(table, path, found, further, SYNONYMS | _SPECTROSCOPIC)
    require_columns(table, path, joined.found, _REQUIRED, setting, "--column")
    used = ", ".join(f"{ours} = {theirs}" for ours, theirs in joined.found.items())
    LOGGER.info("%s: %d rows; columns used: %s", path, len(table), used)
    return joined._replace(found=joined.found | _spectroscopic(joined, path, given))


def _spectroscopic(joined: Joined, path: Path, given: Mapping[str, str]) -> dict[str, str]:
    """Z_SPEC, if the table has it beside the very Z that was found and the user leaves redshifts to us."""
    if any(name in given for name in ("Z", "Z_ERR", "Z_TYPE")) or joined.found["Z"].upper() != "Z_BEST_COMB":
        return {}
    return find_columns(joined.table, path, _SPECTROSCOPIC, {})


def _check_luminosities(catalogue: Table, path: Path, joined: Joined) -> None:
    """Tell where tables differ in redshift, drop luminosities of another redshift, refuse those not in erg/s."""
    for file, other in joined.redshift.items():
        apart = np.abs(np.asarray(catalogue["Z"]) - other)
        differ = apart > MAX_REDSHIFT_DIFFERENCE
        largest = f"(largest difference {np.nanmax(apart):.3f})" if differ.any() else ""
        warn_of_rows(path, differ, f"whose redshift is another in {file} {largest}; Z is the one of Z_ORIGIN")
        if joined.source.get("LX500") == file:
            catalogue["LX500"][differ] = np.nan
    if "LX500" in catalogue.colnames and np.any(np.asarray(catalogue["LX500"]) < _LX500_MIN):
        raise InputError(
            f"{path}: column {joined.found['LX500']} (LX500) holds values below {_LX500_MIN:g}: no luminosities of "
            "clusters in erg/s. Convert them, or name another column under catalogue_columns."
        )


def _yes_or_no(table: Table, path: Path, column: str) -> NDArray[np.int16]:
    """1 = yes, 0 = no, -1 = blank."""
    words = {
        "true": 1,
        "t": 1,
        "yes": 1,
        "1": 1,
        "1.0": 1,
        "false": 0,
        "f": 0,
        "no": 0,
        "0": 0,
        "0.0": 0,
        "": -1,
        "-1": -1,
    }
    texts = [text.lower() for text in texts_of(table, column)]
    bad = [row for row, text in enumerate(texts) if text not in words]
    if bad:
        raise InputError(f"{path}: column {column}, row {bad[0] + 1}: {texts[bad[0]]!r} is neither true nor false.")
    return np.array([words[text] for text in texts], dtype=np.int16)


def _likelihood(table: Table, path: Path, name: str, column: str | None) -> NDArray[np.float32]:
    if column is None:
        LOGGER.warning(
            "%s: no %s; the list is taken as vouched for, and every row passes any cut on it (%s = %g)",
            path, name, name, VOUCHED_LIKELIHOOD,
        )  # fmt: skip
        return np.full(len(table), VOUCHED_LIKELIHOOD, dtype=np.float32)
    values = numbers(table, path, column)
    missing = ~np.isfinite(values)
    warn_of_rows(path, missing, f"without {name} (column {column}); counted as {name} = 0, not significant")
    return single(np.where(missing, 0.0, values), path, column)


def _measured(table: Table, path: Path, name: str, column: str | None) -> NDArray[np.float64]:
    if column is None:
        LOGGER.warning("%s: no %s; it is NaN in every row", path, name)
        return np.full(len(table), np.nan)
    values = numbers(table, path, column)
    missing = ~(np.isfinite(values) & (values >= 0))
    warn_of_rows(path, missing, f"without {name} (column {column} blank, negative or infinite); NaN there")
    return np.where(missing, np.nan, values)


_NEEDED = {"f_cont_max": "F_CONT", "in_area90": "IN_AREA90"}


def select_clusters(catalogue: Table, path: Path, cuts: Mapping[str, Any] | None) -> Table:
    """Return the rows that pass every cut; the log tells how many each leaves.

    Parameters
    ----------
    catalogue
        Of `catalogues.user.read_catalogue`.
    path
        Its file, for messages.
    cuts
        Block `catalogue_selection` of a sky: `f_cont_max` (F_CONT must be below it; negative values are clusters
        confirmed by other means, an unknown one is none), `in_area90` (true: IN_AREA90 must be 1). None: all.

    Raises
    ------
    InputError
        A column that a cut needs isn't there, or no row passes.
    """
    cuts = {key: value for key, value in (cuts or {}).items() if value not in (None, False)}
    missing = [_NEEDED[key] for key in cuts if _NEEDED[key] not in catalogue.colnames]
    if missing:
        raise InputError(
            f"{path}: has no column for {', '.join(missing)}, by which catalogue_selection would cut. Name it under "
            "catalogue_columns, or a table that has it under joined_catalogues, or drop the cut."
        )
    kept = np.ones(len(catalogue), dtype=bool)
    steps = [f"{kept.size} rows"]
    for label, passed in _passed(catalogue, cuts):
        kept &= passed
        steps.append(f"{label}: {kept.sum()} left")
    if not kept.any():
        raise InputError(f"{path}: no row passes catalogue_selection ({'; '.join(steps)}). Loosen it.")
    if cuts:
        LOGGER.info("%s: %s", path, "; ".join(steps))
    return catalogue[kept]


def _passed(catalogue: Table, cuts: Mapping[str, Any]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    if "f_cont_max" in cuts:
        limit = float(cuts["f_cont_max"])
        yield f"F_CONT < {limit:g}", np.asarray(catalogue["F_CONT"]) < limit
    if "in_area90" in cuts:
        yield "IN_AREA90", np.asarray(catalogue["IN_AREA90"]) == 1
