"""Check of the arguments of public Python functions by their annotations."""

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
#: a whole number above 0
Count: TypeAlias = int
#: a whole number, 0 or above
NotNegative: TypeAlias = int
#: numbers for which distances, or also the concentrations of haloes, follow from a flat LCDM cosmology
Distances: TypeAlias = Mapping[str, float]
Cosmology: TypeAlias = Mapping[str, float]
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


def _several(value: object) -> bool:
    return isinstance(value, Sequence | np.ndarray) and not isinstance(value, str)


def _numbers(value: Any) -> bool:
    try:
        return np.asarray(value).dtype.kind in "iuf"
    except ValueError:  # lists of different lengths
        return False


def _names_to(good: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return a function that says whether a value is a dictionary from texts to `good` values."""
    return lambda value: (
        isinstance(value, Mapping) and all(isinstance(key, str) and good(one) for key, one in value.items())
    )


def _cosmology(*keys: str) -> tuple[str, Callable[[Any], bool]]:
    what = f"a dictionary with numbers above 0 for {', '.join(keys)}, and with omega_m below 1"
    given = _names_to(_number)
    return what, lambda value: given(value) and all(value.get(key, 0) > 0 for key in keys) and value["omega_m"] < 1


def _text(value: object) -> bool:
    return isinstance(value, str)


#: annotation of an argument -> what the argument must be, and the function that says whether it is
_RULES: Final[Mapping[str, tuple[str, Callable[[Any], bool]]]] = {
    "Positive": ("a number above 0", lambda value: _number(value) and value > 0),
    "Count": ("a whole number above 0", lambda value: _whole(value) and value > 0),
    "NotNegative": ("a whole number, 0 or above", lambda value: _whole(value) and value >= 0),
    "float": ("a number", _number),
    "int": ("a whole number", _whole),
    "str": ("a text", _text),
    "bool": ("True or False", lambda value: isinstance(value, bool | np.bool_)),
    "MassPrior": ("'training' or 'flat'", lambda value: isinstance(value, str) and value in ("training", "flat")),
    "PathLike": ("a path", _path),
    "Path": ("a path", _path),
    "str | Path": ("a path", _path),
    "ArrayLike": ("a number or several numbers", _numbers),
    "np.random.Generator | NotNegative": (
        "a random generator of NumPy, or a whole number from 0",
        lambda value: isinstance(value, np.random.Generator) or (_whole(value) and value >= 0),
    ),
    "Mapping[str, Any]": ("a dictionary from names to values", _names_to(lambda _: True)),
    "Mapping[str, float]": ("a dictionary from names to numbers", _names_to(_number)),
    "CountRateRelation": ("a dictionary from names to numbers", _names_to(_number)),
    "Mapping[str, str]": ("a dictionary from names to names", _names_to(_text)),
    "Distances": _cosmology("h0_km_s_mpc", "omega_m"),
    "Cosmology": _cosmology("h0_km_s_mpc", "omega_m", "omega_b", "sigma8", "ns"),
    "Data": ("a data set, or the path of a netCDF file", lambda value: hasattr(value, "data_vars") or _path(value)),
    "Block": ("a dictionary, or the path of a JSON file", lambda value: isinstance(value, Mapping) or _path(value)),
    "Table | str | Path": ("a table, or the path of one", lambda value: hasattr(value, "colnames") or _path(value)),
    "Sequence[SimulatedField]": (
        "a list of fields from simulate_field",
        lambda value: isinstance(value, Sequence) and len(value) > 0 and all(hasattr(one, "sky") for one in value),
    ),
}


def _rule(annotation: str) -> tuple[str, Callable[[Any], bool]] | None:
    """Return the entry of `_RULES` for an annotation, or None. For a Sequence, the entry checks each item."""
    inner = annotation.removeprefix("Sequence[").removesuffix("]")
    if annotation in _RULES or inner not in _RULES:
        return _RULES.get(annotation)
    what, good = _RULES[inner]
    return f"a list, each entry of which is {what}", lambda value: _several(value) and all(map(good, value))


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function, extended so that it raises InputError if an argument isn't what its annotation says.

    The module of the function must postpone the evaluation of annotations. An argument is checked if its annotation, or
    that of the items of a Sequence, is in `_RULES`.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*arguments: P.args, **named: P.kwargs) -> R:
        for name, value in signature.bind(*arguments, **named).arguments.items():
            annotation = str(signature.parameters[name].annotation)
            if (value is None and annotation.endswith(" | None")) or not (
                rule := _rule(annotation.removesuffix(" | None"))
            ):
                continue
            if not rule[1](value):
                raise InputError(f"{name}: is {repr(value)[:_SHOWN]}, but must be {rule[0]}.")
        return function(*arguments, **named)

    return call
