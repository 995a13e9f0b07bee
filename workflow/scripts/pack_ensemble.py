"""Script of the rule pack_ensemble: passes its files and params to the package."""

from pathlib import Path

from clustermass.ensemble.ensemble import Ensemble
from clustermass.io.log import step

with step(snakemake.log[0], f"{snakemake.rule} {snakemake.wildcards.experiment}"):
    trained = Ensemble(
        ensemble=Path(snakemake.input.ensemble),
        calibration=Path(snakemake.input.calibration),
        domain=Path(snakemake.input.domain),
        weights=tuple(Path(path) for path in snakemake.input.weights),
    )
    trained.save(Path(snakemake.output.packed))
