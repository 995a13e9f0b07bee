"""Conversion of a user's table of clusters to the columns of `catalogue.fits`."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.catalogues.identity import identified, numbering
from clustermass.catalogues.surveys import MAX_REDSHIFT, SYNONYMS, join_tables, read_survey_table
from clustermass.catalogues.tables import CheckedTable, Renamed, find_columns, warn_of_rows
from clustermass.errors import InputError
from clustermass.io.log import LOGGER
from clustermass.io.products import VOUCHED_LIKELIHOOD

if TYPE_CHECKING:
    from clustermass.config.sky_models import CatalogueSelection

_MEASURED = ("EXT", "ML_RATE", "ML_CTS", "ML_EXP", "ML_BKG")
_REQUIRED = {"RA": "right ascension", "DEC": "declination", "Z": "redshift"}
#: kinds of redshift by short words in Z_TYPE
_KINDS = {"0": "photo", "p": "photo", "z_p": "photo", "1": "spec", "s": "spec", "z_s": "spec"}
_KINDS |= dict.fromkeys(("", "-", "--", "n", "na", "n/a", "nan", "none", "null"), "")
_NEGATED = re.compile(r"(^|[^a-z])(no|non|not|without)[^a-z]|^(no|non)")
#: spectroscopic redshifts of Klein et al. (2022), besides Z_BEST_COMB
_SPECTROSCOPIC: dict[str, tuple[str, ...]] = {"Z_SPEC": ("SPEC_Z_BEST_COMB",)}
#: Krippendorf et al. (2023) leave out eFEDS detections with at least this probability of being no cluster
F_CONT_MAX = 0.3
#: if redshifts of two tables differ by more, a luminosity for one redshift is wrong for the other
MAX_REDSHIFT_DIFFERENCE = 0.02
#: clusters are brighter than this in erg/s; smaller numbers have another unit, such as 1e44 erg/s
_LX500_MIN = 1.0e36
#: no direction has a smaller column density of hydrogen in cm-2; smaller numbers have another unit, such as 1e20 cm-2
_NH_MIN = 1.0e17


def read_catalogue(
    path: Path,
    columns: Renamed | None = None,
    further: Sequence[Path] = (),
    edges_ev: Sequence[float] | None = None,
    with_redshift: bool = True,
) -> Table:
    """Return a user's table of clusters, read by `read_table`, with the columns of `catalogue.fits`.

    The result has a row for each detection in the order of the file, with the columns and units of
    `clustermass.io.products.CATALOGUE`. Optional columns are included if the tables have them; Z_ORIGIN is always
    included. Missing measurements are NaN. No row is dropped (`select_clusters` can drop likely contaminants).

    - **Names.** `columns` maps our names to the table's. All other columns are found by their usual names in eSASS,
      eFEDS and eRASS1 tables. Case doesn't matter. RA_CORR and DEC_CORR are preferred to RA and DEC.
    - **Further tables.** The `further` tables contain the same detections. They are joined by the detections' ids, and
      supply columns that the first table doesn't have.
    - **Ids.** ID_SRC is the user's number of a cluster. If the user's ids are texts, too large for 32 bits, repeated or
      missing, ID_SRC is the number of the row, and ID_CAT holds the user's ids.
    - **Bands.** `edges_ev` are the edges of the energy bands if a table has several; see
      `clustermass.catalogues.soft_band`.
    - **Redshifts** are those that `redshifts` returns, all from one table. In the table of Klein et al. (2022),
      SPEC_Z_BEST_COMB is preferred to Z_BEST_COMB unless `columns` names a column of redshifts. If `with_redshift` is
      False, no table needs redshifts, and Z is NaN in all rows.
    - **Luminosities.** A luminosity becomes NaN if the table that it comes from gives a redshift that differs from Z by
      more than `MAX_REDSHIFT_DIFFERENCE`.
    - **Likelihoods.** If the table has no DET_LIKE or no EXT_LIKE, every row passes any cut on this quantity
      (`VOUCHED_LIKELIHOOD`).

    InputError for a missing column, a bad cell, an unknown Z_TYPE, a table of simulated haloes, or if there are several
    rows and none has a redshift.
    """
    table, other_redshifts = _find(Path(path), columns or {}, further, edges_ev, with_redshift)
    taken = ", ".join(f"{ours} = {theirs}" for ours, theirs in table.names.items())
    catalogue = Table(meta={"COLUMNS": taken.encode("ascii", "backslashreplace").decode()})
    catalogue["ID_SRC"], ids = numbering(table)
    catalogue["RA"], catalogue["DEC"] = table.positions()
    for name in ("DET_LIKE", "EXT_LIKE"):
        catalogue[name] = _likelihood(table, name)
    for name in _MEASURED:
        catalogue[name] = table.single(_measured(table, name), name)
    if absent := [name for name in _MEASURED if name not in table]:
        LOGGER.warning("%s: no %s; NaN in every row", table.path, ", ".join(absent))
    value, error, kind, origin = redshifts(table) if with_redshift else _no_redshifts(len(table))
    catalogue["Z"], catalogue["Z_ERR"] = table.single(value, "Z"), table.single(error, "Z_ERR")
    catalogue["Z_TYPE"], catalogue["Z_ORIGIN"] = kind, origin
    for name in ("LOGM500_REF", "LOGM500_REF_ERR", "LX500"):
        if name in table:
            catalogue[name] = _measured(table, name)
    _check_luminosities(catalogue, table, other_redshifts)
    if "F_CONT" in table:
        catalogue["F_CONT"] = table.single(table.numbers("F_CONT"), "F_CONT")
        what = f"with {table.names['F_CONT']} >= {F_CONT_MAX:g}, likely no clusters; kept (key catalogue_selection)"
        warn_of_rows(table.path, np.asarray(catalogue["F_CONT"]) >= F_CONT_MAX, what)
    if "NH" in table:
        catalogue["NH"] = _hydrogen(table)
    if "IN_AREA90" in table:
        catalogue["IN_AREA90"] = _yes_or_no(table, "IN_AREA90")
    if "NAME_CAT" in table:
        catalogue["NAME_CAT"] = np.array(table.texts("NAME_CAT"), dtype=str)
    if ids:
        catalogue["ID_CAT"] = np.array(ids, dtype=str)
    return catalogue


def _find(
    path: Path, given: Renamed, further: Sequence[Path], edges_ev: Sequence[float] | None, with_redshift: bool
) -> tuple[CheckedTable, dict[str, FloatArray]]:
    if ("RA" in given) != ("DEC" in given):
        raise InputError(
            "catalogue_columns (in Python: columns) names only one of RA and DEC. Name both: they are of one position."
        )
    read = read_survey_table(path, edges_ev, given)
    _refuse_truth({name.upper() for name in read.colnames}, path)
    corrected = {"RA_CORR", "DEC_CORR"} <= {name.upper() for name in read.colnames}
    usual = SYNONYMS if corrected else SYNONYMS | {name: SYNONYMS[name][1:] for name in ("RA", "DEC")}
    table = find_columns(read, path, usual, given)
    if "ID_SRC" not in given:
        table = identified(table, (*SYNONYMS["ID_SRC"], *SYNONYMS["NAME_CAT"]))
    required = {name: quantity for name, quantity in _REQUIRED.items() if name != "Z" or with_redshift}
    # a table may lack redshifts, because they may come from a further table
    needed = {name: quantity for name, quantity in required.items() if name != "Z" or not further}
    table.require(needed, "catalogue_columns", "--column")
    table, redshifts_of = join_tables(table, further, SYNONYMS | _SPECTROSCOPIC, edges_ev)
    table.require(required, "catalogue_columns", "--column")
    used = ", ".join(f"{ours} = {theirs}" for ours, theirs in table.names.items())
    LOGGER.info("%s: %d rows; columns used: %s", path, len(table), used)
    # the spectroscopic column of the same table as Z, if the user leaves redshifts to us
    if table.names.get("Z", "").upper() == "Z_BEST_COMB" and not {"Z", "Z_ERR", "Z_TYPE"} & set(given):
        spectroscopic = find_columns(table.table, path, _SPECTROSCOPIC).names
        table = CheckedTable(table.table, path, {**table.names, **spectroscopic})
    return table, redshifts_of


def _refuse_truth(names: set[str], path: Path) -> None:
    """Raise InputError if a table is one of simulated haloes, which its columns' `names` (in capitals) show."""
    true = "SRC_ID" in names and names & {"HALO_ID", "LOG10_M500C", "M500C"}
    if true and not names & {"DET_LIKE", "ML_CTS", "ML_RATE"}:
        raise InputError(
            f"{path}: is a table of simulated haloes, all of which would count as detected. Make a catalogue of "
            "detections with clustermass detect."
        )


def _check_luminosities(catalogue: Table, table: CheckedTable, other_redshifts: dict[str, FloatArray]) -> None:
    """Warn of redshifts that differ between tables, and set luminosities that belong to another redshift to NaN."""
    for file, other in other_redshifts.items():
        apart = np.abs(np.asarray(catalogue["Z"]) - other)
        differ = apart > MAX_REDSHIFT_DIFFERENCE
        largest = f"(largest difference {np.nanmax(apart):.3f})" if differ.any() else ""
        warn_of_rows(table.path, differ, f"whose redshift is another in {file} {largest}; Z is the one of Z_ORIGIN")
        if table.names.get("LX500", "").endswith(f" of {file}"):
            catalogue["LX500"][differ] = np.nan
    if "LX500" in catalogue.colnames and np.any(np.asarray(catalogue["LX500"]) < _LX500_MIN):
        raise InputError(
            f"{table.path}: column {table.names['LX500']} (LX500) holds values below {_LX500_MIN:g}: no luminosities "
            "of clusters in erg/s. Convert them, or name another column under catalogue_columns (in Python: columns)."
        )


def _yes_or_no(table: CheckedTable, name: str) -> NDArray[np.int16]:
    """Return a column of yes and no as numbers (1 = yes, 0 = no, -1 = blank), (rows,)."""
    meanings = {1: ("true", "t", "yes", "1", "1.0"), 0: ("false", "f", "no", "0", "0.0"), -1: ("", "-1")}
    values = {text: number for number, texts in meanings.items() for text in texts}
    texts = [text.lower() for text in table.texts(name)]
    table.check([text in values for text in texts], [*map(repr, texts)], name, "neither true nor false")
    return np.array([values[text] for text in texts], dtype=np.int16)


def _likelihood(table: CheckedTable, name: str) -> NDArray[np.float32]:
    if name not in table:
        text = "%s: no %s; the list is taken as vouched for, and every row passes any cut on it (%s = %g)"
        LOGGER.warning(text, table.path, name, name, VOUCHED_LIKELIHOOD)
        return np.full(len(table), VOUCHED_LIKELIHOOD, dtype=np.float32)
    values = table.numbers(name)
    missing = ~np.isfinite(values)
    what = f"without {name} (column {table.names[name]}); counted as {name} = 0, not significant"
    warn_of_rows(table.path, missing, what)
    return table.single(np.where(missing, 0.0, values), name)


def _measured(table: CheckedTable, name: str) -> FloatArray:
    if name not in table:
        return np.full(len(table), np.nan)
    values = table.numbers(name)
    missing = ~(np.isfinite(values) & (values >= 0))
    what = f"without {name} (column {table.names[name]} blank, negative or infinite); NaN there"
    warn_of_rows(table.path, missing, what)
    return np.where(missing, np.nan, values)


def _hydrogen(table: CheckedTable) -> FloatArray:
    """Return the column NH in cm-2. Values too small for cm-2, such as 3 for 3e20, become NaN with a warning."""
    values = table.single(_measured(table, "NH"), "NH")
    low = values < _NH_MIN
    what = f"whose {table.names['NH']} is too small for cm-2; NaN there. Give cm-2, or state the unit, as 1e20 cm-2"
    warn_of_rows(table.path, low, what)
    return np.where(low, np.nan, values)


#: a photometric error above this times 1 + z says that the redshift is unknown (eFEDS has 50.6, 0.76 and inf)
MAX_ERROR = 0.3


def redshifts(table: CheckedTable) -> tuple[FloatArray, FloatArray, NDArray[np.str_], NDArray[np.str_]]:
    """Return redshifts, their standard errors, their kinds, and the names of their columns, each (rows,).

    The table has `Z` and perhaps `Z_ERR`, `Z_TYPE` and `Z_SPEC`.

    - **Redshift.** A spectroscopic redshift Z_SPEC above 0 is preferred to Z. A redshift is NaN if it isn't positive,
      if it is above `MAX_REDSHIFT`, or if it has a photometric error above (1 + z) * `MAX_ERROR`. Values such as -1,
      -99.9 and inf mean "unknown".
    - **Error.** It is 0 for spectroscopic redshifts, and for photometric ones without a stated error (with a warning).
      It is NaN if there is no redshift. A negative error counts as not stated. In a table that has neither errors nor
      kinds, redshifts are taken as exact.
    - **Kind.** It is 'spec', 'photo' or, without redshift, 'none'. The column is '' if the kind is 'none'.

    InputError if a Z_TYPE is unknown, or if there are several rows and none has a redshift.
    """
    values, error, kind = table.numbers("Z"), _errors(table), _kinds(table)
    origin = np.full(len(table), table.names["Z"])
    if "Z_SPEC" in table:
        exact, column = table.numbers("Z_SPEC"), table.names["Z_SPEC"]
        given = np.isfinite(exact) & (exact > 0)
        values, kind = np.where(given, exact, values), np.where(given, "spec", kind)
        origin = np.where(given, column, origin)
        LOGGER.info("%s: %d of %d redshifts are those of %s", table.path, given.sum(), given.size, column)
    # where no kind is stated, an error of exactly 0 marks a spectroscopic redshift
    kind = np.where(kind == "", np.where(error == 0, "spec", "photo"), kind)
    missing = _missing(table, values, error, kind)
    kind = np.where(missing, "none", kind).astype("U5")
    error = np.where(kind == "spec", 0.0, np.where(missing, np.nan, error))
    inexact = (kind == "photo") & np.isnan(error)
    what = "with a photometric redshift without error; Z_ERR = 0: mass errors lack its share"
    warn_of_rows(table.path, inexact, what)
    error[inexact] = 0.0
    return np.where(missing, np.nan, values), error, kind, np.where(missing, "", origin)


def _no_redshifts(rows: int) -> tuple[FloatArray, FloatArray, NDArray[np.str_], NDArray[np.str_]]:
    return np.full(rows, np.nan), np.full(rows, np.nan), np.full(rows, "none"), np.full(rows, "")


def _missing(table: CheckedTable, values: FloatArray, error: FloatArray, kind: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Return whether each row lacks a usable redshift, bool (rows,). InputError if all of several rows do."""
    blank = ~((values > np.finfo(np.float32).tiny) & (values <= MAX_REDSHIFT))
    vague = ~blank & (kind == "photo") & (error > MAX_ERROR * (1 + np.where(blank, 0, values)))
    # a single cluster is kept, without a mass, because one of many fields must not stop the run
    if len(table) > 1 and (blank | vague).all():
        raise InputError(_no_redshift(table, values, vague))
    why = f"blank, not positive or infinite, or above {MAX_REDSHIFT:g}"
    # of a list of all detections, cuts on the likelihoods drop most such rows later; the last lines count the others
    level = logging.INFO if "EXT_LIKE" in table else logging.WARNING
    warn_of_rows(table.path, blank, f"without redshift (column {table.names['Z']} {why}); no mass there", level)
    what = f"whose redshift is unknown (column {table.names.get('Z_ERR')} infinite or above {MAX_ERROR:g} (1 + z))"
    warn_of_rows(table.path, vague, f"{what}; no mass there")
    return blank | vague


def _no_redshift(table: CheckedTable, values: FloatArray, vague: NDArray[np.bool_]) -> str:
    distinct = list(dict.fromkeys("blank" if np.isnan(value) else f"{value:g}" for value in values.tolist()))
    held = ", ".join(distinct[:3]) + (", ..." if len(distinct) > 3 else "")
    errors = f", and column {table.names.get('Z_ERR')} errors above {MAX_ERROR:g} (1 + z)" if vague.any() else ""
    return (
        f"{table.path}: none of its {len(table)} rows has a usable redshift, above 0 and at most {MAX_REDSHIFT:g}: "
        f"column {table.names['Z']} holds {held}{errors}. Name another column for Z under catalogue_columns (on the "
        'command line: --column Z=<your column>; in Python: columns={"Z": "<your column>"}), or correct this one.'
    )


def _errors(table: CheckedTable) -> FloatArray:
    """Return the stated redshift errors (NaN = not stated), or zeros if the table has neither errors nor kinds."""
    if "Z_ERR" in table:
        error = table.numbers("Z_ERR")
        return np.where(error >= 0, error, np.nan)
    if "Z_TYPE" in table or "Z_SPEC" in table:
        return np.full(len(table), np.nan)
    LOGGER.warning("%s: neither Z_ERR nor Z_TYPE; the redshifts are taken as exact (Z_TYPE = spec)", table.path)
    return np.zeros(len(table))


def _kinds(table: CheckedTable) -> NDArray[np.str_]:
    if "Z_TYPE" not in table:
        return np.full(len(table), "", dtype="U5")
    texts = table.texts("Z_TYPE")
    kinds = [_kind(text.strip().lower().removesuffix(".0")) for text in texts]
    table.check([kind is not None for kind in kinds], [*map(repr, texts)], "Z_TYPE", "neither photo (0) nor spec (1)")
    return np.array(kinds, dtype="U5")


def _kind(word: str) -> str | None:
    """Return the kind of redshift that a cell of Z_TYPE states, '' if it states none, or None if it isn't clear."""
    if word in _KINDS:
        return _KINDS[word]
    # in eRASS1, "cg_spec_z" is the central galaxy's alone, and "lit_z" is from the literature and may be of either kind
    if word.startswith("lit"):
        return ""
    spec, photo = "spec" in word, "phot" in word
    return None if spec == photo or _NEGATED.search(word) else "spec" if spec else "photo"


def select_clusters(catalogue: Table, path: Path, cuts: CatalogueSelection | None) -> Table:
    """Return the rows of a catalogue from `read_catalogue` that pass every cut, and log how many each cut leaves.

    `cuts` is the block `catalogue_selection` of a sky. If it is None, all rows pass. F_CONT must be below `f_cont_max`.
    Negative values of F_CONT pass, because they mark clusters that were confirmed by other means. Unknown values don't
    pass. If `in_area90` is true, IN_AREA90 must be 1. InputError if a column that a cut needs is missing, or if no row
    passes.
    """
    limit = (cuts or {}).get("f_cont_max")
    tests: dict[str, tuple[str, np.ufunc, float]] = {}
    if limit is not None:
        tests["F_CONT"] = (f"F_CONT < {limit:g}", np.less, limit)
    if cuts and cuts.get("in_area90"):
        tests["IN_AREA90"] = ("IN_AREA90", np.equal, 1)
    if missing := [name for name in tests if name not in catalogue.colnames]:
        raise InputError(
            f"{path}: has no column for {', '.join(missing)}, by which catalogue_selection would cut. Name it under "
            "catalogue_columns, or a table that has it under joined_catalogues, or drop the cut."
        )
    kept = np.ones(len(catalogue), dtype=bool)
    steps = [f"{kept.size} rows"]
    for name, (text, passes, bound) in tests.items():
        kept &= passes(np.asarray(catalogue[name]), bound)
        steps.append(f"{text}: {kept.sum()} left")
    if not kept.any():
        raise InputError(f"{path}: no row passes catalogue_selection ({'; '.join(steps)}). Loosen it.")
    if tests:
        LOGGER.info("%s: %s", path, "; ".join(steps))
    return catalogue[kept]
