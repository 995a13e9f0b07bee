"""Adapter of the rule calibrate."""

from pathlib import Path

from clustermass.evaluation.calibrate import calibrate
from clustermass.progress import step

with step(snakemake.log[0], f"{snakemake.rule} {snakemake.wildcards.experiment}"):
    calibrate(
        ensemble=Path(snakemake.input.ensemble),
        split=Path(snakemake.input.split),
        output=Path(snakemake.output.calibration),
        recalibration=snakemake.params.recalibration,
        seed=snakemake.params.seed,
    )
