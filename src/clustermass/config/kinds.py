"""Kinds of values in the configuration, such as `Share`, and the function `key`, which describes and limits a value."""

from itertools import pairwise
from typing import Annotated, Any, TypeAlias, TypeVar

import pydantic

T = TypeVar("T")


def key(description: str = "", **rules: Any) -> Any:
    """Return pydantic's field with a key's description and the rules for its value (`gt`, `le`, `pattern`, ...)."""
    if description:
        rules["description"] = description
    return pydantic.Field(**rules)


def _each_once(entries: list[T]) -> list[T]:
    if len(set(entries)) < len(entries):
        raise ValueError("each entry may be there only once")
    return entries


NO_CONTROL = r"^[^\x00-\x1f\x7f]*$"
Path: TypeAlias = Annotated[str, key(min_length=1, pattern=NO_CONTROL)]
Name: TypeAlias = Annotated[str, key(pattern="^[A-Za-z0-9][A-Za-z0-9_-]*$")]
Seed: TypeAlias = Annotated[int, key(ge=0, le=2**32 - 1)]
Count: TypeAlias = Annotated[int, key(ge=1, le=10**6)]
Positive: TypeAlias = Annotated[float, key(gt=0)]
Share: TypeAlias = Annotated[float, key(ge=0, le=1)]
Correlation: TypeAlias = Annotated[float, key(ge=-1, le=1)]
#: at least 0, below 1
Fraction: TypeAlias = Annotated[float, key(ge=0, lt=1)]
#: a list whose entries differ
Distinct: TypeAlias = Annotated[
    list[T], pydantic.AfterValidator(_each_once), key(json_schema_extra={"uniqueItems": True})
]
#: selects the definition that a value must fit, according to the type of the value
ByType = pydantic.Discriminator(lambda value: f"<{type(value).__name__}>")
Extents: TypeAlias = list[Annotated[float, key(ge=2, le=200)]]
Seconds: TypeAlias = Annotated[float, key(gt=0, le=1e8)] | None
Probability: TypeAlias = Annotated[float, key(gt=0, le=1)]
Steps: TypeAlias = list[Annotated[float, key(gt=0, le=20)]]


def _ascending(edges: list[int]) -> list[int]:
    if any(low >= high for low, high in pairwise(edges)):
        raise ValueError("each edge must be above the one before")
    return edges


Edges: TypeAlias = Annotated[
    list[Annotated[int, key(ge=100, le=12000)]],
    pydantic.AfterValidator(_ascending),
    key(min_length=2, max_length=101),
]
