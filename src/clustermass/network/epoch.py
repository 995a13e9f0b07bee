"""One epoch of training as a compiled program: shuffle the clusters, augment the images, step through the batches."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.scipy.ndimage import map_coordinates

from clustermass.dataset.standardise import widths
from clustermass.errors import InputError
from clustermass.network.losses import Loss, weighted_mean
from clustermass.network.predict import SYMMETRIES, over_members, symmetry

if TYPE_CHECKING:
    from clustermass.config.network_models import Network, Recipe

MICRO_BATCH = 20  # largest number of samples for which a CPU computes the gradient at once
CACHE_BYTES = 1.3e6  # largest size of a chunk's maps after the first convolution; larger chunks were slower on our CPUs


class TrainingData(NamedTuple):
    """A standardised training set as JAX arrays. `inputs` maps the name of each input to an array (sample, ...).

    `mass` holds the standardised masses, and `weight` the weights of the clusters in the loss. Both are (sample,).
    """

    inputs: dict[str, jax.Array]
    mass: jax.Array
    weight: jax.Array


class Progress(NamedTuple):
    """What a training step changes: the weights, the state of the optimiser, and the running average of the weights."""

    weights: nnx.State
    optimiser: optax.OptState
    average: optax.OptState


class Program(NamedTuple):
    """Everything that an epoch is compiled from: network, loss and settings of the recipe.

    The network always gets the first `needed` side inputs. The other side inputs are measurements of the source
    detection. In each step, these measurements are replaced by zeros for a share `hidden` of the clusters, drawn at
    random. A step uses `batch` samples. Gradients are computed for `micro` samples at a time, and convolutions for
    `chunk` samples. `micro` divides `batch`, and `chunk` divides `micro`.
    """

    structure: nnx.GraphDef
    loss: Loss
    optimiser: optax.GradientTransformation
    average_decay: float
    augment: Callable[[jax.Array, jax.Array], jax.Array]
    needed: int
    hidden: float
    batch: int
    micro: int
    chunk: int

    @classmethod
    def from_config(
        cls, structure: nnx.GraphDef, loss: Loss, network: Network, recipe: Recipe, images: tuple[int, ...]
    ) -> Program:
        """Return the program for the blocks `network` and `recipe` of the configuration.

        `images` is the shape (sample, y, x, band) of the training images.
        """
        samples, ny, nx, bands = images
        batch = min(int(recipe["batch_size"]), samples)
        features = next((layer["conv"] for layer in network["layers"] if "conv" in layer), bands)
        micro, chunk = parts(batch, ny * nx * features) if jax.default_backend() == "cpu" else (batch, batch)
        needed, measured = widths(network["side_inputs"])
        steps = optimiser(recipe["optimizer"], recipe["weight_decay"], recipe.get("l2", 0.0), recipe["gradient_clip"])
        hidden, augment = network["catalogue_dropout"] if measured else 0.0, AUGMENTATIONS[recipe["augmentation"]]
        return cls(structure, loss, steps, recipe["average_decay"], augment, needed, hidden, batch, micro, chunk)


def parts(batch: int, map_size: int) -> tuple[int, int]:
    """Return how many samples a CPU processes at once for a gradient (micro-batch) and for a convolution (chunk).

    The micro-batch is the largest divisor of `batch` between 4 and `MICRO_BATCH`, or `batch` itself if there is none.
    The chunk is the largest of 4, 8, 16 and 32 that divides the micro-batch and whose maps fit into `CACHE_BYTES`, or
    the micro-batch itself if there is none. The maps of one sample have `map_size` float32 numbers.
    """
    micro = max(size for size in range(1, min(MICRO_BATCH, batch) + 1) if batch % size == 0)
    micro = micro if micro >= 4 else batch
    fitting = [2**power for power in range(2, 6) if micro % 2**power == 0 and 2**power * map_size * 4 <= CACHE_BYTES]
    return micro, max(fitting, default=micro)


@cache  # for equal settings JAX gets the same object, and therefore compiles only one program
def optimiser(optimizer: str, weight_decay: float, l2: float, gradient_clip: float) -> optax.GradientTransformation:
    """Return a recipe's optimiser for a learning rate of 1. Its updates must be multiplied by -(learning rate).

    `l2` times the sum of all squared kernel weights is added to the loss as a penalty. The gradient of loss and penalty
    is clipped to the global norm `gradient_clip`, unless `gradient_clip` is 0. ``adamw`` decays the kernels (not the
    biases) by `weight_decay` times the learning rate (Loshchilov & Hutter 2019). ``adam`` adds `weight_decay` times the
    kernels to the clipped gradient. InputError if `optimizer` is neither of these two.
    """

    def kernels(parameters: optax.Params) -> optax.Params:
        return jax.tree.map(lambda leaf: leaf.ndim > 1, parameters)

    decay = optax.add_decayed_weights(weight_decay, mask=kernels)
    steps = {"adamw": [optax.scale_by_adam(), decay], "adam": [decay, optax.scale_by_adam()]}
    if optimizer not in steps:
        raise InputError(f"recipe.optimizer: {optimizer!r} is unknown. Choose one of {', '.join(steps)}.")
    penalty = [optax.add_decayed_weights(2 * l2, mask=kernels)] if l2 else []
    clip = [optax.clip_by_global_norm(gradient_clip)] if gradient_clip else []
    return optax.chain(*penalty, *clip, *steps[optimizer])


@partial(jax.jit, static_argnums=0)
def begin(program: Program, weights: nnx.State) -> Progress:
    """Return the state of a training before its first epoch, with the initial `weights`."""
    return Progress(weights, program.optimiser.init(weights), optax.ema(program.average_decay).init(weights))


@partial(jax.jit, static_argnums=0)
def run_epoch(
    program: Program, progress: Progress, data: TrainingData, rates: jax.Array, key: jax.Array
) -> tuple[Progress, jax.Array, nnx.State]:
    """Train for one epoch, which is one pass through the shuffled training set.

    `rates` holds the learning rate of each step, (step,). The last batch is filled up with the first samples of the
    epoch, so that all steps average over the same number of samples. The random key determines order, augmentation and
    dropout. Returns the new state, the losses (step,), and the running average of the weights, corrected for its start
    at zero.
    """
    average = optax.ema(program.average_decay)
    loss_and_gradient = jax.value_and_grad(partial(batch_loss, program))
    order_key, step_key = jax.random.split(key)

    def step(progress: Progress, xs: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[Progress, jax.Array]:
        rows, rate, key = xs
        loss, gradient = accumulate(loss_and_gradient, progress.weights, data, rows.reshape(-1, program.micro), key)
        updates, optimised = program.optimiser.update(gradient, progress.optimiser, progress.weights)
        weights = jax.tree.map(lambda old, update: old - rate * update, progress.weights, updates)
        _, averaged = average.update(weights, progress.average)
        return Progress(weights, optimised, averaged), loss

    rows = shuffled(order_key, len(data.mass), len(rates), program.batch)
    progress, losses = jax.lax.scan(step, progress, (rows, rates, jax.random.split(step_key, len(rates))))
    averaged = optax.tree.bias_correction(progress.average.ema, program.average_decay, progress.average.count)
    return progress, losses, averaged


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def run_epochs(
    program: Program, progress: Progress, data: TrainingData, rates: jax.Array, keys: jax.Array
) -> tuple[Progress, jax.Array, nnx.State]:
    """Run `run_epoch` for several members. The first axis of `progress`, `rates`, `keys` and all results is `member`.

    The memory of `progress` is reused for the result, so `progress` can't be read afterwards.
    """
    return over_members(lambda progress, *member: run_epoch(program, progress, data, *member))(progress, rates, keys)


def batch_loss(program: Program, weights: nnx.State, data: TrainingData, key: jax.Array) -> jax.Array:
    """Return the weighted mean loss of the batch `data`.

    Augmentation and dropout are applied, and measured side inputs are hidden at random (`Program.hidden`).
    """
    augment_key, dropout_key = jax.random.split(key)
    network = nnx.merge(program.structure, weights)
    inputs = {**data.inputs, "image": program.augment(data.inputs["image"], augment_key)}
    side, needed = inputs["side"], program.needed
    if side.shape[-1] > needed:
        shown = jax.random.bernoulli(jax.random.fold_in(dropout_key, 1), 1 - program.hidden, (*side.shape[:-1], 1))
        inputs["side"] = jnp.concatenate([side[..., :needed], side[..., needed:] * shown], axis=-1)
    output = network(inputs, dropout_key, program.chunk)
    return weighted_mean(program.loss.terms(data.mass, output), data.weight)


def shuffled(key: jax.Array, samples: int, steps: int, batch: int) -> jax.Array:
    """Return the row numbers of all samples in random order, (step, batch).

    The last batch is filled up with the first samples in this order.
    """
    order = jax.random.permutation(key, samples)
    return order[jnp.arange(steps * batch) % samples].reshape(steps, batch)


def accumulate(
    loss_and_gradient: Callable[..., Any], weights: nnx.State, data: TrainingData, rows: jax.Array, key: jax.Array
) -> tuple[jax.Array, nnx.State]:
    """Return the mean loss of a batch and the gradient of this loss, computed one micro-batch at a time.

    `rows` (micro-batch, sample) holds the batch's row numbers in `data`. `loss_and_gradient` is a function of the
    weights, the data of a micro-batch, and a random key.
    """

    def part(total: Any, xs: tuple[jax.Array, jax.Array]) -> tuple[Any, None]:
        chosen = jax.tree.map(lambda column: column[xs[0]], data)
        return jax.tree.map(jnp.add, total, loss_and_gradient(weights, chosen, xs[1])), None

    zero = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, weights))
    total, _ = jax.lax.scan(part, zero, (rows, jax.random.split(key, len(rows))))
    return jax.tree.map(lambda value: value / len(rows), total)


def random_symmetries(images: jax.Array, key: jax.Array) -> jax.Array:
    """Return square images (sample, y, x, band), each flipped or rotated at random.

    One of the square's eight symmetries is drawn for each image: four flips, or rotations by 0, 90, 180 and 270
    degrees.
    """
    number, ny, nx, bands = images.shape
    pixels = jnp.arange(ny * nx).reshape(1, ny, nx, 1)
    sources = jnp.stack([symmetry(pixels, index).ravel() for index in range(SYMMETRIES)])
    chosen = sources[jax.random.randint(key, (number,), 0, SYMMETRIES), :, None]
    turned = jnp.take_along_axis(images.reshape(number, -1, bands), chosen, axis=1, mode="promise_in_bounds")
    return turned.reshape(images.shape)


def random_rotations(images: jax.Array, key: jax.Array) -> jax.Array:
    """Return images (sample, y, x, band), each rotated by a random angle about its centre.

    Before the rotation, each image is flipped with a probability of 1/2. Pixels are interpolated bilinearly. Beyond its
    edges, an image is continued by its mirror image.
    """
    turn_key, flip_key = jax.random.split(key)
    angle = jax.random.uniform(turn_key, (images.shape[0],), maxval=2 * jnp.pi)
    flip = jax.random.bernoulli(flip_key, shape=(images.shape[0], 1, 1, 1))
    return jax.vmap(rotate)(jnp.where(flip, images[:, ::-1], images), angle)


def rotate(image: jax.Array, angle: jax.Array) -> jax.Array:
    """Return an image (y, x, band) rotated by `angle` (rad) about its centre, from the x axis towards the y axis."""
    ny, nx, _ = image.shape
    y, x = jnp.meshgrid(jnp.arange(ny) - (ny - 1) / 2, jnp.arange(nx) - (nx - 1) / 2, indexing="ij")
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    source = [cos * y - sin * x + (ny - 1) / 2, sin * y + cos * x + (nx - 1) / 2]
    return jax.vmap(lambda band: map_coordinates(band, source, order=1, mode="reflect"), in_axes=-1, out_axes=-1)(image)


AUGMENTATIONS: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "symmetries": random_symmetries,
    "rotations": random_rotations,
    "none": lambda images, key: images,
}
