"""The training sample of an experiment: images, redshifts, masses and weights of each subset; controls."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NotRequired, TypedDict

import numpy as np
import xarray as xr

from clustermass.arrays import generator
from clustermass.dataset.physics import PhysicsPrior, cell_weights
from clustermass.dataset.sample import fitting_split, load_sample
from clustermass.dataset.split import SUBSETS, UNUSED, first_training_clusters
from clustermass.errors import InputError
from clustermass.images.preprocessing import TRANSFORMS
from clustermass.io.netcdf import json_attribute, read_netcdf

if TYPE_CHECKING:
    from clustermass.config.models import Selection
    from clustermass.config.network_models import Network, Recipe

FIT_VAL = "learnt_val"  # validation clusters inside a `train_selection`; their random numbers depend on this name
#: quantities of a cluster from which side inputs are computed, in addition to its redshift
MEASUREMENTS = ("exposure_s", "nh", "ml_rate", "ext", "ml_bkg")
MIN_REDSHIFT = 0.005  # noise never lowers a redshift to less than this, because networks use its logarithm
CONTROLS = ("none", "shuffled_redshift", "no_energy", "noise_images")
#: inverse functions of `clustermass.images.preprocessing.TRANSFORMS`; they return (smoothed) counts
INVERSES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "none": lambda image: image,
    "sqrt": np.square,
    "anscombe": lambda image: np.square(image / 2) - 3 / 8,
    "log1p": np.expm1,
}
_AT_ONCE = 1024  # number of clusters that are processed at a time, to save memory


@dataclass(frozen=True)
class Control:
    """A control: it removes information from an experiment's data, to find out whether networks use this information.

    The information is removed in training and in evaluation.

    - ``shuffled_redshift`` permutes the redshifts.
    - ``no_energy`` replaces the counts in each band by the mean of all bands.
    - ``noise_images`` replaces the counts in each band by Poisson noise. Its mean is `level` (band,), the mean of all
      pixels of the training images.
    - ``none`` changes nothing.

    To change an image, `transform` (the last step of the preprocessing) is undone first and applied again afterwards.
    """

    name: str
    transform: str
    level: list[float]
    seed: int

    @classmethod
    def from_training_images(cls, name: str, transform: str, train_images: np.ndarray, seed: int) -> Control:
        """Return the control called `name`. Its `level` is computed from training images (cluster, y, x, band).

        InputError if the name or the transform is unknown.
        """
        for key, word, choices in (("control", name, CONTROLS), ("transform", transform, INVERSES)):
            if word not in choices:
                raise InputError(f"{key} is {word!r}, but must be one of: {', '.join(choices)}.")
        total = np.zeros(train_images.shape[-1])
        if name != "noise_images":
            return cls(name, transform, [], seed)
        for rows in _blocks(len(train_images)):
            total += INVERSES[transform](train_images[rows].astype(np.float64)).sum(axis=(0, 1, 2))
        return cls(name, transform, (total / (train_images.size / total.size)).tolist(), seed)

    def images(self, images: np.ndarray, clusters: Iterable[object]) -> np.ndarray:
        """Return the images (cluster, y, x, band) after the removal of information.

        The noise of ``noise_images`` depends on the ids of the `clusters`.
        """
        draw = TRANSFORMS[self.transform]
        if self.name == "no_energy":
            mixed = np.empty_like(images)
            for rows in _blocks(len(images)):
                counts = INVERSES[self.transform](images[rows].astype(np.float64)).mean(axis=-1, keepdims=True)
                mixed[rows] = draw(np.maximum(counts, 0))  # rounding may have made them negative
            return mixed
        if self.name == "noise_images":
            each = (generator(self.seed, self.name, str(cluster)) for cluster in clusters)
            noise = [draw(random.poisson(self.level, images.shape[1:])) for random in each]
            return np.asarray(noise, dtype=images.dtype).reshape(images.shape)
        return images

    def redshift(self, redshift: np.ndarray, where: str) -> np.ndarray:
        """Return the redshifts (cluster, ...) after the removal of information.

        The control ``shuffled_redshift`` permutes the redshifts of a subset, whose name is `where`.
        """
        shuffled = self.name == "shuffled_redshift"
        return generator(self.seed, self.name, where).permutation(redshift) if shuffled else redshift

    def measurements(self, measurements: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the measurements for side inputs after the removal of information.

        With the control ``noise_images``, only exposure and N_H are kept, and all others become NaN.
        """
        if self.name != "noise_images":
            return dict(measurements)
        kept = ("exposure_s", "nh")
        return {name: values if name in kept else values * np.nan for name, values in measurements.items()}


def _blocks(length: int) -> Iterator[slice]:
    return (slice(start, start + _AT_ONCE) for start in range(0, length, _AT_ONCE))


class TrainedExperiment(TypedDict):
    """The settings of an experiment that influence its networks, as keys and whole blocks of the configuration."""

    selection: Selection
    train_selection: NotRequired[Selection | None]
    #: standard deviation of the noise that is added to all redshifts, once for all members
    redshift_noise: float
    train_clusters: int | None
    control: str
    weighting: NotRequired[str]
    network: Network
    recipe: Recipe


@dataclass(frozen=True)
class Subset:
    """Data of a subset's clusters. Images have the shape (cluster, y, x, band), all other arrays (cluster,)."""

    images: np.ndarray
    redshift: np.ndarray
    log10_m500c: np.ndarray
    weight: np.ndarray | None = None
    #: dict of the `MEASUREMENTS` that the catalogue has
    measurements: Mapping[str, np.ndarray] = field(default_factory=dict)
    #: standardised parameters of the physics, float32 (cluster, parameter), and their prior; None if there is no prior
    phi: np.ndarray | None = None
    prior: PhysicsPrior | None = None


class TrainingSample(NamedTuple):
    """Training, validation and test data for the networks of an experiment."""

    #: the sample without its images
    table: xr.Dataset
    #: dict from the name of each subset to its data, with the clusters in the order of the table
    subsets: dict[str, Subset]
    #: validation set of the training: `subsets["val"]`, or validation clusters inside a `train_selection`
    val: Subset
    control: Control

    def digest(self) -> str:
        """Return a SHA-256 of the training and validation data. Test clusters have no influence on it."""
        digest = hashlib.sha256()
        for name, subset in (("train", self.subsets["train"]), ("val", self.val)):
            columns = {"images": subset.images, "redshift": subset.redshift, "mass": subset.log10_m500c}
            columns |= subset.measurements
            further = {"weight": subset.weight, "phi": subset.phi}
            columns |= {quantity: column for quantity, column in further.items() if column is not None}
            for quantity, column in columns.items():
                digest.update(f"{name} {quantity} {column.dtype} {column.shape}".encode())
                for rows in _blocks(len(column)):
                    digest.update(np.ascontiguousarray(column[rows]).data)
        return digest.hexdigest()


def load_training_sample(
    images: Sequence[Path], split: Path, experiment: TrainedExperiment, seed: int
) -> TrainingSample:
    """Return the training sample of an experiment.

    `images` are the smoothed images of a sky, and `split` is the file with the sky's subsets. `seed` determines all
    random numbers. InputError in the cases of `load_sample`. InputError also if `split` holds an unknown subset, if
    there are fewer than `train_clusters` training clusters, or if the control or the weighting is unknown.
    """
    table = load_sample(images, split, experiment["selection"], experiment.get("train_selection"))
    unknown = sorted(set(table["split"].values.tolist()) - {*SUBSETS, UNUSED})
    if unknown:
        raise InputError(f"{split}: subset {unknown[0]!r} is unknown. It must be one of {', '.join(SUBSETS)}.")
    ids = table["cluster"].values
    if experiment["train_clusters"] is not None:
        table["split"] = ("cluster", first_training_clusters(table, experiment["train_clusters"], seed))
    redshift = noisy_redshift(table["redshift"].values, ids, experiment["redshift_noise"], seed)
    measurements = measurements_of(table)
    cubes, mass = network_order(table["image"].values), table["log10_m500c"].values.astype(np.float64)
    rows = {name: np.flatnonzero(table["split"].values == name) for name in (*SUBSETS, UNUSED)}
    fit_val = np.flatnonzero(fitting_split(table) == "val")
    if not np.array_equal(fit_val, rows["val"]):
        rows[FIT_VAL] = fit_val
    taken = {name: cubes[chosen] for name, chosen in rows.items()}  # copies
    table = table.drop_vars("image")
    del cubes  # the largest samples need that memory
    transform = made_with(images[0], "parameters").get("transform") or "none"
    control = Control.from_training_images(experiment["control"], transform, taken["train"], seed)
    prior = PhysicsPrior.of(table)
    phi = prior.standardised(table["phi"].values) if prior else None
    weighting, cells = experiment.get("weighting", "none"), table["realization"].values.astype(str)
    subsets = {
        name: Subset(
            control.images(taken[name], ids[chosen]),
            control.redshift(redshift[chosen], name),
            mass[chosen],
            weight=subset_weights(weighting, mass[chosen], cells[chosen], name == "train"),
            measurements=control.measurements({key: values[chosen] for key, values in measurements.items()}),
            phi=None if phi is None else phi[chosen],
            prior=prior,
        )
        for name, chosen in rows.items()
    }
    return TrainingSample(table, subsets, subsets.pop(FIT_VAL, subsets["val"]), control)


def measurements_of(sample: xr.Dataset) -> dict[str, np.ndarray]:
    """Return those of the `MEASUREMENTS` that the sample has, as a dict by name, float64 (cluster,); NaN = unknown."""
    return {name: sample[name].values.astype(np.float64) for name in MEASUREMENTS if name in sample}


def network_order(images: np.ndarray) -> np.ndarray:
    """Return a view of images (cluster, band, y, x) with the axes in the networks' order, (cluster, y, x, band)."""
    return images.transpose(0, 2, 3, 1)


def noisy_redshift(redshift: np.ndarray, cluster: np.ndarray, sd: float, seed: int) -> np.ndarray:
    """Return redshifts (cluster,) with Gaussian noise of standard deviation `sd`.

    The noise of a cluster depends only on `seed` and the cluster's id. It lowers no redshift below `MIN_REDSHIFT`.
    """
    if sd == 0:
        return np.asarray(redshift, np.float64)
    draws = np.asarray([generator(seed, "redshift_noise", str(name)).standard_normal() for name in cluster])
    return np.maximum(redshift + sd * draws, np.minimum(redshift, MIN_REDSHIFT))


def made_with(image_file: Path, attribute: str) -> dict[str, Any]:
    """Return the settings with which the images in a file were made. The file holds them in its `attribute`.

    The result is empty if the file lacks this attribute.
    """
    return json_attribute(read_netcdf(image_file).attrs, attribute, image_file)


WEIGHTINGS = ("none", "uniform_mass", "cells")
#: width of the bins of log10 M500c that get equal total weights; the bins' edges are multiples of this width
BIN_DEX = 0.1
#: largest weight of a cluster, in units of its weight if all bins held the same number
LARGEST = 10.0


def subset_weights(weighting: str, log10_m500c: np.ndarray, cell: np.ndarray, for_training: bool) -> np.ndarray | None:
    """Return the weights of a subset's clusters in the loss, (cluster,), or None if all weights are equal.

    With the `weighting` ``cells``, training and validation clusters have the weights that `cell_weights` returns.
    Otherwise only training clusters have weights, those of `training_weights`.
    """
    if weighting == "cells":
        return cell_weights(cell)
    return training_weights(weighting, log10_m500c) if for_training else None


def training_weights(weighting: str, log10_m500c: np.ndarray) -> np.ndarray | None:
    """Return the weights of the training clusters, (cluster,), with a mean of 1, or None if all weights are equal.

    `weighting` is ``none`` or ``uniform_mass``; `subset_weights` handles ``cells``. With ``uniform_mass``, the weighted
    masses are spread evenly over log10 M500c (Krippendorf et al. 2023, Fig. 8):

    - The masses are divided into bins of the width `BIN_DEX`. Empty bins are left out.
    - The weight of a cluster is the mean number of clusters in a bin, divided by the number of clusters in the
      cluster's own bin, but at most `LARGEST`.
    - All weights are then divided by their mean.

    InputError if `weighting` is unknown.
    """
    if weighting not in WEIGHTINGS:
        raise InputError(f"weighting is {weighting!r}, but must be one of: {', '.join(WEIGHTINGS)}.")
    if weighting == "none":
        return None
    _, row, number = np.unique(np.floor(log10_m500c / BIN_DEX), return_inverse=True, return_counts=True)
    weights = np.minimum(log10_m500c.size / (number.size * number), LARGEST)[row]
    return np.asarray(weights / weights.mean())
