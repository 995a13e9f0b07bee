"""Adapter of the rule fit_ood."""

from pathlib import Path

from clustermass.ensemble.fit_out_of_distribution import fit_ood
from clustermass.io.log import step

with step(snakemake.log[0], f"{snakemake.rule} {snakemake.wildcards.experiment}"):
    fit_ood(
        smoothed=[Path(path) for path in snakemake.input.smoothed],
        ensemble=Path(snakemake.input.ensemble),
        output=Path(snakemake.output.domain),
        seed=snakemake.params.seed,
    )
