"""Adapter of the rule infer_observed."""

from pathlib import Path

from clustermass.apply.masses import infer_observed
from clustermass.io.log import step

with step(snakemake.log[0], f"{snakemake.rule} {snakemake.wildcards.experiment}/{snakemake.wildcards.field}"):
    infer_observed(
        images=[Path(path) for path in snakemake.input.images],
        smoothed=[Path(path) for path in snakemake.input.smoothed],
        catalogues=[Path(path) for path in snakemake.input.catalogues],
        ensemble=Path(snakemake.input.ensemble),
        calibration=Path(snakemake.input.calibration),
        domain=Path(snakemake.input.domain),
        weights=[Path(path) for path in snakemake.input.weights],
        output=Path(snakemake.output.fits),
        simulated=snakemake.params.simulated,
        cosmology=snakemake.params.cosmology,
        acronym=snakemake.params.acronym,
        mass_prior=snakemake.params.mass_prior,
        device="cpu",  # seconds of work; the same bytes wherever the ensemble was trained
    )
