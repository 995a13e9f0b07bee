"""Adapter of all rules plot_*: calls the function of that name in the module of clustermass.figures of that name."""

from importlib import import_module
from pathlib import Path

from clustermass.io.log import step

with step(snakemake.log[0], " ".join([snakemake.rule, *snakemake.wildcards])):
    module = import_module(f"clustermass.figures.{snakemake.rule.removeprefix('plot_')}")
    inputs = {k: Path(v) if isinstance(v, str) else [Path(path) for path in v] for k, v in snakemake.input.items()}
    options = {k: v for k, v in snakemake.params.items() if k != "code"}
    outputs = {k: Path(v) for k, v in snakemake.output.items()}
    getattr(module, snakemake.rule)(**inputs, **options, **outputs)
