"""A network's weights as a plain mapping of arrays, the structure that they belong to, and how many there are."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from flax.traverse_util import flatten_dict, unflatten_dict

from clustermass.dataset.standardise import widths
from clustermass.errors import InputError
from clustermass.network.layers import Network

if TYPE_CHECKING:
    from clustermass.network.layers import Shape


def initialise(network: Mapping[str, Any], shape: Shape, outputs: int, seeds: Sequence[int]) -> dict[str, np.ndarray]:
    """Draw the initial weights of a network, by dotted name, float32.

    Kernels are normal with variance 1 / fan-in (LeCun), biases 0. They are drawn with NumPy, each from `seeds` and its
    own name: the same on every device, and seconds faster than compiling JAX's generator for every shape.

    Parameters
    ----------
    network
        A network's block of the configuration: `layers` and `side_inputs`.
    shape
        (y, x, band) of an image.
    outputs
        Numbers that the network ends in.
    seeds
        Whole numbers.
    """
    weights = {}
    for name, leaf in sorted(_named(_template(network, shape, outputs)[1]).items()):
        rng = np.random.default_rng([*seeds, zlib.crc32(name.encode())])
        fan_in = leaf.get_metadata().get("fan_in")
        drawn = rng.standard_normal(leaf.shape) * fan_in**-0.5 if fan_in else np.zeros(leaf.shape)
        weights[name] = drawn.astype(np.float32)
    return weights


def number_of_parameters(network: Mapping[str, Any], shape: Shape, outputs: int) -> int:
    """Weights and biases of a network; parameters as for `initialise`."""
    return sum(math.prod(leaf.shape) for leaf in _named(_template(network, shape, outputs)[1]).values())


def _template(network: Mapping[str, Any], shape: Shape, outputs: int) -> tuple[nnx.GraphDef, nnx.State]:
    """Structure and empty weights."""
    shapes = {"image": tuple(shape), "side": (sum(widths(network["side_inputs"])),)}
    return nnx.split(nnx.eval_shape(lambda: Network(network["layers"], shapes, outputs)), nnx.Param)


def _named(state: nnx.State) -> dict[str, Any]:
    return {".".join(map(str, path)): variable for path, variable in nnx.to_flat_state(state)}


def flatten(state: nnx.State) -> dict[str, np.ndarray]:
    """Weights by dotted name, in the order of the names."""
    return {name: np.asarray(variable[...]) for name, variable in sorted(_named(state).items())}


def unflatten(
    network: Mapping[str, Any], shape: Shape, outputs: int, weights: Mapping[str, np.ndarray]
) -> tuple[nnx.GraphDef, nnx.State]:
    """Structure and weights of the network that `flatten` took apart; parameters as for `initialise`.

    Raises
    ------
    InputError
        `weights` lacks an array, or one has another shape than the network's.
    """
    structure, state = _template(network, shape, outputs)
    filled = {}
    for path, leaf in flatten_dict(nnx.to_pure_dict(state)).items():
        name = ".".join(map(str, path))
        if name not in weights or weights[name].shape != leaf.shape:
            has = f"shape {weights[name].shape}" if name in weights else "none"
            raise InputError(f"weights {name}: the network needs shape {leaf.shape}, the file has {has}.")
        filled[path] = jnp.asarray(weights[name])
    nnx.replace_by_pure_dict(state, unflatten_dict(filled))
    return structure, state


def over_members(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` of one member for stacks of members: of a single one as it is, of several by `jax.vmap`."""

    def on_stacks(*stacks: Any) -> Any:
        if len(jax.tree.leaves(stacks)[0]) > 1:
            return jax.vmap(function)(*stacks)
        return jax.tree.map(lambda leaf: leaf[None], function(*jax.tree.map(lambda leaf: leaf[0], stacks)))

    return on_stacks


def stacked(members: Sequence[Any]) -> Any:
    """Stack the trees of `members` along a new first axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
