"""Differences between two configurations, key by key."""

from collections.abc import Iterator, Mapping

import yaml

#: most characters of a value in a line
_LONGEST = 60
_ABSENT = object()


def changed_keys(old: object, new: object, path: str = "") -> Iterator[str]:
    """Yield a line "key: old -> new" for each key whose value differs.

    If only one side has the key, the other side is written as `(none)`. An entry of a list is named by its index, from
    0. Two lists of different lengths give a single line. Long values are cut.
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(key for key in new if key not in old)]:
            below = f"{path}.{key}" if path else str(key)
            yield from changed_keys(old.get(key, _ABSENT), new.get(key, _ABSENT), below)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from changed_keys(before, after, f"{path}[{number}]")
    elif old != new:
        yield f"{path}: {_short(old)} -> {_short(new)}"


def _short(value: object) -> str:
    if value is _ABSENT:
        return "(none)"
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6)
    text = text.removesuffix("\n").removesuffix("\n...")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
