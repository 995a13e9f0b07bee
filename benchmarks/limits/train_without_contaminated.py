"""Measure whether networks get better if contaminated clusters are left out of the training.

``python benchmarks/limits/train_without_contaminated.py results/accuracy/fiducial results/skies/embedded`` reads the
split, the baselines and the images of a finished experiment, trains members twice, with all training clusters and
without the contaminated ones, and compares their likelihoods on the same validation clusters. `make benchmark` leaves
this measurement out.
"""

import argparse
import shlex
import sys
import tempfile
from pathlib import Path

import numpy as np
import xarray as xr

from clustermass.config.resolve import load_config, resolve_experiment
from clustermass.dataset.split import UNUSED
from clustermass.ensemble.aggregate import combine
from clustermass.ensemble.scores import negative_log_likelihood
from clustermass.io.files import write_json
from clustermass.io.netcdf import read_netcdf, write_netcdf
from clustermass.network.train_members import train_members

ROOT = Path(__file__).parents[2]
RESAMPLINGS, SEED = 4000, 1


def main():
    """Run the measurement and write train_without_contaminated.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiment", type=Path)
    parser.add_argument("sky", type=Path)
    parser.add_argument("--config", type=Path, default=ROOT / "config" / "accuracy.yaml")
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks/train_without_contaminated.json"))
    options = parser.parse_args()
    config = load_config([ROOT / "config" / "config.yaml", options.config])
    experiment = resolve_experiment(config["experiments"], options.experiment.name)
    experiment |= {"train_clusters": None, "network": config["network"][experiment["network"]]}
    experiment |= {"recipe": config["training"]["recipes"][experiment["recipe"]]}
    images = sorted(options.sky.glob(f"*/smoothed/{experiment['preprocessing']}.nc"))
    images = images[: config["skies"]["embedded"]["realizations"]]
    known = read_netcdf(options.experiment / "baselines.nc")
    contaminated = known["contaminated"].values == 1
    split = options.experiment.parent / "splits" / "embedded.nc"
    with tempfile.TemporaryDirectory() as folder:
        without = Path(folder) / "without.nc"
        number = leave_out(split, known["cluster"].values[contaminated], without)
        loss = {
            name: validation_loss(images, file, experiment, Path(folder) / name, options.members, config["seed"])
            for name, file in (("with", split), ("without", without))
        }
    val = known.sel(cluster=loss["with"]["cluster"].values)
    dirty = val["contaminated"].values == 1
    difference = loss["without"].values - loss["with"].values
    write_json(
        {
            "what": "negative log-likelihood in nats of the same validation clusters, by ensembles that were trained "
            "without and with contaminated clusters; above 0: without is worse",
            "command": shlex.join(["python", "benchmarks/limits/train_without_contaminated.py", *sys.argv[1:]]),
            "members": options.members,
            "training_clusters_left_out": number,
            "validation_clusters": int(dirty.size),
            "contaminated_validation_clusters": int(dirty.sum()),
            "with": mean_of(loss["with"].values),
            "without": mean_of(loss["without"].values),
            "without_minus_with": mean_of(difference),
            "without_minus_with_uncontaminated": mean_of(difference[~dirty]),
            "without_minus_with_contaminated": mean_of(difference[dirty]),
        },
        options.output,
    )
    print(options.output.read_text())


def leave_out(split, clusters, output):
    """Write the split without some training clusters; return their number."""
    table = read_netcdf(split)
    subset = table["split"].values.astype(str)
    out = (subset == "train") & np.isin(table["cluster"].values, clusters)
    table["split"] = ("cluster", np.where(out, UNUSED, subset))
    write_netcdf(table, output, "Split without contaminated training clusters", {})
    return int(out.sum())


def validation_loss(images, split, experiment, folder, members, seed):
    """Train members; return the negative log-likelihood of each validation cluster (paper, Eqs. 2-3)."""
    folder.mkdir()
    files = {number: (folder / f"{number}.nc", folder / f"{number}.safetensors") for number in range(members)}
    train_members(images, split, experiment, "cpu", seed, files, threads=2)
    made = xr.concat([read_netcdf(predictions) for predictions, _ in files.values()], "member")
    made = made.isel(cluster=made["split"].values[0].astype(str) == "val")
    combined = combine(made["mu"].values, made["sigma"].values)
    residual = combined.mu - made["log10_m500c"].values[0]
    return xr.DataArray(negative_log_likelihood(residual, combined.sigma), {"cluster": made["cluster"]}, ["cluster"])


def mean_of(values):
    """Return the mean and its 68 % interval from a bootstrap over clusters."""
    rng = np.random.default_rng(SEED)
    means = [rng.choice(values, values.size).mean() for _ in range(RESAMPLINGS)]
    return {"value": float(values.mean()), "ci68": [float(end) for end in np.quantile(means, (0.16, 0.84))]}


if __name__ == "__main__":
    main()
