"""Blocks of a network (convolution, ReLU, 2 x 2 pooling) whose gradients are fast on a CPU.

On a CPU, the gradients that JAX derives for convolutions are slow inside `jax.lax.scan`: they would make an epoch take
14 times as long (docs/explanation/benchmarks.md). Therefore this module computes the gradients of the loss itself, as
convolutions. Let G be the gradient with respect to the output of a convolution. The gradient with respect to the images
is G convolved with the flipped kernel. The gradient with respect to the kernel is the convolution of the images with G,
where the axes of samples and channels have changed places. ReLU and average pooling are differentiated in one step,
which saves memory traffic. The values agree with JAX's own gradients except for rounding.
"""

from collections.abc import Iterator
from functools import reduce

import jax
import jax.numpy as jnp

DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def block(images: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """Return images after convolution, bias, ReLU and 2 x 2 average pooling, with gradients that are fast on a CPU.

    The images have the shape (sample, y, x, channel). The kernel has the shape (height, width, channel, feature), with
    odd height and width. The bias has the shape (feature,). All are float32. Images count as zero beyond their edges.
    Returns maps with the shape (sample, y // 2, x // 2, feature).
    """
    chosen = fast_block if jax.default_backend() == "cpu" else plain_block
    return chosen(images, kernel, bias)


def plain_block(images: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """Return the same as `block`, but with the gradients that JAX derives."""
    return average_pool(jax.nn.relu(convolution(images, kernel) + bias))


def convolution(images: jax.Array, kernel: jax.Array) -> jax.Array:
    """Return the convolution of images (sample, y, x, channel) with a kernel (height, width, channel, feature)."""
    return jax.lax.conv_general_dilated(images, kernel, (1, 1), "SAME", dimension_numbers=DIMENSIONS)


def average_pool(maps: jax.Array) -> jax.Array:
    """Return the means of maps (sample, y, x, feature) over 2 x 2 pixels. An odd last row or column is left out."""
    return sum(_quarters(maps)) / 4  # this is faster on a CPU than a windowed sum


def _quarters(maps: jax.Array) -> Iterator[jax.Array]:
    even = maps[:, : maps.shape[1] // 2 * 2, : maps.shape[2] // 2 * 2]
    return (even[:, j::2, i::2] for j in (0, 1) for i in (0, 1))


fast_block = jax.custom_vjp(plain_block)


def _forward(images: jax.Array, kernel: jax.Array, bias: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    maps = convolution(images, kernel) + bias
    return average_pool(jax.nn.relu(maps)), (images, kernel, maps > 0)


def _backward(saved: tuple[jax.Array, ...], pooled_slope: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    images, kernel, positive = saved
    slope = jnp.where(positive, _spread(pooled_slope, positive.shape), 0)
    return *_of_convolution((images, kernel), slope), slope.sum((0, 1, 2))


def _of_convolution(saved: tuple[jax.Array, jax.Array], slope: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the loss's gradients for the `saved` images and kernel. `slope` is that for the output."""
    images, kernel = saved
    of_images = convolution(slope, jnp.flip(kernel, (0, 1)).swapaxes(2, 3))
    return of_images, _of_kernel(images, slope, kernel.shape[:2])


def _spread(slope: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Return the loss's gradient for the maps, of `shape`, that were averaged. `slope` is that for the result."""
    number, ny, nx, features = slope.shape
    shared = jnp.broadcast_to(slope[:, :, None, :, None] / 4, (number, ny, 2, nx, 2, features))
    beyond = [(0, 0), (0, shape[1] - 2 * ny), (0, shape[2] - 2 * nx), (0, 0)]
    return jnp.pad(shared.reshape(number, 2 * ny, 2 * nx, features), beyond)


def _of_kernel(images: jax.Array, slope: jax.Array, size: tuple[int, ...]) -> jax.Array:
    """Return the loss's gradient for a kernel of `size` (height, width). `slope` is that for the convolved images."""
    beyond = [(side // 2, side // 2) for side in size]
    samples, weights = images.transpose(3, 1, 2, 0), slope.transpose(1, 2, 0, 3)  # channels as samples
    gradient = jax.lax.conv_general_dilated(samples, weights, (1, 1), beyond, dimension_numbers=DIMENSIONS)
    return gradient.transpose(1, 2, 0, 3)


fast_block.defvjp(_forward, _backward)
fast_convolution = jax.custom_vjp(convolution)
fast_convolution.defvjp(lambda images, kernel: (convolution(images, kernel), (images, kernel)), _of_convolution)


def same_convolution(images: jax.Array, kernel: jax.Array) -> jax.Array:
    """Return the same as `convolution`, with gradients that are fast on a CPU."""
    chosen = fast_convolution if jax.default_backend() == "cpu" else convolution
    return chosen(images, kernel)


def max_block(images: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """Return the same as `block`, but with the maximum of each square of 2 x 2 pixels instead of the mean."""
    # equal to pooling after ReLU, but here ReLU acts on only a quarter of the pixels
    return jax.nn.relu(reduce(jnp.maximum, _quarters(same_convolution(images, kernel) + bias)))
