"""One training epoch of the default network: our convolution in its epoch scan, against JAX's own convolution."""

from functools import partial
from itertools import pairwise
from pathlib import Path
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
import yaml
from runner import Arm, benchmark

from clustermass.dataset.standardise import widths
from clustermass.network import cnn
from clustermass.network.augment import AUGMENTATIONS
from clustermass.network.convolution import plain_block
from clustermass.network.device import use_device
from clustermass.network.epochs import Progress, Settings, TrainingData, _loss, begin, run_epoch, shuffled
from clustermass.network.optimiser import optimiser
from clustermass.network.parameters import initialise, unflatten

SHAPE, SAMPLES, FEW, SIDE = (16, 16, 10), 2048, 128, 1024
CONFIG = yaml.safe_load((Path(__file__).parents[1] / "config" / "config.yaml").read_text())
NETWORK, RECIPE = CONFIG["network"]["compact"], CONFIG["training"]["recipes"]["clustermass"]


def network(block):
    """Structure and first weights of the default network of `block`s."""
    with mock.patch.object(cnn, "block", block):
        return unflatten(SHAPE, NETWORK, initialise(SHAPE, NETWORK, [1]))


def training_data(rng):
    """Random standardised images with redshift and mass."""
    sizes = (SAMPLES, *SHAPE), (SAMPLES, sum(widths(NETWORK["side_inputs"]))), (SAMPLES,)
    drawn = [jnp.asarray(rng.standard_normal(size, dtype=np.float32)) for size in sizes]
    return TrainingData(*drawn, jnp.ones(SAMPLES))


def epoch(structure, settings, progress, data):
    """Run the project's epoch: one compiled scan over the batches."""
    rates = jnp.full(len(data.mass) // settings.batch, RECIPE["learning_rate"], jnp.float32)
    return jax.block_until_ready(run_epoch(structure, settings, progress, data, rates, jax.random.key(1)))


@partial(jax.jit, static_argnums=(0, 1))
def step(structure, settings, progress, data, rows, key):
    """Do a step as one writes it first: the whole batch at once, outside any scan."""
    optimise, average = optimiser(settings._asdict()), optax.ema(settings.average_decay)
    loss = partial(_loss, structure, AUGMENTATIONS[settings.augmentation], settings.batch)
    batch = jax.tree.map(lambda column: column[rows], data)
    value, slope = jax.value_and_grad(loss)(progress.state, batch, key)
    updates, optimised = optimise.update(slope, progress.optimiser, progress.state)
    state = jax.tree.map(lambda old, update: old - RECIPE["learning_rate"] * update, progress.state, updates)
    return Progress(state, optimised, average.update(state, progress.average)[1]), value


def steps(structure, settings, progress, data):
    """Go once through the data by `step`."""
    keys = jax.random.split(jax.random.key(1), len(data.mass) // settings.batch)
    for rows, key in zip(shuffled(keys[0], len(data.mass), len(keys), settings.batch), keys, strict=True):
        progress, loss = step(structure, settings, progress, data, rows, key)
    return jax.block_until_ready((progress, loss))


def flop_per_sample():
    """Floating point operations of the matrix products of a training sample: no input gradient for the first layer."""
    total, (side, _, channels) = 0, SHAPE
    for number, features in enumerate(NETWORK["channels"]):
        total += (3 if number else 2) * 2 * side**2 * 9 * channels * features
        side, channels = side // 2, features
    dense = [side**2 * channels + sum(widths(NETWORK["side_inputs"])), *NETWORK["dense"], 2]
    return total + 3 * 2 * sum(a * b for a, b in pairwise(dense))


def check(ours, plain, settings, progress, data):
    """Return what was compared; AssertionError if a step's loss or weights depend on the convolution's code."""
    rows, key = jnp.arange(settings.batch), jax.random.key(2)
    (left, loss), (right, other) = (step(which, settings, progress, data, rows, key) for which in (ours, plain))
    np.testing.assert_allclose(loss, other, rtol=1e-5)
    pairs = zip(jax.tree.leaves(left.average.ema), jax.tree.leaves(right.average.ema), strict=True)
    worst = max(float(jnp.abs(a - b).max() / jnp.abs(b).max()) for a, b in pairs)
    np.testing.assert_array_less(worst, 1e-3)
    return f"one step with each convolution: loss equal to 1e-5, weights to {worst:.1e} of each array's largest"


def main():
    """Measure."""
    use_device("cpu", threads=1)
    ours, state = network(cnn.block)
    plain, _ = network(plain_block)
    data, settings = training_data(np.random.default_rng(1)), Settings.of(RECIPE, NETWORK, SHAPE, SAMPLES)
    progress, few = begin(state, settings), jax.tree.map(lambda column: column[:FEW], data)
    matrix, product = jnp.ones((SIDE, SIDE)), jax.jit(jnp.matmul)
    checked, flop = check(ours, plain, settings, progress, data), flop_per_sample()
    arms = {
        "ours": Arm("our convolution in the epoch scan", lambda: epoch(ours, settings, progress, data), SAMPLES),
        "ours, step": Arm("our convolution, whole batch", lambda: steps(ours, settings, progress, data), SAMPLES),
        "plain, step": Arm("JAX's convolution, whole batch", lambda: steps(plain, settings, progress, data), SAMPLES),
        "plain, scan": Arm("JAX's convolution in the scan", lambda: epoch(plain, settings, progress, few), FEW),
        "limit": Arm(
            "one large matrix product", lambda: product(matrix, matrix).block_until_ready(), 2 * SIDE**3 / flop
        ),
    }
    benchmark(
        "training",
        "one epoch of the default network and recipe on one core: shuffle, flips and turns, dropout, AdamW, average",
        {name: Arm(arm.what, arm.call, arm.work, "sample") for name, arm in arms.items()},
        [("plain, step", "ours"), ("plain, scan", "ours"), ("ours, step", "ours"), ("ours", "limit")],
        "the sample's matrix products at the speed of one large product by the same library: ratio ours / limit",
        checked,
        {
            "image": SHAPE,
            "samples": SAMPLES,
            "batch": settings.batch,
            "micro_batch": settings.micro,
            "chunk": settings.chunk,
            "mflop_per_sample": flop / 1e6,
            "matrix": [SIDE, SIDE],
            "scaled": f"'plain, scan' does {FEW} samples, the others {SAMPLES}",
        },
    )


if __name__ == "__main__":
    main()
