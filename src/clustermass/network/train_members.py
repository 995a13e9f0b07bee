"""Train members of an ensemble from files: smoothed images and a split in, predictions and weights out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from clustermass.dataset.training_data import MemberData, Subset, load_member_data, made_with
from clustermass.io.log import LOGGER
from clustermass.io.netcdf import write_netcdf
from clustermass.io.provenance import provenance, source_hash
from clustermass.network.checkpoints import EVERY_S, Checkpoints
from clustermass.network.device import arithmetic, use_device
from clustermass.network.members import History
from clustermass.network.parameters import flatten
from clustermass.network.predict import standardised_predictions
from clustermass.network.trainer import Fitted, fit_members
from clustermass.network.weights import Weights, save_weights

_AT_ONCE = 1024  # clusters whose standardised copy is in memory while they are predicted
RANGES = ("redshift", "log10_m500c", "ml_cts")
#: packages whose version can change the last digits of a training
PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")


def train_members(
    images: Sequence[Path],
    split: Path,
    experiment: Mapping[str, Any],
    device: str,
    seed: int,
    outputs: Mapping[int, tuple[Path, Path]],
    threads: int = 1,
    checkpoints: Path | None = None,
    checkpoint_every_s: float = EVERY_S,
) -> None:
    """Train members and write the history and predictions (netCDF) and the weights (safetensors) of each.

    The test set is predicted, but only the training and validation sets ever reach `fit_members`. A member that its
    checkpoint says is finished isn't trained again: its files are written as they were.

    Parameters
    ----------
    images
        Smoothed images, one netCDF file a realization.
    split
        netCDF with the subset of each cluster.
    experiment
        `network` and `recipe` (blocks of the configuration), and what `member_data.load_member_data` reads.
    device
        ``auto``, ``cpu`` or ``gpu``.
    seed
        Root of all random numbers; those of a member depend on it and the member's number alone.
    outputs
        Member's number -> files to write: ``members/{member}.nc`` and ``members/{member}.safetensors``.
    threads
        CPU cores to keep busy; another number changes the last digits of the results.
    checkpoints
        Folder that checkpoints are kept in; None = none are.
    checkpoint_every_s
        Seconds between two checkpoints, at least.

    Raises
    ------
    InputError
        See `networks.device.use_device`, `member_data.load_member_data` and `networks.fitting.fit_members`.
    """
    taken = use_device(device, threads)
    data = load_member_data(images, split, experiment, seed)
    train, val = data.subsets["train"], data.val
    LOGGER.info("%d training and %d validation clusters", len(train.redshift), len(val.redshift))
    network, recipe = experiment["network"], experiment["recipe"]
    facts = {"seed": seed, "device": taken, "threads": threads}
    kept = None
    if checkpoints:
        shaping = {
            "network": network,
            "recipe": recipe,
            "arrays": data.digest(),
            "code": source_hash(["network.train_members"]),
        }
        shaping |= {**facts, "packages": {name: version(name) for name in PACKAGES}, "arithmetic": arithmetic()}
        kept = Checkpoints(checkpoints, shaping, checkpoint_every_s)
    made = provenance("train_member", experiment, [*images, split], **facts)
    for number, fitted in fit_members(train, val, network, recipe, seed, list(outputs), kept):
        predictions, weights = outputs[number]
        save_weights(_weights(fitted, data, images[0], experiment, seed, number), weights)
        title = f"Predictions and training history of ensemble member {number:02d}"
        columns = _predictions(fitted, data, recipe["symmetric_prediction"])
        epochs = {"best_epoch": fitted.history.best_epoch, "kept_epoch": fitted.kept_epoch}
        dataset = _member_dataset(fitted.history, data.sample, columns)
        write_netcdf(dataset, predictions, title, {**made, "member": number, **epochs})


def predictions(fitted: Fitted, subset: Subset, symmetric: bool) -> tuple[np.ndarray, np.ndarray]:
    """Predicted log10 M500c and its standard deviation (cluster,) float64."""
    constants, parts = fitted.constants, []
    side = constants.side(subset.redshift, subset.facts)[:, None]
    for start in range(0, len(side), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        inputs = constants.images(subset.images[rows]), side[rows]
        parts.append(standardised_predictions(fitted.structure, fitted.state, *inputs, symmetric=symmetric))
    mean, variance = (np.concatenate(part)[:, 0] for part in zip(*parts, strict=True))
    return constants.predicted(mean, variance, fitted.residual_sd)


def _predictions(fitted: Fitted, data: MemberData, symmetric: bool) -> dict[str, np.ndarray]:
    """Columns mu and sigma (cluster,) of the whole sample."""
    mu, sigma = (np.full(data.sample.sizes["cluster"], np.nan) for _ in range(2))
    for name, subset in data.subsets.items():
        rows = data.sample["split"].values == name
        if rows.any():
            mu[rows], sigma[rows] = predictions(fitted, subset, symmetric)
    return {"mu": mu, "sigma": sigma}


def _member_dataset(history: History, sample: xr.Dataset, predicted: Mapping[str, np.ndarray]) -> xr.Dataset:
    columns: dict[str, Any] = {
        **{name: ("cluster", values) for name, values in predicted.items()},
        "split": ("cluster", sample["split"].values.astype(str)),
        "log10_m500c": ("cluster", sample["log10_m500c"].values.astype(np.float64)),
        "train_loss": ("epoch", np.asarray(history.train_loss)),
        "val_loss": ("epoch", np.asarray(history.val_loss)),
        "learning_rate": ("epoch", np.asarray(history.learning_rate)),
    }
    epochs = np.arange(1, history.epochs + 1, dtype=np.int32)
    return xr.Dataset(columns, coords={"cluster": sample["cluster"].values.astype(str), "epoch": epochs})


def _weights(
    fitted: Fitted, data: MemberData, image_file: Path, experiment: Mapping[str, Any], seed: int, number: int
) -> Weights:
    sample = data.sample
    known = sample.isel(cluster=sample["split"].values == "train")
    # a user's simulation may lack ML_CTS
    stated = [name for name in RANGES if name in known and known[name].notnull().any()]
    ranges = {name: [float(known[name].min()), float(known[name].max())] for name in stated}
    return Weights(
        arrays=flatten(fitted.state),
        standardisation=fitted.constants,
        network=dict(experiment["network"]),
        recipe=dict(experiment["recipe"]),
        preprocessing=made_with(image_file, "parameters"),
        cutting=made_with(image_file, "cutting"),
        grid={name: [float(value) for value in sample[name].values] for name in ("x", "y", "band")},
        ranges=ranges,
        member=number,
        seed=seed,
        control=None if data.control.name == "none" else asdict(data.control),
        residual_sd=fitted.residual_sd,
    )
