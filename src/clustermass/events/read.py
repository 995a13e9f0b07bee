"""Read event lists piece by piece: every dialect becomes one form, and faults are named with file and row."""

import gzip
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from clustermass.arrays import FloatArray
from clustermass.errors import InputError
from clustermass.events.eventlist import EventList, Rows, event_columns, find_table, module_of, recognise
from clustermass.events.select import union
from clustermass.io.fits import opened_fits
from clustermass.io.log import LOGGER
from clustermass.io.products import is_simulated

#: rows of a piece: some 300 MB with all that is made of them
PIECE_ROWS = 2_000_000

#: values that a photon can have: column of EventList, name for messages, lowest, highest, unit
_LIMITS = (
    ("ra", "RA", 0, 360, "deg"),
    ("dec", "DEC", -90, 90, "deg"),
    ("pi_ev", "energy", 0, 1e6, "eV"),
    ("time", "TIME", -1e12, 1e12, "s"),
    ("tm_nr", "TM_NR", 0, 7, "(telescope modules)"),
)
#: GTI1 to GTI7 of eSASS and ero_calevents, STDGTI of SIXTE's event files; FLAREGTI is something else
_GTI = re.compile(r"(?:STD)?GTI(\d*)")


def read_events(path: str | Path) -> EventList:
    """Read an event list of eSASS (evtool), SIXTE (event file or ero_calevents) or our own, also gzipped, into memory.

    Split partners (rows with PI < 0) are no photons and are dropped with a log line. Nothing else is: see
    `clustermass.events.select`. InputError if there is no such file; it is truncated, damaged or not an event list; it
    lacks a column or has no rows; or an energy, time or coordinate is not finite or out of range (the first bad row,
    counted from 1, is named).
    """
    pieces = list(stream_events(path))
    names = pieces[0].columns()
    return pieces[0].with_columns({name: np.concatenate([getattr(piece, name) for piece in pieces]) for name in names})


def stream_events(path: str | Path, rows: int = PIECE_ROWS) -> Iterator[EventList]:
    """Yield an event list in pieces of `rows` rows of the file, in order, so that one of any length fits the memory.

    Together the pieces are what `read_events` returns, and the same errors are raised, though some only after the
    first pieces; a piece can be empty. Lists packed by gzip are unpacked to the disk once, to see that they are whole.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such event file. Check the path in the configuration.")
    with opened_fits(path) as hdus:
        whole = list(hdus)  # every header is read, so that a file cut short anywhere is noticed
        table = find_table(whole, path)
        total = table.header["NAXIS2"]
        if total == 0:
            raise InputError(f"{path}: the event list has no rows. Give a list with photons.")
        empty = _empty_list(whole, table, next(_pieces(table, path, rows))[1], path)
        pieces = _pieces(table, path, rows)
    number = 0
    for start, piece in pieces:
        events = _photons(piece, empty, start, total)
        number += len(events)
        yield events
    if number == 0:
        raise InputError(f"{path}: every one of {total} rows has PI < 0, so none is a photon. Remake the event list.")
    if number < total:
        LOGGER.info("%s: %d rows, of which %d with PI < 0 (split partners) dropped", path, total, total - number)
    LOGGER.info("%s: %d photons, read as %s", path, number, empty.dialect)


def _pieces(table: Any, path: Path, rows: int) -> Iterator[tuple[int, Rows]]:
    """Yield the number of the first row, from 0, and the next `rows` rows, to the end of `table`."""
    header, offset = table.header, table.fileinfo()["datLoc"]
    with ExitStack() as stack:
        stream: Any = stack.enter_context(path.open("rb"))
        if stream.read(2) == b"\x1f\x8b":
            stream.seek(0)
            stream = stack.enter_context(gzip.GzipFile(fileobj=stream))
        stream.seek(offset)
        for start in range(0, header["NAXIS2"], rows):
            number = min(rows, header["NAXIS2"] - start)
            yield start, Rows(table, stream.read(number * header["NAXIS1"]))


def _empty_list(whole: Sequence[Any], table: Any, first: Rows, path: Path) -> EventList:
    """Return an event list without photons, with the metadata of all; the first rows decide on its dialect."""
    header = table.header
    creator = header.get("CREATOR") or whole[0].header.get("CREATOR") or ""
    dialect = recognise(first, str(creator), path)
    columns: dict[str, Any] = event_columns(Rows(table, b""), dialect)
    return EventList(
        **columns,
        dialect=dialect,
        name=str(path),
        gti=_read_gti(whole, module_of(header), path),
        exposure_s=_exposure_s(header),
        sky_reference=_sky_reference(table),
        simulated=dialect.startswith("sixte") or is_simulated(header),
    )


def _read_gti(hdus: Iterable[Any], module: int, path: Path) -> dict[int, FloatArray]:
    """Return the good time intervals of all HDUs of a file: module -> float64 (intervals, 2), START and STOP in s.

    They are sorted and don't overlap. A table without a number is for `module`; 0 = every module that has no table of
    its own. InputError if a table lacks START or STOP, or an interval is not finite or ends before it starts.
    """
    tables: dict[int, list[FloatArray]] = {}
    for hdu in hdus:
        match = _GTI.fullmatch(hdu.name.upper()) if isinstance(hdu, fits.BinTableHDU) else None
        if match:
            tables.setdefault(int(match[1] or module), []).append(_intervals(hdu, path))
    return {number: union(np.concatenate(parts)) for number, parts in tables.items()}


def _intervals(hdu: Any, path: Path) -> FloatArray:
    missing = {"START", "STOP"} - {str(name).upper() for name in hdu.columns.names}
    if missing:
        raise InputError(f"{path}: table {hdu.name} lacks column {' and '.join(sorted(missing))}. Remake the file.")
    intervals = np.stack([np.array(hdu.data[name], dtype=np.float64) for name in ("START", "STOP")], axis=1)
    bad = np.flatnonzero(~np.isfinite(intervals).all(axis=1) | (intervals[:, 1] < intervals[:, 0]))
    if bad.size:
        raise InputError(f"{path}: table {hdu.name}, row {bad[0] + 1}: {intervals[bad[0]]} is no time interval.")
    return intervals


def _exposure_s(header: Any) -> float | None:
    try:
        stated = float(header.get("EXPOSURE") or header["TSTOP"] - header["TSTART"])
    except (KeyError, TypeError, ValueError):
        return None
    return stated if np.isfinite(stated) and stated > 0 else None


def _sky_reference(table: Any) -> tuple[float, float] | None:
    """RA, DEC of sky pixel (0, 0): TCRVL of the columns X and Y (RA_PNT and RA_OBJ can't be relied on)."""
    numbers = {str(name).upper(): number for number, name in enumerate(table.columns.names, start=1)}
    x, y = (table.header.get(f"TCRVL{numbers.get(axis, 0)}") for axis in ("X", "Y"))
    return None if x is None or y is None else (float(x), float(y))


def _photons(piece: Rows, empty: EventList, start: int, total: int) -> EventList:
    """Return the photons of a piece that begins with row `start` of `total`; InputError if one is out of range."""
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
    if (round_again := columns["ra"] == 360.0).any():
        columns["ra"] = np.where(round_again, 0.0, columns["ra"])
    return empty.with_columns(columns)
