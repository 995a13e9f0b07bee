"""A network's weights as a plain mapping of arrays, and the structure that they belong to."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import nnx
from flax.traverse_util import flatten_dict, unflatten_dict

from clustermass.errors import InputError
from clustermass.networks.cnn import MassNetwork


def initialise(shape: tuple[int, int, int], network: Mapping[str, Any], key: jax.Array) -> tuple[nnx.GraphDef, nnx.State]:
    """Structure and initial weights of a network for images of `shape` (y, x, band); only `key` sets the weights."""
    return nnx.split(MassNetwork(shape, network, nnx.Rngs(params=key)), nnx.Param)


def flatten(state: nnx.State) -> dict[str, np.ndarray]:
    """Weights by dotted name, in the order of the names."""
    named = {".".join(map(str, path)): np.asarray(leaf) for path, leaf in flatten_dict(nnx.to_pure_dict(state)).items()}
    return dict(sorted(named.items()))


def unflatten(
    shape: tuple[int, int, int], network: Mapping[str, Any], weights: Mapping[str, np.ndarray]
) -> tuple[nnx.GraphDef, nnx.State]:
    """Structure and weights of the network that `flatten` took apart.

    Raises
    ------
    InputError
        `weights` lacks an array, or one has another shape than the network's.
    """
    structure, state = nnx.split(nnx.eval_shape(lambda: MassNetwork(shape, network, nnx.Rngs(0))), nnx.Param)
    expected = flatten_dict(nnx.to_pure_dict(state))
    filled = {}
    for path, leaf in expected.items():
        name = ".".join(map(str, path))
        if name not in weights or weights[name].shape != leaf.shape:
            found = f"shape {weights[name].shape}" if name in weights else "none"
            raise InputError(f"weights {name}: the network needs shape {leaf.shape}, the file has {found}.")
        filled[path] = jax.numpy.asarray(weights[name])
    nnx.replace_by_pure_dict(state, unflatten_dict(filled))
    return structure, state
