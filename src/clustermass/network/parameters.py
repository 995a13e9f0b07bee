"""A network's weights as a plain mapping of arrays, and the structure that they belong to."""

import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from flax import nnx
from flax.traverse_util import flatten_dict, unflatten_dict

from clustermass.errors import InputError
from clustermass.network.cnn import MassNetwork
from clustermass.network.losses import Loss


def initialise(
    shape: tuple[int, int, int], network: Mapping[str, Any], seeds: Sequence[int], loss: Loss | None = None
) -> dict[str, np.ndarray]:
    """Draw the initial weights of a network for images of `shape` (y, x, band), by dotted name, float32.

    Kernels are normal with variance 1 / fan-in (LeCun), biases 0. They are drawn with NumPy, each from `seeds` and its
    own name: the same on every device, and seconds faster than compiling JAX's generator for every shape.
    """
    weights = {}
    for path, leaf in sorted(_template(shape, network, loss)[2].items(), key=str):
        name = ".".join(map(str, path))
        rng = np.random.default_rng([*seeds, zlib.crc32(name.encode())])
        fan_in = math.prod(leaf.shape[:-1])
        kernel = leaf.ndim > 1
        weights[name] = (rng.standard_normal(leaf.shape) * fan_in**-0.5 if kernel else np.zeros(leaf.shape)).astype(
            "f4"
        )
    return weights


def _template(
    shape: tuple[int, int, int], network: Mapping[str, Any], loss: Loss | None
) -> tuple[nnx.GraphDef, nnx.State, dict[tuple[Any, ...], jax.ShapeDtypeStruct]]:
    """Structure, empty state and the shape of each array by its path."""
    structure, state = nnx.split(nnx.eval_shape(lambda: MassNetwork(shape, network, nnx.Rngs(0), loss)), nnx.Param)
    return structure, state, flatten_dict(nnx.to_pure_dict(state))


def flatten(state: nnx.State) -> dict[str, np.ndarray]:
    """Weights by dotted name, in the order of the names."""
    named = {".".join(map(str, path)): np.asarray(leaf) for path, leaf in flatten_dict(nnx.to_pure_dict(state)).items()}
    return dict(sorted(named.items()))


def unflatten(
    shape: tuple[int, int, int],
    network: Mapping[str, Any],
    weights: Mapping[str, np.ndarray],
    loss: Loss | None = None,
) -> tuple[nnx.GraphDef, nnx.State]:
    """Structure and weights of the network that `flatten` took apart.

    Raises
    ------
    InputError
        `weights` lacks an array, or one has another shape than the network's.
    """
    structure, state, expected = _template(shape, network, loss)
    filled = {}
    for path, leaf in expected.items():
        name = ".".join(map(str, path))
        if name not in weights or weights[name].shape != leaf.shape:
            found = f"shape {weights[name].shape}" if name in weights else "none"
            raise InputError(f"weights {name}: the network needs shape {leaf.shape}, the file has {found}.")
        filled[path] = jax.numpy.asarray(weights[name])
    nnx.replace_by_pure_dict(state, unflatten_dict(filled))
    return structure, state
