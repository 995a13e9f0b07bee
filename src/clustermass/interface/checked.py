"""Check of the arguments of the Python interface by their annotations."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeAlias, TypeVar

import numpy as np

from clustermass.errors import InputError
from clustermass.io.files import check_path

P = ParamSpec("P")
R = TypeVar("R")
#: a number above 0
Positive: TypeAlias = float
#: `training` or `flat`
MassPrior: TypeAlias = str
#: most characters of a value in a message
_SHOWN = 60


def _number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and bool(np.isfinite(float(value)))


def _whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _path(value: object) -> bool:
    if not isinstance(value, str | os.PathLike) or str(value) == "":
        return False
    check_path(Path(value))
    return True


def _texts(value: object) -> bool:
    return isinstance(value, Sequence | np.ndarray) and all(isinstance(one, str) for one in value)


def _numbers(value: Any) -> bool:
    try:
        return np.asarray(value).dtype.kind in "iuf"
    except ValueError:  # lists of different lengths
        return False


#: annotation of an argument -> what the argument must be, and the function that says whether it is
_RULES: Final[Mapping[str, tuple[str, Callable[[Any], bool]]]] = {
    "Positive": ("a number above 0", lambda value: _number(value) and value > 0),
    "float": ("a number", _number),
    "int": ("a whole number", _whole),
    "str": ("a text", lambda value: isinstance(value, str)),
    "bool": ("True or False", lambda value: isinstance(value, bool | np.bool_)),
    "MassPrior": ("'training' or 'flat'", lambda value: isinstance(value, str) and value in ("training", "flat")),
    "PathLike": ("a path", _path),
    "ArrayLike": ("a number or several numbers", _numbers),
    "Sequence[int]": (
        "a list of whole numbers",
        lambda value: isinstance(value, Sequence | np.ndarray) and all(map(_whole, value)),
    ),
    "Mapping[str, Any]": (
        "a dictionary from names to values",
        lambda value: isinstance(value, Mapping) and _texts([*value]),
    ),
    "Mapping[str, float]": (
        "a dictionary from names to numbers",
        lambda value: isinstance(value, Mapping) and _texts([*value]) and all(map(_number, value.values())),
    ),
    "Mapping[str, str]": (
        "a dictionary from names to names",
        lambda value: isinstance(value, Mapping) and _texts([*value, *value.values()]),
    ),
    "Sequence[SimulatedField]": (
        "a list of fields from simulate_field",
        lambda value: isinstance(value, Sequence) and len(value) > 0 and all(hasattr(one, "sky") for one in value),
    ),
}


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function, extended so that it raises InputError if an argument isn't what its annotation says.

    The module of the function must postpone the evaluation of annotations. Arguments whose annotation isn't in
    `_RULES` aren't checked.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*arguments: P.args, **named: P.kwargs) -> R:
        for name, value in signature.bind(*arguments, **named).arguments.items():
            kind, optional, _ = str(signature.parameters[name].annotation).partition(" | None")
            what, good = _RULES.get(kind, ("", lambda _: True))
            if not (good(value) or (optional and value is None)):
                raise InputError(f"{name}: is {repr(value)[:_SHOWN]}, but must be {what}.")
        return function(*arguments, **named)

    return call
