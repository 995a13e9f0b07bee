"""Script of the rule compare_pairs: passes its files and params to the package."""

from pathlib import Path

from clustermass.paper.pairs import Predictions
from clustermass.paper.pairs import compare_pairs
from clustermass.io.log import step

with step(snakemake.log[0], snakemake.rule):
    compare_pairs(
        predictions=[
            Predictions(row["experiment"], row["sky"], *map(Path, files))
            for row, *files in zip(
                snakemake.params.rows,
                snakemake.input.predictions,
                snakemake.input.ensembles,
                snakemake.input.baselines,
                strict=True,
            )
        ],
        compared_with=snakemake.params.compared_with,
        output=Path(snakemake.output.pairs),
        resamplings=snakemake.params.evaluation["bootstrap"],
        seed=snakemake.params.seed,
    )
