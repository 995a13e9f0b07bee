"""Reading of the published images from a pickle, in limited memory and without executing any code of the pickle."""

import math
import pickle
import pickletools
import re
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from clustermass import limits
from clustermass.errors import InputError
from clustermass.io.room import check_memory

SHAPE = (50, 50, 10)  #: shape of one image in the file: row, column, energy band
#: keys of the pickled dictionary
_IDS, _IMAGES = "cluster", "gsm_3dImgs"
#: largest rounding error (of either sign) of fast convolution where there is no photon; a photon gives far more
_ROUNDING = 1e-6
#: dtypes of booleans, numbers and text of fixed width; objects and records are refused
_PLAIN = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248]|[SU][0-9]{1,4})")
_LONG = 4096  #: longer texts and bytes are the content of an array, and the memo doesn't keep them
#: pickle's operations that plain data need; all others are refused
_OPERATIONS = (
    *("PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "DUP", "MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT", "GET"),
    *("BINGET", "LONG_BINGET", "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1"),
    *("LONG4", "FLOAT", "BINFLOAT", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING"),
    *("SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "EMPTY_LIST", "EMPTY_DICT"),
    *("EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "TUPLE", "LIST", "DICT", "APPEND", "APPENDS", "SETITEM", "SETITEMS"),
    *("GLOBAL", "STACK_GLOBAL", "INST", "REDUCE", "BUILD"),
)
#: what a damaged or malformed file raises
_DAMAGE = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, TypeError, ValueError),
    *(pickle.UnpicklingError, struct.error, RecursionError),
)


def read_published_images(path: Path, number: int) -> tuple[list[Any], list[NDArray[np.float32]]]:
    """Return the ids and the images of the clusters in the published pickle (its keys `cluster` and `gsm_3dImgs`).

    There must be `number` ids and `number` images, where `number` is the number of rows of the catalogue. The ids may
    be of any type. Images are smoothed counts, float32 (row, column, band), and exactly 0 where there are no counts.
    InputError in the cases of `read_pickle`, and if a key is missing or the numbers don't agree. InputError also if an
    image has another shape or type, no photon, or negative or non-finite values. The message gives the number of this
    image, from 1.
    """
    content = read_pickle(path, _single)
    if not isinstance(content, dict) or set(content) != {_IDS, _IMAGES}:
        kind = f"the keys {', '.join(map(repr, content))}" if isinstance(content, dict) else type(content).__name__
        raise InputError(f"{path}: must hold a dictionary of {_IDS!r} and {_IMAGES!r}, but holds {kind}.")
    ids, images = (_entries(path, key, content.pop(key)) for key in (_IDS, _IMAGES))
    if not len(ids) == len(images) == number:
        raise InputError(
            f"{path}: holds {len(ids)} ids and {len(images)} images, but the catalogue {number} rows. All three must "
            "agree: are both files of the same release?"
        )
    for place, image in enumerate(images):
        images[place] = _checked(path, place + 1, image)
    return ids, images


def _single(array: NDArray[Any]) -> NDArray[Any]:
    """Return images in single precision, which halves their size, and other arrays unchanged."""
    with np.errstate(over="ignore"):  # too large numbers become infinite, which `_checked` reports
        return array.astype(np.float32) if array.ndim >= len(SHAPE) and array.dtype.kind in "fiu" else array


def _entries(path: Path, key: str, values: Any) -> list[Any]:
    if not isinstance(values, list | tuple | np.ndarray) or (isinstance(values, np.ndarray) and values.ndim == 0):
        raise InputError(f"{path}: {key!r} is a {type(values).__name__}, but must be a list or an array.")
    return values.tolist() if isinstance(values, np.ndarray) and values.ndim == 1 else list(values)


def _checked(path: Path, place: int, image: Any) -> NDArray[np.float32]:
    if not isinstance(image, np.ndarray) or image.dtype != np.float32 or image.shape != SHAPE:
        kind = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(f"{path}: image {place} is {kind}, but must be an array of numbers of shape {SHAPE}.")
    if bad := int((~np.isfinite(image)).sum()):
        raise InputError(f"{path}: image {place} has {bad} pixels that aren't finite.")
    if image.min() < -_ROUNDING:
        raise InputError(f"{path}: image {place} has negative counts (lowest: {image.min():g}).")
    if not (image > _ROUNDING).any():
        raise InputError(f"{path}: image {place} holds no photon.")
    return np.where(image < _ROUNDING, np.float32(0), image)


class _Refused(Exception):
    """Raised if a pickle holds something other than plain data."""


class _Source:
    """The file of a pickle, with limits for reading.

    EOFError if more bytes are requested than are left in the file, because a false length could fill the memory.
    ValueError if there are too many readings. Each operation of the pickle needs one or two readings.
    """

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream, self._size, self.readline, self._readings = stream, size, stream.readline, 0

    def read(self, number: int) -> bytes:
        self._readings += 1
        if self._readings > limits.READINGS.most:
            raise ValueError(f"more than {limits.READINGS.most} {limits.READINGS.what}")
        if number > self._size - self._stream.tell():
            raise EOFError(f"{number} bytes are needed after the end of the file")
        return self._stream.read(number)


class _Memo(dict[int, Any]):
    """The memo of a pickle: objects to which later parts of the pickle may refer. The content of arrays isn't kept."""

    def __setitem__(self, place: int, value: Any) -> None:
        parts = value if isinstance(value, tuple) else (value,)
        content = any(isinstance(part, str | bytes) and len(part) > _LONG for part in parts)
        super().__setitem__(place, _Memo if content else value)

    def __getitem__(self, place: int) -> Any:
        value = super().__getitem__(place)
        if value is _Memo:
            raise ValueError("the bytes of an array are used twice")
        return value


class _DType:
    """A NumPy dtype of numbers or text, made from its code, such as f8. Its byte order is set later by `build`."""

    def __init__(self, code: str, *_: object) -> None:
        if not _PLAIN.fullmatch(code):
            raise ValueError(f"a NumPy dtype {code!r}, which is none of numbers or text")
        self.value = np.dtype(code)

    def build(self, state: tuple[Any, ...]) -> None:
        """Set the byte order from a state (version, byte order, None, None, None, ...); ValueError for other states."""
        if tuple(state[2:5]) != (None,) * 3:
            raise ValueError("a NumPy dtype with fields or a subarray")
        self.value = self.value.newbyteorder("=" if state[1] == "|" else state[1])


class _Reader(pickle._Unpickler):
    """Python's own unpickler, limited to `_OPERATIONS` and to the names that `find_class` knows.

    Arrays may hold at most as many bytes as the file, which is checked before each array is made.
    """

    memo: Any
    stack: list[Any]
    read: Callable[[int], bytes]

    def __init__(self, stream: BinaryIO, size: int, each: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
        super().__init__(_Source(stream, size), encoding="latin1")
        self.memo, self._left, self._left_encoded, self._each = _Memo(), size, 2 * size, each

    def find_class(self, module: str, name: str) -> Any:
        """Return our replacement of a function in NumPy's pickles of arrays. All other names are refused."""
        ours = {
            "numpy.core.multiarray._reconstruct": self._empty,
            "numpy.core.multiarray.scalar": self._scalar,
            "numpy.core.numeric._frombuffer": self._array,
            "numpy.ndarray": _ndarray,
            "numpy.dtype": _DType,
            "_codecs.encode": self._encoded,
            "builtins.bytes": lambda: b"",
        }
        modern = f"{module}.{name}".replace("numpy._core.", "numpy.core.").replace("__builtin__.", "builtins.")
        if modern not in ours:
            raise _Refused(f"{module}.{name}")
        return ours[modern]

    def _empty(self, kind: object, *_: object) -> NDArray[Any]:
        if kind is not _ndarray:
            raise ValueError("a NumPy array of an unknown class")
        return np.zeros(0, dtype=np.int8)

    def _array(self, raw: bytes | str, dtype: _DType, shape: tuple[int, ...], order: Literal["C", "F"]) -> NDArray[Any]:
        if not all(type(side) is int and side >= 0 for side in shape) or order not in ("C", "F"):
            raise ValueError("a NumPy array without a shape")
        data, wanted = _as_bytes(raw), math.prod(shape) * dtype.value.itemsize
        if len(data) != wanted:
            raise ValueError(f"a NumPy array of shape {shape} with {len(data)} bytes instead of {wanted}")
        flat = self._numbers(data, dtype)
        native = flat.astype(flat.dtype.newbyteorder("="), copy=False)
        return self._each(np.reshape(native, shape, order=order))

    def _scalar(self, dtype: _DType, raw: bytes | str) -> Any:
        return self._numbers(_as_bytes(raw)[: dtype.value.itemsize], dtype)[0].item()

    def _encoded(self, raw: bytes | str, encoding: str = "latin1") -> bytes:
        data = _as_bytes(raw, encoding)
        self._left_encoded -= len(data)  # a short text can be encoded again and again
        if self._left_encoded < 0:
            raise MemoryError("its texts hold more bytes than the file")
        return data

    def _numbers(self, data: bytes, dtype: _DType) -> NDArray[Any]:
        self._left -= len(data)
        if self._left < 0:
            raise MemoryError("its arrays hold more bytes than the file")
        return np.frombuffer(data, dtype.value)

    def load_build(self) -> None:
        """Run the operation BUILD on a dtype or an empty array.

        The state of an array is (version, shape, dtype, whether it is in Fortran order, bytes).
        """
        state, made = self.stack.pop(), self.stack[-1]
        if isinstance(made, _DType):
            made.build(state)
        elif isinstance(made, np.ndarray) and made.shape == (0,):
            _, shape, dtype, fortran, raw = state
            values = self._array(raw, dtype, shape, "F" if fortran else "C")
            filled: Any = (1, values.shape, values.dtype, False, values.tobytes())
            made.__setstate__(filled)
        else:
            raise ValueError(f"a state is given to a {type(made).__name__}")


def _refuse(name: str, _: object) -> None:
    raise _Refused(f"the operation {name}")


def _only_texts(operation: bytes, keys: slice, reader: Any) -> None:
    """Run an operation of the pickle that fills a dictionary; ValueError if a key isn't a string.

    `keys` is the slice of the unpickler's stack that holds the keys. A hostile file could use other keys: numbers
    chosen to make the dictionary slow, or nested tuples that take years to hash.
    """
    if not all(isinstance(key, str) for key in reader.stack[keys]):
        raise ValueError("the keys of a dictionary aren't texts")
    pickle._Unpickler.dispatch[operation[0]](reader)


_CHANGED: dict[int, Any] = {
    pickle.BUILD[0]: _Reader.load_build,
    pickle.SETITEM[0]: partial(_only_texts, pickle.SETITEM, slice(-2, -1)),
    pickle.SETITEMS[0]: partial(_only_texts, pickle.SETITEMS, slice(0, None, 2)),
    pickle.DICT[0]: partial(_only_texts, pickle.DICT, slice(0, None, 2)),
    pickle.FRAME[0]: lambda reader: reader.read(8),  # only a hint; without it every position is that of the file
    pickle.BYTEARRAY8[0]: pickle._Unpickler.dispatch[pickle.BINBYTES8[0]],  # never allocates before it reads
}
_Reader.dispatch = {
    number: pickle._Unpickler.dispatch[number] if name in _OPERATIONS else partial(_refuse, name)
    for number, name in ((ord(operation.code), operation.name) for operation in pickletools.opcodes)
} | _CHANGED


def _ndarray(*_: object) -> None:
    raise ValueError("numpy.ndarray is called")


def _as_bytes(raw: bytes | str, encoding: str = "latin1") -> bytes:
    """Return `raw` as bytes. Pickles by Python 2, or with a protocol below 3, hold bytes as latin1 text."""
    if encoding != "latin1":
        raise ValueError("text in another encoding than latin1")
    return raw.encode("latin1") if isinstance(raw, str) else raw


def read_pickle(path: Path, each: Callable[[NDArray[Any]], NDArray[Any]] = lambda array: array) -> Any:
    """Read a pickle of numbers, text, lists, tuples, dictionaries and NumPy arrays, of any protocol.

    The function `each`, for instance a conversion to a smaller dtype, is applied to every array as soon as it is read.
    Therefore memory holds the result and only one array of the file. NumPy scalars become Python's own numbers and
    text, and byte arrays become bytes. InputError if the file is missing, truncated or damaged, or holds other objects.
    The message names such an object and its place in the file.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file. Check the path in the configuration.")
    check_memory(path.stat().st_size, path)
    with path.open("rb") as stream:
        try:
            reader = _Reader(stream, path.stat().st_size, each)
            content = reader.load()
            reader.memo.clear()  # it refers to the reader's functions: without this, all arrays would stay
            return content
        except _Refused as error:
            raise InputError(
                f"{path}: holds {error} before byte {stream.tell()}, which is neither a NumPy array nor a number, "
                "text, list or dictionary. Nothing of it was executed. Is this the published file, unaltered?"
            ) from None
        except _DAMAGE as error:
            raise InputError(f"{path}: truncated or damaged pickle before byte {stream.tell()} ({error}).") from error
