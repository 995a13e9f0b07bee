"""Adapter of the rules score_ood and score_ood_of_sky."""

from pathlib import Path

from clustermass.evaluate.ood_scores import score_ood
from clustermass.io.log import step

with step(snakemake.log[0], " ".join([snakemake.rule, *snakemake.wildcards])):
    score_ood(
        smoothed=[Path(path) for path in snakemake.input.smoothed],
        ensemble=Path(snakemake.input.ensemble),
        domain=Path(snakemake.input.domain),
        output=Path(snakemake.output.ood),
    )
