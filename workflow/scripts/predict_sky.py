"""Adapter of the rule predict_sky."""

from pathlib import Path

from clustermass.evaluate.test_skies import predict_sky
from clustermass.io.log import step

with step(snakemake.log[0], f"{snakemake.rule} {snakemake.wildcards.experiment}/{snakemake.wildcards.test_sky}"):
    predict_sky(
        smoothed=[Path(path) for path in snakemake.input.smoothed],
        weights=[Path(path) for path in snakemake.input.weights],
        sky=snakemake.wildcards.test_sky,
        selection=snakemake.params.selection,
        redshift_noise=snakemake.params.redshift_noise,
        seed=snakemake.params.seed,
        output=Path(snakemake.output.ensemble),
        device=snakemake.config["training"]["device"],  # steers execution only: a change re-runs nothing
    )
