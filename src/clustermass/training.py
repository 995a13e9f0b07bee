"""Train one member of an ensemble from files: smoothed images and a split in, predictions and weights out."""

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from clustermass.datasets import read_netcdf, write_netcdf
from clustermass.errors import InputError
from clustermass.networks.device import use_device
from clustermass.networks.fitting import Fitted, History, Subset, fit
from clustermass.networks.parameters import flatten
from clustermass.networks.prediction import standardised_predictions
from clustermass.networks.weights import Weights, save_weights
from clustermass.progress import LOGGER
from clustermass.provenance import provenance
from clustermass.sample import load_sample

MIN_REDSHIFT = 0.005  # noise never takes a redshift below this: the network sees its logarithm
_AT_ONCE = 1024  # clusters whose standardised copy is in memory while they are predicted
SUBSETS = ("train", "val", "test")
RANGES = ("redshift", "log10_m500c", "ml_cts")


def train_member(
    images: Sequence[Path],
    split: Path,
    selection: Mapping[str, Any],
    network: Mapping[str, Any],
    recipe: Mapping[str, Any],
    device: str,
    seed: int,
    member: int,
    redshift_noise: float,
    output: Path,
    weights: Path,
    threads: int = 1,
) -> None:
    """Train member number `member` and write its history and predictions (netCDF) and its weights (safetensors).

    The test set is predicted, but only the training and validation sets ever reach `fit`.

    Parameters
    ----------
    images
        Smoothed images, one netCDF file a realization.
    split
        netCDF with the subset of each cluster.
    selection, network, recipe
        Blocks of the configuration.
    device
        ``auto``, ``cpu`` or ``gpu``.
    seed, member
        Together they set all random numbers of this member.
    redshift_noise
        Standard deviation of what is added to every redshift that the network sees, once and for all members alike.
    output, weights
        Files to write: ``members/{member}.nc`` and ``members/{member}.safetensors``.
    threads
        CPU cores to keep busy; another number changes the last digits of the results.

    Raises
    ------
    InputError
        See `networks.device.use_device`, `sample.load_sample` and `networks.fitting.fit`.
    RuntimeError
        The loss isn't finite.
    """
    taken = use_device(device, threads)
    sample = load_sample(images, split, selection)
    _check_split(sample, split)
    redshift = noisy_redshift(sample["redshift"].values, sample["cluster"].values, redshift_noise, seed)
    cubes = network_order(sample["image"].values)
    sample = sample.drop_vars("image")
    subsets = {name: _subset(sample, cubes, redshift, name) for name in SUBSETS}
    del cubes  # the subsets hold copies: the largest samples need that memory
    train, val = subsets["train"], subsets["val"]
    LOGGER.info("member %02d: %d training and %d validation clusters", member, len(train.redshift), len(val.redshift))
    fitted = fit(train, val, network, recipe, seed, member)
    save_weights(_weights(fitted, sample, images[0], network, recipe, seed, member), weights)
    facts = {"seed": seed, "member": member, "device": taken, "threads": threads}
    parameters = {"network": network, "recipe": recipe, "selection": selection, "redshift_noise": redshift_noise}
    title = f"Predictions and training history of ensemble member {member:02d}"
    made = provenance("train_member", parameters, [*images, split], **facts)
    made |= {"best_epoch": fitted.history.best_epoch, "kept_epoch": fitted.kept_epoch}
    columns = _predictions(fitted, sample, subsets, recipe["symmetric_prediction"])
    write_netcdf(_member_dataset(fitted.history, sample, columns), output, title, made)


def network_order(images: np.ndarray) -> np.ndarray:
    """Images as stored (cluster, band, y, x) in the order of the network (cluster, y, x, band); a view."""
    return images.transpose(0, 2, 3, 1)


def noisy_redshift(redshift: np.ndarray, cluster: np.ndarray, sd: float, seed: int) -> np.ndarray:
    """Redshifts (cluster,) plus Gaussian noise of standard deviation `sd`, set by `seed` and the cluster's id alone."""
    if sd == 0:
        return np.asarray(redshift, np.float64)
    purpose = zlib.crc32(b"redshift_noise")
    draws = [
        np.random.default_rng([seed, purpose, zlib.crc32(str(name).encode())]).standard_normal() for name in cluster
    ]
    return np.maximum(redshift + sd * np.asarray(draws), np.minimum(redshift, MIN_REDSHIFT))


def _check_split(sample: xr.Dataset, split: Path) -> None:
    unknown = sorted(set(sample["split"].values.tolist()) - set(SUBSETS))
    if unknown:
        raise InputError(
            f"{split}: subset {unknown[0]!r} is unknown. Each cluster must be in one of {', '.join(SUBSETS)}."
        )


def _subset(sample: xr.Dataset, cubes: np.ndarray, redshift: np.ndarray, name: str) -> Subset:
    rows = sample["split"].values == name
    return Subset(cubes[rows], redshift[rows], sample["log10_m500c"].values[rows].astype(np.float64))


def predictions(
    fitted: Fitted, cubes: np.ndarray, redshift: np.ndarray, symmetric: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Predicted log10 M500c and its standard deviation (cluster,) float64, of images (cluster, y, x, band)."""
    constants, parts = fitted.constants, []
    for start in range(0, len(cubes), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        inputs = constants.images(cubes[rows]), constants.redshift(redshift[rows])[:, None]
        parts.append(standardised_predictions(fitted.structure, fitted.state, *inputs, symmetric=symmetric))
    mean, variance = (np.concatenate(part)[:, 0] for part in zip(*parts, strict=True))
    return constants.mass_mean + constants.mass_sd * mean, constants.mass_sd * np.sqrt(variance)


def _predictions(
    fitted: Fitted, sample: xr.Dataset, subsets: Mapping[str, Subset], symmetric: bool
) -> dict[str, np.ndarray]:
    """Columns mu and sigma (cluster,) of the whole sample."""
    mu, sigma = (np.full(sample.sizes["cluster"], np.nan) for _ in range(2))
    for name, subset in subsets.items():
        rows = sample["split"].values == name
        if rows.any():
            mu[rows], sigma[rows] = predictions(fitted, subset.images, subset.redshift, symmetric)
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
    epochs = np.arange(1, len(history.val_loss) + 1, dtype=np.int32)
    return xr.Dataset(columns, coords={"cluster": sample["cluster"].values.astype(str), "epoch": epochs})


def _weights(
    fitted: Fitted,
    sample: xr.Dataset,
    image_file: Path,
    network: Mapping[str, Any],
    recipe: Mapping[str, Any],
    seed: int,
    member: int,
) -> Weights:
    known = sample.isel(cluster=sample["split"].values == "train")
    # a user's simulation may lack ML_CTS
    stated = [name for name in RANGES if name in known and known[name].notnull().any()]
    ranges = {name: [float(known[name].min()), float(known[name].max())] for name in stated}
    return Weights(
        arrays=flatten(fitted.state),
        standardisation=fitted.constants,
        network=dict(network),
        recipe=dict(recipe),
        preprocessing=_parameters(image_file, "parameters"),
        cutting=_parameters(image_file, "cutting"),
        grid={name: [float(value) for value in sample[name].values] for name in ("x", "y", "band")},
        ranges=ranges,
        member=member,
        seed=seed,
    )


def _parameters(image_file: Path, attribute: str) -> dict[str, Any]:
    """How the images were made: parameters in an attribute of one of their files, empty where it lacks it."""
    return dict(json.loads(read_netcdf(image_file).attrs.get(attribute, "{}")))
