"""How the mass that a network predicts depends on its inputs: derivatives, and shares by integrated gradients."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from flax import nnx

from clustermass.dataset.standardise import widths
from clustermass.network.layers import PHI
from clustermass.network.losses import loss_of_recipe
from clustermass.network.predict import SYMMETRIES, symmetry, unflatten

if TYPE_CHECKING:
    from clustermass.arrays import FloatArray
    from clustermass.network.losses import Loss
    from clustermass.network.predict import TrainedNetwork

#: number of steps of the integral from the blank input to the cluster's
STEPS = 32


class Attribution(NamedTuple):
    """A predicted log10(M500c / Msun) as a sum: `blank` + all of `image` + all of `side` + the integral's error."""

    mass: float  #: predicted for the cluster
    blank: float  #: predicted for the blank image and mean side inputs
    image: FloatArray  #: share of each pixel in dex, (y, x, band)
    side: FloatArray  #: share of each side input in dex, in the order of `standardise.ordered`, (input,)


def attribute(
    network: TrainedNetwork,
    image: np.ndarray,
    blank: np.ndarray,
    redshift: float,
    measurements: Mapping[str, float],
) -> Attribution:
    """Return the shares of the inputs in the mass that a network predicts for one cluster.

    `image` and `blank` (y, x, band) are preprocessed like the training images. The share of an input x with the blank
    value b is

        (x - b) times the mean of d(log10 M) / dx on the straight line from all blank inputs to all inputs

    (integrated gradients; Sundararajan, Taly & Yan 2017). The blank value of a side input is its mean over the training
    clusters. A conditioned network gets phi0. Like predictions, shares are averages over the square's symmetries if the
    recipe has `symmetric_prediction`.
    """
    constants, (start, end) = network.standardisation, network.standardisation.images(np.stack([blank, image]))
    side = _standard_side(network, redshift, measurements)
    mean = np.zeros_like(side)
    needed, measured = widths(constants.side_names)
    if measured:
        mean[-1] = side[-1]  # whether there are measurements
    along = np.concatenate([[0.0], (np.arange(STEPS) + 0.5) / STEPS, [1.0]]).astype(np.float32)
    inputs = {
        "image": start + along[:, None, None, None] * (end - start),
        "side": mean + along[:, None] * (side - mean),
    }
    means, of_image, of_side = _mean_slopes(network, inputs)
    shares = (end - start) * of_image[1:-1].mean(axis=0), ((side - mean) * of_side[1:-1].mean(axis=0))
    first, last = constants.mass_mean + constants.mass_sd * means[[0, -1]]
    of_inputs = shares[1][: needed + measured - bool(measured)]
    return Attribution(float(last), float(first), constants.mass_sd * shares[0], constants.mass_sd * of_inputs)


def mass_slope(
    network: TrainedNetwork, image: np.ndarray, redshift: float, measurements: Mapping[str, float]
) -> tuple[float, FloatArray]:
    """Return log10(M500c / Msun) of a cluster, and its derivative by each pixel of the image, float64 (y, x, band).

    The arguments are those of `attribute`. The absolute value of the derivative is the saliency of Ho et al. (2023).
    """
    constants, side = network.standardisation, _standard_side(network, redshift, measurements)
    inputs = {"image": constants.images(image[None]), "side": side[None]}
    mean, of_image, _ = _mean_slopes(network, inputs)
    slope = constants.mass_sd * of_image[0] / np.asarray(constants.image_sd)
    return float(constants.mass_mean + constants.mass_sd * mean[0]), slope


def _standard_side(network: TrainedNetwork, redshift: float, measurements: Mapping[str, float]) -> np.ndarray:
    """Return the standardised side inputs of one cluster, (input,)."""
    one = {name: np.array([value]) for name, value in measurements.items()}
    return network.standardisation.side(np.array([redshift]), one)[0]


def _mean_slopes(
    network: TrainedNetwork, inputs: Mapping[str, np.ndarray]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the standardised masses of standardised `inputs`, and their derivatives by images and side inputs.

    All three are float64. They are averages over the square's symmetries if the recipe has `symmetric_prediction`. A
    conditioned network gets phi0.
    """
    parameters = len(network.prior.names) if network.prior else 0
    loss = loss_of_recipe(network.recipe)
    structure, weights = unflatten(network.network, network.shape, loss.outputs, network.weights, parameters)
    number, height, width = inputs["image"].shape[:3]
    given = {**inputs} | ({PHI: np.zeros((number, parameters), np.float32)} if parameters else {})
    places = np.arange(height * width).reshape(1, height, width, 1)
    turns = range(SYMMETRIES if network.recipe["symmetric_prediction"] else 1)
    found = [_slopes(structure, loss, weights, given, np.asarray(symmetry(places, turn)).ravel()) for turn in turns]
    means, of_image, of_side = (np.mean([np.asarray(one[part], float) for one in found], axis=0) for part in range(3))
    return means, of_image, of_side


@partial(jax.jit, static_argnums=(0, 1))
def _slopes(
    structure: nnx.GraphDef, loss: type[Loss], weights: nnx.State, inputs: Mapping[str, Any], order: Any
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return the standardised masses of samples, (sample,), and their derivatives by the images and by the side inputs.

    The network sees the images with their pixels in another `order`, which is a symmetry of the square.
    """

    def total(image: jax.Array, side: jax.Array) -> tuple[jax.Array, jax.Array]:
        pixels = image.reshape(image.shape[0], -1, image.shape[-1])[:, order].reshape(image.shape)
        outputs = nnx.merge(structure, weights)({**inputs, "image": pixels, "side": side})
        mean = loss().moments(outputs)[0]
        return mean.sum(), mean

    (_, mean), slopes = jax.value_and_grad(total, argnums=(0, 1), has_aux=True)(inputs["image"], inputs["side"])
    return mean, *slopes
