"""Adapter of the rule smooth_images."""

from pathlib import Path

from clustermass.images.preprocessing import preprocess
from clustermass.io.log import step

with step(snakemake.log[0], f"{snakemake.rule} {snakemake.wildcards.sky}/{snakemake.wildcards.realization}"):
    preprocess(
        images=Path(snakemake.input.images), output=Path(snakemake.output.smoothed), recipe=snakemake.params.recipe
    )
