"""The dialects of event files: which columns each has, and how to tell them apart by content."""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from clustermass.errors import InputError
from clustermass.io.log import LOGGER

#: eSASS, SIXTE after ero_calevents, and our own
CALIBRATED_COLUMNS = ("TIME", "RA", "DEC", "PI", "TM_NR", "PAT_TYP", "FLAG")
#: SIXTE's erosim, runsixt and sixtesim
SIXTE_EVENT_COLUMNS = ("TIME", "RA", "DEC", "SIGNAL", "TYPE", "NPIXELS")

#: further columns of the two, which are never a renamed one
_OTHER_COLUMNS = {
    "ENERGY", "EV_WEIGHT", "FRAME", "FRAMETIME", "PAT_INF", "PH_ID", "PHA", "PHAS", "PILEUP", "RAWX", "RAWY",
    "RECORDTIME", "SIGNALS", "SRC_ID", "SUBX", "SUBY", "X", "Y",
}  # fmt: skip

#: TFORM of one number a row
_NUMBER = re.compile(r"1?[BIJKED]")

#: FLAG of every event that ero_calevents writes; it holds the bits of corrupt events and frames
SIXTE_FLAG = 0xC00001C0

#: bits that drop an event unless the configuration says otherwise. 0xC000F000 (corrupt, bad pixels, out of the field of
#: view) made the published eFEDS lists; SIXTE's FLAG means nothing; our own files were selected when they were made
AUTO_FLAG_MASK = {"esass": 0xC000F000, "sixte_calibrated": 0, "sixte_events": 0, "clustermass": 0}


def find_table(hdus: Sequence[Any], path: Path) -> Any:
    """Return the table of events: EVENTS, or else the first one with RA and DEC.

    Raises
    ------
    InputError
        There is none.
    """
    tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU)]
    for table in tables:
        if table.name.upper() == "EVENTS":
            return table
    for table in tables:
        if {"RA", "DEC"} <= _names(table):
            return table
    listed = ", ".join(table.name or "(nameless)" for table in tables) or "none"
    raise InputError(
        f"{path}: not an event list: it has no table EVENTS (tables: {listed}). Give the event file of eSASS (evtool) "
        "or SIXTE."
    )


def recognise(table: Any, creator: str, path: Path) -> str:
    """Return the dialect of a table of events, from its columns first and CREATOR second.

    Raises
    ------
    InputError
        A column is missing; the nearest name that is there is suggested.
    """
    names = _names(table)
    present = {layout: sum(name in names for name in layout) for layout in (CALIBRATED_COLUMNS, SIXTE_EVENT_COLUMNS)}
    # as shares, so that one missing column doesn't turn a file into the other kind
    sixte = present[SIXTE_EVENT_COLUMNS] / len(SIXTE_EVENT_COLUMNS) > present[CALIBRATED_COLUMNS] / len(
        CALIBRATED_COLUMNS
    )
    needed = SIXTE_EVENT_COLUMNS if sixte else CALIBRATED_COLUMNS
    _require(table, needed, "a SIXTE" if sixte else "an eSASS", path)
    if sixte:
        return "sixte_events"
    if creator.strip().lower() == "clustermass":
        return "clustermass"
    return "sixte_calibrated" if _is_sixte(table, creator, path) else "esass"


def _is_sixte(table: Any, creator: str, path: Path) -> bool:
    if creator.strip().upper() == "SIXTE":
        return True
    # evtool puts its own name over SIXTE's when it merges modules; the impossible FLAG remains
    flags = unsigned_flags(table.data["FLAG"])
    poisoned = flags.size > 0 and bool(np.all(flags == SIXTE_FLAG))
    if poisoned:
        LOGGER.info("%s: every FLAG is 0x%08X, as SIXTE's ero_calevents writes: read as SIXTE's", path, SIXTE_FLAG)
    return poisoned


def _require(table: Any, needed: Sequence[str], kind: str, path: Path) -> None:
    names = _names(table)
    missing = [name for name in needed if name not in names]
    if not missing:
        _require_numbers(table, needed, path)
        return
    others = sorted(names - set(needed) - _OTHER_COLUMNS)
    near = difflib.get_close_matches(missing[0], others, n=1, cutoff=0.4)
    hint = f" Rename column {near[0]} if that is it." if near else ""
    raise InputError(
        f"{path}: table {table.name} looks like {kind} event list, but lacks column {', '.join(missing)} "
        f"(columns: {', '.join(map(str, table.columns.names))}).{hint}"
    )


def _require_numbers(table: Any, needed: Sequence[str], path: Path) -> None:
    for name in needed:
        form = str(table.columns[name].format)
        if not _NUMBER.fullmatch(form):
            raise InputError(
                f"{path}: column {name} of table {table.name} has the format {form}, but must hold one number a row. "
                "Remake the event list."
            )


def _names(table: Any) -> set[str]:
    # a damaged file may have columns without a name
    return {str(name).upper() for name in table.columns.names}


def unsigned_flags(column: NDArray[Any]) -> NDArray[np.uint32]:
    """Return a FLAG column (signed int32 in the files) as its 32 bits, uint32."""
    return (np.asarray(column).astype(np.int64) & 0xFFFFFFFF).astype(np.uint32)


def module_of(header: Any) -> int:
    """Return the telescope module that INSTRUME names (1 to 7); 0 where it names none, or a merged list."""
    match = re.fullmatch(r"TM([1-7])", str(header.get("INSTRUME", "")).strip().upper())
    return int(match[1]) if match else 0
