"""All errors of the configuration, each as a sentence with the key, its value and the values that are allowed."""

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import pydantic
from pydantic_core import ErrorDetails

from clustermass.config.checks import cross_checks
from clustermass.config.kinds import NO_CONTROL
from clustermass.config.models import TABLE_NAME, TABLE_PATH, Config
from clustermass.config.prior_models import SKY_KEY
from clustermass.config.resolve import Block, choose, nearest
from clustermass.errors import InputError

_ADAPTER = pydantic.TypeAdapter(Config)
EXECUTION_ONLY = "x-execution-only"
#: blocks whose entries may leave out keys, which are then taken from another entry
_PARTIAL = ("skies", "experiments", "image_sets")
_KINDS = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
    "object": "a block of keys",
    "null": "null",
}
#: parts of pydantic's paths that only state the type of a value
_TAGS = ("<int>", "<str>", "<list>", "<dict>")
#: pydantic's name of an error -> predicate of the sentence; names in braces are entries of the error's context
_COMPLAINTS = {
    "greater_than_equal": "is {value!r}, but must be at least {ge}",
    "greater_than": "is {value!r}, but must be more than {gt}",
    "less_than_equal": "is {value!r}, but must be at most {le}",
    "less_than": "is {value!r}, but must be less than {lt}",
    "too_short": "has {actual_length} entries, but needs at least {min_length}",
    "too_long": "has {actual_length} entries, but at most {max_length} are allowed",
    "string_too_short": "is {value!r}, but must not be empty",
    "value_error": "is {value!r}, but {error}",
}
_NAME_RULE = "must begin with a letter or digit and hold only letters, digits, '-' and '_'"
_PATTERNS = {
    "^https?://": "must begin with http:// or https://",
    "^[0-9a-f]{64}$": "must be 64 hexadecimal digits in lower case",
    NO_CONTROL: "must not hold control characters",
    SKY_KEY: "must be the key of a number in a sky, such as agn.clustered_fraction or clusters.component_mean[0]",
    TABLE_PATH: "must be a relative path without hidden names that ends in .fits, .fits.gz, .tsv, .tar.gz or .tgz",
    TABLE_NAME: "must be the name of a .fits, .fits.gz or .tsv file, not hidden and without folders",
}


def check_config(config: Block) -> None:
    """Raise an InputError that lists all errors of the merged configuration, one in each line, if it has any."""
    lines = config_errors(config)
    if lines:
        count = "1 error" if len(lines) == 1 else f"{len(lines)} errors"
        raise InputError(f"The configuration has {count}:\n" + "\n".join(f"  - {line}" for line in lines))


def config_errors(config: Block) -> list[str]:
    """Return a sentence for each error of the merged configuration. The errors found by `cross_checks` come last."""
    errors = sorted(_errors(config), key=lambda error: [str(part) for part in error["loc"]])
    faulty = {str(error["loc"][0]) for error in errors}
    return list(dict.fromkeys([*map(_sentence, errors), *cross_checks(config, faulty)]))


def check_block(block: object, kind: Any, name: str) -> None:
    """Raise InputError unless a block of a configuration fits the class `kind`. The message begins with `name`."""
    try:
        pydantic.TypeAdapter(kind).validate_python(block, strict=True)
    except pydantic.ValidationError as failure:
        first = failure.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"] if part not in _TAGS)
        raise InputError(f"{name}.{key}: {first['msg']}, but it is {str(first['input'])[:60]!r}.") from failure


def without_execution_keys(block: Block, rule: Block | None = None) -> Block:
    """Return a block without keys that can't change results, such as `training.device`.

    `rule` is the part of the schema that describes the block. It is None if `block` is the whole configuration.
    """
    inner = {key: _below(schema() if rule is None else rule, key) for key in block}
    return {
        key: without_execution_keys(value, inner[key]) if isinstance(value, dict) else value
        for key, value in block.items()
        if not inner[key].get(EXECUTION_ONLY)
    }


@cache
def schema() -> Block:
    """Return the JSON schema (draft 2020-12) of the configuration, made from the class `Config`."""
    made = _ADAPTER.json_schema()
    defined = made["$defs"]
    partial = [defined[name] for name in ("Sky", "Experiment", "ImageSet")]
    partial += [defined[rule["$ref"].split("/")[-1]] for rule in partial[0]["properties"].values() if "$ref" in rule]
    for block in [*partial, *(defined[name] for name in ("Shares", "Relations", "CentralAgn"))]:
        block.pop("required", None)
    _remove_titles(made)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "clustermass configuration", **made}


def _remove_titles(rule: object) -> None:
    if isinstance(rule, dict) and isinstance(rule.get("title"), str):
        del rule["title"]
    for inner in rule.values() if isinstance(rule, dict) else rule if isinstance(rule, list) else ():
        _remove_titles(inner)


def keys(rule: Block | None = None, above: str = "") -> Iterator[tuple[str, Block]]:
    """Yield the dotted path of each key and its part of the schema. `<name>` stands for names that users choose."""
    for option in _options(rule or schema()):
        for key, inner in [*option.get("properties", {}).items(), *(("<name>", rule) for rule in _named_alike(option))]:
            below = inner | {mark: True for mark in option if mark == EXECUTION_ONLY}
            yield above + key, _merged(below)
            yield from keys(below, f"{above}{key}.")


def _options(rule: Block) -> list[Block]:
    """Return one schema for each kind of value that `rule` allows. Requirements for all kinds are repeated in each."""
    common = {key: value for key, value in rule.items() if key not in ("$ref", "anyOf", "oneOf")}
    if "$ref" in rule:
        return _options(schema()["$defs"][rule["$ref"].split("/")[-1]] | common)
    kinds = rule.get("anyOf") or rule.get("oneOf")
    return [option | common for kind in kinds for option in _options(kind)] if kinds else [rule]


def _merged(rule: Block) -> Block:
    """Return the schema `rule` with all kinds of values (see `_options`) in one block. Its `type` lists all types."""
    options = _options(rule)
    types = [option["type"] for option in options if "type" in option]
    return {key: value for option in options for key, value in option.items()} | {"type": types}


def _named_alike(rule: Block) -> list[Block]:
    """Return the schemas of entries with names chosen by the user (such as `skies.<name>`)."""
    rules = [rule.get("additionalProperties"), *rule.get("patternProperties", {}).values()]
    return [inner for inner in rules if isinstance(inner, dict)]


def _below(rule: Block, key: str | int) -> Block:
    """Return the part of the schema for the entry `key` of a block or list. It is empty if there is no such entry."""
    for option in _options(rule):
        alike = next(iter(_named_alike(option)), option.get("items"))
        if inner := option.get("properties", {}).get(key, alike):
            return _merged(inner)
    return {}


def _errors(config: Block) -> Iterator[ErrorDetails]:
    """Yield pydantic's errors, whose `loc` is the path of keys in the configuration.

    Missing keys of skies, experiments and image sets aren't errors here, because they may come from another entry.
    """
    try:
        _ADAPTER.validate_python(config)
    except pydantic.ValidationError as failure:
        for error in failure.errors(include_url=False):
            error["loc"] = path = tuple(part for part in error["loc"] if part not in _TAGS)
            if error["type"] != "missing" or path[0] not in _PARTIAL or "realizations" in path[:-1]:
                yield error


def _sentence(error: ErrorDetails) -> str:
    *above, last = error["loc"]
    if last == "[key]":
        return _name_sentence(".".join(map(str, above[:-1])), error)
    key = ".".join(map(str, error["loc"]))
    if error["type"] == "missing":
        return f"{key} is missing; add it (config/README.md says what it means)."
    rule = schema()
    for part in above:
        rule = _below(rule, part)
    if error["type"] in ("extra_forbidden", "invalid_key"):
        allowed = [name for option in _options(rule) for name in option.get("properties", {})]
        return f"{key} is not a key that is known there.{choose(last, allowed)}"
    rule, value = _below(rule, last), error["input"]
    if error["type"] == "literal_error":
        return f"{key} is {value!r}, but must be one of: {', '.join(rule['enum'])}.{nearest(value, rule['enum'])}"
    return f"{key} {_complaint(error, rule)}."


def _name_sentence(key: str, error: ErrorDetails) -> str:
    name = error["input"]
    if error["type"] == "literal_error":
        return f"{key}.{name} is not a key that is known there. Allowed: {error['ctx']['expected']}."
    if not isinstance(name, str):
        two = f"{name:02d}" if key.endswith("realizations") and isinstance(name, int) else name
        return f'{key}: the name {name} is no text to YAML; write it in quotes, as "{two}".'
    return f"{key}: the name {name!r} {_PATTERNS.get(error['ctx']['pattern'], _NAME_RULE)}."


def _complaint(error: ErrorDetails, rule: Block) -> str:
    """Return the part of a sentence that says what is wrong with a value. `rule` is the value's part of the schema."""
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "string_pattern_mismatch":
        return f"is {value!r}, but {_PATTERNS.get(context['pattern'], _NAME_RULE)}"
    if kind in _COMPLAINTS:
        whole = {name: int(limit) for name, limit in context.items() if isinstance(limit, float) and limit.is_integer()}
        return _COMPLAINTS[kind].format(value=value, **(context | whole))
    wanted = " or ".join(_KINDS[name] for name in rule["type"])
    return f"is {value!r}, but must be {wanted}{_type_hint(value, rule['type'])}"


def _type_hint(value: object, kinds: list[str]) -> str:
    if "string" in kinds and isinstance(value, int | float):
        return f' (write it in quotes: "{value}")'
    if isinstance(value, float) and not math.isfinite(value):
        return " (neither nan nor infinity)"
    if isinstance(value, float) and value.is_integer() and "integer" in kinds:
        return f" (write {value:.0f})"
    return _number_hint(value) if "number" in kinds and isinstance(value, str) else ""


def _number_hint(text: str) -> str:
    try:
        mantissa, mark, exponent = f"{float(text):.10g}".partition("e")
    except ValueError:
        return ""
    dotted = mantissa if "." in mantissa or not mark else f"{mantissa}.0"
    return f" (YAML reads {text} as text: write {dotted}{mark}{exponent})"
