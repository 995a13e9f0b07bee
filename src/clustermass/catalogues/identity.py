"""Identifiers of the rows in a user's table: the user's ids or, without usable ids, the numbers of the rows."""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from clustermass.catalogues.tables import CheckedTable
from clustermass.io.log import LOGGER

_WHOLE = re.compile(r"0|-?[1-9]\d{0,17}")


def identified(table: CheckedTable, usual: Sequence[str]) -> CheckedTable:
    """Return the table with another column of ids as ID_SRC: the first in `usual` whose values are unique.

    If there is no such column, the table is returned unchanged.
    """
    by_lower = {name.lower(): name for name in reversed(table.table.colnames)}
    for column in (by_lower[name.lower()] for name in usual if name.lower() in by_lower):
        named = replace(table, names={**table.names, "ID_SRC": column})
        if not repeated(named.ids("ID_SRC")):
            return named
    return table


def repeated(ids: Sequence[str]) -> str:
    """Return a text about the first missing or repeated id, or "" if no id is missing or repeated."""
    seen: dict[str, int] = {}
    for row, text in enumerate(ids, start=1):
        if not text:
            return f"row {row} has none"
        if text in seen:
            return f"rows {seen[text]} and {row} have one, {text}"
        seen[text] = row
    return ""


def numbering(table: CheckedTable) -> tuple[NDArray[np.int32], list[str]]:
    """Return a number for each row, and the user's ids that these numbers replace.

    The numbers, int32 (rows,), are the user's ids if these are different whole numbers below 2^31. Otherwise they are
    1, 2, 3, ... in the order of the file, and the log says why. The list of replaced ids is empty if the table has no
    ids, or if its ids are used.
    """
    if "ID_SRC" not in table:
        LOGGER.info("%s: no column of ids; rows are numbered from 1", table.path)
        return np.arange(1, len(table) + 1, dtype=np.int32), []
    ids = table.ids("ID_SRC")
    fault = repeated(ids)
    if not fault and all(_WHOLE.fullmatch(text) and abs(int(text)) < 2**31 for text in ids):
        return np.array(ids, dtype=np.int64).astype(np.int32), []
    log = LOGGER.warning if fault else LOGGER.info
    why = fault or "they are texts or large numbers"
    text = "%s: ID_SRC is the number of the row, from 1; ID_CAT holds the ids of column %s (%s)"
    log(text, table.path, table.names["ID_SRC"], why)
    return np.arange(1, len(table) + 1, dtype=np.int32), ids
