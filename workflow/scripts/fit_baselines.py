"""Adapter of the rule fit_baselines."""

from pathlib import Path

from clustermass.baselines.measurements import Sky
from clustermass.baselines.fit import fit_baselines
from clustermass.io.log import step

with step(snakemake.log[0], f"{snakemake.rule} {snakemake.wildcards.experiment}"):
    fit_baselines(
        sky=Sky(
            images=[Path(path) for path in snakemake.input.images],
            truth=[Path(path) for path in snakemake.input.truth],
            cosmology=snakemake.params.cosmology,
        ),
        split=Path(snakemake.input.split),
        selection=snakemake.params.selection,
        block=snakemake.params.baselines,
        seed=snakemake.params.seed,
        output=Path(snakemake.output.baselines),
        train_clusters=snakemake.params.train_clusters,
        train_selection=snakemake.params.train_selection,
    )
