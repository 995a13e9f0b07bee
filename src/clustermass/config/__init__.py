"""The configuration: checked whole before anything runs, all errors at once, each in one plain sentence."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clustermass.config.checks import cross_checks
from clustermass.config.resolve import (
    BASE_EXPERIMENT,
    DEFAULT_IMAGES,
    PUBLISHED_FILES,
    input_files,
    load_config,
    merge,
    realization_names,
    resolve_experiment,
    resolve_images,
    resolve_sky,
)
from clustermass.config.schema import read_schema, without_execution_keys
from clustermass.config.sentences import faulty_blocks, schema_errors, sentences
from clustermass.errors import InputError

__all__ = [
    "BASE_EXPERIMENT",
    "DEFAULT_IMAGES",
    "PUBLISHED_FILES",
    "check_config",
    "config_errors",
    "input_files",
    "load_config",
    "merge",
    "read_schema",
    "realization_names",
    "resolve_experiment",
    "resolve_images",
    "resolve_sky",
    "without_execution_keys",
]


def check_config(config: Mapping[str, Any], schema_path: str | Path) -> None:
    """Raise one InputError that lists everything that is wrong with `config`, a line an error; else return.

    Parameters
    ----------
    config
        The whole merged configuration.
    schema_path
        JSON schema (draft 2020-12) in YAML.

    Raises
    ------
    InputError
        Something is wrong: one line says how many errors there are, then each has its own.
    """
    lines = config_errors(config, read_schema(schema_path))
    if lines:
        count = "1 error" if len(lines) == 1 else f"{len(lines)} errors"
        raise InputError(f"The configuration has {count}:\n" + "\n".join(f"  - {line}" for line in lines))


def config_errors(config: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    """Return everything that is wrong with `config`, a sentence an error; an empty list if nothing is.

    Checks across keys are made wherever the top-level blocks that they read have no error by the schema.

    Parameters
    ----------
    config
        The whole merged configuration.
    schema
        JSON schema (draft 2020-12).
    """
    errors = schema_errors(config, schema)
    faulty = set().union(*map(faulty_blocks, errors))
    lines = [line for error in errors for line in sentences(error)]
    return list(dict.fromkeys([*lines, *cross_checks(config, schema, faulty)]))
