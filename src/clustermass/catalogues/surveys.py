"""Published catalogues of eROSITA clusters: recognised by their columns; their sentinel values are masked."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from astropy.table import MaskedColumn, Table

from clustermass.catalogues.tables import numbers, read_table
from clustermass.io.log import LOGGER


class Survey(NamedTuple):
    """A published catalogue.

    Attributes
    ----------
    title
        Its content and paper.
    marks
        Columns that no other of `SURVEYS` has all of.
    rows
        Rows as published.
    numbered
        Whether ID_SRC is unique; in eRASS1 it begins anew with every tile of the sky.
    """

    title: str
    marks: tuple[str, ...]
    rows: int
    numbered: bool = True


SURVEYS = (
    Survey("eFEDS clusters (Liu et al. 2022)", ("ID_SRC", "L_500KPC", "SNR_MAX"), 542),
    Survey("eFEDS optical counterparts (Klein et al. 2022)", ("ID_SRC", "Z_BEST_COMB", "F_CONT_BEST_COMB"), 542),
    Survey("eFEDS X-ray sources (Brunner et al. 2022)", ("ID_SRC", "ID_HARD", "RA_CORR", "ML_RATE"), 27910),
    Survey("eRASS1 clusters (Bulbul et al. 2024)", ("DETUID", "BEST_Z", "EXT_LIKE"), 12247, numbered=False),
)
_POSITIVE, _ANY = float(np.nextafter(0, 1)), np.inf
#: columns -> lowest and highest value that is a measurement. Of L, T and F a -1 says that only an upper limit is known;
#: errors far below zero stand for fits that failed; an infinite SIGMA_Z stays: it says that the redshift is unknown
_MEASUREMENTS = (
    (re.compile(r"(T|L|LBOL|F)_\d+KPC(_[LU])?"), _POSITIVE, _ANY),
    (re.compile(r"(SPEC_)?Z_\d?BEST_COMB|BEST_Z|[MRL]500(_[LH])?|KT(_[LH])?"), _POSITIVE, _ANY),
    (re.compile(r"(ML_\w+|EXT|RADEC)_ERR(_\w+)?|ML_(RATE|CTS|FLUX|EXP|BKG)(_\d)?"), 0.0, np.finfo(float).max),
    (re.compile(r"RA(_\w+)?"), 0.0, 360.0),
    (re.compile(r"DEC(_\w+)?"), -90.0, 90.0),
)


def read_survey_table(path: Path) -> Table:
    """Read a table as `tables.read_table` does; in a published catalogue mask the values that stand for "not measured".

    Returns
    -------
    Table
        All rows and columns under the table's own names and units. Where ID_SRC isn't unique, it becomes the number of
        the row in the file, from 1.

    Raises
    ------
    InputError
        See `tables.read_table`.
    """
    table = read_table(path)
    survey = recognise(table)
    if survey is None:
        return table
    whole = "" if len(table) == survey.rows else f" of {survey.rows} as published"
    LOGGER.info("%s: %s, %d rows%s", path, survey.title, len(table), whole)
    if not survey.numbered:
        LOGGER.info("%s: ID_SRC = number of the row in this file, from 1; NAME_CAT keeps the published name", path)
        table["ID_SRC"] = np.arange(1, len(table) + 1)
    return mask_sentinels(table, path)


def recognise(table: Table) -> Survey | None:
    """Return the published catalogue that has this table's columns (case doesn't matter), or None."""
    names = {name.upper() for name in table.colnames}
    return next((survey for survey in SURVEYS if names.issuperset(survey.marks)), None)


def mask_sentinels(table: Table, path: Path) -> Table:
    """Mask all values that are no measurements in the columns of `_MEASUREMENTS`, and log their numbers.

    Raises
    ------
    InputError
        A cell of such a column isn't a number.
    """
    masked, counts = table.copy(copy_data=False), {}
    for name in table.colnames:
        limits = next(((low, high) for rule, low, high in _MEASUREMENTS if rule.fullmatch(name.upper())), None)
        if limits is None or table[name].ndim != 1:
            continue
        values = numbers(table, path, name)
        missing = ~((values >= limits[0]) & (values <= limits[1]))
        masked[name] = MaskedColumn(values, mask=missing, unit=table[name].unit)
        counts[name] = int(missing.sum())
    listed = ", ".join(f"{name} {number}" for name, number in counts.items() if number)
    LOGGER.info("%s: values that are no measurements, masked: %s", path, listed or "none")
    return masked
