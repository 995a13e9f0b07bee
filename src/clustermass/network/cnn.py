"""The convolutional network: image and side inputs in, mean and log-variance of the mass out."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from clustermass.dataset.standardise import widths
from clustermass.errors import InputError
from clustermass.network.convolution import block, max_block
from clustermass.network.losses import Likelihood, Loss


class Block(nnx.Conv):
    """3 x 3 convolution, ReLU, 2 x 2 pooling (average or max); see `clustermass.network.convolution`."""

    def __init__(self, inputs: int, outputs: int, pooling: str, rngs: nnx.Rngs) -> None:
        super().__init__(inputs, outputs, (3, 3), rngs=rngs)
        blocks = {"average": block, "max": max_block}
        if pooling not in blocks:
            raise InputError(f"network.pooling: {pooling!r} is unknown. Choose one of {', '.join(blocks)}.")
        self.code = blocks[pooling]

    def __call__(self, images: jax.Array) -> jax.Array:
        """Turn images (sample, y, x, channel) into maps (sample, y // 2, x // 2, feature)."""
        return self.code(images, self.kernel[...], self.bias[...])


class MassNetwork(nnx.Module):
    """Three blocks [3 x 3 convolution, ReLU, 2 x 2 pooling], then dense layers that the redshift joins.

    The order of layers, the average pooling and the redshift at the first dense layer are those of Krippendorf et al.
    (2023, section 3 and App. B). The widths are ours: their figure 3, which holds the paper's, isn't public as text.

    Parameters
    ----------
    shape
        (y, x, band) of an image.
    network
        ``channels`` (one entry a block), ``pooling`` (``average``, which it is where absent, or ``max``), ``dense``
        (widths of the hidden dense layers), ``dropout`` (fraction of the
        image features dropped while training), ``side_inputs`` (names in `side_inputs.SIDE_INPUTS`),
        ``catalogue_dropout`` (share of the clusters whose measured side inputs are hidden while training, so that the
        network can do without).
    rngs
        Random numbers for the initial weights.
    loss
        How many outputs there are, and the mass that they tell.
    """

    def __init__(
        self, shape: tuple[int, int, int], network: Mapping[str, Any], rngs: nnx.Rngs, loss: Loss | None = None
    ) -> None:
        channels, dense = list(network["channels"]), list(network["dense"])
        ny, nx, bands = shape
        shrink = 2 ** len(channels)
        if min(ny, nx) < shrink:
            raise InputError(
                f"network.channels: {len(channels)} poolings need images of {shrink} pixels, not {ny}x{nx}."
            )
        self.loss = loss or Likelihood()
        pooling = network.get("pooling", "average")
        self.convolutional = nnx.Sequential(*[Block(*sizes, pooling, rngs) for sizes in pairwise([bands, *channels])])
        self.dropout = nnx.Dropout(float(network["dropout"]))
        self.needed, self.measured = widths(network["side_inputs"])
        self.catalogue_dropout = float(network["catalogue_dropout"]) if self.measured else 0.0
        features = (ny // shrink) * (nx // shrink) * channels[-1] + self.needed + self.measured
        self.dense = nnx.Sequential(*_dense_layers([features, *dense, self.loss.outputs], rngs))

    def features(self, images: jax.Array, chunk: int | None = None) -> jax.Array:
        """Flat image features (sample, feature) of standardised images (sample, y, x, band).

        With a `chunk`, which divides the samples, so many at a time.
        """
        if chunk is None or chunk == len(images):
            return self.convolutional(images).reshape(len(images), -1)
        chunks = images.reshape(-1, chunk, *images.shape[1:])
        return jax.lax.map(self.convolutional, chunks).reshape(len(images), -1)

    def head(self, features: jax.Array, side: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Mean and log-variance (...) from features (..., feature) and standardised side inputs (..., input)."""
        return self.loss.moments(self._outputs(features, side, None))

    def _outputs(self, features: jax.Array, side: jax.Array, key: jax.Array | None) -> jax.Array:
        if key is not None and self.measured:
            side = self._hidden(side, jax.random.fold_in(key, 1))
        features = self.dropout(features, deterministic=key is None, rngs=key)
        return self.dense(jnp.concatenate([features, side], axis=-1))

    def _hidden(self, side: jax.Array, key: jax.Array) -> jax.Array:
        """Side inputs with the measured ones of some clusters, drawn at random, set to zero: unknown."""
        told = jax.random.bernoulli(key, 1 - self.catalogue_dropout, (*side.shape[:-1], 1))
        return jnp.concatenate([side[..., : self.needed], side[..., self.needed :] * told], axis=-1)

    def __call__(self, images: jax.Array, side: jax.Array, key: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """Mean and log-variance (sample,) of the standardised log10 M500c; parameters as for `outputs`."""
        return self.loss.moments(self.outputs(images, side, key))

    def outputs(
        self, images: jax.Array, side: jax.Array, key: jax.Array | None = None, chunk: int | None = None
    ) -> jax.Array:
        """Return what the network ends in, (sample, output): what its loss is a function of.

        Parameters
        ----------
        images
            (sample, y, x, band) float32, standardised.
        side
            (sample, input) float32, standardised side inputs.
        key
            Random key for dropout; None = no dropout.
        chunk
            As in `features`.
        """
        return self._outputs(self.features(images, chunk), side, key)


def _dense_layers(widths: list[int], rngs: nnx.Rngs) -> list[Any]:
    layers: list[Any] = []
    for inputs, outputs in pairwise(widths):
        layers += [nnx.Linear(inputs, outputs, rngs=rngs), nnx.relu]
    return layers[:-1]
