"""Script of the rule search: passes its files and params to the package."""

from pathlib import Path

from clustermass.evaluate.model_selection import search
from clustermass.evaluate.model_selection import training_seconds
from clustermass.evaluate.model_selection import write_search_page
from clustermass.io.log import step

candidates = dict(zip(snakemake.params.settings, map(Path, snakemake.input.ensembles), strict=True))
with step(snakemake.log[0], snakemake.rule):
    found = search(
        candidates=candidates,
        split=Path(snakemake.input.split),
        settings=snakemake.params.settings,
        bands=snakemake.params.bands,
        resamplings=snakemake.params.resamplings,
        seed=snakemake.params.seed,
        output=Path(snakemake.output.json),
    )
    seconds = {name: training_seconds(path.parent / "benchmarks") for name, path in candidates.items()}
    write_search_page(found, snakemake.config["run"], seconds, Path(snakemake.output.page))
