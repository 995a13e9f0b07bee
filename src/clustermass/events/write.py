"""Writing event lists in our own dialect, piece by piece."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.events.eventlist import EventList
from clustermass.io.files import atomic
from clustermass.io.products import add_history

#: columns of our lists: name, format, unit
_COLUMNS = (
    ("TIME", "D", "s"),
    ("RA", "J", "deg"),
    ("DEC", "J", "deg"),
    ("PI", "E", "eV"),
    ("TM_NR", "B", None),
    ("PAT_TYP", "I", None),
    ("FLAG", "J", None),
)


def write_events(
    pieces: Iterable[EventList], path: str | Path, provenance: Mapping[str, Any], centre: Sequence[float] = ()
) -> None:
    """Write an event list in our own dialect: EVENTS by eSASS names, GTIn of each module, CREATOR 'clustermass'.

    Positions are kept to 1e-6 deg (0.004"), as eSASS keeps them. FLAG is written as 0: what it marked was judged when
    the list was selected, and SIXTE's would be taken for corrupt events. Truth labels are left to `write_labels`.

    Parameters
    ----------
    pieces
        Selected photons, at least one piece of them; what holds of the whole list is taken from the first.
    path
        Final name; written atomically.
    provenance
        What `clustermass.io.provenance.provenance` returns; HISTORY of the primary header.
    centre
        RA_CEN and DEC_CEN in deg.
    """
    coming = iter(pieces)
    first = next(coming)
    primary = fits.PrimaryHDU()
    table = _empty_table(_COLUMNS, "EVENTS")
    # set by hand: astropy can't write scaled columns of whole numbers
    for number in (2, 3):
        table.header.insert("EXTNAME", (f"TSCAL{number}", 1e-6))
        table.header.insert("EXTNAME", (f"TZERO{number}", 0.0))
    for hdu in (primary, table):
        hdu.header["CREATOR"] = "clustermass"
        for key, value in zip(("RA_CEN", "DEC_CEN"), centre, strict=False):
            hdu.header[key] = (float(value), "[deg] centre of the field")
    table.header["SIMULATE"] = (first.simulated, "T: no observation")
    if first.exposure_s is not None:
        table.header["EXPOSURE"] = (first.exposure_s, "[s] of each telescope module")
    add_history(primary, provenance)
    rows = ({name: _values(piece, name) for name, _, _ in _COLUMNS} for piece in chain([first], coming))
    _write(path, primary, table, rows, [_gti_table(module, times) for module, times in sorted(first.gti.items())])


def write_labels(pieces: Iterable[NDArray[np.int32]], path: str | Path, provenance: Mapping[str, Any]) -> None:
    """Write the truth labels of photons, row by row of their event list: table LABELS, SRC_ID; no rows of no pieces."""
    primary = fits.PrimaryHDU()
    add_history(primary, provenance)
    _write(path, primary, _empty_table([("SRC_ID", "J", None)], "LABELS"), ({"SRC_ID": piece} for piece in pieces))


def _empty_table(columns: Iterable[tuple[str, str, str | None]], name: str) -> Any:
    empty = [fits.Column(column, form, unit=unit, array=np.zeros(0)) for column, form, unit in columns]
    return fits.BinTableHDU.from_columns(empty, name=name)


def _values(events: EventList, name: str) -> NDArray[Any]:
    if name == "FLAG":
        return np.zeros(len(events), dtype=np.int32)
    if name in ("RA", "DEC"):
        return np.rint(getattr(events, name.lower()) * 1e6)
    return np.asarray(getattr(events, {"PI": "pi_ev"}.get(name, name.lower())))


def _write(
    path: str | Path, primary: Any, table: Any, rows: Iterable[Mapping[str, NDArray[Any]]], further: Iterable[Any] = ()
) -> None:
    """Write a file atomically: `rows`, column by column of each piece, as those of the empty `table`."""
    layout = table.columns.dtype.newbyteorder(">")
    with atomic(path) as temporary:
        fits.HDUList([primary]).writeto(temporary, overwrite=True, output_verify="exception")
        with temporary.open("r+b") as stream:
            begin = stream.seek(0, 2)
            stream.write(_header(table))
            for piece in _packed(rows, layout):
                stream.write(piece.data)
                table.header["NAXIS2"] += piece.size
            stream.write(bytes(-table.header["NAXIS2"] * layout.itemsize % 2880))
            stream.seek(begin)
            stream.write(_header(table))
        with fits.open(temporary, mode="append", memmap=False) as hdus:
            for hdu in further:
                hdus.append(hdu)


def _header(table: Any) -> bytes:
    return bytes(table.header.tostring().encode("ascii"))


def _packed(rows: Iterable[Mapping[str, NDArray[Any]]], layout: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    for columns in rows:
        packed = np.empty(len(next(iter(columns.values()))), dtype=layout)
        for name, values in columns.items():
            packed[name] = values
        yield packed


def _gti_table(module: int, intervals: FloatArray) -> Any:
    columns = [
        fits.Column(name, "D", unit="s", array=values)
        for name, values in zip(("START", "STOP"), intervals.T, strict=True)
    ]
    return fits.BinTableHDU.from_columns(columns, name=f"GTI{module or ''}")
