"""One epoch of training as a single compiled program: shuffle, augment, step through the batches.

One member by `run_epoch`; several, stacked along a first axis, by `run_epochs`.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from clustermass.dataset.standardise import Standardisation
from clustermass.dataset.training_data import Subset
from clustermass.network.augment import AUGMENTATIONS
from clustermass.network.losses import weighted_mean
from clustermass.network.optimiser import optimiser

MICRO_BATCH = 20  # samples at a time on a CPU; gradients add up to those of the batch
CACHE_BYTES = 1.3e6  # of the largest map of a chunk of samples: what stays fast on the CPUs that we measured


class TrainingData(NamedTuple):
    """A training set on the device, standardised: images (sample, y, x, band), side (sample, input), (sample,)."""

    images: jax.Array
    side: jax.Array
    mass: jax.Array
    weight: jax.Array


class Progress(NamedTuple):
    """What a step changes: weights, the optimiser's memory and the running average of the weights."""

    state: nnx.State
    optimiser: optax.OptState
    average: optax.OptState


class Settings(NamedTuple):
    """What of a recipe goes into the compiled program; `micro` divides `batch`, and `chunk` divides `micro`."""

    optimizer: str
    weight_decay: float
    gradient_clip: float
    average_decay: float
    augmentation: str
    batch: int
    micro: int
    chunk: int

    @classmethod
    def of(
        cls, recipe: Mapping[str, Any], network: Mapping[str, Any], shape: tuple[int, ...], samples: int
    ) -> "Settings":
        """Pick them from `recipe`, for `samples` images of `shape` to train on; batches in parts on a CPU only."""
        batch = min(int(recipe["batch_size"]), samples)
        map_size = shape[0] * shape[1] * network["channels"][0]
        micro, chunk = parts(batch, map_size) if jax.default_backend() == "cpu" else (batch, batch)
        chosen = {name: recipe[name] for name in cls._fields[:5]}
        return cls(**chosen, batch=batch, micro=micro, chunk=chunk)


def parts(batch: int, map_size: int) -> tuple[int, int]:
    """Count the samples of a micro-batch, and of a chunk that goes through the convolutions at once.

    The first is the largest divisor of `batch` up to `MICRO_BATCH`, the second the largest power of two that divides it
    and whose maps of `map_size` float32 numbers fit `CACHE_BYTES`; where that is below 4, nothing is taken apart.
    """
    micro = max(size for size in range(1, min(MICRO_BATCH, batch) + 1) if batch % size == 0)
    micro = micro if micro >= 4 else batch
    fitting = [2**power for power in range(2, 6) if micro % 2**power == 0 and 2**power * map_size * 4 <= CACHE_BYTES]
    return micro, max(fitting, default=micro)


@partial(jax.jit, static_argnums=1)
def begin(state: nnx.State, settings: Settings) -> Progress:
    """Set up the progress before the first epoch."""
    optimise, average = optimiser(settings._asdict()), optax.ema(settings.average_decay)
    return Progress(state, optimise.init(state), average.init(state))


@partial(jax.jit, static_argnums=(0, 1))
def run_epoch(
    structure: nnx.GraphDef,
    settings: Settings,
    progress: Progress,
    data: TrainingData,
    rates: jax.Array,
    key: jax.Array,
) -> tuple[Progress, jax.Array, nnx.State]:
    """Go once through the shuffled training set.

    Parameters
    ----------
    structure, settings
        Fix the program; the same pair isn't compiled twice.
    progress
        Of the epoch before.
    data
        The training set.
    rates
        Learning rate (step,) of each step. Where the batches are more than the samples, the last one is filled up with
        the first samples of the epoch, so that every step averages over equally many.
    key
        Random key of order, augmentation and dropout.

    Returns
    -------
    tuple
        Progress, loss (step,) of each step, and the averaged weights without their bias towards zero.
    """
    optimise, average = optimiser(settings._asdict()), optax.ema(settings.average_decay)
    slope_of = jax.value_and_grad(partial(_loss, structure, AUGMENTATIONS[settings.augmentation], settings.chunk))
    order_key, step_key = jax.random.split(key)

    def step(progress: Progress, xs: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[Progress, jax.Array]:
        rows, rate, key = xs
        loss, slope = accumulate(slope_of, progress.state, data, rows.reshape(-1, settings.micro), key)
        updates, optimised = optimise.update(slope, progress.optimiser, progress.state)
        state = jax.tree.map(lambda old, update: old - rate * update, progress.state, updates)
        _, averaged = average.update(state, progress.average)
        return Progress(state, optimised, averaged), loss

    rows = shuffled(order_key, len(data.mass), len(rates), settings.batch)
    progress, losses = jax.lax.scan(step, progress, (rows, rates, jax.random.split(step_key, len(rates))))
    averaged = optax.tree.bias_correction(progress.average.ema, settings.average_decay, progress.average.count)
    return progress, losses, averaged


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=2)
def run_epochs(
    structure: nnx.GraphDef,
    settings: Settings,
    progress: Progress,
    data: TrainingData,
    rates: jax.Array,
    keys: jax.Array,
) -> tuple[Progress, jax.Array, nnx.State]:
    """Do `run_epoch` for members stacked along a first axis of `progress`, `rates`, `keys` and of all that returns.

    The memory of `progress` is used for the new one: it can't be read any more.
    """

    def epoch(progress: Progress, rates: jax.Array, key: jax.Array) -> tuple[Progress, jax.Array, nnx.State]:
        return run_epoch(structure, settings, progress, data, rates, key)

    return over_members(epoch)(progress, rates, keys)


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


def _loss(
    structure: nnx.GraphDef,
    augment: Callable[[jax.Array, jax.Array], jax.Array],
    chunk: int,
    state: nnx.State,
    data: TrainingData,
    key: jax.Array,
) -> jax.Array:
    augment_key, dropout_key = jax.random.split(key)
    model = nnx.merge(structure, state)
    output = model.outputs(augment(data.images, augment_key), data.side, dropout_key, chunk)
    return weighted_mean(model.loss.terms(data.mass, output), data.weight)


def shuffled(key: jax.Array, samples: int, steps: int, batch: int) -> jax.Array:
    """Rows (step, batch) of an epoch, wrapped around at its end."""
    order = jax.random.permutation(key, samples)
    return order[jnp.arange(steps * batch) % samples].reshape(steps, batch)


def accumulate(
    slope_of: Callable[..., Any], state: nnx.State, data: TrainingData, rows: jax.Array, key: jax.Array
) -> tuple[jax.Array, nnx.State]:
    """Mean loss and gradient over the micro-batches `rows` (part, sample), as if they were one batch.

    `slope_of` takes weights, data and a random key and returns loss and gradient.
    """

    def part(total: Any, xs: tuple[jax.Array, jax.Array]) -> tuple[Any, None]:
        chosen = jax.tree.map(lambda column: column[xs[0]], data)
        return jax.tree.map(jnp.add, total, slope_of(state, chosen, xs[1])), None

    zero = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, state))
    total, _ = jax.lax.scan(part, zero, (rows, jax.random.split(key, len(rows))))
    return jax.tree.map(lambda value: value / len(rows), total)


def on_device(train: Subset, constants: Standardisation) -> TrainingData:
    """Return the training set standardised, with weights of mean 1, on the device."""
    weight = np.ones(len(train.redshift)) if train.weight is None else train.weight / np.mean(train.weight)
    return TrainingData(
        jnp.asarray(constants.images(train.images)),
        jnp.asarray(constants.side(train.redshift, train.facts)),
        jnp.asarray(constants.mass(train.log10_m500c)),
        jnp.asarray(weight, jnp.float32),
    )
