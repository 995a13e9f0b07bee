"""What is drawn anew in each step of training: flips and turns of images, and which measurements are hidden."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

SYMMETRIES = 8


def symmetry(images: jax.Array, index: int) -> jax.Array:
    """Turn or flip all of `images` (sample, y, x, band; square) by the symmetry `index` of 0..7; 0 changes nothing."""
    images = images[:, ::-1] if index & 1 else images
    images = images[:, :, ::-1] if index & 2 else images
    return images.swapaxes(1, 2) if index & 4 else images


def random_symmetries(images: jax.Array, key: jax.Array) -> jax.Array:
    """Give each of `images` (sample, y, x, band; square) one of the eight flips and quarter turns at random."""
    number, ny, nx, bands = images.shape
    pixels = jnp.arange(ny * nx).reshape(1, ny, nx, 1)
    sources = jnp.stack([symmetry(pixels, index).ravel() for index in range(SYMMETRIES)])
    chosen = sources[jax.random.randint(key, (number,), 0, SYMMETRIES), :, None]
    turned = jnp.take_along_axis(images.reshape(number, -1, bands), chosen, axis=1, mode="promise_in_bounds")
    return turned.reshape(images.shape)


def random_rotations(images: jax.Array, key: jax.Array) -> jax.Array:
    """Turn each of `images` (sample, y, x, band) by a random angle about its centre, half of them flipped.

    Bilinear interpolation; beyond its edge the image goes on as its mirror image.
    """
    turn_key, flip_key = jax.random.split(key)
    angle = jax.random.uniform(turn_key, (images.shape[0],), maxval=2 * jnp.pi)
    flip = jax.random.bernoulli(flip_key, shape=(images.shape[0], 1, 1, 1))
    return jax.vmap(rotate)(jnp.where(flip, images[:, ::-1], images), angle)


def rotate(image: jax.Array, angle: jax.Array) -> jax.Array:
    """Turn `image` (y, x, band) by `angle` (rad) about its centre, from the x axis towards the y axis."""
    ny, nx, _ = image.shape
    y, x = jnp.meshgrid(jnp.arange(ny) - (ny - 1) / 2, jnp.arange(nx) - (nx - 1) / 2, indexing="ij")
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    source = [cos * y - sin * x + (ny - 1) / 2, sin * y + cos * x + (nx - 1) / 2]
    return jax.vmap(lambda band: map_coordinates(band, source, order=1, mode="reflect"), in_axes=-1, out_axes=-1)(image)


def unchanged(images: jax.Array, key: jax.Array) -> jax.Array:
    """Return `images` as they are."""
    return images


def hide_measured(side: jax.Array, needed: int, share: float, key: jax.Array) -> jax.Array:
    """Set the measured side inputs of a share of the clusters, drawn at random, to zero: unknown.

    Parameters
    ----------
    side
        (sample, input), standardised; the first `needed` inputs are left as they are.
    """
    shown = jax.random.bernoulli(key, 1 - share, (*side.shape[:-1], 1))
    return jnp.concatenate([side[..., :needed], side[..., needed:] * shown], axis=-1)


AUGMENTATIONS: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "symmetries": random_symmetries,
    "rotations": random_rotations,
    "none": unchanged,
}
