"""Photons on disk instead of in memory: stored piece by piece, and read back as often as they are wanted."""

import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustermass.events.eventlist import EventList

#: columns of `EventList` that no step uses once the photons are selected
UNUSED = ("x", "y", "rawx", "rawy")


class _SpillFile:
    """A temporary file of arrays without a name; it is gone when its process ends, however it ends.

    Parameters
    ----------
    folder
        Where the file lies; made if it isn't there.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  closed by `close`

    def close(self) -> None:
        """Give the disk space back."""
        self._file.close()

    def _write(self, values: NDArray[Any]) -> int:
        """Append an array; return the place where it begins."""
        place = self._file.seek(0, 2)
        self._file.write(np.ascontiguousarray(values).data)
        return place

    def _read(self, place: int, dtype: np.dtype[Any], number: int) -> NDArray[Any]:
        self._file.flush()
        self._file.seek(place)
        return np.fromfile(self._file, dtype, number)


class StoredEvents(_SpillFile):
    """An event list in a temporary file, some 40 bytes a photon.

    Parameters
    ----------
    folder
        Where the file lies.
    without
        Optional columns to leave out.
    """

    def __init__(self, folder: Path, without: Collection[str] = ()) -> None:
        super().__init__(folder)
        self._without = dict.fromkeys(without)
        self._head: EventList | None = None
        #: number of photons of each piece, and where each of its columns begins
        self._pieces: list[tuple[int, dict[str, int]]] = []

    def add(self, events: EventList) -> None:
        """Store the next photons; columns and metadata must be those of the first piece."""
        events = events.with_columns(self._without)
        if self._head is None:
            self._head = events.take(np.arange(0))
        if len(events):
            places = {name: self._write(getattr(events, name)) for name in self._head.columns()}
            self._pieces.append((len(events), places))

    @property
    def head(self) -> EventList:
        """The metadata of all the photons, without photons."""
        if self._head is None:
            raise ValueError("no piece of the event list has been stored")
        return self._head

    def __len__(self) -> int:
        """Return the number of photons."""
        return sum(number for number, _ in self._pieces)

    def __iter__(self) -> Iterator[EventList]:
        """Yield the photons in the pieces in which they came, without empty ones."""
        types = {name: column.dtype for name, column in self.head.columns().items()} if self._pieces else {}
        for number, places in self._pieces:
            yield self.head.with_columns(
                {name: self._read(place, types[name], number) for name, place in places.items()}
            )


class Buckets(_SpillFile):
    """Rows in a temporary file, sorted into numbered buckets.

    Parameters
    ----------
    folder
        Where the file lies.
    dtype
        Of a row.
    """

    def __init__(self, folder: Path, dtype: np.dtype[Any]) -> None:
        super().__init__(folder)
        self._dtype = dtype
        self._parts: dict[int, list[tuple[int, int]]] = defaultdict(list)

    def add(self, rows: NDArray[Any], bucket: NDArray[np.int64]) -> None:
        """Put each row into the bucket of its number, (rows,) both."""
        place = self._write(rows[np.argsort(bucket, kind="stable")])
        numbers, counts = np.unique(bucket, return_counts=True)
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            self._parts[number].append((place, count))
            place += count * self._dtype.itemsize

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Yield the rows of each bucket that holds any, by ascending number, in the order in which they came."""
        for _, parts in sorted(self._parts.items()):
            yield np.concatenate([self._read(place, self._dtype, count) for place, count in parts])
