"""Script of the rule paper_page: passes its files and params to the package."""

from pathlib import Path

from clustermass.paper.page import Figure
from clustermass.paper.page import write_page
from clustermass.io.log import step
from clustermass.io.provenance import PACKAGE

with step(snakemake.log[0], snakemake.rule):
    write_page(
        metrics={
            (row["experiment"], row["sky"]): Path(path)
            for row, path in zip(snakemake.params.rows, snakemake.input.metrics, strict=True)
        },
        pairs=Path(snakemake.input.pairs),
        curves=dict(zip(snakemake.params.recipes, map(Path, snakemake.input.curves), strict=True)),
        figures=[
            Figure(Path(png), **shown)
            for png, shown in zip(snakemake.input.figures, snakemake.params.figures, strict=True)
        ],
        settings=snakemake.params.settings,
        run=snakemake.params.run,
        words=PACKAGE.parents[1] / "workflow" / "paper",
        outputs={name: Path(path) for name, path in snakemake.output.items()},
    )
