"""Validation loss of the members of a job after an epoch; the validation set stays on the device."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from clustermass.networks.epochs import over_members
from clustermass.networks.losses import Loss
from clustermass.networks.prediction import CHUNK
from clustermass.networks.standardisation import Standardisation
from clustermass.networks.subsets import Subset


class Validation:
    """Mean loss of a validation set, not weighted, of the images as they are.

    Parameters
    ----------
    structure, constants, loss
        Of the network, of its training set, and what it is trained with.
    offset
        Added to the loss.
    val
        The validation set.
    """

    def __init__(
        self, structure: nnx.GraphDef, constants: Standardisation, loss: Loss, offset: float, val: Subset
    ) -> None:
        self._structure, self._loss, self._offset = structure, loss, offset
        side = constants.side(val.redshift, val.facts)
        self._inputs = _in_chunks(constants.images(val.images)), _in_chunks(side)
        self._truth = (np.asarray(val.log10_m500c, np.float64) - constants.mass_mean) / constants.mass_sd

    def losses(self, states: nnx.State) -> np.ndarray:
        """Loss (member,) float64 of the stacked weights `states`; not finite where a network has run away."""
        outputs = np.asarray(_apply(self._structure, states, *self._inputs), np.float64)
        outputs = outputs.reshape(len(outputs), -1, self._loss.outputs)[:, : len(self._truth)]
        truth = np.broadcast_to(self._truth, outputs.shape[:2])
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(self._loss.terms(truth, outputs).mean(axis=1) + self._offset)


def _in_chunks(columns: np.ndarray) -> jax.Array:
    """Cut rows into parts of `CHUNK`, the last filled up with zeros: (part, CHUNK, ...)."""
    missing = -len(columns) % CHUNK
    padded = np.pad(columns, [(0, missing), *[(0, 0)] * (columns.ndim - 1)])
    return jnp.asarray(padded.reshape(len(padded) // CHUNK, CHUNK, *columns.shape[1:]))


@partial(jax.jit, static_argnums=0)
def _apply(structure: nnx.GraphDef, states: nnx.State, images: jax.Array, side: jax.Array) -> jax.Array:
    """Return outputs (member, part, CHUNK, output)."""

    def outputs(state: nnx.State) -> jax.Array:
        model = nnx.merge(structure, state)
        return jax.lax.map(lambda part: model.outputs(*part), (images, side))

    return jnp.asarray(over_members(outputs)(states))
