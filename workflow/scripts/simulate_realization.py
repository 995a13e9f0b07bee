"""Script of the rules simulate_realization and simulate_observed_field: passes files and params to the package."""

from pathlib import Path

from clustermass.io.log import step
from clustermass.simulate.realization import simulate_realization

with step(snakemake.log[0], f"{snakemake.rule} {snakemake.wildcards.sky}/{snakemake.wildcards.realization}"):
    if snakemake.params.observed:  # this file exists if the sky was not an observed one before
        Path(snakemake.output.events).with_name("matches.fits").unlink(missing_ok=True)
    simulate_realization(
        sky=snakemake.params.sky,
        cosmology=snakemake.params.cosmology,
        name=snakemake.wildcards.sky,
        realization=snakemake.wildcards.realization,
        **{name: Path(path) for name, path in snakemake.output.items()},
    )
