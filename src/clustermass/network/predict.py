"""Apply networks to images: the one place where it is done, in training, after it and on new clusters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from clustermass.dataset.standardise import Standardisation
from clustermass.network.augment import SYMMETRIES, symmetry
from clustermass.network.losses import loss_from_recipe
from clustermass.network.parameters import over_members, stacked, unflatten
from clustermass.network.trained_network import TrainedNetwork

CHUNK = 64  # clusters a call: one compilation, and activations of a few MB


@partial(jax.jit, static_argnums=0)
def apply_network(structure: nnx.GraphDef, weights: nnx.State, inputs: Mapping[str, jax.Array]) -> jax.Array:
    """Apply networks to clusters, without dropout.

    Parameters
    ----------
    structure
        Of the networks.
    weights
        Of each of them, stacked along a first axis.
    inputs
        By name, (sample, ...) float32, standardised, as of `chunks`.

    Returns
    -------
    jax.Array
        Outputs (member, sample, ..., output) float32: what the loss is a function of.
    """
    return jnp.asarray(over_members(lambda state: nnx.merge(structure, state)(inputs))(weights))


def chunks(
    constants: Standardisation, images: np.ndarray, redshift: np.ndarray, measurements: Mapping[str, np.ndarray]
) -> Iterator[tuple[slice, dict[str, np.ndarray]]]:
    """Yield rows and standardised inputs of `CHUNK` clusters at a time, the last ones filled up with zeros.

    Parameters
    ----------
    images
        (cluster, y, x, band).
    redshift
        (cluster, ...): each image may be taken at several redshifts.
    measurements
        See `clustermass.dataset.standardise.side_inputs`.
    """
    side = constants.side(redshift, measurements)
    for start in range(0, len(images), CHUNK):
        rows = slice(start, min(start + CHUNK, len(images)))
        yield rows, {"image": _filled(constants.images(images[rows])), "side": _filled(side[rows])}


def _filled(columns: np.ndarray) -> np.ndarray:
    return np.pad(columns, [(0, CHUNK - len(columns)), *[(0, 0)] * (columns.ndim - 1)])


def predict(
    network: TrainedNetwork, images: np.ndarray, redshift: np.ndarray, measurements: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Predict log10 M500c and its standard deviation in dex, float64 (cluster, k) each.

    Means and variances are averaged over the eight symmetries of the square if the network's recipe says so.

    Parameters
    ----------
    images
        (cluster, y, x, band), preprocessed as the training images.
    redshift
        (cluster, k): each image is taken at k redshifts.
    measurements
        (cluster,) each, by name, see `clustermass.dataset.standardise.side_inputs`.
    """
    constants = network.standardisation
    loss = loss_from_recipe(network.recipe, constants)
    structure, weights = unflatten(network.network, network.shape, loss.outputs, network.weights)
    weights, turns = stacked([weights]), range(SYMMETRIES if network.recipe["symmetric_prediction"] else 1)
    mean, variance = (np.zeros(redshift.shape) for _ in range(2))
    columns = {name: np.asarray(values)[:, None] for name, values in measurements.items()}
    for rows, inputs in chunks(constants, images, redshift, columns):
        for turn in turns:
            turned = {**inputs, "image": symmetry(inputs["image"], turn)}
            outputs = np.asarray(apply_network(structure, weights, turned)[0], np.float64)
            turned_mean, log_variance = loss.moments(outputs[: rows.stop - rows.start])
            mean[rows] += turned_mean
            variance[rows] += np.exp(log_variance)
    return constants.predicted(mean / len(turns), variance / len(turns), network.residual_sd)
