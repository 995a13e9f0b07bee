"""Train members of an ensemble on images and subsets from files, and write their predictions and weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import xarray as xr

from clustermass.dataset.training_data import TrainingSample, load_training_sample, made_with
from clustermass.io.log import LOGGER
from clustermass.io.netcdf import write_netcdf
from clustermass.io.provenance import provenance, source_hash
from clustermass.network.checkpoints import EVERY_S, Checkpoints, History
from clustermass.network.predict import TrainedNetwork, arithmetic, predict, use_device
from clustermass.network.train import train_networks

if TYPE_CHECKING:
    from clustermass.config.models import Preprocessing
    from clustermass.dataset.training_data import TrainedExperiment
    from clustermass.network.predict import Cutting

RANGES = ("redshift", "log10_m500c", "ml_cts")
#: packages whose version can change the last digits of a training
PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")


def train_members(
    images: Sequence[Path],
    split: Path,
    experiment: TrainedExperiment,
    device: str,
    seed: int,
    outputs: Mapping[int, tuple[Path, Path]],
    threads: int = 1,
    checkpoints: Path | None = None,
    checkpoint_every_s: float = EVERY_S,
) -> None:
    """Train members of an ensemble, and write two files for each.

    `images` are the files of smoothed images, one for each realization. The file `split` holds the subset of each
    cluster. `outputs` maps each member's number to its two files: ``members/{member}.nc`` for the predictions and the
    training history, and ``members/{member}.safetensors`` for the weights. Checkpoints are written into the folder
    `checkpoints`, at least `checkpoint_every_s` seconds apart, or not at all if `checkpoints` is None. A member's
    random numbers depend only on `seed` and the member's number. The last digits of the results depend on the number of
    CPU `threads`.

    Masses of the test clusters are predicted, but `train_networks` gets only the training and validation clusters. A
    finished member isn't trained again; its files are written from its checkpoint. InputError in the cases of
    `use_device`, `load_training_sample` and `train_networks`.
    """
    taken = use_device(device, threads)
    sample = load_training_sample(images, split, experiment, seed)
    train, val = sample.subsets["train"], sample.val
    LOGGER.info("%d training and %d validation clusters", len(train.redshift), len(val.redshift))
    network, recipe = experiment["network"], experiment["recipe"]
    run = {"seed": seed, "device": taken, "threads": threads}
    kept = None
    if checkpoints:
        shaping = {"network": network, "recipe": recipe, "arrays": sample.digest(), **run, "arithmetic": arithmetic()}
        shaping["code"] = source_hash(["network.train_members"])
        shaping["packages"] = {name: version(name) for name in PACKAGES}
        kept = Checkpoints(checkpoints, shaping, checkpoint_every_s)
    made = provenance("train_member", experiment, [*images, split], **run)
    for trained, member in train_networks(train, val, network, recipe, seed, list(outputs), kept):
        predictions, weights = outputs[member.number]
        trained = _described(trained, sample, images[0])
        trained.save(weights)
        title = f"Predictions and training history of ensemble member {member.number:02d}"
        further = {"member": member.number, "best_epoch": member.history.best_epoch, "kept_epoch": member.kept_epoch}
        write_netcdf(_member_dataset(trained, member.history, sample), predictions, title, made | further)


def _member_dataset(network: TrainedNetwork, history: History, sample: TrainingSample) -> xr.Dataset:
    table = sample.table
    mu, sigma = (np.full(table.sizes["cluster"], np.nan) for _ in range(2))
    for name, subset in sample.subsets.items():
        rows = table["split"].values == name
        if rows.any():
            made = predict(network, subset.images, subset.redshift[:, None], subset.measurements, subset.phi)
            mu[rows], sigma[rows] = (column[:, 0] for column in made)
    columns = {
        "mu": ("cluster", mu),
        "sigma": ("cluster", sigma),
        "split": ("cluster", table["split"].values.astype(str)),
        "log10_m500c": ("cluster", table["log10_m500c"].values.astype(np.float64)),
        **{name: ("epoch", np.asarray(values)) for name, values in vars(history).items()},
    }
    epochs = np.arange(1, history.epochs + 1, dtype=np.int32)
    return xr.Dataset(columns, coords={"cluster": table["cluster"].values.astype(str), "epoch": epochs})


def _described(network: TrainedNetwork, sample: TrainingSample, image_file: Path) -> TrainedNetwork:
    """Return the network with what its file states about the sample: settings, grid, ranges and control."""
    table = sample.table
    train = table.isel(cluster=table["split"].values == "train")
    # a user's simulation may lack ML_CTS (net counts of the detection)
    stated = [name for name in RANGES if name in train and train[name].notnull().any()]
    return replace(
        network,
        preprocessing=cast("Preprocessing", made_with(image_file, "parameters")),
        cutting=cast("Cutting", made_with(image_file, "cutting")),
        grid={name: [float(value) for value in table[name].values] for name in ("x", "y", "band")},
        ranges={name: [float(train[name].min()), float(train[name].max())] for name in stated},
        control=None if sample.control.name == "none" else sample.control,
    )
