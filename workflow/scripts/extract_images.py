"""Adapter of the rule extract_images."""

from pathlib import Path

from clustermass.images.cutouts import extract_images
from clustermass.io.log import step

with step(snakemake.log[0], f"{snakemake.rule} {snakemake.wildcards.sky}/{snakemake.wildcards.realization}"):
    truth, matches = snakemake.input.truth, snakemake.input.matches
    extract_images(
        events=Path(snakemake.input.events),
        exposure=Path(snakemake.input.exposure),
        catalogue=Path(snakemake.input.catalogue),
        output=Path(snakemake.output.images),
        images=snakemake.params.images,
        realization=snakemake.wildcards.realization,
        events_block=snakemake.params.events,
        truth=Path(truth) if truth else None,
        matches=Path(matches) if matches else None,
    )
