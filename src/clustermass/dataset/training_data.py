"""The training sample of an experiment: images, redshifts, masses and weights of each subset, under its control."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NotRequired, TypedDict

import numpy as np
import xarray as xr

from clustermass.arrays import generator
from clustermass.dataset.sample import fitting_split, load_sample
from clustermass.dataset.split import SUBSETS, UNUSED, first_training_clusters
from clustermass.errors import InputError
from clustermass.images.preprocessing import TRANSFORMS
from clustermass.io.netcdf import read_netcdf

if TYPE_CHECKING:
    from clustermass.config.models import Network, Recipe, Selection

FIT_VAL = "learnt_val"  # validation clusters of a `train_selection`; the name sets their random numbers
#: quantities of a cluster, besides its redshift, that side inputs are made of
MEASUREMENTS = ("exposure_s", "ml_rate", "ext", "ml_bkg")
MIN_REDSHIFT = 0.005  # noise never takes a redshift below this: the network sees its logarithm
CONTROLS = ("none", "shuffled_redshift", "no_energy", "noise_images")
#: inverse of `clustermass.images.preprocessing.TRANSFORMS`: back to (smoothed) counts
INVERSES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "none": lambda image: image,
    "sqrt": np.square,
    "anscombe": lambda image: np.square(image / 2) - 3 / 8,
    "log1p": np.expm1,
}
_AT_ONCE = 1024  # clusters that are worked on at a time, to spare memory


@dataclass(frozen=True)
class Control:
    """Control: the information that is removed from an experiment's data, in training and test.

    `name` is ``shuffled_redshift``: redshifts are permuted; ``no_energy``: each band holds the mean of all bands'
    counts; ``noise_images``: each pixel is Poisson noise of its band's mean `level` (band,) in counts; ``none``: no
    control. `transform`, the last step of the preprocessing, is undone before the control and redone after.
    """

    name: str
    transform: str
    level: list[float]
    seed: int

    @classmethod
    def from_training_images(cls, name: str, transform: str, train_images: np.ndarray, seed: int) -> Control:
        """Make a control from training images (cluster, y, x, band); InputError if `name` or `transform` is unknown."""
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
        """Return images (cluster, y, x, band) under the control; `clusters` are their ids, which set the noise."""
        draw = TRANSFORMS[self.transform]
        if self.name == "no_energy":
            mixed = np.empty_like(images)
            for rows in _blocks(len(images)):
                counts = INVERSES[self.transform](images[rows].astype(np.float64)).mean(axis=-1, keepdims=True)
                mixed[rows] = draw(np.maximum(counts, 0))  # rounding may have led below 0
            return mixed
        if self.name == "noise_images":
            each = (generator(self.seed, self.name, str(cluster)) for cluster in clusters)
            noise = [draw(random.poisson(self.level, images.shape[1:])) for random in each]
            return np.asarray(noise, dtype=images.dtype).reshape(images.shape)
        return images

    def redshift(self, redshift: np.ndarray, where: str) -> np.ndarray:
        """Return redshifts (cluster, ...) under the control; they are permuted within the set called `where`."""
        shuffled = self.name == "shuffled_redshift"
        return generator(self.seed, self.name, where).permutation(redshift) if shuffled else redshift

    def measurements(self, measurements: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Measurements for side inputs under the control: with noise images only the exposure is kept."""
        if self.name != "noise_images":
            return dict(measurements)
        return {name: values if name == "exposure_s" else values * np.nan for name, values in measurements.items()}


def _blocks(length: int) -> Iterator[slice]:
    return (slice(start, start + _AT_ONCE) for start in range(0, length, _AT_ONCE))


class TrainedExperiment(TypedDict):
    """Settings of an experiment that shape its networks: keys and whole blocks of the configuration."""

    selection: Selection
    train_selection: NotRequired[Selection | None]
    #: standard deviation of the noise on every redshift that the networks see, drawn once for all members
    redshift_noise: float
    train_clusters: int | None
    control: str
    weighting: NotRequired[str]
    network: Network
    recipe: Recipe


@dataclass(frozen=True)
class Subset:
    """Clusters of a subset: images (cluster, y, x, band), all else (cluster,)."""

    images: np.ndarray
    redshift: np.ndarray
    log10_m500c: np.ndarray
    weight: np.ndarray | None = None
    #: by name, those of `MEASUREMENTS` that the catalogue has
    measurements: Mapping[str, np.ndarray] = field(default_factory=dict)


class TrainingSample(NamedTuple):
    """Training, validation and test data of the networks of an experiment."""

    #: the sample without its images
    table: xr.Dataset
    #: by name, in the table's order
    subsets: dict[str, Subset]
    #: validation set of the training: `subsets["val"]`, or validation clusters inside a `train_selection`
    val: Subset
    control: Control

    def digest(self) -> str:
        """Return a SHA-256 of the training and validation data; nothing of the test set enters."""
        digest = hashlib.sha256()
        for name, subset in (("train", self.subsets["train"]), ("val", self.val)):
            columns = {"images": subset.images, "redshift": subset.redshift, "mass": subset.log10_m500c}
            columns |= subset.measurements
            columns |= {} if subset.weight is None else {"weight": subset.weight}
            for quantity, column in columns.items():
                digest.update(f"{name} {quantity} {column.dtype} {column.shape}".encode())
                for rows in _blocks(len(column)):
                    digest.update(np.ascontiguousarray(column[rows]).data)
        return digest.hexdigest()


def load_training_sample(
    images: Sequence[Path], split: Path, experiment: TrainedExperiment, seed: int
) -> TrainingSample:
    """Load the sample of an experiment from smoothed images and the split of their sky; `seed` sets all random numbers.

    InputError as by `load_sample`, or if a subset has an unknown name, `train_clusters` exceeds the number of training
    clusters, or the control or the weighting is unknown.
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
    subsets = {
        name: Subset(
            control.images(taken[name], ids[chosen]),
            control.redshift(redshift[chosen], name),
            mass[chosen],
            weight=training_weights(experiment.get("weighting", "none"), mass[chosen]) if name == "train" else None,
            measurements=control.measurements({key: values[chosen] for key, values in measurements.items()}),
        )
        for name, chosen in rows.items()
    }
    return TrainingSample(table, subsets, subsets.pop(FIT_VAL, subsets["val"]), control)


def measurements_of(sample: xr.Dataset) -> dict[str, np.ndarray]:
    """Return the quantities (cluster,) float64 that side inputs are made of; NaN where a catalogue lacks them."""
    return {name: sample[name].values.astype(np.float64) for name in MEASUREMENTS if name in sample}


def network_order(images: np.ndarray) -> np.ndarray:
    """Return stored images (cluster, band, y, x) in the network's order (cluster, y, x, band), as a view."""
    return images.transpose(0, 2, 3, 1)


def noisy_redshift(redshift: np.ndarray, cluster: np.ndarray, sd: float, seed: int) -> np.ndarray:
    """Redshifts (cluster,) plus Gaussian noise of standard deviation `sd`, set by `seed` and the cluster's id alone."""
    if sd == 0:
        return np.asarray(redshift, np.float64)
    draws = np.asarray([generator(seed, "redshift_noise", str(name)).standard_normal() for name in cluster])
    return np.maximum(redshift + sd * draws, np.minimum(redshift, MIN_REDSHIFT))


def made_with(image_file: Path, attribute: str) -> dict[str, Any]:
    """Return how images were made: the parameters in an attribute of one of their files; empty if it has none."""
    return dict(json.loads(read_netcdf(image_file).attrs.get(attribute, "{}")))


WEIGHTINGS = ("none", "uniform_mass")
#: width of the bins of log10 M500c that get equal total weight; their edges are multiples of it
BIN_DEX = 0.1
#: largest weight of a cluster, in units of its weight if all bins held the same number
LARGEST = 10.0


def training_weights(weighting: str, log10_m500c: np.ndarray) -> np.ndarray | None:
    """Return the training clusters' weights (cluster,) of mean 1; None = equal weights.

    `weighting` is ``none``, or ``uniform_mass``: the weighted masses are spread evenly over log10 M500c (Krippendorf et
    al. 2023, Fig. 8). A weight is the mean number of clusters per occupied bin of `BIN_DEX` over the number in the
    cluster's own bin, at most `LARGEST`: a lone cluster must not outweigh hundreds. All are then divided by their mean.
    InputError if `weighting` is unknown.
    """
    if weighting not in WEIGHTINGS:
        raise InputError(f"weighting is {weighting!r}, but must be one of: {', '.join(WEIGHTINGS)}.")
    if weighting == "none":
        return None
    _, row, number = np.unique(np.floor(log10_m500c / BIN_DEX), return_inverse=True, return_counts=True)
    weights = np.minimum(log10_m500c.size / (number.size * number), LARGEST)[row]
    return np.asarray(weights / weights.mean())
