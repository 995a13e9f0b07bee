"""Adapter of the rules judge_domain and judge_domain_of_sky."""

from pathlib import Path

from clustermass.ensemble.out_of_distribution import judge_domain
from clustermass.io.log import step

with step(snakemake.log[0], " ".join([snakemake.rule, *snakemake.wildcards])):
    judge_domain(
        smoothed=[Path(path) for path in snakemake.input.smoothed],
        ensemble=Path(snakemake.input.ensemble),
        domain=Path(snakemake.input.domain),
        output=Path(snakemake.output.ood),
    )
