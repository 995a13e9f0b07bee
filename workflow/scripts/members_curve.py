"""Adapter of the rule members_curve."""

from pathlib import Path

from clustermass.evaluate.ensemble_size import members_curve
from clustermass.io.log import step

with step(snakemake.log[0], f"{snakemake.rule} {snakemake.wildcards.experiment}"):
    members_curve(
        members=[Path(path) for path in snakemake.input.members],
        split=Path(snakemake.input.split),
        output=Path(snakemake.output.json),
        resamplings=snakemake.params.resamplings,
        seed=snakemake.params.seed,
    )
