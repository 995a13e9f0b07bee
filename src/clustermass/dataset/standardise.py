"""Standardisation of images, side inputs and masses to zero mean and unit variance in the training set."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clustermass.errors import InputError
from clustermass.io.log import LOGGER

if TYPE_CHECKING:
    from clustermass.dataset.training_data import Subset


@dataclass(frozen=True)
class Standardisation:
    """Means and standard deviations of the images in each band, of each side input, and of log10 M500c.

    If all training values of a quantity are equal, its standard deviation is set to 1, to avoid a division by zero.
    """

    image_mean: list[float]
    image_sd: list[float]
    side_names: list[str]
    side_mean: list[float]
    side_sd: list[float]
    mass_mean: float
    mass_sd: float

    @classmethod
    def from_training_set(cls, train: Subset, side_names: Sequence[str]) -> Standardisation:
        """Return the means and standard deviations in a training set, for the side inputs called `side_names`."""
        images, masses = _moments(train.images), _moments(train.log10_m500c[:, None])
        sides = _moments(side_inputs(train.redshift, train.measurements, side_names))
        return cls(*images, list(side_names), *sides, masses[0][0], masses[1][0])

    def images(self, images: np.ndarray) -> np.ndarray:
        """Return standardised images (sample, y, x, band), float32."""
        mean, sd = np.asarray(self.image_mean, np.float32), np.asarray(self.image_sd, np.float32)
        scaled = np.subtract(images, mean, out=np.empty(images.shape, np.float32))
        return np.divide(scaled, sd, out=scaled)

    def side(self, redshift: np.ndarray, measurements: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the standardised side inputs, float32, with the shape of `redshift` and a last axis for the inputs.

        The arguments are those of `side_inputs`. If some of the inputs are measured ones (see `ordered`), a last column
        is added: 1 for clusters that have all measured inputs, otherwise 0. For a cluster with 0, all measured inputs
        are 0, too. If no training cluster has the measured inputs, they are 0 for all clusters.
        """
        inputs = side_inputs(redshift, measurements, self.side_names)
        standard = (inputs - self.side_mean) / np.where(self.side_sd, self.side_sd, np.nan)
        needed, measured = widths(self.side_names)
        if measured:
            complete = np.isfinite(standard[..., needed:]).all(axis=-1, keepdims=True)
            shown = np.where(complete, standard[..., needed:], 0)
            standard = np.concatenate([standard[..., :needed], shown, complete], axis=-1)
        return standard.astype(np.float32)


def _moments(columns: np.ndarray) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of the finite values in each column, read one by one to save memory.

    Both are 0 if there are no finite values. The standard deviation of equal values is 1.
    """
    means, sds = [], []
    for number in range(columns.shape[-1]):
        values = columns[..., number].astype(np.float64)
        finite = values[np.isfinite(values)]
        if not finite.size:
            LOGGER.warning("no training cluster has the measured side inputs: the networks are trained without them")
        means.append(float(finite.mean()) if finite.size else 0.0)
        sds.append((float(finite.std()) if finite.min() < finite.max() else 1.0) if finite.size else 0.0)
    return means, sds


#: side inputs that every cluster must have; each is a function of a quantity in `images.nc`
NEEDED: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "z": ("redshift", np.asarray),
    "log_z": ("redshift", np.log),
    "log_exposure": ("exposure_s", np.log),
    "log_nh": ("nh", np.log),
}
#: side inputs that are logarithms of quantities measured by the source detection; a cluster may lack them
MEASURED = {"log_rate": "ml_rate", "log_extent": "ext", "log_background": "ml_bkg"}
SIDE_INPUTS = (*NEEDED, *MEASURED)


def ordered(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the names of the needed side inputs among `names`, and those of the measured ones.

    Every cluster must have the needed side inputs. A cluster may lack the measured ones. InputError if a name is
    unknown.
    """
    unknown = [name for name in names if name not in SIDE_INPUTS]
    if unknown:
        raise InputError(f"network.side_inputs: {unknown[0]!r} is unknown. Choose from {', '.join(SIDE_INPUTS)}.")
    return [name for name in names if name in NEEDED], [name for name in names if name in MEASURED]


def widths(names: Sequence[str]) -> tuple[int, int]:
    """Return the numbers of columns for the needed and for the measured ones of the side inputs `names`.

    `ordered` explains the two kinds. If there are measured inputs, the second number includes the last column that
    `Standardisation.side` adds.
    """
    needed, measured = ordered(names)
    return len(needed), len(measured) + bool(measured)


def side_inputs(redshift: np.ndarray, measurements: Mapping[str, np.ndarray], names: Sequence[str]) -> np.ndarray:
    """Return the side inputs called `names`, float64, before standardisation; the needed ones come first.

    The result has the shape of `redshift` and a last axis for the inputs. `measurements` maps names of
    `training_data.MEASUREMENTS` to arrays, whose shapes must broadcast with that of `redshift`. If one of the measured
    quantities of a cluster is absent, not finite or not positive, all measured inputs of this cluster are NaN.
    InputError if a name is unknown, or if a needed quantity is absent, not finite or not positive.
    """
    needed, measured = ordered(names)
    quantities = {**measurements, "redshift": np.asarray(redshift, np.float64)}
    columns = []
    for name in needed:
        quantity, function = NEEDED[name]
        if quantity not in quantities:
            advice = " Give the table of clusters a column NH, in cm-2." if quantity == "nh" else ""
            raise InputError(f"The networks need {quantity} of every cluster ({name}), but there is none.{advice}")
        columns.append(function(_positive(quantities[quantity], quantity)))
    if measured:
        values = [np.asarray(quantities.get(MEASURED[name], np.nan), np.float64) for name in measured]
        complete = math.prod(np.isfinite(value) & (value > 0) for value in values) > 0
        columns += [np.where(complete, np.log(np.where(complete, value, 1.0)), np.nan) for value in values]
    shape = quantities["redshift"].shape
    each = [np.broadcast_to(column, shape) for column in columns]
    return np.stack(each, axis=-1) if each else np.zeros((*shape, 0))


def _positive(values: np.ndarray, what: str) -> np.ndarray:
    values = np.asarray(values, np.float64)
    bad = np.flatnonzero(~(np.isfinite(values) & (values > 0)).ravel())
    if bad.size:
        raise InputError(
            f"{what}: {bad.size} value(s) aren't positive and finite, the first at row {bad[0]} "
            f"({values.ravel()[bad[0]]}). The network needs it of every cluster: drop the others."
        )
    return values
