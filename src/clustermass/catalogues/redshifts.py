"""Redshifts of a user's table: which are known, of what kind, and how well."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from clustermass.catalogues.tables import numbers, texts_of, warn_of_rows
from clustermass.errors import InputError
from clustermass.io.log import LOGGER

#: a photometric error above this times 1 + z says that the redshift is unknown (eFEDS has 50.6, 0.76 and inf)
MAX_ERROR = 0.3
#: no cluster is farther: larger numbers are velocities, percent or a mark for "unknown"
MAX_REDSHIFT = 10.0


class Redshifts(NamedTuple):
    """Redshifts of a table, (rows,) each; see `redshifts`."""

    value: NDArray[np.float64]
    error: NDArray[np.float64]
    kind: NDArray[np.str_]
    origin: NDArray[np.str_]


def redshifts(table: Table, path: Path, found: Mapping[str, str]) -> Redshifts:
    """Return redshifts, their standard errors, their kinds and where they are from, (rows,) each.

    Parameters
    ----------
    table, path
        The table and its file (for messages).
    found
        The table's names for `Z` and, where it has them, `Z_ERR`, `Z_TYPE`, and `Z_SPEC`: a spectroscopic redshift that
        goes before Z where it is above 0.

    Returns
    -------
    value
        NaN where Z isn't positive and finite, or its photometric error is above `MAX_ERROR` (1 + z).
    error
        0 for spectroscopic ones and, with a warning, for photometric ones without error; NaN without redshift.
    kind
        'spec', 'photo', or 'none' without redshift.
    origin
        The table's column that it was taken from; '' without redshift.

    Raises
    ------
    InputError
        No row has a redshift, or a Z_TYPE is unknown.
    """
    values, error = numbers(table, path, found["Z"]), _errors(table, path, found)
    kind = _kinds(table, path, found.get("Z_TYPE"))
    origin = np.full(len(table), found["Z"])
    if "Z_SPEC" in found:
        exact = numbers(table, path, found["Z_SPEC"])
        known = np.isfinite(exact) & (exact > 0)
        values, kind = np.where(known, exact, values), np.where(known, "spec", kind)
        origin = np.where(known, found["Z_SPEC"], origin)
        LOGGER.info("%s: %d of %d redshifts are those of %s", path, known.sum(), known.size, found["Z_SPEC"])
    # without a stated kind, an error of exactly 0 is how spectroscopic redshifts are marked
    kind = np.where(kind == "", np.where(error == 0, "spec", "photo"), kind)
    missing = _missing(path, values, error, kind, found)
    kind = np.where(missing, "none", kind).astype("U5")
    error = np.where(kind == "spec", 0.0, np.where(missing, np.nan, error))
    unknown = (kind == "photo") & np.isnan(error)
    warn_of_rows(path, unknown, "with a photometric redshift without error; Z_ERR = 0: mass errors lack its share")
    error[unknown] = 0.0
    return Redshifts(np.where(missing, np.nan, values), error, kind, np.where(missing, "", origin))


def _missing(
    path: Path,
    values: NDArray[np.float64],
    error: NDArray[np.float64],
    kind: NDArray[np.str_],
    found: Mapping[str, str],
) -> NDArray[np.bool_]:
    blank = ~((values > 0) & (values <= MAX_REDSHIFT))
    why = f"blank, not positive or infinite, or above {MAX_REDSHIFT:g}"
    if blank.all():
        raise InputError(
            f"{path}: column {found['Z']} holds no redshift (all {blank.size} are {why}). Masses need redshifts: fill "
            "the column or name another for Z under catalogue_columns."
        )
    warn_of_rows(path, blank, f"without redshift (column {found['Z']} {why}); no mass there")
    vague = ~blank & (kind == "photo") & (error > MAX_ERROR * (1 + np.where(blank, 0, values)))
    what = f"whose redshift is unknown (column {found.get('Z_ERR')} infinite or above {MAX_ERROR:g} (1 + z))"
    if (blank | vague).all():
        raise InputError(
            f"{path}: {vague.sum()} of {vague.size} rows are clusters {what}, and the others have none. Masses need "
            "redshifts: see whether that column holds standard errors of the redshift."
        )
    warn_of_rows(path, vague, f"{what}; no mass there")
    return blank | vague


def _errors(table: Table, path: Path, found: Mapping[str, str]) -> NDArray[np.float64]:
    """Stated errors, infinite ones among them; NaN where there is none."""
    if "Z_ERR" in found:
        error = numbers(table, path, found["Z_ERR"])
        return np.where(error >= 0, error, np.nan)
    if {"Z_TYPE", "Z_SPEC"} & set(found):
        return np.full(len(table), np.nan)
    LOGGER.warning("%s: neither Z_ERR nor Z_TYPE; the redshifts are taken as exact (Z_TYPE = spec)", path)
    return np.zeros(len(table))


def _kinds(table: Table, path: Path, column: str | None) -> NDArray[np.str_]:
    """Kind of redshift in each row: 'spec', 'photo', or '' where the table doesn't say."""
    if column is None:
        return np.full(len(table), "", dtype="U5")
    kinds = []
    for row, text in enumerate(texts_of(table, column), start=1):
        word = text.lower().removesuffix(".0")
        # eRASS1 says "cg_spec_z" for that of the central galaxy alone, and "lit_z" for any kind from the literature
        first = "s" if "spec" in word else word[:1]
        if first not in {"", "0", "1", "s", "p", "n", "-"} and not word.startswith("lit"):
            raise InputError(f"{path}: column {column}, row {row}: {text!r} is neither photo (0) nor spec (1).")
        kinds.append({"0": "photo", "p": "photo", "1": "spec", "s": "spec"}.get(first, ""))
    return np.array(kinds, dtype="U5")
