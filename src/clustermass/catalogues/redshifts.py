"""Redshifts of a user's table: which are usable, of what kind, and how exact."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.catalogues.columns import UserTable
from clustermass.errors import InputError
from clustermass.io.log import LOGGER

#: a photometric error above this times 1 + z says that the redshift is unknown (eFEDS has 50.6, 0.76 and inf)
MAX_ERROR = 0.3
#: no cluster is farther: larger numbers are velocities, percent or a mark for "unknown"
MAX_REDSHIFT = 10.0


class Redshifts(NamedTuple):
    """Redshifts of a table, (rows,) each.

    Attributes
    ----------
    value
        NaN where Z isn't positive and finite, or its photometric error is above `MAX_ERROR` (1 + z).
    error
        Standard error: 0 of spectroscopic ones and, with a warning, of photometric ones without error; NaN without
        redshift.
    kind
        'spec', 'photo', or 'none' without redshift.
    origin
        The table's column that the redshift was taken from; '' without redshift.
    """

    value: FloatArray
    error: FloatArray
    kind: NDArray[np.str_]
    origin: NDArray[np.str_]


def redshifts(table: UserTable) -> Redshifts:
    """Return the redshifts of a table with `Z` and perhaps `Z_ERR`, `Z_TYPE` and `Z_SPEC`.

    Where Z_SPEC, a spectroscopic redshift, is above 0 it goes before Z.

    Raises
    ------
    InputError
        No row has a redshift, or a Z_TYPE is unknown.
    """
    values, error, kind = table.numbers("Z"), _errors(table), _kinds(table)
    origin = np.full(len(table), table.names["Z"])
    if "Z_SPEC" in table:
        exact = table.numbers("Z_SPEC")
        given = np.isfinite(exact) & (exact > 0)
        values, kind = np.where(given, exact, values), np.where(given, "spec", kind)
        origin = np.where(given, table.names["Z_SPEC"], origin)
        LOGGER.info(
            "%s: %d of %d redshifts are those of %s", table.path, given.sum(), given.size, table.names["Z_SPEC"]
        )
    # without a stated kind, an error of exactly 0 is how spectroscopic redshifts are marked
    kind = np.where(kind == "", np.where(error == 0, "spec", "photo"), kind)
    missing = _missing(table, values, error, kind)
    kind = np.where(missing, "none", kind).astype("U5")
    error = np.where(kind == "spec", 0.0, np.where(missing, np.nan, error))
    unknown = (kind == "photo") & np.isnan(error)
    table.warn(unknown, "with a photometric redshift without error; Z_ERR = 0: mass errors lack its share")
    error[unknown] = 0.0
    return Redshifts(np.where(missing, np.nan, values), error, kind, np.where(missing, "", origin))


def _missing(table: UserTable, values: FloatArray, error: FloatArray, kind: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Return the rows without usable redshift; InputError if it is all of them."""
    blank = ~((values > 0) & (values <= MAX_REDSHIFT))
    why = f"blank, not positive or infinite, or above {MAX_REDSHIFT:g}"
    if blank.all():
        raise InputError(
            f"{table.path}: column {table.names['Z']} holds no redshift (all {blank.size} are {why}). Masses need "
            "redshifts: fill the column or name another for Z under catalogue_columns."
        )
    table.warn(blank, f"without redshift (column {table.names['Z']} {why}); no mass there")
    vague = ~blank & (kind == "photo") & (error > MAX_ERROR * (1 + np.where(blank, 0, values)))
    what = f"whose redshift is unknown (column {table.names.get('Z_ERR')} infinite or above {MAX_ERROR:g} (1 + z))"
    if (blank | vague).all():
        raise InputError(
            f"{table.path}: {vague.sum()} of {vague.size} rows are clusters {what}, and the others have none. Masses "
            "need redshifts: see whether that column holds standard errors of the redshift."
        )
    table.warn(vague, f"{what}; no mass there")
    return blank | vague


def _errors(table: UserTable) -> FloatArray:
    """Return the stated errors, infinite ones among them; NaN where there is none."""
    if "Z_ERR" in table:
        error = table.numbers("Z_ERR")
        return np.where(error >= 0, error, np.nan)
    if "Z_TYPE" in table or "Z_SPEC" in table:
        return np.full(len(table), np.nan)
    LOGGER.warning("%s: neither Z_ERR nor Z_TYPE; the redshifts are taken as exact (Z_TYPE = spec)", table.path)
    return np.zeros(len(table))


def _kinds(table: UserTable) -> NDArray[np.str_]:
    """Return the kind of redshift in each row: 'spec', 'photo', or '' where the table doesn't say."""
    if "Z_TYPE" not in table:
        return np.full(len(table), "", dtype="U5")
    kinds = []
    for row, text in enumerate(table.texts("Z_TYPE"), start=1):
        word = text.lower().removesuffix(".0")
        # eRASS1 says "cg_spec_z" for that of the central galaxy alone, and "lit_z" for any kind from the literature
        first = "s" if "spec" in word else word[:1]
        if first not in {"", "0", "1", "s", "p", "n", "-"} and not word.startswith("lit"):
            column = table.names["Z_TYPE"]
            raise InputError(f"{table.path}: column {column}, row {row}: {text!r} is neither photo (0) nor spec (1).")
        kinds.append({"0": "photo", "p": "photo", "1": "spec", "s": "spec"}.get(first, ""))
    return np.array(kinds, dtype="U5")
