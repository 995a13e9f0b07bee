"""Checks of a sky's prior: each key names a number of the sky, and each distribution is possible and in its range."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pydantic

from clustermass.config.sky_keys import NORMAL_LIMIT, number_at, parts_of, shape_of, with_numbers

if TYPE_CHECKING:
    from clustermass.config.prior_models import ParameterDistribution
    from clustermass.config.sky_models import Sky

#: blocks of a sky whose numbers have no distribution: the shape of the field, and settings that aren't of the sky;
#: detection knows the PSF of the configuration only, which may have an error
_FIXED = {"parameters": ("field", "detection", "matching"), "conditions": ("field", "detection", "matching", "psf")}


def problems_of_prior(sky: Sky) -> Iterator[str]:
    """Yield a sentence for each error in the block `prior` of an embedded sky. The sentences begin with ".prior"."""
    prior = sky["prior"]
    if "population" in sky:
        yield ".prior can't be used in a sky with a population; leave one of them out."
    parameters, conditions = prior.get("parameters", {}), prior.get("conditions", {})
    errors = prior.get("errors", {})
    for key in sorted({*parameters} & {*conditions, *errors}):
        yield f".prior.parameters.{key} is also among the errors or conditions; keep one of them."
    for block, distributions in (("parameters", parameters), ("conditions", conditions)):
        for key, distribution in distributions.items():
            name = f".prior.{block}.{key}"
            wrong = list(_wrong_form(distribution))
            wrong += _fixed(block, key)
            yield from (f"{name} {text}" for text in wrong or _out_of_range(sky, key, ends(distribution)))
    for key, width in errors.items():
        yield from (f".prior.errors.{key} {text}" for text in _wrong_error(sky, key, width))
    low, high = prior.get("area_factor", [1.0, 1.0])
    if low > high:
        yield f".prior.area_factor is {[low, high]}, but the first limit must not be above the second."


def ends(distribution: ParameterDistribution) -> tuple[float, float]:
    """Return the lowest and the highest number that can be drawn from a distribution."""
    kind, (first, second) = shape_of(distribution)
    if kind == "normal":
        return first - NORMAL_LIMIT * second, first + NORMAL_LIMIT * second
    return first, second


def _wrong_form(distribution: ParameterDistribution) -> Iterator[str]:
    if len(distribution) != 1:
        given = ", ".join(distribution) or "nothing"
        yield f"has {given}, but needs exactly one of normal, uniform and (for a condition) log_uniform."
        return
    kind, (first, second) = shape_of(distribution)
    if kind == "normal" and second <= 0:
        yield f"is normal with standard deviation {second}, but must have one above 0."
    elif kind != "normal" and first >= second:
        yield f"is {kind} from {first} to {second}, but the first end must be below the second."
    elif kind == "log_uniform" and first <= 0:
        yield f"is log_uniform from {first}, but both ends must be above 0."


def _fixed(block: str, key: str) -> Iterator[str]:
    if key.partition(".")[0] in _FIXED[block]:
        yield "can't differ between realizations; set it in the sky."


def _wrong_error(sky: Sky, key: str, width: float) -> Iterator[str]:
    if problem := _absent(sky, key):
        yield problem
    elif number_at(sky, key) <= 0:
        yield f"is the error of ln {key}, but {key} is {number_at(sky, key):g}; a logarithm needs a number above 0."


def _absent(sky: Sky, key: str) -> str:
    try:
        number_at(sky, key)
    except (KeyError, IndexError, TypeError):
        return "is no number of this sky; name one, or set it in the sky."
    return ""


def _out_of_range(sky: Sky, key: str, limits: tuple[float, float]) -> Iterator[str]:
    """Yield a sentence if the sky has no number `key`, or can't have the numbers at both limits of the draws."""
    from clustermass.config.sky_models import Sky as Model

    if problem := _absent(sky, key):
        yield problem
        return
    low, high = limits
    between = low + 0.381966 * (high - low)  # a key of whole numbers refuses it
    for number in (low, between, high):
        for message in _refusals(pydantic.TypeAdapter(Model), with_numbers(sky, {key: number}), key):
            yield f"can be {number:.4g}, which {key} can't be ({message}); draw from a narrower range."
            return


def _refusals(adapter: pydantic.TypeAdapter[Any], sky: Sky, key: str) -> list[str]:
    try:
        adapter.validate_python(sky)
    except pydantic.ValidationError as failure:
        wanted = [str(part) for part in parts_of(key)]
        errors = failure.errors(include_url=False)
        return [error["msg"] for error in errors if [str(part) for part in error["loc"]] == wanted]
    return []
