"""Adapter of the rules ingest_field and ingest_mock."""

from pathlib import Path

from clustermass.ingest import ingest_field
from clustermass.progress import step

with step(snakemake.log[0], f"{snakemake.rule} {snakemake.wildcards.sky}/{snakemake.wildcards.realization}"):
    outputs = {name: Path(path) for name, path in snakemake.output.items()}
    files = {snakemake.wildcards.realization: snakemake.params.files}
    ingest_field(
        sky={**snakemake.params.sky, "observed": "truth" not in outputs, "realizations": files},
        realization=snakemake.wildcards.realization,
        events_block=snakemake.params.events,
        **outputs,
    )
