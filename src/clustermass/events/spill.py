"""Photons on disk in place of memory: taken in piece by piece, and given back so as often as they are wanted."""

import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustermass.events.eventlist import EventList

#: columns of `EventList` that no step wants once the photons are selected
UNUSED = ("x", "y", "rawx", "rawy")


class StoredEvents:
    """An event list in a temporary file without a name, which is gone when its process ends, however it ends.

    Parameters
    ----------
    folder
        Where the file lies: some 40 bytes a photon. Made if it isn't there.
    without
        Optional columns to leave out.

    Attributes
    ----------
    folder
        As given.
    """

    def __init__(self, folder: Path, without: Collection[str] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  closed by `close`
        self._without: dict[str, Any] = dict.fromkeys(without)
        self._head: EventList | None = None
        self._sizes: list[int] = []

    def close(self) -> None:
        """Give the disk space back."""
        self._file.close()

    def add(self, events: EventList) -> None:
        """Take in the next photons; columns and facts must be those of the first piece."""
        events = replace(events, **self._without) if self._without else events
        if self._head is None:
            self._head = events.take(np.arange(0))
        if len(events):
            self._sizes.append(len(events))
            self._file.seek(0, 2)
            for name in self._head.columns():
                self._file.write(np.ascontiguousarray(getattr(events, name)).data)

    @property
    def head(self) -> EventList:
        """What holds of all the photons, and none of them."""
        if self._head is None:
            raise ValueError("no piece of the event list has been stored")
        return self._head

    def __len__(self) -> int:
        """Return the number of photons."""
        return sum(self._sizes)

    def __iter__(self) -> Iterator[EventList]:
        """Yield the photons in the pieces that they came in, but for empty ones."""
        self._file.flush()
        place = 0
        for rows in self._sizes:
            columns: dict[str, Any] = {}
            for name, column in self.head.columns().items():
                self._file.seek(place)
                columns[name] = np.fromfile(self._file, column.dtype, rows)
                place += rows * column.itemsize
            yield replace(self.head, **columns)


class Buckets:
    """Buckets of rows in a temporary file without a name, which is gone when its process ends, however it ends.

    Parameters
    ----------
    folder
        Where the file lies.
    dtype
        Of a row.
    """

    def __init__(self, folder: Path, dtype: np.dtype[Any]) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  closed by `close`
        self._dtype = dtype
        self._parts: dict[int, list[tuple[int, int]]] = defaultdict(list)

    def close(self) -> None:
        """Give the disk space back."""
        self._file.close()

    def add(self, rows: NDArray[Any], bucket: NDArray[np.int64]) -> None:
        """Put each row into the bucket of its number, (rows,) both."""
        place = self._file.seek(0, 2)
        self._file.write(rows[np.argsort(bucket, kind="stable")].tobytes())
        numbers, counts = np.unique(bucket, return_counts=True)
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            self._parts[number].append((place, count))
            place += count * self._dtype.itemsize

    def numbers(self) -> list[int]:
        """Return the numbers of the buckets that hold something, ascending."""
        return sorted(self._parts)

    def read(self, bucket: int) -> NDArray[Any]:
        """Return the rows of a bucket in the order in which they came; none if nothing was put there."""
        self._file.flush()
        found = [np.zeros(0, dtype=self._dtype)]
        for place, count in self._parts.get(bucket, ()):
            self._file.seek(place)
            found.append(np.fromfile(self._file, self._dtype, count))
        return np.concatenate(found)
