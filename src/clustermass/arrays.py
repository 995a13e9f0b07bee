"""Names of array types, and tables as dataclasses of arrays."""

from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
Float32Array: TypeAlias = NDArray[np.float32]
IntArray: TypeAlias = NDArray[np.intp]
IdArray: TypeAlias = NDArray[np.int32]
BoolArray: TypeAlias = NDArray[np.bool_]


class Rows:
    """Base of dataclasses of arrays of one length: ``haloes[rows]`` indexes every field, as NumPy does one array."""

    def __getitem__(self, rows: Any) -> Self:
        """Return the same table of these rows: numbers, a mask or a slice."""
        return type(self)(**{name: values[rows] for name, values in vars(self).items()})

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(next(iter(vars(self).values())))
