"""Script of most rules: calls the function that the param `step` names, with the rule's files and params."""

from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

from clustermass.io.log import step


def paths(files: Any) -> dict[str, Path | list[Path]]:
    """Return the named files of a rule as paths, or lists of paths; names without files are left out."""
    named = {name: Path(value) if isinstance(value, str) else [*map(Path, value)] for name, value in files.items()}
    return {name: value for name, value in named.items() if value}


with step(snakemake.log[0], f"{snakemake.rule} {'/'.join(filter(None, snakemake.wildcards))}".strip()):
    module, _, name = snakemake.params.step.rpartition(".")
    function = getattr(import_module(f"clustermass.{module}"), name)
    options = {key: value for key, value in snakemake.params.items() if key not in ("step", "code", "texts")}
    if "device" in signature(function).parameters:  # changes no result, so another value re-runs nothing
        options.setdefault("device", snakemake.config["training"]["device"])
    function(**paths(snakemake.input), **options, **paths(snakemake.output))
