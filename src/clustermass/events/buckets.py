"""Rows sorted into buckets on disk, so that those that belong together can be looked at together."""

import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


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
