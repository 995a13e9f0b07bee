"""Adapter of the rules detect_sources and detect_observed_sources."""

from pathlib import Path

from clustermass.detect.detect_field import detect_sources
from clustermass.io.log import step

with step(snakemake.log[0], f"{snakemake.rule} {snakemake.wildcards.sky}/{snakemake.wildcards.realization}"):
    detect_sources(
        sky=snakemake.params.sky,
        name=snakemake.wildcards.sky,
        realization=snakemake.wildcards.realization,
        **{name: Path(path) for name, path in [*snakemake.input.items(), *snakemake.output.items()]},
    )
