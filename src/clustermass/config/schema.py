"""The schema of the configuration, and which keys it marks as steering execution only."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from clustermass.config.resolve import Block

EXECUTION_ONLY = "x-execution-only"


@cache
def read_schema(path: str | Path) -> Block:
    """Read the JSON schema (draft 2020-12) of the configuration from YAML, once in a process."""
    schema: Block = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    return schema


def without_execution_keys(config: Mapping[str, Any], schema: Mapping[str, Any]) -> Block:
    """Return `config` less the keys, and blocks of keys, that the schema marks with `x-execution-only: true`.

    Parameters
    ----------
    config
        The whole configuration, checked.
    schema
        JSON schema of it; a change of the keys that it marks re-runs nothing.
    """
    return _kept(config, schema, schema.get("$defs", {}))


def _kept(block: Mapping[str, Any], schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Block:
    kept = {}
    for key, value in block.items():
        inner = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
        inner = inner if isinstance(inner, Mapping) else {}
        inner = definitions[inner["$ref"].rsplit("/", 1)[-1]] if "$ref" in inner else inner
        if not inner.get(EXECUTION_ONLY):
            kept[key] = _kept(value, inner, definitions) if isinstance(value, Mapping) else value
    return kept
