"""Adapter of the rule train_member."""

from pathlib import Path

from clustermass.progress import step
from clustermass.training import train_member

with step(snakemake.log[0], f"{snakemake.rule} {snakemake.wildcards.experiment}/{snakemake.wildcards.member}"):
    train_member(
        images=[Path(path) for path in snakemake.input.images],
        split=Path(snakemake.input.split),
        selection=snakemake.params.selection,
        network=snakemake.params.network,
        recipe=snakemake.params.recipe,
        device=snakemake.config["training"]["device"],  # steers execution only: a change re-runs nothing
        seed=snakemake.params.seed,
        member=int(snakemake.wildcards.member),
        redshift_noise=snakemake.params.redshift_noise,
        output=Path(snakemake.output.predictions),
        weights=Path(snakemake.output.weights),
    )
