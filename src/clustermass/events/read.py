"""Reading event files piece by piece: three dialects and our own in, one form out, faults told with file and row."""

import gzip
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from clustermass.errors import InputError
from clustermass.events.dialects import find_table, module_of, recognise, unsigned_flags
from clustermass.events.eventlist import EventList
from clustermass.events.gti import read_gti
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


def read_events(path: str | Path) -> EventList:
    """Read an event list of eSASS (evtool), SIXTE (event file or ero_calevents) or our own into memory.

    Rows with PI < 0 (the split partners of SIXTE's calibrated lists) are no photons and are dropped with a log line.
    Nothing else is: see `clustermass.events.select.select`.

    Parameters
    ----------
    path
        FITS file, also gzipped.

    Returns
    -------
    EventList
        All photons. SIXTE event files: energy from SIGNAL, pattern from NPIXELS (0 where TYPE is invalid), module
        from INSTRUME, FLAG 0.

    Raises
    ------
    InputError
        No such file; truncated or damaged; not an event list; a column is missing; no rows; an energy, time or
        coordinate is not finite or out of range (the first bad row, counted from 1, is named).
    """
    pieces = list(stream_events(path))
    columns: dict[str, Any] = {
        name: np.concatenate([piece.columns()[name] for piece in pieces]) for name in pieces[0].columns()
    }
    return replace(pieces[0], **columns)


def stream_events(path: str | Path, rows: int = PIECE_ROWS) -> Iterator[EventList]:
    """Read an event list piece by piece, in order, so that one of any length fits the memory.

    Together the pieces are what `read_events` returns, and the same errors are raised, though some only after the
    first pieces; a piece can be empty. Lists packed by gzip are unpacked to the disk once, to see that they are whole.

    Parameters
    ----------
    path
        FITS file, also gzipped.
    rows
        Rows of the file in a piece.

    Yields
    ------
    EventList
        The photons of the next `rows` rows.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such event file. Check the path in the configuration.")
    with opened_fits(path) as hdus:
        whole, table = _tables(hdus, path)
        pieces = list(islice(_pieces(table, path, rows), 1))
        dialect, facts = _facts(whole, table, pieces[0][1], path)
        coming = _pieces(table, path, rows)
    photons = 0
    for start, piece in coming:
        end = start + len(piece.data)
        which = f"{end} rows" if end - start == table.header["NAXIS2"] else f"rows {start + 1} to {end}"
        events = _photons(_columns(piece, dialect), facts, path, which, start)
        photons += len(events)
        yield events
    _conclude(path, table.header["NAXIS2"], photons, dialect)


def _tables(hdus: Any, path: Path) -> tuple[list[Any], Any]:
    """Return all HDUs and, of them, the table of events, which has rows."""
    whole = list(hdus)  # every header is read, so that a file cut short anywhere is noticed
    table = find_table(whole, path)
    if table.header["NAXIS2"] == 0:
        raise InputError(f"{path}: the event list has no rows. Give a list with photons.")
    return whole, table


@dataclass(frozen=True)
class _Piece:
    """Some rows of a table, looking like astropy's but without its circular references, which keep memory occupied."""

    name: str
    header: fits.Header
    columns: fits.ColDefs
    data: "_Rows"


class _Rows(Mapping[str, NDArray[Any]]):
    """Columns of raw rows by upper-case names, scaled as astropy does."""

    def __init__(self, raw: bytes, columns: fits.ColDefs) -> None:
        self._bytes, self._all = raw, columns
        self._columns = {str(column.name).upper(): column for column in columns}

    @cached_property
    def _raw(self) -> NDArray[Any]:
        # not before a value is asked for: the names of the columns are judged first
        return np.frombuffer(self._bytes, dtype=self._all.dtype.newbyteorder(">"))

    def __getitem__(self, name: str) -> NDArray[Any]:
        column = self._columns[name]
        values = self._raw[column.name]
        scale, zero = (value or neutral for value, neutral in ((column.bscale, 1), (column.bzero, 0)))
        if scale == 1 and zero == 0:
            return values
        scaled = values.astype(np.float64)
        scaled *= scale
        if zero:
            scaled += zero
        return scaled

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        """Return the number of rows, as a table's data does."""
        return int(self._raw.size)


def _pieces(table: Any, path: Path, rows: int) -> Iterator[tuple[int, _Piece]]:
    """Yield the number of the first row, from 0, and a table of the next `rows` rows, to the end of `table`."""
    header, columns, offset = table.header, table.columns, table.fileinfo()["datLoc"]
    with ExitStack() as stack:
        stream: Any = stack.enter_context(path.open("rb"))
        if stream.read(2) == b"\x1f\x8b":
            stream.seek(0)
            stream = stack.enter_context(gzip.GzipFile(fileobj=stream))
        stream.seek(offset)
        for start in range(0, header["NAXIS2"], rows):
            number = min(rows, header["NAXIS2"] - start)
            raw = stream.read(number * header["NAXIS1"])
            yield start, _Piece(table.name, header, columns, _Rows(raw, columns))


def _facts(whole: Sequence[Any], table: Any, rows: Any, path: Path) -> tuple[str, dict[str, Any]]:
    """Return the dialect, told by `rows` of the table, and what holds for the whole list."""
    header = table.header
    creator = header.get("CREATOR") or whole[0].header.get("CREATOR") or ""
    dialect = recognise(rows, str(creator), path)
    module = module_of(header)
    return dialect, {
        "dialect": dialect,
        "gti": read_gti(whole, module, path),
        "exposure_s": _exposure_s(header),
        "sky_reference": _sky_reference(table),
        "simulated": dialect.startswith("sixte") or is_simulated(header),
    }


def _columns(table: Any, dialect: str) -> dict[str, NDArray[Any]]:
    """Copy the columns that count out of a table, by the names of EventList."""
    return _sixte_columns(table, module_of(table.header)) if dialect == "sixte_events" else _calibrated_columns(table)


def _calibrated_columns(table: Any) -> dict[str, NDArray[Any]]:
    data = table.data
    return _common_columns(table) | {
        "pi_ev": np.array(data["PI"], dtype=np.float32),
        "tm_nr": np.array(data["TM_NR"], dtype=np.uint8),
        "pat_typ": np.array(data["PAT_TYP"], dtype=np.int16),
        "flag": unsigned_flags(data["FLAG"]),
    }


def _sixte_columns(table: Any, module: int) -> dict[str, NDArray[Any]]:
    data = table.data
    rows = len(data)
    valid = np.asarray(data["TYPE"]) >= 0
    return _common_columns(table) | {
        # PI is a channel here; the energy is SIGNAL, in keV
        "pi_ev": (np.array(data["SIGNAL"], dtype=np.float64) * 1000.0).astype(np.float32),
        "tm_nr": np.full(rows, module, dtype=np.uint8),
        "pat_typ": np.where(valid, data["NPIXELS"], 0).astype(np.int16),
        "flag": np.zeros(rows, dtype=np.uint32),
    }


def _common_columns(table: Any) -> dict[str, NDArray[Any]]:
    data = table.data
    names = {str(name).upper() for name in table.columns.names}
    columns: dict[str, NDArray[Any]] = {
        name: np.asarray(data[name.upper()], dtype=np.float64) for name in ("time", "ra", "dec")
    }
    if {"X", "Y"} <= names:
        columns |= {name: np.asarray(data[name.upper()], dtype=np.float64) for name in ("x", "y")}
    if {"RAWX", "RAWY"} <= names:
        columns |= {name: np.array(data[name.upper()], dtype=np.int16) for name in ("rawx", "rawy")}
    if "SRC_ID" in names:
        labels = np.array(data["SRC_ID"], dtype=np.int32)
        columns["src_id"] = labels if labels.ndim == 1 else np.ascontiguousarray(labels[:, 0])
    return columns


def _exposure_s(header: Any) -> float | None:
    try:
        stated = float(header.get("EXPOSURE") or header["TSTOP"] - header["TSTART"])
    except (KeyError, TypeError, ValueError):
        return None
    return stated if np.isfinite(stated) and stated > 0 else None


def _sky_reference(table: Any) -> tuple[float, float] | None:
    """RA, DEC of sky pixel (0, 0): TCRVL of the columns X and Y (RA_PNT and RA_OBJ can't be relied on)."""
    numbers = {str(name).upper(): number for number, name in enumerate(table.columns.names, start=1)}
    keys = [f"TCRVL{numbers.get(axis, 0)}" for axis in ("X", "Y")]
    if not all(key in table.header for key in keys):
        return None
    return float(table.header[keys[0]]), float(table.header[keys[1]])


def _photons(
    columns: dict[str, NDArray[Any]], facts: Mapping[str, Any], path: Path, which: str, start: int = 0
) -> EventList:
    """Photons among the rows (`which` they are, for messages; the first is number `start` from 0), all in range."""
    photons = ~(columns["pi_ev"] < 0)
    for name, column, *limits in _LIMITS:
        _check_range(columns[name], photons, column, limits, path, which, start)
    if not photons.all():
        columns = {name: column[photons] for name, column in columns.items()}
    if (round_again := columns["ra"] == 360.0).any():
        columns["ra"] = np.where(round_again, 0.0, columns["ra"])
    fields: dict[str, Any] = {**columns, **facts}
    return EventList(**fields, name=str(path))


def _conclude(path: Path, rows: int, photons: int, dialect: str) -> None:
    if photons == 0:
        raise InputError(f"{path}: every one of {rows} rows has PI < 0, so none is a photon. Remake the event list.")
    if photons < rows:
        LOGGER.info("%s: %d rows, of which %d with PI < 0 (split partners) dropped", path, rows, rows - photons)
    LOGGER.info("%s: %d photons, read as %s", path, photons, dialect)


def _check_range(
    values: NDArray[Any],
    photons: NDArray[np.bool_],
    column: str,
    limits: Sequence[Any],
    path: Path,
    which: str,
    start: int,
) -> None:
    low, high, unit = limits
    if values.size and low <= values.min() and values.max() <= high:  # false if one is NaN
        return
    bad = np.flatnonzero(photons & ~((values >= low) & (values <= high)))
    if bad.size:
        raise InputError(
            f"{path}: row {start + bad[0] + 1}: {column} is {values[bad[0]]}, but must be between {low:g} and "
            f"{high:g} {unit} ({bad.size} of {which} are so). Remove or repair {'it' if bad.size == 1 else 'them'}."
        )
