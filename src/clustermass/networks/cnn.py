"""The convolutional network: image and redshift in, mean and log-variance of the mass out."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from clustermass.errors import InputError
from clustermass.networks.convolution import block

#: what the network can be told beside the image, from redshift and exposure in s, by the name in the configuration
SIDE_INPUTS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "z": lambda redshift, _: redshift,
    "log_z": lambda redshift, _: np.log(redshift),
    "log_exposure": lambda redshift, exposure_s: np.log(exposure_s) + np.zeros_like(redshift),
}


class Block(nnx.Conv):
    """3 x 3 convolution, ReLU, 2 x 2 average pooling; see `clustermass.networks.convolution`."""

    def __init__(self, inputs: int, outputs: int, rngs: nnx.Rngs) -> None:
        super().__init__(inputs, outputs, (3, 3), rngs=rngs)
        self.code = block

    def __call__(self, images: jax.Array) -> jax.Array:
        """Turn images (sample, y, x, channel) into maps (sample, y // 2, x // 2, feature)."""
        return self.code(images, self.kernel[...], self.bias[...])


class MassNetwork(nnx.Module):
    """Three blocks [3 x 3 convolution, ReLU, 2 x 2 average pooling], then dense layers that the redshift joins.

    The order of layers, the average pooling and the redshift at the first dense layer are those of Krippendorf et al.
    (2023, section 3 and App. B). The widths are ours: their figure 3, which holds the paper's, isn't public as text.

    Parameters
    ----------
    shape
        (y, x, band) of an image.
    network
        ``channels`` (one entry a block), ``dense`` (widths of the hidden dense layers), ``dropout`` (fraction of the
        image features dropped while training), ``side_inputs`` (names in `SIDE_INPUTS`).
    rngs
        Random numbers for the initial weights.
    """

    def __init__(self, shape: tuple[int, int, int], network: Mapping[str, Any], rngs: nnx.Rngs) -> None:
        channels, dense = list(network["channels"]), list(network["dense"])
        ny, nx, bands = shape
        shrink = 2 ** len(channels)
        if min(ny, nx) < shrink:
            raise InputError(
                f"network.channels: {len(channels)} poolings need images of {shrink} pixels, not {ny}x{nx}."
            )
        self.convolutional = nnx.Sequential(*[Block(*sizes, rngs) for sizes in pairwise([bands, *channels])])
        self.dropout = nnx.Dropout(float(network["dropout"]))
        features = (ny // shrink) * (nx // shrink) * channels[-1] + len(network["side_inputs"])
        self.dense = nnx.Sequential(*_dense_layers([features, *dense, 2], rngs))

    def features(self, images: jax.Array, chunk: int | None = None) -> jax.Array:
        """Flat image features (sample, feature) of standardised images (sample, y, x, band).

        With a `chunk`, which divides the samples, so many at a time.
        """
        if chunk is None or chunk == len(images):
            return self.convolutional(images).reshape(len(images), -1)
        chunks = images.reshape(-1, chunk, *images.shape[1:])
        return jax.lax.map(self.convolutional, chunks).reshape(len(images), -1)

    def head(
        self, features: jax.Array, redshift: jax.Array, key: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Mean and log-variance (...) from features (..., feature) and standardised redshift inputs (..., input).

        `key` switches dropout on.
        """
        features = self.dropout(features, deterministic=key is None, rngs=key)
        output = self.dense(jnp.concatenate([features, redshift], axis=-1))
        return output[..., 0], output[..., 1]

    def __call__(
        self, images: jax.Array, redshift: jax.Array, key: jax.Array | None = None, chunk: int | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Mean and log-variance (sample,) of the standardised log10 M500c.

        Parameters
        ----------
        images
            (sample, y, x, band) float32, standardised.
        redshift
            (sample, input) float32, standardised.
        key
            Random key for dropout; None = no dropout.
        chunk
            As in `features`.
        """
        return self.head(self.features(images, chunk), redshift, key)


def _dense_layers(widths: list[int], rngs: nnx.Rngs) -> list[Any]:
    layers: list[Any] = []
    for inputs, outputs in pairwise(widths):
        layers += [nnx.Linear(inputs, outputs, rngs=rngs), nnx.relu]
    return layers[:-1]


def side_inputs(redshift: np.ndarray, exposure_s: np.ndarray | None, names: list[str]) -> np.ndarray:
    """Side inputs (..., input) float64 before standardisation, one column a name.

    Parameters
    ----------
    redshift
        (...), positive.
    exposure_s
        Exposure in s, positive, of a shape that fits `redshift`; needed by ``log_exposure`` only.
    names
        Of `SIDE_INPUTS`.

    Raises
    ------
    InputError
        A name is none of `SIDE_INPUTS`, or a redshift, or an exposure that is needed, isn't positive and finite.
    """
    unknown = [name for name in names if name not in SIDE_INPUTS]
    if unknown:
        raise InputError(f"network.side_inputs: {unknown[0]!r} is unknown. Choose from {', '.join(SIDE_INPUTS)}.")
    redshift = np.asarray(redshift, np.float64)
    _check_positive(redshift, "redshift")
    exposure = np.ones_like(redshift)
    if "log_exposure" in names:
        if exposure_s is None:
            raise InputError(
                "network.side_inputs: log_exposure needs the exposure of every cluster, but none is known."
            )
        exposure = np.asarray(exposure_s, np.float64)
        _check_positive(exposure, "exposure_s")
    columns = [SIDE_INPUTS[name](redshift, exposure) for name in names]
    return np.stack(columns, axis=-1) if columns else np.zeros((*redshift.shape, 0))


def _check_positive(values: np.ndarray, what: str) -> None:
    bad = np.flatnonzero(~(np.isfinite(values) & (values > 0)).ravel())
    if bad.size:
        raise InputError(
            f"{what}: {bad.size} value(s) aren't positive and finite, the first at row {bad[0]} "
            f"({values.ravel()[bad[0]]}). The network needs it of every cluster: drop the others."
        )
