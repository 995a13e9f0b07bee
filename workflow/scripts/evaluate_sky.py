"""Adapter of the rule evaluate_sky."""

from pathlib import Path

from clustermass.evaluation.evaluate import evaluate
from clustermass.progress import step

with step(snakemake.log[0], f"{snakemake.rule} {snakemake.wildcards.experiment}/{snakemake.wildcards.test_sky}"):
    evaluate(
        ensemble=Path(snakemake.input.ensemble),
        baselines=Path(snakemake.input.baselines),
        calibration=Path(snakemake.input.calibration),
        metrics=Path(snakemake.output.metrics),
        predictions=Path(snakemake.output.predictions),
        block=snakemake.params.evaluation,
        seed=snakemake.params.seed,
    )
