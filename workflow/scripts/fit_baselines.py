"""Script of the rules fit_baselines and fit_baselines_for_sky: passes their files and params to the package."""

from pathlib import Path

from clustermass.baselines.measurements import Sky
from clustermass.baselines.fit import fit_baselines
from clustermass.io.log import step


def sky(prefix: str = "") -> Sky:
    """Return the sky whose images, truth and cosmology are the rule's inputs and params that begin with `prefix`."""
    images, truth = ([Path(path) for path in snakemake.input[f"{prefix}{name}"]] for name in ("images", "truth"))
    return Sky(images, truth, snakemake.params[f"{prefix}cosmology"])


with step(snakemake.log[0], f"{snakemake.rule} {'/'.join(filter(None, snakemake.wildcards))}"):
    fit_baselines(
        sky=sky(),
        split=Path(snakemake.input.split),
        selection=snakemake.params.selection,
        block=snakemake.params.baselines,
        seed=snakemake.params.seed,
        output=Path(snakemake.output.baselines),
        train_clusters=snakemake.params.train_clusters,
        train_selection=snakemake.params.train_selection,
        other=sky("other_") if snakemake.input.get("other_images") else None,
        box_arcsec=snakemake.params.get("box_arcsec", 0.0),
    )
