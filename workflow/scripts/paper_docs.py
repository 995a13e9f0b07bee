"""Adapter of the rule paper_docs."""

from pathlib import Path

from clustermass.paper.page import publish
from clustermass.io.log import step

with step(snakemake.log[0], snakemake.rule):
    publish(
        Path(snakemake.input.page),
        list(map(Path, snakemake.input.figures)),
        Path(snakemake.output.page),
        Path(snakemake.output.figures),
    )
