"""Adapter of the rule paper_page."""

from pathlib import Path

from clustermass.paper.page import write_page
from clustermass.progress import step

words = Path(snakemake.scriptdir).parent / "paper"

with step(snakemake.log[0], snakemake.rule):
    write_page(
        metrics={
            (row["experiment"], row["sky"]): Path(path)
            for row, path in zip(snakemake.params.rows, snakemake.input.metrics, strict=True)
        },
        pairs=Path(snakemake.input.pairs),
        curves=dict(zip(snakemake.params.recipes, map(Path, snakemake.input.curves), strict=True)),
        figures=dict(zip(map(Path, snakemake.input.figures), snakemake.params.captions, strict=True)),
        settings=snakemake.params.settings,
        run=snakemake.params.run,
        words=(
            (words / "page.md").read_text(encoding="utf-8"),
            (words / "page.css").read_text(encoding="utf-8"),
        ),
        outputs={name: Path(path) for name, path in snakemake.output.items()},
    )
