"""Adapter of the rules simulate_realization and simulate_observed_field."""

from pathlib import Path

from clustermass.progress import step
from clustermass.sky.realization import simulate_realization

with step(snakemake.log[0], f"{snakemake.rule} {snakemake.wildcards.sky}/{snakemake.wildcards.realization}"):
    simulate_realization(
        sky=snakemake.params.sky,
        cosmology=snakemake.params.cosmology,
        seed=snakemake.params.sky["seed"],
        name=snakemake.wildcards.sky,
        realization=snakemake.wildcards.realization,
        **{name: Path(path) for name, path in snakemake.output.items()},
    )
