"""Script of the rules ingest_field and ingest_mock: passes their files and params to the package."""

from pathlib import Path

from clustermass.ingest.user_field import ingest_field
from clustermass.io.log import step
from clustermass.io.products import FieldFiles

with step(snakemake.log[0], f"{snakemake.rule} {snakemake.wildcards.sky}/{snakemake.wildcards.realization}"):
    if not snakemake.params.with_truth:  # these files exist if the sky was not an observed one before
        for name in ("truth.fits", "matches.fits", "labels.fits"):
            Path(snakemake.output.events).with_name(name).unlink(missing_ok=True)
    files = {snakemake.wildcards.realization: snakemake.params.files}
    ingest_field(
        sky={**snakemake.params.sky, "observed": not snakemake.params.with_truth, "realizations": files},
        realization=snakemake.wildcards.realization,
        events_block=snakemake.params.events,
        output=FieldFiles(**{name: Path(path) for name, path in snakemake.output.items()}),
        bands=snakemake.params.bands,
    )
