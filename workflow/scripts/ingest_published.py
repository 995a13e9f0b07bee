"""Adapter of the rules ingest_published_<sky>."""

from pathlib import Path

from clustermass.io.log import step
from clustermass.published_set.ingest import ingest_published

with step(snakemake.log[0], snakemake.rule):
    ingest_published(
        sky=snakemake.params.sky,
        cosmology=snakemake.params.cosmology,
        images_block=snakemake.params.images,
        events_block=snakemake.params.events,
        images=[Path(path) for path in snakemake.output.images],
        truth=[Path(path) for path in snakemake.output.truth],
    )
