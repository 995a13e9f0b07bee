"""Reading and changing numbers of a sky by their dotted keys, such as ``clusters.component_mean[0]``.

Also the shape of the distributions from which these numbers are drawn in a sky with a prior.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from clustermass.config.prior_models import ParameterDistribution

#: draws of normal distributions are at most this many standard deviations from the mean
NORMAL_LIMIT = 5.0

S = TypeVar("S")


def parts_of(key: str) -> list[str | int]:
    """Return the keys and the place in a list (from 0) that lead to a number: ``["clusters", "component_mean", 0]``."""
    return [int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", key)]


def number_at(sky: Mapping[str, Any], key: str) -> float:
    """Return the number that a dotted key of a sky names.

    KeyError, IndexError or TypeError if there is none.
    """
    found: Any = sky
    for part in parts_of(key):
        found = found[part]
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise TypeError(f"{key} is {found!r}, but must be a number")
    return float(found)


def with_numbers(sky: S, numbers: Mapping[str, float]) -> S:
    """Return a copy of a sky with the numbers under dotted keys replaced. KeyError or IndexError if a key is absent."""
    changed: Any = copy.deepcopy(sky)
    for key, number in numbers.items():
        *above, last = parts_of(key)
        block = changed
        for part in above:
            block = block[part]
        block[last] = number
    return cast("S", changed)


def shape_of(distribution: ParameterDistribution) -> tuple[str, tuple[float, float]]:
    """Return the kind of a distribution (normal, uniform or log_uniform) and its two numbers."""
    [(kind, numbers)] = cast("dict[str, list[float]]", distribution).items()
    return kind, (numbers[0], numbers[1])
