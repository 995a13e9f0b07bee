"""Adapter of the rule split_sample."""

from pathlib import Path

from clustermass.io.log import step
from clustermass.dataset.split import split_sample

with step(snakemake.log[0], f"{snakemake.rule} {snakemake.wildcards.sky}"):
    split_sample(
        images=[Path(path) for path in snakemake.input.images],
        output=Path(snakemake.output.split),
        fractions=snakemake.params.fractions,
        seed=snakemake.params.seed,
        box_arcsec=snakemake.params.box_arcsec,
    )
