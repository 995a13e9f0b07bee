"""Read event lists of eSASS, SIXTE and clustermass piece by piece, into one form; errors name file and row."""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.errors import InputError
from clustermass.events.eventlist import SIXTE_FLAG, EventList, union
from clustermass.io.fits import opened_fits, unpacked
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
_CALIBRATED = ("TIME", "RA", "DEC", "PI", "TM_NR", "PAT_TYP", "FLAG")
_SIXTE_EVENTS = ("TIME", "RA", "DEC", "SIGNAL", "TYPE", "NPIXELS")
#: further columns of these lists; they are never suggested as a missing column under another name
_OTHERS = {
    "ENERGY", "EV_WEIGHT", "FRAME", "FRAMETIME", "PAT_INF", "PH_ID", "PHA", "PHAS", "PILEUP", "RAWX", "RAWY",
    "RECORDTIME", "SIGNALS", "SRC_ID", "SUBX", "SUBY", "X", "Y",
}  # fmt: skip
#: columns of photons that tables of sources lack; a table with two of them is one of events
_OF_PHOTONS = {*_CALIBRATED, *_SIXTE_EVENTS} - {"RA", "DEC"}
#: end of the message if another file is given in place of an event list
ORDER = "The event lists come first, the table of clusters last: clustermass masses EVENTS... CATALOGUE."
#: OBS_MODE of observations that spend little of their good time on any one place
_SCANNING = ("SCAN", "SURVEY", "SLEW")
#: TFORM of a column with one number in each row
_NUMBER = re.compile(r"1?[BIJKED]")


def read_events(path: str | Path) -> EventList:
    """Return the event list of eSASS (evtool), SIXTE (event file or ero_calevents) or clustermass in a file.

    The file may be packed. Rows with PI < 0 (split partners) are no photons: they are dropped, and their number is
    logged. All other rows are kept here; `Selection` makes the cuts later. InputError if the file is missing,
    truncated, damaged or not an event list, if it lacks a column or has no rows, or if an energy, time or coordinate is
    not finite or out of range. The message names the first bad row, counted from 1.
    """
    pieces = list(stream_events(path))
    names = pieces[0].columns()
    return pieces[0].with_columns({name: np.concatenate([getattr(piece, name) for piece in pieces]) for name in names})


def stream_events(path: str | Path, rows: int = PIECE_ROWS) -> Iterator[EventList]:
    """Yield an event list in pieces of `rows` rows of the file, in order, so that a list of any length fits in memory.

    Together the pieces, some of which may be empty, are the list that `read_events` returns. Errors are those of
    `read_events`, but some are raised only after the first pieces. A packed list is unpacked to disk once, to check
    that it is complete. InputError also if the file has several tables of events.
    """
    tables = event_tables(path, rows)
    if len(tables) > 1:
        raise InputError(f"{path}: has {len(tables)} tables EVENTS, but one is expected here. Join them (ftmerge).")
    yield from tables[0].stream(rows)


class EventTable(NamedTuple):
    """A table of events in a file: its HDU `table`, and `head`, an event list with its metadata but no photons."""

    path: Path
    table: Any
    head: EventList

    def stream(self, rows: int = PIECE_ROWS) -> Iterator[EventList]:
        """Yield the photons in pieces of `rows` rows, maybe empty; InputError if a row is bad or no row is a photon."""
        number, total = 0, self.table.header["NAXIS2"]
        for start, piece in _pieces(self.table, self.path, rows):
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
    """Return the tables of events in a file (usually one); InputError if it is no event list, damaged or empty.

    The dialect is recognised from the first `rows` rows.
    """
    path = Path(path)
    with opened_fits(path, ORDER) as hdus:
        whole = list(hdus)  # every header is read, so that a file cut short anywhere is noticed
        found = find_tables(whole, path)
        tables = [table for table in found if table.header["NAXIS2"]]
        if not tables:
            raise InputError(f"{path}: the event list has no rows. Give a list with photons.")
        return [EventTable(path, table, _empty_list(whole, found, table, path, rows)) for table in tables]


class Rows:
    """Rows of a FITS table, decoded from their bytes and scaled by TSCAL and TZERO; `names` are in upper case.

    Tables of astropy are not used, because their circular references delay the release of memory.
    """

    def __init__(self, table: Any, raw: bytes) -> None:
        self.name, self.header, self.columns = str(table.name), table.header, table.columns
        self._bytes = raw
        # a damaged file may have columns without a name
        self._by_name = {str(column.name).upper(): column for column in self.columns}
        self.names = set(self._by_name)

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
        values, scale, zero = self._raw[column.name], column.bscale or 1, column.bzero or 0
        if scale != 1 or zero != 0:
            values = values.astype(np.float64)
            values *= scale
        if zero != 0:
            values += zero
        return values


def find_tables(hdus: Sequence[Any], path: Path) -> list[Any]:
    """Return the tables named EVENTS, or else the first with columns of photons; InputError if there is none."""
    tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU)]
    events = [table for table in tables if table.name.upper() == "EVENTS"]
    events += [table for table in tables if not events and len(_column_names(table) & _OF_PHOTONS) > 1][:1]
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


def recognise(rows: Rows, creator: str, path: Path) -> str:
    """Return the dialect of an event list, a key of `FLAG_MASKS`, from its columns first and CREATOR second.

    InputError if a column is missing (a similar name is suggested), or doesn't hold one number in each row.
    """
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
        if not _NUMBER.fullmatch(form := str(rows.columns[name].format)):
            raise InputError(
                f"{path}: column {name} of table {rows.name} has the format {form}, but must hold one number a row. "
                "Remake the event list."
            )


def event_columns(rows: Rows, dialect: str) -> dict[str, NDArray[Any]]:
    """Return copies of the columns of an event list, by their names in `EventList`.

    For the dialect "sixte_events", energies come from SIGNAL in keV (PI is a channel), the module comes from INSTRUME,
    and patterns come from NPIXELS.
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
    for name in ("TIME", "RA", "DEC", "X", "Y") if {"X", "Y"} <= rows.names else ("TIME", "RA", "DEC"):
        columns[name.lower()] = np.asarray(rows[name], np.float64)
    if {"RAWX", "RAWY"} <= rows.names:
        columns |= {name.lower(): _within(rows[name], np.int16) for name in ("RAWX", "RAWY")}
    if "SRC_ID" in rows.names:
        labels = np.array(rows["SRC_ID"], np.int32)
        columns["src_id"] = labels if labels.ndim == 1 else np.ascontiguousarray(labels[:, 0])
    return columns


def _within(values: NDArray[Any], dtype: type[np.integer[Any]]) -> NDArray[Any]:
    """Return whole numbers as `dtype`; a number beyond its range becomes its largest number, which no photon has."""
    ends = np.iinfo(dtype)
    return np.where((values >= ends.min) & (values <= ends.max), values, ends.max).astype(dtype)


def _unsigned(flag: NDArray[Any]) -> NDArray[np.uint32]:
    """Return FLAG, signed int32 in the files, as uint32; for a value that is no whole number, all 32 bits are set."""
    if flag.dtype.kind == "f":
        flag = np.where(np.abs(flag) < 2**53, flag, -1)
    return (np.asarray(flag).astype(np.int64) & 0xFFFFFFFF).astype(np.uint32)


def module_of(header: fits.Header) -> int:
    """Return the telescope module that INSTRUME names (1 to 7); 0 if it names none or a merged list."""
    match = re.fullmatch(r"TM([1-7])", str(header.get("INSTRUME", "")).strip().upper())
    return int(match[1]) if match else 0


def _pieces(table: Any, path: Path, rows: int) -> Iterator[tuple[int, Rows]]:
    """Yield the rows of `table` in pieces of `rows` rows, each with the number of its first row, counted from 0."""
    header, offset = table.header, table.fileinfo()["datLoc"]
    with ExitStack() as stack:
        stream = stack.enter_context(unpacked(stack.enter_context(path.open("rb"))))
        stream.seek(offset)
        for start in range(0, header["NAXIS2"], rows):
            number = min(rows, header["NAXIS2"] - start)
            yield start, Rows(table, stream.read(number * header["NAXIS1"]))


def _empty_list(whole: Sequence[Any], tables: Sequence[Any], table: Any, path: Path, rows: int) -> EventList:
    """Return the event list of `table` with all its metadata, but without photons."""
    header = table.header
    creator = header.get("CREATOR") or whole[0].header.get("CREATOR") or ""
    dialect = recognise(next(_pieces(table, path, rows))[1], str(creator), path)
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
    """Return the GTI tables of a file that belong to table `number` (from 0) of its `tables` tables of events.

    GTI tables with a module's number in their name belong to every table of events. If there are as many others as
    tables of events, the first of them belongs to the first table of events, and so on. Otherwise all belong to each.
    """
    found = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU) and _GTI.fullmatch(hdu.name.upper())]
    nameless = [hdu for hdu in found if not hdu.name[-1].isdigit()]
    if len(nameless) != tables:
        return found
    return [hdu for hdu in found if hdu not in nameless or hdu is nameless[number]]


def _read_gti(tables: Iterable[Any], module: int, path: Path) -> dict[int, FloatArray]:
    """Return good time intervals from GTI tables: module -> sorted START and STOP in s, float64 (intervals, 2).

    A table without a number in its name is for `module`; module 0 means every module that has no table of its own.
    InputError if a table lacks START or STOP, or an interval is not finite or ends before it starts.
    """
    parts: dict[int, list[FloatArray]] = {}
    for table in tables:
        number = table.name.upper().rpartition("GTI")[2]
        parts.setdefault(int(number or module), []).append(_intervals(table, path))
    return {number: union(np.concatenate(intervals)) for number, intervals in parts.items()}


def _intervals(hdu: Any, path: Path) -> FloatArray:
    if missing := {"START", "STOP"} - {str(name).upper() for name in hdu.columns.names}:
        raise InputError(f"{path}: table {hdu.name} lacks column {' and '.join(sorted(missing))}. Remake the file.")
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
    """Return whether OBS_MODE says that the telescope scanned; False for SIXTE, which always writes that it did."""
    simulated = any(str(header.get("CREATOR")).startswith("SIXTE") for header in headers)
    modes = [str(header.get("OBS_MODE", "")).strip().upper() for header in headers]
    return not simulated and any(mode in _SCANNING for mode in modes)


def _sky_reference(table: Any) -> tuple[float, float] | None:
    """Return RA and DEC of sky pixel (0, 0) from TCRVL of X and Y, or None; RA_PNT and RA_OBJ are unreliable."""
    numbers = {str(name).upper(): number for number, name in enumerate(table.columns.names, start=1)}
    x, y = (table.header.get(f"TCRVL{numbers.get(axis, 0)}") for axis in ("X", "Y"))
    # a blank or a word is no error, because masses don't need the reference
    return (float(x), float(y)) if isinstance(x, int | float) and isinstance(y, int | float) else None


def _photons(piece: Rows, empty: EventList, start: int, total: int) -> EventList:
    """Return the photons of a piece that begins with row `start` of `total`; InputError if a value is out of range."""
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
