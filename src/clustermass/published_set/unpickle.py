"""The operations of a pickle that plain data need, carried out on values alone: nothing is imported, nothing called."""

import math
import pickletools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustermass.errors import InputError
from clustermass.io.log import track

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


_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
_NUMERIC = ("numpy.core.numeric", "numpy._core.numeric")
#: module and name -> what it stands for; numpy 1 and 2 name their modules differently
_NAMES = {
    **{(module, "_reconstruct"): "array" for module in _MULTIARRAY},
    **{(module, "scalar"): "scalar" for module in _MULTIARRAY},
    **{(module, "_frombuffer"): "buffer" for module in _NUMERIC},
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "encode",
    **{(module, "bytes"): "bytes" for module in ("builtins", "__builtin__")},
}
_VALUES = frozenset(
    (
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    )
)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
#: say something about the file, nothing about its content
_SILENT = frozenset(("PROTO", "FRAME"))
#: longer texts and bytes are an array's: no reference to them is kept once the array is made
_LONG = 4096


class Refused(Exception):
    """Something that plain data don't hold."""


class _Forgotten:
    """Stands in the memo for the bytes of an array, which nothing else refers to."""


class Machine:
    """Stack, marks and memo of a pickle, and what each operation does to them."""

    def __init__(self, each: Callable[[Array], Array]) -> None:
        self._each = each
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self.result: Any = None

    def step(self, name: str, argument: Any) -> None:
        """Do one operation; Refused if plain data need none such, another error if it makes no sense."""
        if name in _VALUES:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in _ACTIONS:
            _ACTIONS[name](self, argument)
        elif name not in _SILENT:
            raise Refused(f"the operation {name}" + (f" of {argument}" if isinstance(argument, str) else ""))

    def _pop(self, number: int = 1) -> list[Any]:
        """Take the last entries off the stack."""
        start = len(self._stack) - number
        if start < (self._marks[-1] if self._marks else 0):
            raise ValueError("more is taken off the stack than lies there")
        taken = self._stack[start:]
        del self._stack[start:]
        return taken

    def _pop_mark(self) -> list[Any]:
        """Take everything above the last mark off the stack, and the mark."""
        taken = self._pop(len(self._stack) - self._marks[-1])
        self._marks.pop()
        return taken

    def _top(self, kind: type) -> Any:
        if not isinstance(self._stack[-1], kind):
            raise ValueError(f"a {type(self._stack[-1]).__name__} is treated as a {kind.__name__}")
        return self._stack[-1]

    def _mark(self, _: object) -> None:
        self._marks.append(len(self._stack))

    def _drop(self, _: object) -> None:
        self._pop()

    def _drop_to_mark(self, _: object) -> None:
        self._pop_mark()

    def _duplicate(self, _: object) -> None:
        self._stack.append(self._stack[-1])

    def _stop(self, _: object) -> None:
        self.result = _whole(*self._pop())

    def _memoize(self, _: object) -> None:
        self._put(len(self._memo))

    def _put(self, place: int | str) -> None:
        top = self._stack[-1]
        self._memo[int(place)] = _Forgotten if _is_long(top) else top

    def _get(self, place: int | str) -> None:
        found = self._memo[int(place)]
        if found is _Forgotten:
            raise ValueError("the bytes of an array are used twice")
        self._stack.append(found)

    def _empty_list(self, _: object) -> None:
        self._stack.append([])

    def _empty_dict(self, _: object) -> None:
        self._stack.append({})

    def _empty_tuple(self, _: object) -> None:
        self._stack.append(())

    def _tuple_of(self, number: int) -> None:
        self._stack.append(tuple(map(_whole, self._pop(number))))

    def _tuple(self, _: object) -> None:
        self._stack.append(tuple(map(_whole, self._pop_mark())))

    def _list(self, _: object) -> None:
        self._stack.append(list(map(_whole, self._pop_mark())))

    def _dict(self, _: object) -> None:
        pairs = self._pop_mark()
        self._stack.append({})
        self._set(pairs)

    def _append(self, _: object) -> None:
        entries = self._pop()
        self._top(list).extend(map(_whole, entries))

    def _appends(self, _: object) -> None:
        entries = self._pop_mark()
        self._top(list).extend(map(_whole, entries))

    def _setitem(self, _: object) -> None:
        self._set(self._pop(2))

    def _setitems(self, _: object) -> None:
        self._set(self._pop_mark())

    def _set(self, pairs: list[Any]) -> None:
        target = self._top(dict)
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if not isinstance(key, str | int | float):
                raise ValueError(f"a dictionary's key is a {type(key).__name__}")
            target[key] = _whole(value)

    def _global(self, words: str) -> None:
        self._name(*words.split(" ", 1))

    def _stack_global(self, _: object) -> None:
        self._name(*self._pop(2))

    def _name(self, module: object, name: object) -> None:
        known = _NAMES.get((module, name)) if isinstance(module, str) and isinstance(name, str) else None
        if known is None:
            raise Refused(f"{module}.{name}")
        self._stack.append(Named(known))

    def _reduce(self, _: object) -> None:
        named, given = self._pop(2)
        if not isinstance(named, Named) or not isinstance(given, tuple):
            raise ValueError("something is called that is no name")
        self._stack.append(_MAKERS[named.name](self._each, *given))

    def _build(self, _: object) -> None:
        (state,) = self._pop()
        top = self._stack[-1]
        if not isinstance(top, Assembled | DType):
            raise ValueError(f"a state is given to a {type(top).__name__}")
        top.build(state)


def _whole(value: Any) -> Any:
    """Return an entry as it goes into a list, tuple or dictionary: of an array its values."""
    if isinstance(value, Assembled):
        if value.values is None:
            raise ValueError("an array without values")
        return value.values
    return value


def _is_long(value: object) -> bool:
    if isinstance(value, tuple):
        return any(map(_is_long, value))
    return isinstance(value, str | bytes | bytearray) and len(value) > _LONG


def _array(each: Callable[[Array], Array], kind: object, *_: object) -> Assembled:
    if not isinstance(kind, Named) or kind.name != "ndarray":
        raise ValueError("a NumPy array of an unknown class")
    return Assembled(each)


def _buffer(each: Callable[[Array], Array], raw: object, dtype: object, shape: object, order: object) -> Assembled:
    made = Assembled(each)
    made.fill(raw, dtype, shape, order)
    return made


def _encode(_: object, text: object, encoding: object) -> bytes | bytearray:
    """Return bytes from text in latin1, as which protocols below 3 store them."""
    if not isinstance(text, str) or encoding != "latin1":
        raise ValueError("text in another encoding than latin1")
    return as_bytes(text)


def _no_bytes(_: object) -> bytes:
    return b""


#: by what `_NAMES` says; a number of arguments that doesn't fit is damage
_MAKERS: dict[str, Callable[..., Any]] = {
    "array": _array,
    "buffer": _buffer,
    "dtype": lambda _, *given: DType(*given),
    "scalar": lambda _, *given: scalar(*given),
    "encode": _encode,
    "bytes": _no_bytes,
}
_ACTIONS: dict[str, Callable[[Machine, Any], None]] = {
    "MARK": Machine._mark,
    "POP": Machine._drop,
    "POP_MARK": Machine._drop_to_mark,
    "DUP": Machine._duplicate,
    "STOP": Machine._stop,
    "MEMOIZE": Machine._memoize,
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), Machine._put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), Machine._get),
    "EMPTY_LIST": Machine._empty_list,
    "EMPTY_DICT": Machine._empty_dict,
    "EMPTY_TUPLE": Machine._empty_tuple,
    "TUPLE1": lambda machine, _: machine._tuple_of(1),
    "TUPLE2": lambda machine, _: machine._tuple_of(2),
    "TUPLE3": lambda machine, _: machine._tuple_of(3),
    "TUPLE": Machine._tuple,
    "LIST": Machine._list,
    "DICT": Machine._dict,
    "APPEND": Machine._append,
    "APPENDS": Machine._appends,
    "SETITEM": Machine._setitem,
    "SETITEMS": Machine._setitems,
    "GLOBAL": Machine._global,
    "STACK_GLOBAL": Machine._stack_global,
    "REDUCE": Machine._reduce,
    "BUILD": Machine._build,
}


#: what taking apart a damaged or malformed file raises
_DAMAGE = (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, MemoryError)


def read_pickle(path: Path, each: Callable[[Array], Array] = lambda array: array) -> Any:
    """Read a pickle of numbers, text, lists, tuples, dictionaries and NumPy arrays, of any protocol.

    Parameters
    ----------
    path
        The file. Besides the result, memory holds the one array that is being read.
    each
        Applied to every array as soon as it is read, such as a conversion to a smaller dtype.

    Returns
    -------
    Any
        What was pickled; NumPy scalars as Python's own numbers and text.

    Raises
    ------
    InputError
        No such file; it holds anything else (named with its place in the file; nothing of it was executed), or is
        truncated or damaged.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file. Check the path in the configuration.")
    machine, place = Machine(each), 0
    with path.open("rb") as stream:
        try:
            for operation, argument, position in track(pickletools.genops(stream), f"{path.name}: operations read"):
                place = position or 0
                machine.step(operation.name, argument)
        except Refused as error:
            raise InputError(
                f"{path}: holds {error} at byte {place}, which is neither a NumPy array nor a number, text, list or "
                "dictionary. Nothing of it was executed. Is this the published file, unaltered?"
            ) from None
        except _DAMAGE as error:
            raise InputError(f"{path}: truncated or damaged pickle at byte {place} ({error}).") from error
    return machine.result
