"""The kinds of layers of networks, and the network that applies a list of layers.

The list `network.<name>.layers` of the configuration has one entry for each layer. The first key of an entry is the
kind of the layer. The docstring of each class states the entry for its kind.

To add a kind, write a class similar to those here and add it to `LAYERS` (docs/explanation/architecture.md lists the
other places):

- The arguments of the class are the shape of what the layer acts on (without the sample axis) and the options of the
  entry.
- A layer is called with three arguments: the result of the layer before it, a dict with all inputs of the network, and
  a random key. There is no dropout if the key is None.
- The attribute `of_maps` is True if a layer acts on maps, False if it acts on one vector of features for each sample,
  and None if it can act on both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import jax
import jax.numpy as jnp
from flax import nnx

from clustermass import limits
from clustermass.errors import InputError
from clustermass.network.convolution import block, max_block, same_convolution

if TYPE_CHECKING:
    from clustermass.config.network_models import Layer

Shape: TypeAlias = tuple[int, ...]
Inputs: TypeAlias = Mapping[str, jax.Array]
Key: TypeAlias = jax.Array | None
#: name of the input with the standardised parameters of the physics
PHI = "phi"
ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh, "gelu": jax.nn.gelu, "none": lambda maps: maps}
POOLS = {"average": nnx.avg_pool, "max": nnx.max_pool}
#: functions that do a convolution and 2 x 2 pooling in one step, by the kind of pooling
POOLED_BLOCKS = {"average": block, "max": max_block}
#: names of the axes of images, kernels and maps, by the number of axes of an image
DIMENSIONS = {2: ("NHWC", "HWIO", "NHWC"), 3: ("NDHWC", "DHWIO", "NDHWC")}


class Convolution(nnx.Module):
    """Convolution along the 2 or 3 axes of pixels: `conv: <features>`, with the options below.

    The options and their defaults are `kernel: 3, stride: 1, padding: same, activation: relu`. If `pooled` names a kind
    of pooling (a key of `POOLED_BLOCKS`), the layer includes 2 x 2 pooling of this kind; see
    `clustermass.network.convolution`.
    """

    of_maps = True

    def __init__(self, shape: Shape, conv: int, kernel: int = 3, pooled: str | None = None, **window: Any) -> None:
        *axes, channels = shape
        self.stride, self.padding, self.activation = _window(**window)
        self.pooled, self.bias = pooled, nnx.Param(jnp.zeros(conv))
        self.kernel = _kernel((*[kernel] * len(axes), channels, conv))

    def __call__(self, maps: jax.Array, inputs: Inputs, key: Key) -> jax.Array:
        """Turn maps (sample, y, x, channel) into maps (sample, y', x', feature)."""
        kernel, bias = self.kernel[...], self.bias[...]
        if self.pooled:
            return POOLED_BLOCKS[self.pooled](maps, kernel, bias)
        axes = maps.ndim - 2
        if _is_plain(axes, kernel.shape[0], self.stride, self.padding):
            made = same_convolution(maps, kernel)
        else:
            strides, padding = [self.stride] * axes, self.padding.upper()
            made = jax.lax.conv_general_dilated(maps, kernel, strides, padding, dimension_numbers=DIMENSIONS[axes])
        return ACTIVATIONS[self.activation](made + bias)


class LocallyConnected(nnx.Module):
    """Convolution with a separate kernel for each pixel: `local: <features>`, with the options of `Convolution`."""

    of_maps = True

    def __init__(self, shape: Shape, local: int, kernel: int = 3, **window: Any) -> None:
        ny, nx, channels = shape
        self.size, (self.stride, self.padding, self.activation) = kernel, _window(**window)
        left = 0 if self.padding == "same" else kernel - 1
        sides = [-(-(side - left) // self.stride) for side in (ny, nx)]
        self.kernel = _kernel((*sides, kernel**2 * channels, local), kernel**2 * channels)
        self.bias = nnx.Param(jnp.zeros(local))

    def __call__(self, maps: jax.Array, inputs: Inputs, key: Key) -> jax.Array:
        """Turn maps (sample, y, x, channel) into maps (sample, y', x', feature)."""
        strides, size = [self.stride] * 2, [self.size] * 2
        made = jax.lax.conv_general_dilated_local(
            maps, self.kernel[...], strides, self.padding.upper(), size, dimension_numbers=DIMENSIONS[2]
        )
        return ACTIVATIONS[self.activation](made + self.bias[...])


class Pool(nnx.Module):
    """Mean or maximum of windows of pixels: `pool: average` or `pool: max`, with the options `size` and `stride`.

    The default of `size` is 2, and the default of `stride` is `size`. Pixels at the far edges that don't fill a window
    are left out.
    """

    of_maps = True

    def __init__(self, shape: Shape, pool: str, size: int = 2, stride: int | None = None) -> None:
        self.kind, self.size, self.stride = _one_of(POOLS, pool), size, stride or size

    def __call__(self, maps: jax.Array, inputs: Inputs, key: Key) -> jax.Array:
        """Turn maps (sample, y, x, channel) into maps (sample, y', x', channel)."""
        axes = maps.ndim - 2
        return POOLS[self.kind](maps, (self.size,) * axes, (self.stride,) * axes)


class GlobalPool(nnx.Module):
    """Mean or maximum of each channel over all pixels: `global_pool: average` or `global_pool: max`."""

    of_maps = True

    def __init__(self, shape: Shape, global_pool: str) -> None:
        self.kind = _one_of(POOLS, global_pool)

    def __call__(self, maps: jax.Array, inputs: Inputs, key: Key) -> jax.Array:
        """Turn maps (sample, y, x, channel) into features (sample, channel)."""
        axes = tuple(range(1, maps.ndim - 1))
        return maps.mean(axes) if self.kind == "average" else maps.max(axes)


class Flatten(nnx.Module):
    """Puts all pixels of all maps into one vector: `flatten: true`."""

    of_maps = True

    def __init__(self, shape: Shape, flatten: bool) -> None:
        pass

    def __call__(self, maps: jax.Array, inputs: Inputs, key: Key) -> jax.Array:
        """Turn maps (sample, y, x, channel) into features (sample, y * x * channel)."""
        return maps.reshape(len(maps), -1)


class Dense(nnx.Module):
    """Dense layer: `dense: <features>`, with the option `activation` (default `relu`)."""

    of_maps = False

    def __init__(self, shape: Shape, dense: int, activation: str = "relu") -> None:
        self.activation = _one_of(ACTIVATIONS, activation)
        self.kernel, self.bias = _kernel((shape[-1], dense)), nnx.Param(jnp.zeros(dense))

    def __call__(self, features: jax.Array, inputs: Inputs, key: Key) -> jax.Array:
        """Turn features (..., input) into features (..., output)."""
        return ACTIVATIONS[self.activation](features @ self.kernel[...] + self.bias[...])


class Dropout(nnx.Module):
    """Sets features to zero at random in training, and scales up the others: `dropout: <probability>`."""

    of_maps = None

    def __init__(self, shape: Shape, dropout: float) -> None:
        self.share = float(dropout)

    def __call__(self, features: jax.Array, inputs: Inputs, key: Key) -> jax.Array:
        """Return the features after dropout. Their shape is unchanged."""
        return nnx.Dropout(self.share)(features, deterministic=key is None, rngs=key)


class Join(nnx.Module):
    """Appends an input of the network, such as the side inputs, to the features: `join: <name of the input>`.

    If the network has the input ``phi`` (sample, parameter), it is appended, too.

    The input has the shape (sample, ..., column). Further axes, such as one for several redshifts of each cluster, may
    lie between the first and the last axis. The features are repeated along these further axes.
    """

    of_maps = False

    def __init__(self, shape: Shape, join: str) -> None:
        self.name = join

    def __call__(self, features: jax.Array, inputs: Inputs, key: Key) -> jax.Array:
        """Turn features (sample, feature) into features (sample, ..., feature + column)."""
        if self.name not in inputs:
            raise InputError(f"network.layers: join {self.name!r}: no such input. Choose from {', '.join(inputs)}.")
        joined = inputs[self.name]
        features = features.reshape(len(features), *[1] * (joined.ndim - features.ndim), features.shape[-1])
        features = jnp.broadcast_to(features, (*joined.shape[:-1], features.shape[-1]))
        parts = [features, joined]
        if PHI in inputs:
            phi = inputs[PHI].reshape(len(joined), *[1] * (joined.ndim - 2), -1)
            parts.append(jnp.broadcast_to(phi, (*joined.shape[:-1], phi.shape[-1])))
        return jnp.concatenate(parts, axis=-1)


#: classes of the layers by their kinds, which are the first keys of entries in the configuration
LAYERS: dict[str, type[nnx.Module]] = {
    "conv": Convolution,
    "local": LocallyConnected,
    "pool": Pool,
    "global_pool": GlobalPool,
    "flatten": Flatten,
    "dense": Dense,
    "dropout": Dropout,
    "join": Join,
}


class Network(nnx.Module):
    """A network: the list `layers`, and after it a dense layer with `outputs` features and without activation.

    `shapes` maps each input of the network to its shape without the sample axis. The first layer is applied to the
    input ``image`` (y, x, band). In the names of weights, the layers that act on maps are `convolutional.layers.0`, 1,
    2 and so on. The others are `dense.layers.0`, 2, 4 and so on. InputError if a layer is unknown or in the wrong
    place, or if an image takes more multiplications than `limits.MULTIPLICATIONS`.
    """

    def __init__(self, layers: Sequence[Layer], shapes: Mapping[str, Shape], outputs: int) -> None:
        self.convolutional, self.dense, self.others = (nnx.Dict(layers=nnx.Dict()) for _ in range(3))
        inputs, joins = {name: jax.ShapeDtypeStruct((1, *shape), jnp.float32) for name, shape in shapes.items()}, 0
        now, order, leading, multiplications, self.of_maps = inputs["image"], [], True, 0, 0
        last: Layer = {"dense": outputs, "activation": "none"}
        for options in [*_fused(layers, len(shapes["image"]) - 1), last]:
            layer = _built(options, now.shape[1:])
            multiplications += _multiplications(layer, now.shape[1:])
            limits.MULTIPLICATIONS.check(multiplications, "network.layers")
            now = jax.eval_shape(lambda maps, inputs, layer=layer: layer(maps, inputs, None), now, inputs)
            if not math.prod(now.shape[1:]):
                ny, nx = shapes["image"][:2]
                raise InputError(
                    f"network.layers: nothing is left of images of {ny} x {nx} pixels after the layer "
                    f"{dict(options)}. Leave out a layer, or use smaller pixels."
                )
            weighted = bool(jax.tree.leaves(nnx.state(layer, nnx.Param)))
            group = ("convolutional" if layer.of_maps else "dense") if weighted else "others"
            members = getattr(self, group).layers
            number = str(len(members) * (2 if group == "dense" else 1))
            members[number] = layer
            order.append((group, number))
            joins += isinstance(layer, Join)
            leading = leading and now.ndim > 2 and not isinstance(layer, Dropout)
            self.of_maps += leading
        self.order = tuple(order)
        if PHI in shapes and joins != 1:
            raise InputError(f"network.layers: a conditioned network needs one layer `join: side`, but has {joins}.")

    def __call__(self, inputs: Inputs, key: Key = None, chunk: int | None = None) -> jax.Array:
        """Return the outputs of the network, (sample, ..., output).

        `inputs` maps names to standardised inputs, float32 (sample, ...). `key` is a random key for dropout; without
        it, there is no dropout. Layers that act on maps process `chunk` samples at once, or all samples if `chunk` is
        None. The number of samples must be a multiple of `chunk`.
        """
        layers = [getattr(self, group).layers[number] for group, number in self.order]

        def apply(maps: jax.Array) -> jax.Array:
            return reduce(lambda made, layer: layer(made, inputs, None), layers[: self.of_maps], maps)

        images, dropouts = inputs["image"], 0
        if chunk is None or chunk == len(images):
            features = jnp.asarray(apply(images))
        else:
            made = jax.lax.map(apply, images.reshape(-1, chunk, *images.shape[1:]))
            features = made.reshape(-1, *made.shape[2:])
        for layer in layers[self.of_maps :]:
            further = key is not None and dropouts > 0
            features = layer(features, inputs, jax.random.fold_in(key, 1 + dropouts) if further else key)
            dropouts += isinstance(layer, Dropout)
        return features

    def of_draws(self, inputs: Inputs, draws: jax.Array) -> jax.Array:
        """Return the outputs for many draws of the input ``phi``, (sample, ..., draw, output), without dropout.

        `inputs` are all other inputs, and `draws` (draw, parameter) the values of ``phi``. The first dense layer is
        linear in ``phi``. Therefore everything before it, and its product with the other features, is computed once.
        """
        layers = [getattr(self, group).layers[number] for group, number in self.order]
        join = next(number for number, layer in enumerate(layers) if isinstance(layer, Join))
        first = next(number for number in range(join, len(layers)) if isinstance(layers[number], Dense))
        features = reduce(lambda made, layer: layer(made, inputs, None), layers[:first], inputs["image"])
        dense, parameters = layers[first], draws.shape[-1]
        kernel, bias = dense.kernel[...], dense.bias[...]
        fixed, varied = features @ kernel[:-parameters] + bias, draws @ kernel[-parameters:]
        made = ACTIVATIONS[dense.activation](fixed[..., None, :] + varied)
        return jnp.asarray(reduce(lambda made, layer: layer(made, inputs, None), layers[first + 1 :], made))


def _built(options: Layer, shape: Shape) -> Any:
    kind = next(iter(options), "")
    if kind not in LAYERS:
        raise InputError(f"network.layers: {kind!r} is no kind of layer. Choose from {', '.join(LAYERS)}.")
    of_maps = LAYERS[kind].of_maps
    if of_maps is not None and of_maps != (len(shape) > 1):
        wanted = "before flatten or global_pool" if of_maps else "after flatten or global_pool"
        raise InputError(f"network.layers: {dict(options)} is in the wrong place: it must come {wanted}.")
    try:
        return LAYERS[kind](shape, **options)
    except (TypeError, ValueError, KeyError) as error:
        raise InputError(f"network.layers: {dict(options)}: {error}") from error


def _multiplications(layer: nnx.Module, shape: Shape) -> int:
    """Return at most how many numbers a layer multiplies, or compares, for one input of `shape`."""
    weights = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(nnx.state(layer, nnx.Param)))
    if isinstance(layer, Pool):
        return math.prod(shape) * layer.size ** (len(shape) - 1)
    return int(weights) * (math.prod(shape[:-1]) if isinstance(layer, Convolution) else 1)


def _fused(layers: Sequence[Layer], axes: int) -> list[Layer]:
    """Return `layers`, with convolution and pooling as one entry where `POOLED_BLOCKS` has a function."""
    joined: list[Layer] = []
    for layer in layers:
        before: Layer = joined[-1] if joined else {}
        pools = layer.get("pool") in POOLED_BLOCKS and layer.get("size", 2) == 2 == layer.get("stride", 2)
        plain = _is_plain(axes, before.get("kernel", 3), before.get("stride", 1), before.get("padding", "same"))
        if pools and plain and "conv" in before and before.get("activation", "relu") == "relu":
            joined[-1] = cast("Layer", {**before, "pooled": layer["pool"]})
        else:
            joined.append(layer)
    return joined


def _is_plain(axes: int, kernel: int, stride: int, padding: str) -> bool:
    """Return whether `clustermass.network.convolution` has fast gradients for such a convolution."""
    return axes == 2 and kernel % 2 == 1 and stride == 1 and padding == "same"


def _window(stride: int = 1, padding: str = "same", activation: str = "relu") -> tuple[int, str, str]:
    return stride, padding, _one_of(ACTIVATIONS, activation)


def _one_of(choices: Mapping[str, Any], word: str) -> str:
    if word not in choices:
        raise ValueError(f"{word!r} is none of {', '.join(choices)}")
    return word


def _kernel(shape: Shape, fan_in: int | None = None) -> nnx.Param[jax.Array]:
    """Return a kernel of zeros, for which `initialise` draws values of variance 1 / `fan_in`.

    `fan_in` is the number of inputs to each output: by default, the product of all axes but the last.
    """
    return nnx.Param(jnp.zeros(shape), fan_in=fan_in or math.prod(shape[:-1]))
