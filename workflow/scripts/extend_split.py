"""Adapter of the rule extend_split."""

from pathlib import Path

from clustermass.dataset.extend_split import extend_split
from clustermass.io.log import step

with step(snakemake.log[0], f"{snakemake.rule} {snakemake.output.split}"):
    extend_split(
        images=[Path(path) for path in snakemake.input.images],
        split=Path(snakemake.input.split),
        output=Path(snakemake.output.split),
        fractions=snakemake.params.fractions,
        seed=snakemake.params.seed,
        box_arcsec=snakemake.params.box_arcsec,
    )
