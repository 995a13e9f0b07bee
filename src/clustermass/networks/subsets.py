"""What a training sees: one subset of the clusters as arrays, and its way to the device."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import jax.numpy as jnp
import numpy as np

from clustermass.networks.epochs import TrainingData
from clustermass.networks.standardisation import Standardisation


@dataclass(frozen=True)
class Subset:
    """Clusters of a subset: images (sample, y, x, band); redshift, log10 M500c, weight (sample,).

    `facts` are the quantities (sample,) of `side_inputs.FACTS` that are known.
    """

    images: np.ndarray
    redshift: np.ndarray
    log10_m500c: np.ndarray
    weight: np.ndarray | None = None
    facts: Mapping[str, np.ndarray] = field(default_factory=dict)


def on_device(train: Subset, constants: Standardisation) -> TrainingData:
    """Return the training set standardised, with weights of mean 1, on the device."""
    weight = np.ones(len(train.redshift)) if train.weight is None else train.weight / np.mean(train.weight)
    return TrainingData(
        jnp.asarray(constants.images(train.images)),
        jnp.asarray(constants.side(train.redshift, train.facts)),
        jnp.asarray(constants.mass(train.log10_m500c)),
        jnp.asarray(weight, jnp.float32),
    )
