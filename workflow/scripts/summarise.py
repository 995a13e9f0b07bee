"""Adapter of the rule summarise."""

from clustermass.io.log import step
from clustermass.report.summary import summarise

with step(snakemake.log[0], snakemake.rule):
    summarise(
        metrics=snakemake.params.metrics,
        masses=snakemake.params.masses,
        test_skies=snakemake.params.test_skies,
        trained=snakemake.params.trained,
        output=snakemake.output.summary,
    )
