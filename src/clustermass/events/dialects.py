"""Recognise the dialect of an event list (its kind, such as that of eSASS), and return its columns for `EventList`."""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.units import Unit, UnrecognizedUnit
from numpy.typing import NDArray

from clustermass.errors import InputError
from clustermass.events.eventlist import SIXTE_FLAG
from clustermass.events.rows import Rows, check_names
from clustermass.io.fits import check_scale
from clustermass.io.frames import check_frame
from clustermass.io.log import LOGGER, printable
from clustermass.io.text_tables import check_unit

_CALIBRATED = ("TIME", "RA", "DEC", "PI", "TM_NR", "PAT_TYP", "FLAG")
_SIXTE_EVENTS = ("TIME", "RA", "DEC", "SIGNAL", "TYPE", "NPIXELS")
#: further columns of these lists; they are never suggested as a missing column under another name
_OTHERS = {
    "ENERGY", "EV_WEIGHT", "FRAME", "FRAMETIME", "PAT_INF", "PH_ID", "PHA", "PHAS", "PILEUP", "RAWX", "RAWY",
    "RECORDTIME", "SIGNALS", "SRC_ID", "SUBX", "SUBY", "X", "Y",
}  # fmt: skip
#: columns of photons that tables of sources don't have; a table with two of them is a table of events
OF_PHOTONS = {*_CALIBRATED, *_SIXTE_EVENTS} - {"RA", "DEC"}
#: TFORM of a column with one number in each row
_NUMBER = re.compile(r"1?[BIJKED]")
#: TFORM of a column with one or several whole numbers in each row
_LABELS = re.compile(r"([1-9]\d*)?[BIJK]")
#: units of columns, if a table states any
_UNITS = {"TIME": "s", "RA": "deg", "DEC": "deg", "PI": "eV", "SIGNAL": "keV"}


def recognise(rows: Rows, creator: str, path: Path) -> str:
    """Return the dialect of an event list, a key of `FLAG_MASKS`.

    The dialect is recognised by the names of the columns, then by the header's keyword CREATOR (`creator`), then by
    FLAG. InputError if a needed column is missing, doesn't hold one number in each row, or is in the wrong unit.
    InputError also if positions are in a frame other than ICRS and FK5 J2000.
    """
    check_frame(rows.header, path)
    check_names(rows, path)
    check_zero_time(rows, path)
    # compared as shares, so that one missing column doesn't turn a file into the other kind
    shares = [sum(name in rows.names for name in needed) / len(needed) for needed in (_SIXTE_EVENTS, _CALIBRATED)]
    if shares[0] > shares[1]:
        _require(rows, _SIXTE_EVENTS, "a SIXTE", path)
        return "sixte_events"
    _require(rows, _CALIBRATED, "an eSASS", path)
    if dialect := {"clustermass": "clustermass", "sixte": "sixte_calibrated"}.get(creator.strip().lower()):
        return dialect
    # evtool puts its own CREATOR over SIXTE's when it merges modules
    flags = _unsigned(rows["FLAG"])
    if not flags.size or np.any(flags != SIXTE_FLAG):
        return "esass"
    LOGGER.info("%s: every FLAG is 0x%08X, as SIXTE's ero_calevents writes: read as SIXTE's", path, SIXTE_FLAG)
    return "sixte_calibrated"


def _require(rows: Rows, needed: Sequence[str], kind: str, path: Path) -> None:
    if missing := [name for name in needed if name not in rows.names]:
        others = sorted(rows.names - set(needed) - _OTHERS)
        near = difflib.get_close_matches(missing[0], others, n=1, cutoff=0.4)
        hint = f" Rename column {near[0]} if that is it." if near else ""
        raise InputError(
            f"{path}: table {rows.name} looks like {kind} event list, but lacks column {', '.join(missing)} "
            f"(columns: {', '.join(map(str, rows.columns.names))}).{hint}"
        )
    for name in needed:
        column = rows.columns[name]
        scaling = column.bscale or 1, column.bzero or 0
        if not _NUMBER.fullmatch(str(column.format)) or not all(isinstance(one, int | float) for one in scaling):
            raise InputError(
                f"{path}: column {name} of table {rows.name} has the format {column.format}, TSCAL and TZERO "
                f"{scaling!r:.50}, but must hold one number a row. Remake the event list."
            )
        check_scale(column, path)
        if name in _UNITS:
            check_column_unit(rows, name, _UNITS[name], path)


def check_column_unit(table: Any, name: str, ours: str, path: Path) -> None:
    """Raise InputError if the column `name` of a `table` states a unit other than `ours`.

    Words that aren't units pass, and so does the degree, which lists of eSASS state for nearly every column. InputError
    also if the unit isn't safe to read (see `check_unit`).
    """
    check_unit(stated := table.columns[name].unit or "", path)
    unit = Unit(str(stated), parse_strict="silent")
    if not isinstance(unit, UnrecognizedUnit) and unit not in (Unit(ours), Unit("deg"), Unit("")):
        raise InputError(f"{path}: column {name} of table {table.name} is in {stated}, but must be in {ours}.")


def check_zero_time(table: Any, path: Path) -> None:
    """Raise InputError if the header of a `table` states a TIMEZERO, which would have to be added to all its times."""
    if (zero := table.header.get("TIMEZERO", 0)) != 0:
        stated = printable(zero)[:40]
        raise InputError(f"{path}: table {table.name} has TIMEZERO = {stated}. Add it to all times, and set it to 0.")


def event_columns(rows: Rows, dialect: str) -> dict[str, NDArray[Any]]:
    """Return copies of the columns of an event list, as a dict by their names in `EventList`.

    In the dialect "sixte_events", energies are taken from SIGNAL (keV), because PI is a channel there. The module is
    taken from INSTRUME, and patterns are taken from NPIXELS.
    """
    if dialect == "sixte_events":
        with np.errstate(over="ignore", invalid="ignore"):  # it becomes infinite or NaN, which is refused later
            energy = (np.array(rows["SIGNAL"], dtype=np.float64) * 1000.0).astype(np.float32)
        columns: dict[str, NDArray[Any]] = {
            "pi_ev": energy,
            "tm_nr": np.full(len(rows), module_of(rows.header), dtype=np.uint8),
            "pat_typ": _within(np.where(np.asarray(rows["TYPE"]) >= 0, rows["NPIXELS"], 0), np.int16),
            "flag": np.zeros(len(rows), dtype=np.uint32),
        }
    else:
        columns = {
            "pi_ev": np.array(rows["PI"], dtype=np.float32),
            "tm_nr": _within(rows["TM_NR"], np.uint8),
            "pat_typ": _within(rows["PAT_TYP"], np.int16),
            "flag": _unsigned(rows["FLAG"]),
        }
    for name in ("TIME", "RA", "DEC", "X", "Y") if _hold(rows, _NUMBER, "X", "Y") else ("TIME", "RA", "DEC"):
        columns[name.lower()] = np.asarray(rows[name], np.float64)
    if _hold(rows, _NUMBER, "RAWX", "RAWY"):
        columns |= {name.lower(): _within(rows[name], np.int16) for name in ("RAWX", "RAWY")}
    if _hold(rows, _LABELS, "SRC_ID"):
        labels = np.array(rows["SRC_ID"], np.int32)
        columns["src_id"] = labels if labels.ndim == 1 else np.ascontiguousarray(labels[:, 0])
    return columns


def _hold(rows: Rows, form: re.Pattern[str], *names: str) -> bool:
    """Return whether `rows` have all columns in `names`, with formats (TFORM) that match `form`."""
    return rows.names.issuperset(names) and all(form.fullmatch(str(rows.columns[name].format)) for name in names)


def _within(values: NDArray[Any], dtype: type[np.integer[Any]]) -> NDArray[Any]:
    """Return whole numbers as `dtype`. Those that don't fit become its largest number, a value that no photon has."""
    ends = np.iinfo(dtype)
    return np.where((values >= ends.min) & (values <= ends.max), values, ends.max).astype(dtype)


def _unsigned(flag: NDArray[Any]) -> NDArray[np.uint32]:
    """Return FLAG as uint32; files hold it as signed int32. NaN and numbers of 2^53 or more get all 32 bits."""
    if flag.dtype.kind == "f":
        flag = np.where(np.abs(flag) < 2**53, flag, -1)
    return (np.asarray(flag).astype(np.int64) & 0xFFFFFFFF).astype(np.uint32)


def module_of(header: fits.Header) -> int:
    """Return the telescope module in INSTRUME (1 to 7), or 0 if the list is merged or no module is given."""
    match = re.fullmatch(r"TM([1-7])", str(header.get("INSTRUME", "")).strip().upper())
    return int(match[1]) if match else 0
