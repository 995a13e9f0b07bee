"""Adapter of the rules evaluate and evaluate_sky: another sky's clusters have no split."""

from pathlib import Path

from clustermass.evaluate.evaluate import evaluate
from clustermass.io.log import step

split = snakemake.input.get("split")
with step(snakemake.log[0], " ".join([snakemake.rule, *snakemake.wildcards])):
    evaluate(
        ensemble=Path(snakemake.input.ensemble),
        baselines=Path(snakemake.input.baselines),
        calibration=Path(snakemake.input.calibration),
        metrics=Path(snakemake.output.metrics),
        predictions=Path(snakemake.output.predictions),
        resamplings=snakemake.params.resamplings,
        seed=snakemake.params.seed,
        split=Path(split) if split else None,
        ood=Path(snakemake.input.ood),
    )
