"""Adapter of the rule calibrate."""

from pathlib import Path

from clustermass.ensemble.calibration import calibrate
from clustermass.io.log import step

with step(snakemake.log[0], f"{snakemake.rule} {snakemake.wildcards.experiment}"):
    calibrate(
        ensemble=Path(snakemake.input.ensemble),
        split=Path(snakemake.input.split),
        output=Path(snakemake.output.calibration),
        recalibration=snakemake.params.recalibration,
        seed=snakemake.params.seed,
    )
