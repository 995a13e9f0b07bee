"""The dialects of event lists: how each is recognised, and its columns in the form of `EventList`."""

import difflib
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from clustermass.errors import InputError
from clustermass.io.log import LOGGER

#: FLAG of every event that ero_calevents writes; it holds the bits of corrupt events and frames
SIXTE_FLAG = 0xC00001C0
_CALIBRATED = ("TIME", "RA", "DEC", "PI", "TM_NR", "PAT_TYP", "FLAG")
_SIXTE_EVENTS = ("TIME", "RA", "DEC", "SIGNAL", "TYPE", "NPIXELS")
#: further columns of these lists, which are never a renamed one
_OTHERS = {
    "ENERGY", "EV_WEIGHT", "FRAME", "FRAMETIME", "PAT_INF", "PH_ID", "PHA", "PHAS", "PILEUP", "RAWX", "RAWY",
    "RECORDTIME", "SIGNALS", "SRC_ID", "SUBX", "SUBY", "X", "Y",
}  # fmt: skip
#: TFORM of one number a row
_NUMBER = re.compile(r"1?[BIJKED]")


class Dialect(NamedTuple):
    """One kind of event list: its required columns, and the bits of FLAG that drop an event by default."""

    columns: tuple[str, ...]
    flag_mask: int


DIALECTS = {
    # evtool; 0xC000F000 (corrupt, bad pixels, out of the field of view) made the published eFEDS lists
    "esass": Dialect(_CALIBRATED, 0xC000F000),
    # SIXTE after ero_calevents, whose FLAG means nothing
    "sixte_calibrated": Dialect(_CALIBRATED, 0),
    # SIXTE's erosim, runsixt and sixtesim: a channel in PI, no FLAG
    "sixte_events": Dialect(_SIXTE_EVENTS, 0),
    # ours, selected when they were made
    "clustermass": Dialect(_CALIBRATED, 0),
}


class Rows:
    """Some rows of a FITS table, scaled as astropy does, but without its circular references, which occupy memory.

    Parameters
    ----------
    table
        The HDU.
    raw
        Bytes of the rows.
    """

    def __init__(self, table: Any, raw: bytes) -> None:
        self.name, self.header, self.columns = str(table.name), table.header, table.columns
        self._bytes = raw
        # a damaged file may have columns without a name
        self._by_name = {str(column.name).upper(): column for column in self.columns}

    @property
    def names(self) -> set[str]:
        """Names of the columns in upper case."""
        return set(self._by_name)

    @cached_property
    def _raw(self) -> NDArray[Any]:
        # not before a value is wanted: the names of the columns are checked first
        return np.frombuffer(self._bytes, dtype=self.columns.dtype.newbyteorder(">"))

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self._raw.size)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return a column by its name in upper case, (rows, ...)."""
        column = self._by_name[name]
        values = self._raw[column.name]
        scale, zero = (value or neutral for value, neutral in ((column.bscale, 1), (column.bzero, 0)))
        if scale == 1 and zero == 0:
            return values
        scaled = values.astype(np.float64)
        scaled *= scale
        if zero:
            scaled += zero
        return scaled


def find_table(hdus: Sequence[Any], path: Path) -> Any:
    """Return the table of events: EVENTS, or else the first one with RA and DEC; InputError if there is none."""
    tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU)]
    positions = [table for table in tables if {"RA", "DEC"} <= {str(name).upper() for name in table.columns.names}]
    for table in [*(table for table in tables if table.name.upper() == "EVENTS"), *positions]:
        return table
    listed = ", ".join(table.name or "(nameless)" for table in tables) or "none"
    raise InputError(
        f"{path}: not an event list: it has no table EVENTS (tables: {listed}). Give the event file of eSASS (evtool) "
        "or SIXTE."
    )


def recognise(rows: Rows, creator: str, path: Path) -> str:
    """Return the dialect of an event list, a key of `DIALECTS`, from its columns first and CREATOR second.

    Raises
    ------
    InputError
        A column is missing (a similar name is suggested), or doesn't hold one number a row.
    """
    # compared as shares, so that one missing column doesn't turn a file into the other kind
    shares = [sum(name in rows.names for name in needed) / len(needed) for needed in (_SIXTE_EVENTS, _CALIBRATED)]
    if shares[0] > shares[1]:
        _require(rows, _SIXTE_EVENTS, "a SIXTE", path)
        return "sixte_events"
    _require(rows, _CALIBRATED, "an eSASS", path)
    if creator.strip().lower() == "clustermass":
        return "clustermass"
    return "sixte_calibrated" if creator.strip().upper() == "SIXTE" or _has_sixte_flags(rows, path) else "esass"


def _has_sixte_flags(rows: Rows, path: Path) -> bool:
    """Whether every FLAG is SIXTE's: evtool puts its own CREATOR over SIXTE's when it merges modules."""
    flags = _unsigned(rows["FLAG"])
    constant = flags.size > 0 and bool(np.all(flags == SIXTE_FLAG))
    if constant:
        LOGGER.info("%s: every FLAG is 0x%08X, as SIXTE's ero_calevents writes: read as SIXTE's", path, SIXTE_FLAG)
    return constant


def _require(rows: Rows, needed: Sequence[str], kind: str, path: Path) -> None:
    missing = [name for name in needed if name not in rows.names]
    if missing:
        others = sorted(rows.names - set(needed) - _OTHERS)
        near = difflib.get_close_matches(missing[0], others, n=1, cutoff=0.4)
        hint = f" Rename column {near[0]} if that is it." if near else ""
        raise InputError(
            f"{path}: table {rows.name} looks like {kind} event list, but lacks column {', '.join(missing)} "
            f"(columns: {', '.join(map(str, rows.columns.names))}).{hint}"
        )
    for name in needed:
        form = str(rows.columns[name].format)
        if not _NUMBER.fullmatch(form):
            raise InputError(
                f"{path}: column {name} of table {rows.name} has the format {form}, but must hold one number a row. "
                "Remake the event list."
            )


def event_columns(rows: Rows, dialect: str) -> dict[str, NDArray[Any]]:
    """Return copies of the columns that `EventList` has, by its names."""
    columns: dict[str, NDArray[Any]] = {
        name: np.asarray(rows[name.upper()], np.float64) for name in ("time", "ra", "dec")
    }
    columns |= _sixte_columns(rows) if dialect == "sixte_events" else _calibrated_columns(rows)
    if {"X", "Y"} <= rows.names:
        columns |= {name: np.asarray(rows[name.upper()], np.float64) for name in ("x", "y")}
    if {"RAWX", "RAWY"} <= rows.names:
        columns |= {name: np.array(rows[name.upper()], np.int16) for name in ("rawx", "rawy")}
    if "SRC_ID" in rows.names:
        labels = np.array(rows["SRC_ID"], np.int32)
        columns["src_id"] = labels if labels.ndim == 1 else np.ascontiguousarray(labels[:, 0])
    return columns


def _calibrated_columns(rows: Rows) -> dict[str, NDArray[Any]]:
    return {
        "pi_ev": np.array(rows["PI"], dtype=np.float32),
        "tm_nr": np.array(rows["TM_NR"], dtype=np.uint8),
        "pat_typ": np.array(rows["PAT_TYP"], dtype=np.int16),
        "flag": _unsigned(rows["FLAG"]),
    }


def _sixte_columns(rows: Rows) -> dict[str, NDArray[Any]]:
    valid = np.asarray(rows["TYPE"]) >= 0
    return {
        # PI is a channel here; the energy is SIGNAL, in keV
        "pi_ev": (np.array(rows["SIGNAL"], dtype=np.float64) * 1000.0).astype(np.float32),
        "tm_nr": np.full(len(rows), module_of(rows.header), dtype=np.uint8),
        "pat_typ": np.where(valid, rows["NPIXELS"], 0).astype(np.int16),
        "flag": np.zeros(len(rows), dtype=np.uint32),
    }


def _unsigned(flag: NDArray[Any]) -> NDArray[np.uint32]:
    """Return a FLAG column (signed int32 in the files) as its 32 bits, uint32."""
    return (np.asarray(flag).astype(np.int64) & 0xFFFFFFFF).astype(np.uint32)


def module_of(header: Any) -> int:
    """Return the telescope module that INSTRUME names (1 to 7); 0 where it names none, or a merged list."""
    match = re.fullmatch(r"TM([1-7])", str(header.get("INSTRUME", "")).strip().upper())
    return int(match[1]) if match else 0
