"""Write photons to disk, piece by piece: temporary files, `events.fits` and `labels.fits`."""

import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from clustermass.events.eventlist import EventList, modules_of
from clustermass.io.files import atomic
from clustermass.io.products import ANGLE_STEP, EVENTS, LABELS, gti_hdu, primary_hdu, table_hdu

#: columns of `EventList` that no step uses once the photons are selected
UNUSED = ("x", "y", "rawx", "rawy")


class _SpillFile:
    """A temporary file of arrays in `folder`. It has no name, and vanishes when the process ends, even by a crash."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  closed by `close`

    def close(self) -> None:
        self._file.close()

    def _write(self, values: NDArray[Any]) -> int:
        place = self._file.seek(0, 2)
        np.save(self._file, values, allow_pickle=False)
        return place

    def _read(self, place: int) -> NDArray[Any]:
        self._file.seek(place)
        return np.asarray(np.load(self._file))


class StoredEvents(_SpillFile):
    """An event list, stored in a temporary file (some 40 bytes for each photon) without the columns `without`."""

    def __init__(self, folder: Path, without: Collection[str] = ()) -> None:
        super().__init__(folder)
        self._without = dict.fromkeys(without)
        self._head: EventList | None = None
        self._pieces: list[dict[str, int]] = []  # where each column of each piece begins
        self._number = 0
        self.modules: set[int] = set()  # that have photons

    def add(self, events: EventList) -> None:
        """Store the next photons. They must have the same columns and metadata as the first piece."""
        events = events.with_columns(self._without)
        if self._head is None:
            self._head = events.take(np.arange(0))
        if len(events):
            self._pieces.append({name: self._write(getattr(events, name)) for name in self._head.columns()})
            self._number += len(events)
            self.modules.update(modules_of(events))

    @property
    def head(self) -> EventList:
        """Return the metadata of the whole list, without photons."""
        if self._head is None:
            raise ValueError("no piece of the event list has been stored")
        return self._head

    def __len__(self) -> int:
        return self._number

    def __iter__(self) -> Iterator[EventList]:
        """Yield the photons in the pieces in which they were added. Empty pieces are skipped."""
        for places in self._pieces:
            yield self.head.with_columns({name: self._read(place) for name, place in places.items()})


class Buckets(_SpillFile):
    """Rows of an array, stored in a temporary file. Each row belongs to one of several numbered buckets."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._parts: dict[int, list[int]] = defaultdict(list)

    def add(self, rows: NDArray[Any], bucket: NDArray[np.integer[Any]]) -> None:
        """Put each row of `rows` into the bucket whose number is in `bucket`. Both arrays have the shape (rows,)."""
        numbers, first = np.unique(np.sort(bucket), return_index=True)
        parts = np.split(rows[np.argsort(bucket, kind="stable")], first[1:])
        for number, part in zip(numbers.tolist(), parts, strict=False):
            self._parts[number].append(self._write(part))

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Yield the rows of each non-empty bucket in the order of the buckets' numbers, and in the order of adding."""
        for _, places in sorted(self._parts.items()):
            yield np.concatenate([*map(self._read, places)])

    def some(self, numbers: Iterable[int], least: int) -> Iterator[NDArray[Any]]:
        """Yield the rows of the buckets `numbers` in arrays of at least `least` rows. The last array may be shorter."""
        waiting, held = [], 0
        for place in chain.from_iterable(self._parts.get(number, ()) for number in numbers):
            waiting.append(self._read(place))
            held += waiting[-1].size
            if held >= least:
                yield np.concatenate(waiting)
                waiting, held = [], 0
        if waiting:
            yield np.concatenate(waiting)


def write_events(
    pieces: Iterable[EventList],
    path: str | Path,
    provenance: Mapping[str, Any] | None = None,
    centre: Sequence[float] = (),
    header: Mapping[str, Any] | None = None,
) -> None:
    """Write `events.fits` atomically: the table EVENTS with the columns of eSASS, and the good times of each module.

    `pieces` are the selected photons, divided into one or more pieces. The metadata are those of the first piece.
    `centre` holds RA and DEC of the field's centre in deg, which become the cards RA_CEN and DEC_CEN. `header` maps
    further keywords of EVENTS to a value or to (value, comment). Positions are rounded to 1e-6 deg (0.004"), as in
    eSASS. Every FLAG is written as 0, because flagged photons have been dropped before, and because the FLAG of SIXTE
    would mark all events as corrupt.
    """
    coming = iter(pieces)
    first = next(coming)
    cards: dict[str, Any] = {"SIMULATE": (first.simulated, "T: no observation")}
    if first.exposure_s is not None:
        cards["EXPOSURE"] = (first.exposure_s, "[s] of each telescope module")
    for key, value in zip(("RA_CEN", "DEC_CEN"), centre, strict=False):
        cards[key] = (float(value), "[deg] centre of the field")
    table = table_hdu("EVENTS", EVENTS, header=cards | dict(header or {}))
    intervals = [gti_hdu(module, times) for module, times in sorted(first.gti.items())]
    _write(path, primary_hdu(provenance), table, map(_row_columns, chain([first], coming)), intervals)


def write_labels(
    pieces: Iterable[NDArray[np.int32]],
    path: str | Path,
    provenance: Mapping[str, Any] | None = None,
    header: Mapping[str, Any] | None = None,
) -> None:
    """Write `labels.fits`: the SRC_ID of each photon in the order of the event list.

    If `pieces` is empty, the table has no rows.
    """
    table = table_hdu("LABELS", LABELS, header=header)
    _write(path, primary_hdu(provenance), table, ({"SRC_ID": piece} for piece in pieces))


def _row_columns(events: EventList) -> dict[str, NDArray[Any]]:
    ra, dec = (np.rint(degrees * round(1 / ANGLE_STEP)) for degrees in (events.ra, events.dec))
    columns = {"TIME": events.time, "RA": ra, "DEC": dec, "PI": events.pi_ev, "TM_NR": events.tm_nr}
    return columns | {"PAT_TYP": events.pat_typ, "FLAG": np.zeros(len(events), dtype=np.int32)}


def _write(
    path: str | Path, primary: Any, table: Any, rows: Iterable[Mapping[str, NDArray[Any]]], further: Iterable[Any] = ()
) -> None:
    """Write a FITS file atomically: `primary`, then the empty `table` filled with `rows`, then the HDUs `further`."""
    layout = table.columns.dtype.newbyteorder(">")
    with atomic(path) as temporary:
        fits.HDUList([primary]).writeto(temporary, overwrite=True, output_verify="exception")
        with temporary.open("r+b") as stream:
            begin = stream.seek(0, 2)
            stream.write(table.header.tostring().encode("ascii"))
            for columns in rows:
                packed = np.empty(len(next(iter(columns.values()))), dtype=layout)
                for name, values in columns.items():
                    packed[name] = values
                stream.write(packed.data)
                table.header["NAXIS2"] += packed.size
            stream.write(bytes(-table.header["NAXIS2"] * layout.itemsize % 2880))
            stream.seek(begin)
            stream.write(table.header.tostring().encode("ascii"))
        with fits.open(temporary, mode="append", memmap=False) as hdus:
            for hdu in further:
                hdus.append(hdu)
