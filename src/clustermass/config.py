"""The configuration: checked whole before anything runs, all errors at once, each in one plain sentence."""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from clustermass.errors import InputError

Block: TypeAlias = dict[str, Any]
BASE_EXPERIMENT = "fiducial"


def check_config(config: Mapping[str, Any], schema_path: str | Path) -> None:
    """Raise one InputError that lists everything that is wrong with `config`, a line an error; else return.

    Parameters
    ----------
    config
        The whole merged configuration.
    schema_path
        JSON schema (draft 2020-12) in YAML.
    """
    schema = yaml.safe_load(Path(schema_path).read_text(encoding="utf-8"))
    errors = sorted(
        Draft202012Validator(schema).iter_errors(dict(config)), key=lambda error: list(map(str, error.path))
    )
    lines = [line for error in errors for line in _sentences(error)]
    lines = lines or list(_cross_checks(config))
    if lines:
        count = "1 error" if len(lines) == 1 else f"{len(lines)} errors"
        raise InputError(f"The configuration has {count}:\n" + "\n".join(f"  - {line}" for line in lines))


def _sentences(error: ValidationError) -> list[str]:
    key = _key(error.absolute_path)
    value: Any = error.instance
    rule: Any = error.validator_value
    schema: Any = error.schema
    match error.validator:
        case "additionalProperties":
            known = list(schema.get("properties", {}))
            unknown = [name for name in value if name not in known]
            return [_unknown_key(key, name, known) for name in unknown]
        case "required":
            missing = [name for name in rule if name not in value]
            return [f"{_inside(key, name)} is missing; see config/README.md for what it means." for name in missing]
        case "type":
            return [f"{key} is {value!r}, but must be {_kind(rule)}.{_number_hint(value, rule)}"]
        case "enum":
            return [f"{key} is {value!r}, but must be one of: {', '.join(map(str, rule))}.{_nearest(str(value), rule)}"]
        case "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum":
            return [f"{key} is {value!r}, but must be {_bound(str(error.validator))} {rule}."]
        case "minItems":
            return [f"{key} has {len(value)} entries, but needs at least {rule}."]
        case "pattern":
            return [f"{key} is {value!r}, but only letters, digits, '-' and '_' are allowed there."]
        case "propertyNames":
            return [f"{key}: {error.message}; only letters, digits, '-' and '_' are allowed in a name."]
        case _:
            return [f"{key}: {error.message}."]


def _key(path: Iterable[Any]) -> str:
    return ".".join(map(str, path)) or "the configuration"


def _inside(key: str, name: str) -> str:
    return name if key == "the configuration" else f"{key}.{name}"


def _unknown_key(key: str, name: str, known: list[str]) -> str:
    return f"{_inside(key, name)} is not a key that is known there.{_nearest(name, known)}"


def _nearest(word: str, known: Iterable[Any]) -> str:
    match = difflib.get_close_matches(word, list(map(str, known)), n=1, cutoff=0.6)
    return f" Did you mean {match[0]}?" if match else ""


_KINDS = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
    "object": "a block of keys",
    "null": "null",
}


def _kind(rule: str | list[str]) -> str:
    return " or ".join(_KINDS[kind] for kind in ([rule] if isinstance(rule, str) else rule))


def _number_hint(value: Any, rule: str | list[str]) -> str:
    if "number" not in rule or not isinstance(value, str):
        return ""
    try:
        mantissa, mark, exponent = f"{float(value):.10g}".partition("e")
    except ValueError:
        return ""
    dotted = mantissa if "." in mantissa or not mark else f"{mantissa}.0"
    return f" (YAML reads {value} as text: write {dotted}{mark}{exponent}.)"


def _bound(validator: str) -> str:
    return {
        "minimum": "at least",
        "exclusiveMinimum": "more than",
        "maximum": "at most",
        "exclusiveMaximum": "less than",
    }[validator]


def _cross_checks(config: Mapping[str, Any]) -> Iterable[str]:
    """Check what a schema can't say: names that point to other blocks, sums, and ranges that depend on each other."""
    yield from _check_skies(config)
    yield from _check_experiments(config)
    total = sum(config["split"].values())
    if abs(total - 1) > 1e-9:
        yield f"split.train, split.val and split.test add up to {total:g}, but must add up to 1."
    images = config["images"]
    if images["box_pixels"] % (2 * images["base_rebin"]):
        yield f"images.box_pixels is {images['box_pixels']}, but must be a multiple of 2 x images.base_rebin."
    half_box = images["box_pixels"] * images["pixel_arcsec"] / 2
    for name, recipe in config["preprocessing"].items():
        if recipe["half_width_arcsec"] > half_box:
            yield (
                f"preprocessing.{name}.half_width_arcsec is {recipe['half_width_arcsec']}, but the images reach only "
                f"{half_box:g} arcsec; lower it or raise images.box_pixels."
            )


def _check_skies(config: Mapping[str, Any]) -> Iterable[str]:
    skies = config["skies"]
    for name, sky in skies.items():
        if "like" in sky and sky["like"] not in skies:
            yield f"skies.{name}.like is {sky['like']!r}, which is no sky.{_nearest(sky['like'], skies)}"
        elif "like" not in sky and "source" not in sky:
            yield f"skies.{name} has neither 'source' (embedded or files) nor 'like' (the sky that it resembles)."
        elif _source(skies, name) == "files" and not isinstance(sky.get("realizations"), Mapping):
            yield f"skies.{name}.realizations must name its files (events, catalogue), since source is 'files'."
        elif bare := [key for key in _labels(sky) if not isinstance(key, str)]:
            yield f'skies.{name}.realizations: YAML reads the name {bare[0]} as a number; write it in quotes, as "01".'
        elif _source(skies, name) == "embedded" and isinstance(sky.get("realizations", 1), Mapping):
            yield f"skies.{name}.realizations must be a whole number, since source is 'embedded'."
    for field in config["observed"]["fields"]:
        if field not in skies:
            yield f"observed.fields names {field!r}, which is no sky.{_nearest(field, skies)}"
        elif not resolve_sky(skies, field).get("observed"):
            yield f"observed.fields names {field!r}, but skies.{field}.observed is not true."


def _labels(sky: Mapping[str, Any]) -> Iterable[Any]:
    realizations = sky.get("realizations")
    return realizations if isinstance(realizations, Mapping) else ()


def _source(skies: Mapping[str, Any], name: str) -> str:
    return str(resolve_sky(skies, name).get("source"))


def _check_experiments(config: Mapping[str, Any]) -> Iterable[str]:
    if BASE_EXPERIMENT not in config["experiments"]:
        yield f"experiments.{BASE_EXPERIMENT} is missing; every other experiment departs from it."
        return
    blocks = {
        "sky": config["skies"],
        "preprocessing": config["preprocessing"],
        "network": config["network"],
        "recipe": config["training"]["recipes"],
    }
    for name in config["experiments"]:
        experiment = resolve_experiment(config["experiments"], name)
        for key, known in blocks.items():
            if key not in experiment:
                yield f"experiments.{name}.{key} is missing."
            elif experiment[key] not in known:
                listed = f"{', '.join(known)}.{_nearest(experiment[key], known)}"
                yield f"experiments.{name}.{key} is {experiment[key]!r}, but only these are defined: {listed}"
        sky = str(experiment.get("sky"))
        if sky in config["skies"] and resolve_sky(config["skies"], sky).get("observed"):
            yield f"experiments.{name}.sky is {sky!r}, an observed field, which has no true masses to learn from."
        yield from _check_selection(name, experiment, config["images"])


def _check_selection(name: str, experiment: Mapping[str, Any], images: Mapping[str, Any]) -> Iterable[str]:
    selection = experiment.get("selection", {})
    for key in ("det_like_min", "ext_like_min"):
        if selection.get(key, images[key]) < images[key]:
            yield (
                f"experiments.{name}.selection.{key} is {selection[key]}, but images are made only above "
                f"images.{key} = {images[key]}; lower that one too."
            )
    low, high = selection.get("log10_m500c_min"), selection.get("log10_m500c_max")
    if low is not None and high is not None and low >= high:
        yield f"experiments.{name}.selection: log10_m500c_min {low} is not below log10_m500c_max {high}."


def resolve_sky(skies: Mapping[str, Any], name: str) -> Block:
    """Return sky `name` with everything that it takes over through `like` filled in.

    Raises
    ------
    InputError
        The chain of `like` names an unknown sky or runs in a circle.
    """
    chain = [name]
    while "like" in skies[chain[-1]]:
        parent = skies[chain[-1]]["like"]
        if parent in chain or parent not in skies:
            raise InputError(f"skies.{chain[-1]}.like is {parent!r}, which is no sky or closes a circle.")
        chain.append(parent)
    resolved: Block = {}
    for link in reversed(chain):
        resolved = merge(resolved, {k: v for k, v in skies[link].items() if k != "like"})
    return resolved


def resolve_experiment(experiments: Mapping[str, Any], name: str) -> Block:
    """Return experiment `name`: the base experiment with this one's departures merged in."""
    return merge(experiments[BASE_EXPERIMENT], experiments[name] or {})


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> Block:
    """Return `base` with `changes` merged in, block by block; lists and values are replaced."""
    merged = dict(base)
    for key, value in changes.items():
        nested = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if nested else value
    return merged


def realization_names(sky: Mapping[str, Any]) -> list[str]:
    """Names of a resolved sky's realizations: "01", "02", ... for embedded skies, the keys of a `files` sky."""
    realizations = sky.get("realizations", 1)
    if isinstance(realizations, Mapping):
        return list(realizations)
    return [f"{number:02d}" for number in range(1, int(realizations) + 1)]


def load_config(paths: Iterable[str | Path]) -> Block:
    """Merge YAML files in order and return the result, unchecked.

    Raises
    ------
    InputError
        A file is missing or is no YAML block.
    """
    config: Block = {}
    for path in map(Path, paths):
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"{path}: can't be read ({error.strerror}).") from error
        except yaml.YAMLError as error:
            raise InputError(f"{path}: not valid YAML: {error}") from error
        if not isinstance(content, Mapping):
            raise InputError(f"{path}: must hold a block of keys.")
        config = merge(config, content)
    return config
