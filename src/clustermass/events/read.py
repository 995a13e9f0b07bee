"""Read event lists of eSASS, SIXTE and clustermass piece by piece, as `EventList`. Errors name the file and the row."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits

from clustermass.arrays import FloatArray
from clustermass.errors import InputError
from clustermass.events.dialects import (
    OF_PHOTONS,
    check_column_unit,
    check_zero_time,
    event_columns,
    module_of,
    recognise,
)
from clustermass.events.eventlist import EventList, union
from clustermass.events.rows import Rows, check_names, pieces_of
from clustermass.io.fits import opened_fits
from clustermass.io.frames import check_frame
from clustermass.io.log import LOGGER
from clustermass.io.products import is_simulated

#: rows of a piece; these and what is computed from them take some 300 MB
PIECE_ROWS = 2_000_000
#: values that a photon can have: column of EventList, name for messages, lowest, highest, unit
_LIMITS = (
    ("ra", "RA", 0, 360, "deg"),
    ("dec", "DEC", -90, 90, "deg"),
    ("pi_ev", "energy", 0, 1e6, "eV"),
    ("time", "TIME", -1e12, 1e12, "s"),
    ("tm_nr", "TM_NR", 0, 7, "(telescope modules)"),
)
#: GTI1 to GTI7 of eSASS and ero_calevents, STDGTI of SIXTE's event files; FLAREGTI has another meaning
_GTI = re.compile(r"(?:STD)?GTI(\d*)")
#: end of the message if another file is given in place of an event list
ORDER = "The event lists come first, the table of clusters last: clustermass masses EVENTS... CATALOGUE."
#: OBS_MODE of observations that spend little of their good time on any one place
_SCANNING = ("SCAN", "SURVEY", "SLEW")


def read_events(path: str | Path) -> EventList:
    """Return the event list in a file of eSASS (evtool), SIXTE (event file or ero_calevents) or clustermass.

    The file may be packed by gzip, bzip2 or xz. Rows with PI < 0 (split partners) aren't photons. They are dropped, and
    their number is logged. All other rows are kept; `Selection` makes the cuts later. InputError if the file is
    missing, truncated, damaged or not an event list, if it lacks a column or has no rows, or if an energy, time or
    coordinate is not finite or out of range. The message names the first bad row, counted from 1.
    """
    pieces = list(stream_events(path))
    names = pieces[0].columns()
    return pieces[0].with_columns({name: np.concatenate([getattr(piece, name) for piece in pieces]) for name in names})


def stream_events(path: str | Path, rows: int = PIECE_ROWS) -> Iterator[EventList]:
    """Yield an event list in pieces of `rows` rows of the file, in order, so that any list fits into memory.

    Together, the pieces are the list that `read_events` returns. Some pieces may be empty. A packed list is first
    unpacked to disk, which shows whether it is complete. Errors are the same as in `read_events`, but some of them are
    raised only after the first pieces. InputError also if the file has several tables of events.
    """
    tables = event_tables(path, rows)
    if len(tables) > 1:
        raise InputError(f"{path}: has {len(tables)} tables EVENTS, but one is expected here. Join them (ftmerge).")
    yield from tables[0].stream(rows)


class EventTable(NamedTuple):
    """A table of events in a file: the HDU `table`, and the event list `head` with all metadata but no photons."""

    path: Path
    table: Any
    head: EventList

    def stream(self, rows: int = PIECE_ROWS) -> Iterator[EventList]:
        """Yield the photons in pieces of `rows` rows. InputError if a row is bad or if no row is a photon.

        A piece is empty if none of its rows is a photon.
        """
        number, total = 0, self.table.header["NAXIS2"]
        for start, piece in pieces_of(self.table, self.path, rows):
            events = _photons(piece, self.head, start, total)
            number += len(events)
            yield events
        name = self.head.name
        if number == 0:
            raise InputError(
                f"{name}: every one of {total} rows has PI < 0, so none is a photon. Remake the event list."
            )
        if number < total:
            LOGGER.info("%s: %d rows, of which %d with PI < 0 (split partners) dropped", name, total, total - number)
        LOGGER.info("%s: %d photons, read as %s", name, number, self.head.dialect)


def event_tables(path: str | Path, rows: int = PIECE_ROWS) -> list[EventTable]:
    """Return the tables of events in a file (usually one).

    The dialect of a table is recognised from its first `rows` rows. InputError if the file isn't an event list, is
    damaged or has no rows.
    """
    path = Path(path)
    with opened_fits(path, ORDER) as hdus:
        whole = list(hdus)  # every header is read, so that a file cut short anywhere is noticed
        found = find_tables(whole, path)
        tables = [table for table in found if table.header["NAXIS2"]]
        if not tables:
            raise InputError(f"{path}: the event list has no rows. Give a list with photons.")
        return [EventTable(path, table, _empty_list(whole, found, table, path, rows)) for table in tables]


def find_tables(hdus: Sequence[Any], path: Path) -> list[Any]:
    """Return the HDUs named EVENTS or, if there are none, the first table with at least two columns of `OF_PHOTONS`.

    InputError if there is no such HDU.
    """
    tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU)]
    events = [table for table in tables if table.name.upper() == "EVENTS"]
    events += [table for table in tables if not events and len(_column_names(table) & OF_PHOTONS) > 1][:1]
    if events:
        return events
    listed = ", ".join(table.name or "(nameless)" for table in tables) or "none"
    message = f"{path}: not an event list: it has no table EVENTS (tables: {listed})."
    for table in tables:
        if {"RA", "DEC"} <= _column_names(table):
            raise InputError(f"{message} {table.name or 'The table'} is one of sources, without TIME and PI. {ORDER}")
    raise InputError(f"{message} Give the event file of eSASS (evtool) or SIXTE. {ORDER}")


def _column_names(table: Any) -> set[str]:
    return {str(name).upper() for name in table.columns.names}


def _empty_list(whole: Sequence[Any], tables: Sequence[Any], table: Any, path: Path, rows: int) -> EventList:
    header = table.header
    creator = header.get("CREATOR") or whole[0].header.get("CREATOR") or ""
    check_frame(whole[0].header, path)
    dialect = recognise(next(pieces_of(table, path, rows))[1], str(creator), path)
    number = tables.index(table)
    return EventList(
        **dict[str, Any](event_columns(Rows(table, b""), dialect)),
        dialect=dialect,
        name=str(path) if len(tables) == 1 else f"{path} (EVENTS {number + 1} of {len(tables)})",
        gti=_read_gti(_gti_tables(whole, number, len(tables)), module_of(header), path),
        exposure_s=_exposure_s(header),
        sky_reference=_sky_reference(table),
        scan=_is_scan([whole[0].header, header]),
        simulated=dialect.startswith("sixte") or is_simulated(header),
    )


def _gti_tables(hdus: Iterable[Any], number: int, tables: int) -> list[Any]:
    """Return the GTI tables in `hdus` that belong to one table of events.

    `number` is the number of this table of events, counted from 0, and `tables` is how many tables of events the file
    has.

    - GTI tables with a module's number in their name, such as GTI5, belong to every table of events.
    - If there are as many other GTI tables as tables of events, each of them belongs to the table of events at the same
      place. Otherwise they belong to every table of events.
    """
    found = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU) and _GTI.fullmatch(hdu.name.upper())]
    nameless = [hdu for hdu in found if not hdu.name[-1].isdigit()]
    if len(nameless) != tables:
        return found
    return [hdu for hdu in found if hdu not in nameless or hdu is nameless[number]]


def _read_gti(tables: Iterable[Any], module: int, path: Path) -> dict[int, FloatArray]:
    """Return a dict from modules to sorted good time intervals (START, STOP) in s, float64 (intervals, 2).

    The number at the end of a table's name, as in GTI5, is its module. A table without such a number belongs to
    `module`. The intervals of module 0 hold for every module without a table of its own. InputError if a table has no
    START or STOP, or if an interval isn't finite or ends before it starts.
    """
    parts: dict[int, list[FloatArray]] = {}
    for table in tables:
        number = table.name.upper().rpartition("GTI")[2]
        parts.setdefault(int(number or module), []).append(_intervals(table, path))
    return {number: union(np.concatenate(intervals)) for number, intervals in parts.items()}


def _intervals(hdu: Any, path: Path) -> FloatArray:
    if missing := {"START", "STOP"} - {str(name).upper() for name in hdu.columns.names}:
        raise InputError(f"{path}: table {hdu.name} lacks column {' and '.join(sorted(missing))}. Remake the file.")
    check_names(hdu, path)
    check_zero_time(hdu, path)
    if any(hdu.data[name].dtype.kind not in "iuf" or hdu.data[name].ndim > 1 for name in ("START", "STOP")):
        raise InputError(f"{path}: START or STOP of table {hdu.name} doesn't hold one number a row. Remake the file.")
    for name in ("START", "STOP"):
        check_column_unit(hdu, name, "s", path)
    intervals = np.stack([np.array(hdu.data[name], dtype=np.float64) for name in ("START", "STOP")], axis=1)
    bad = np.flatnonzero(~np.isfinite(intervals).all(axis=1) | (intervals[:, 1] < intervals[:, 0]))
    if bad.size:
        raise InputError(f"{path}: table {hdu.name}, row {bad[0] + 1}: {intervals[bad[0]]} is no time interval.")
    return intervals


def _exposure_s(header: fits.Header) -> float | None:
    try:
        stated = float(header.get("EXPOSURE") or header["TSTOP"] - header["TSTART"])
    except (KeyError, TypeError, ValueError):
        return None
    return stated if np.isfinite(stated) and stated > 0 else None


def _is_scan(headers: Sequence[fits.Header]) -> bool:
    """Return whether OBS_MODE says that the telescope scanned. False for files of SIXTE, which say so in all cases."""
    simulated = any(str(header.get("CREATOR")).startswith("SIXTE") for header in headers)
    modes = [str(header.get("OBS_MODE", "")).strip().upper() for header in headers]
    return not simulated and any(mode in _SCANNING for mode in modes)


def _sky_reference(table: Any) -> tuple[float, float] | None:
    """Return RA and DEC of sky pixel (0, 0) in deg, or None if they are unknown.

    They are the values of TCRVL for the columns X and Y. RA_PNT and RA_OBJ aren't used, because they are unreliable.
    """
    numbers = {str(name).upper(): number for number, name in enumerate(table.columns.names, start=1)}
    x, y = (table.header.get(f"TCRVL{numbers.get(axis, 0)}") for axis in ("X", "Y"))
    # a blank or a word is no error, because masses don't need the reference
    return (float(x), float(y)) if isinstance(x, int | float) and isinstance(y, int | float) else None


def _photons(piece: Rows, empty: EventList, start: int, total: int) -> EventList:
    """Return the photons of a piece that begins with row `start` of `total`. InputError if a value is out of range."""
    columns = event_columns(piece, empty.dialect)
    photons = ~(columns["pi_ev"] < 0)
    for name, column, low, high, unit in _LIMITS:
        values = columns[name]
        if values.size and low <= values.min() and values.max() <= high:  # false if one is NaN
            continue
        bad = np.flatnonzero(photons & ~((values >= low) & (values <= high)))
        if bad.size:
            which = f"{total} rows" if len(piece) == total else f"rows {start + 1} to {start + len(piece)}"
            raise InputError(
                f"{empty.name}: row {start + bad[0] + 1}: {column} is {values[bad[0]]}, but must be between "
                f"{low:g} and {high:g} {unit} ({bad.size} of {which} are so). Remove or repair "
                f"{'it' if bad.size == 1 else 'them'}."
            )
    if not photons.all():
        columns = {name: column[photons] for name, column in columns.items()}
    columns["ra"] = np.where(columns["ra"] == 360.0, 0.0, columns["ra"])
    return empty.with_columns(columns)
