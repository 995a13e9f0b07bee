"""The parts of pickled NumPy data, put together from checked values; nothing that a file names is looked up."""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
#: booleans, numbers and text of fixed width; no objects, no records
_PLAIN = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248]|[SU][0-9]{1,4})")
_BYTE_ORDERS = ("<", ">", "|", "=")


class Named:
    """A global name that a file may use; it stands for itself and is never imported or called."""

    def __init__(self, name: str) -> None:
        self.name = name


class DType:
    """A plain dtype: made from its code, completed by its state."""

    def __init__(self, code: object, *_: object) -> None:
        if not isinstance(code, str) or not _PLAIN.fullmatch(code):
            raise ValueError(f"a NumPy dtype {code!r}, which is none of numbers or text")
        self.value = np.dtype(code)

    def build(self, state: object) -> None:
        """Take over the byte order: (version, order, and nothing of subarrays and fields, ...)."""
        if not isinstance(state, tuple) or len(state) < 5 or state[1] not in _BYTE_ORDERS or state[2:5] != (None,) * 3:
            raise ValueError("a NumPy dtype with fields or a subarray")
        if state[1] in "<>":
            self.value = self.value.newbyteorder(state[1])


class Assembled:
    """An array: made empty, completed by its state; `each` is applied to it as soon as it is whole."""

    def __init__(self, each: Callable[[Array], Array]) -> None:
        self._each = each
        self.values: Array | None = None

    def build(self, state: object) -> None:
        """Fill in (version, shape, dtype, is in Fortran order, bytes)."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise ValueError("a NumPy array of an unknown version")
        _, shape, dtype, fortran, raw = state
        self.fill(raw, dtype, shape, "F" if fortran else "C")

    def fill(self, raw: object, dtype: object, shape: object, order: object) -> None:
        """Interpret bytes as an array of a shape; ValueError if they don't fit."""
        plain = isinstance(shape, tuple) and all(type(side) is int and side >= 0 for side in shape)
        if not isinstance(dtype, DType) or not plain or order not in ("C", "F"):
            raise ValueError("a NumPy array without a shape or dtype")
        assert isinstance(shape, tuple)
        data, wanted = as_bytes(raw), math.prod(shape) * dtype.value.itemsize
        if len(data) != wanted:
            raise ValueError(f"a NumPy array of shape {shape} with {len(data)} bytes instead of {wanted}")
        flat = np.frombuffer(data, dtype.value)
        native = flat.astype(dtype.value.newbyteorder("="), copy=False)
        self.values = self._each(native.reshape(shape, order="F" if order == "F" else "C"))


def as_bytes(raw: object) -> bytes | bytearray:
    """Bytes as such, or as the text that Python 2 made of them."""
    if isinstance(raw, str):
        return raw.encode("latin1")
    if not isinstance(raw, bytes | bytearray):
        raise ValueError(f"a {type(raw).__name__} where bytes belong")
    return raw


def scalar(dtype: object, raw: object) -> Any:
    """Python's number or text of a NumPy scalar."""
    if not isinstance(dtype, DType):
        raise ValueError("a NumPy scalar without a dtype")
    return np.frombuffer(as_bytes(raw), dtype.value, count=1)[0].item()
