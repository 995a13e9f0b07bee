"""Adapter of the rule compare_published."""

from pathlib import Path

from clustermass.apply.compare_published import compare_published
from clustermass.io.log import step

with step(snakemake.log[0], f"{snakemake.rule} {snakemake.wildcards.experiment}/{snakemake.wildcards.field}"):
    catalogues = zip(snakemake.params.realizations, snakemake.input.catalogues, strict=True)
    compare_published(
        masses=Path(snakemake.input.masses),
        catalogues={name: Path(path) for name, path in catalogues},
        published=Path(snakemake.input.published),
        block=snakemake.params.published,
        relations={
            "luminosity_published": snakemake.params.luminosity,
            "count_rate_efeds": snakemake.params.count_rate,
        },
        bootstrap=snakemake.params.bootstrap,
        seed=snakemake.params.seed,
        output=Path(snakemake.output.comparison),
    )
