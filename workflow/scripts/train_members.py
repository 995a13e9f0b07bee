"""Script of the training rules: passes their files and params to the package."""

from pathlib import Path

from clustermass.io.log import step
from clustermass.network.train_members import train_members

EXPERIMENT = (
    "selection",
    "train_selection",
    "train_clusters",
    "weighting",
    "control",
    "redshift_noise",
    "network",
    "recipe",
)

predictions = [Path(path) for path in snakemake.output.predictions]
weights = [Path(path) for path in snakemake.output.weights]
numbers = [int(path.stem) for path in predictions]
members = f"{numbers[0]:02d}" if len(numbers) == 1 else f"{numbers[0]:02d}-{numbers[-1]:02d}"

with step(snakemake.log[0], f"train {snakemake.wildcards.experiment}/{members}"):
    train_members(
        images=[Path(path) for path in snakemake.input.images],
        split=Path(snakemake.input.split),
        experiment={key: snakemake.params[key] for key in EXPERIMENT},
        device=snakemake.config["training"]["device"],  # changes no result, so another value re-runs nothing
        seed=snakemake.params.seed,
        outputs=dict(zip(numbers, zip(predictions, weights, strict=True), strict=True)),
        checkpoints=predictions[0].parents[1] / "checkpoints",
    )
