"""Apply a trained network to standardised images, in batches of one size, averaged over symmetries on request."""

from functools import partial

import jax
import numpy as np
from flax import nnx

from clustermass.network.augment import SYMMETRIES, symmetry

CHUNK = 64  # images a call: one compilation, and activations of a few MB


def standardised_predictions(
    structure: nnx.GraphDef, state: nnx.State, images: np.ndarray, redshift: np.ndarray, symmetric: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the standardised mass, (sample, k) float64 each.

    Parameters
    ----------
    structure, state
        The network.
    images
        (sample, y, x, band) float32, standardised.
    redshift
        (sample, k, input) float32, standardised: each image is taken at k redshifts.
    symmetric
        Average means and variances over the eight symmetries of the square.
    """
    mean, variance = (np.zeros(redshift.shape[:2]) for _ in range(2))
    turns = range(SYMMETRIES if symmetric else 1)
    for start in range(0, len(images), CHUNK):
        rows = slice(start, start + CHUNK)
        for turn in turns:
            turned = symmetry(images[rows], turn)
            some_mean, some_log_variance = _apply(structure, state, _filled(turned), _filled(redshift[rows]))
            mean[rows] += np.asarray(some_mean, np.float64)[: len(turned)]
            variance[rows] += np.exp(np.asarray(some_log_variance, np.float64)[: len(turned)])
    return mean / len(turns), variance / len(turns)


def _filled(chunk: np.ndarray) -> np.ndarray:
    """`chunk` padded with zeros to `CHUNK` rows."""
    return np.pad(chunk, [(0, CHUNK - len(chunk)), *[(0, 0)] * (chunk.ndim - 1)])


@partial(jax.jit, static_argnums=0)
def _apply(
    structure: nnx.GraphDef, state: nnx.State, images: jax.Array, redshift: jax.Array
) -> tuple[jax.Array, jax.Array]:
    model = nnx.merge(structure, state)
    features = model.features(images)[:, None]
    tiled = jax.numpy.broadcast_to(features, (*redshift.shape[:2], features.shape[-1]))
    return model.head(tiled, redshift)
