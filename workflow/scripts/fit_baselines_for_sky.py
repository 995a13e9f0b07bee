"""Adapter of the rule fit_baselines_for_sky."""

from pathlib import Path

from clustermass.baselines.measurements import Sky
from clustermass.baselines.fit import fit_baselines_for_sky
from clustermass.io.log import step

with step(snakemake.log[0], f"{snakemake.rule} {snakemake.wildcards.experiment}/{snakemake.wildcards.test_sky}"):
    images, truth, other_images, other_truth = (
        [Path(path) for path in snakemake.input[name]] for name in ("images", "truth", "other_images", "other_truth")
    )
    fit_baselines_for_sky(
        sky=Sky(images, truth, snakemake.params.cosmology),
        other=Sky(other_images, other_truth, snakemake.params.other_cosmology),
        split=Path(snakemake.input.split),
        selection=snakemake.params.selection,
        block=snakemake.params.baselines,
        seed=snakemake.params.seed,
        box_arcsec=snakemake.params.box_arcsec,
        output=Path(snakemake.output.baselines),
        train_clusters=snakemake.params.train_clusters,
        train_selection=snakemake.params.train_selection,
    )
