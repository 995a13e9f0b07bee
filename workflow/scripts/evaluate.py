"""Adapter of the rule evaluate."""

from pathlib import Path

from clustermass.evaluation.evaluate import evaluate
from clustermass.progress import step

with step(snakemake.log[0], f"{snakemake.rule} {snakemake.wildcards.experiment}"):
    evaluate(
        ensemble=Path(snakemake.input.ensemble),
        baselines=Path(snakemake.input.baselines),
        calibration=Path(snakemake.input.calibration),
        metrics=Path(snakemake.output.metrics),
        predictions=Path(snakemake.output.predictions),
        block=snakemake.params.evaluation,
        seed=snakemake.params.seed,
        split=Path(snakemake.input.split),
    )
