"""What a training sees: one subset of the clusters as arrays, and its way to the device."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from clustermass.networks.epochs import TrainingData
from clustermass.networks.standardisation import Standardisation


@dataclass(frozen=True)
class Subset:
    """Clusters of a subset: images (sample, y, x, band); redshift, log10 M500c, weight, exposure in s (sample,)."""

    images: np.ndarray
    redshift: np.ndarray
    log10_m500c: np.ndarray
    weight: np.ndarray | None = None
    exposure_s: np.ndarray | None = None


def on_device(train: Subset, constants: Standardisation) -> TrainingData:
    """Return the training set standardised, with weights of mean 1, on the device."""
    weight = np.ones(len(train.redshift)) if train.weight is None else train.weight / np.mean(train.weight)
    return TrainingData(
        jnp.asarray(constants.images(train.images)),
        jnp.asarray(constants.side(train.redshift, train.exposure_s)),
        jnp.asarray(constants.mass(train.log10_m500c)),
        jnp.asarray(weight, jnp.float32),
    )
