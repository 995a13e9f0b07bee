"""Validation loss of the members of a job after an epoch; the validation set stays on the device."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from clustermass.networks.epochs import over_members
from clustermass.networks.prediction import CHUNK
from clustermass.networks.standardisation import Standardisation
from clustermass.networks.subsets import Subset


class Validation:
    """Mean negative log-likelihood of a validation set (Eq. 1 for log10 M500c, in nats), of the images as they are.

    Parameters
    ----------
    structure, constants
        Of the network, and of its training set.
    val
        The validation set.
    """

    def __init__(self, structure: nnx.GraphDef, constants: Standardisation, val: Subset) -> None:
        self._structure = structure
        side = constants.side(val.redshift, val.facts)
        self._inputs = _in_chunks(constants.images(val.images)), _in_chunks(side)
        self._truth = (np.asarray(val.log10_m500c, np.float64) - constants.mass_mean) / constants.mass_sd
        self._log_scale = math.log(constants.mass_sd)

    def losses(self, states: nnx.State) -> np.ndarray:
        """Loss (member,) float64 of the stacked weights `states`; not finite where a network has run away."""
        outputs = (np.asarray(part, np.float64) for part in _apply(self._structure, states, *self._inputs))
        mean, log_variance = (part.reshape(len(part), -1)[:, : len(self._truth)] for part in outputs)
        with np.errstate(over="ignore", invalid="ignore"):
            terms = log_variance + (self._truth - mean) ** 2 * np.exp(-log_variance)
            return np.asarray(terms.mean(axis=1) / 2 + self._log_scale)


def _in_chunks(columns: np.ndarray) -> jax.Array:
    """Cut rows into parts of `CHUNK`, the last filled up with zeros: (part, CHUNK, ...)."""
    missing = -len(columns) % CHUNK
    padded = np.pad(columns, [(0, missing), *[(0, 0)] * (columns.ndim - 1)])
    return jnp.asarray(padded.reshape(-1, CHUNK, *columns.shape[1:]))


@partial(jax.jit, static_argnums=0)
def _apply(
    structure: nnx.GraphDef, states: nnx.State, images: jax.Array, redshift: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Mean and log-variance (member, part, CHUNK)."""

    def predict(state: nnx.State) -> tuple[jax.Array, jax.Array]:
        model = nnx.merge(structure, state)
        return jax.lax.map(lambda part: model(*part), (images, redshift))

    return over_members(predict)(states)
