"""Adapter of the rule aggregate_ensemble."""

from pathlib import Path

from clustermass.ensemble.ensemble import aggregate_ensemble
from clustermass.io.log import step

with step(snakemake.log[0], f"{snakemake.rule} {snakemake.wildcards.experiment}"):
    aggregate_ensemble(
        members=[Path(path) for path in snakemake.input.members],
        output=Path(snakemake.output.ensemble),
        images=[Path(path) for path in snakemake.input.images],
        cosmology=snakemake.params.cosmology,
        weights=[Path(path) for path in snakemake.input.weights],
        weighting=snakemake.params.weighting,
    )
