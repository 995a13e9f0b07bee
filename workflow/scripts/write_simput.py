"""Adapter of the rule write_simput."""

from pathlib import Path

from clustermass.io.log import step
from clustermass.simulate.simput import write_realization_simput

with step(snakemake.log[0], f"{snakemake.rule} {snakemake.wildcards.sky}/{snakemake.wildcards.realization}"):
    write_realization_simput(
        sky=snakemake.params.sky,
        cosmology=snakemake.params.cosmology,
        name=snakemake.wildcards.sky,
        realization=snakemake.wildcards.realization,
        path=Path(snakemake.output.simput),
    )
