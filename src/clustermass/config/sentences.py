"""What a JSON schema finds wrong, in plain sentences that name the key, its value and what is allowed."""

import math
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from clustermass.config.resolve import choose, nearest

_WHOLE = "the configuration"
_KINDS = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
    "object": "a block of keys",
    "null": "null",
}
_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "exclusiveMaximum": "less than",
}
_NAME_RULE = "must begin with a letter or digit and hold only letters, digits, '-' and '_'"
#: pattern of the schema -> what it demands
_PATTERNS = {
    "^[A-Za-z0-9][A-Za-z0-9_-]*$": _NAME_RULE,
    "^[0-9]{2}$": 'must be two digits in quotes, such as "01"',
}


def _is_integer(_: object, value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(_: object, value: object) -> bool:
    return _is_integer(_, value) or (isinstance(value, float) and math.isfinite(value))


# JSON schema takes 6.0 for an integer and nan for a number; range() and the simulations do not
_TYPES = Draft202012Validator.TYPE_CHECKER.redefine_many({"integer": _is_integer, "number": _is_number})
_Validator = extend(Draft202012Validator, type_checker=_TYPES)


def schema_errors(block: Mapping[str, Any], schema: Mapping[str, Any]) -> list[ValidationError]:
    """Return all errors of `block` by `schema` (draft 2020-12), sorted by key."""
    return sorted(_Validator(schema).iter_errors(dict(block)), key=lambda error: list(map(str, error.absolute_path)))


def faulty_blocks(error: ValidationError) -> set[str]:
    """Names of the top-level blocks that can't be read because of an error."""
    if error.absolute_path:
        return {str(error.absolute_path[0])}
    return set(missing_names(error)) if error.validator == "required" else set()


def sentences(error: ValidationError) -> list[str]:
    """Return what is wrong, a sentence each: key, value and what is allowed."""
    key = ".".join(map(str, error.absolute_path)) or _WHOLE
    rule: Any = error.validator_value
    if "propertyNames" in error.absolute_schema_path:
        return [_name_sentence(key, error.instance, rule)]
    if error.validator == "additionalProperties":
        return _unknown_keys(key, error.instance, error.schema)
    if error.validator == "required":
        return [
            f"{_inside(key, name)} is missing; add it (config/README.md tells what it means)."
            for name in missing_names(error)
        ]
    hint = nearest(error.instance, rule) if error.validator == "enum" else ""
    return [f"{key} {_complaint(str(error.validator), error.instance, rule) or error.message}.{hint}"]


def missing_names(error: ValidationError) -> list[str]:
    """Names that a `required` rule misses in the block."""
    names: Any = error.validator_value
    block: Any = error.instance
    return [name for name in names if name not in block]


def _inside(key: str, name: str) -> str:
    return name if key == _WHOLE else f"{key}.{name}"


def _unknown_keys(key: str, block: Any, schema: Any) -> list[str]:
    known = list(schema.get("properties", {}))
    unknown = [name for name in block if name not in known]
    return [f"{_inside(key, name)} is not a key that is known there.{choose(name, known)}" for name in unknown]


def _name_sentence(key: str, name: Any, rule: Any) -> str:
    if not isinstance(name, str):
        two = f"{name:02d}" if key.endswith("realizations") and isinstance(name, int) else name
        return f'{key}: the name {name} is no text to YAML; write it in quotes, as "{two}".'
    return f"{key}: the name {name!r} {_PATTERNS.get(rule, _NAME_RULE)}."


def _complaint(validator: str, value: Any, rule: Any) -> str:
    """Predicate of the sentence on a value, without the full stop; "" for a rule of unknown kind."""
    match validator:
        case "type":
            kinds = [rule] if isinstance(rule, str) else rule
            wanted = " or ".join(_KINDS[kind] for kind in kinds)
            return f"is {value!r}, but must be {wanted}{_type_hint(value, kinds)}"
        case "enum":
            return f"is {value!r}, but must be one of: {', '.join(map(str, rule))}"
        case "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum":
            return f"is {value!r}, but must be {_BOUNDS[validator]} {rule}"
        case "minItems" | "minProperties":
            return f"has {len(value)} entries, but needs at least {rule}"
        case "maxItems":
            return f"has {len(value)} entries, but at most {rule} are allowed"
        case "uniqueItems":
            return f"is {value!r}, but each entry may be there only once"
        case "minLength":
            return f"is {value!r}, but must not be empty"
        case "pattern":
            return f"is {value!r}, but {_PATTERNS.get(rule, _NAME_RULE)}"
    return ""


def _type_hint(value: Any, kinds: list[str]) -> str:
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
