"""Compare JAX's own convolution with ours, in one training epoch of the default network."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from rival_workers.problem import flop_per_sample
from runner import CONFIG, Arm, benchmark

from clustermass.dataset.standardise import widths
from clustermass.network.convolution import plain_block
from clustermass.network.epoch import Program, Progress, TrainingData, batch_loss, begin, run_epoch, shuffled
from clustermass.network.layers import POOLED_BLOCKS
from clustermass.network.losses import Likelihood
from clustermass.network.predict import initialise, unflatten, use_device

SHAPE, SAMPLES, FEW, SIDE = (16, 16, 10), 2048, 128, 1024
NETWORK, RECIPE = CONFIG["network"]["compact"], CONFIG["training"]["recipes"]["clustermass"]
SIDE_INPUTS = sum(widths(NETWORK["side_inputs"]))  # number of columns


def network(block):
    """Return program and initial weights of the default network with the convolution `POOLED_BLOCKS[block]`."""
    layers = [{**layer, "pooled": block} if "conv" in layer else layer for layer in NETWORK["layers"]]
    chosen = {**NETWORK, "layers": [layer for layer in layers if "pool" not in layer]}
    weights = initialise(chosen, SHAPE, Likelihood.outputs, [1])
    structure, state = unflatten(chosen, SHAPE, Likelihood.outputs, weights)
    return Program.from_config(structure, Likelihood(), chosen, RECIPE, (SAMPLES, *SHAPE)), state


def training_data(rng):
    """Return random standardised training data: images, side inputs and masses."""
    sizes = (SAMPLES, *SHAPE), (SAMPLES, SIDE_INPUTS), (SAMPLES,)
    images, side, mass = (jnp.asarray(rng.standard_normal(size, dtype=np.float32)) for size in sizes)
    return TrainingData({"image": images, "side": side}, mass, jnp.ones(SAMPLES))


def epoch(program, progress, data):
    """Train for one epoch as our trainer does, with one compiled scan over the batches; return its results."""
    rates = jnp.full(len(data.mass) // program.batch, RECIPE["learning_rate"], jnp.float32)
    return jax.block_until_ready(run_epoch(program, progress, data, rates, jax.random.key(1)))


@partial(jax.jit, static_argnums=0)
def step(program, progress, data, rows, key):
    """Do one training step on the whole batch at once, outside any scan; return the progress and the loss."""
    average = optax.ema(program.average_decay)
    loss = partial(batch_loss, program._replace(chunk=program.batch))
    batch = jax.tree.map(lambda column: column[rows], data)
    value, slope = jax.value_and_grad(loss)(progress.weights, batch, key)
    updates, optimised = program.optimiser.update(slope, progress.optimiser, progress.weights)
    state = jax.tree.map(lambda old, update: old - RECIPE["learning_rate"] * update, progress.weights, updates)
    return Progress(state, optimised, average.update(state, progress.average)[1]), value


def steps(program, progress, data):
    """Train for one epoch by calling `step` for each batch; return the last progress and loss."""
    keys = jax.random.split(jax.random.key(1), len(data.mass) // program.batch)
    for rows, key in zip(shuffled(keys[0], len(data.mass), len(keys), program.batch), keys, strict=True):
        progress, loss = step(program, progress, data, rows, key)
    return jax.block_until_ready((progress, loss))


def check(ours, plain, progress, data):
    """Check that both convolutions give equal loss and weights (else AssertionError); return a text for the report."""
    rows, key = jnp.arange(ours.batch), jax.random.key(2)
    (left, loss), (right, other) = (step(which, progress, data, rows, key) for which in (ours, plain))
    np.testing.assert_allclose(loss, other, rtol=1e-5)
    pairs = zip(jax.tree.leaves(left.average.ema), jax.tree.leaves(right.average.ema), strict=True)
    worst = max(float(jnp.abs(a - b).max() / jnp.abs(b).max()) for a, b in pairs)
    np.testing.assert_array_less(worst, 1e-3)
    return f"one step with each convolution: loss equal to 1e-5, weights to {worst:.1e} of each array's largest"


def main():
    """Run the benchmark and write training.json."""
    use_device("cpu", threads=1)
    POOLED_BLOCKS["plain"] = plain_block
    (ours, weights), (plain, _) = network("average"), network("plain")
    data = training_data(np.random.default_rng(1))
    progress, few = begin(ours, weights), jax.tree.map(lambda column: column[:FEW], data)
    matrix, product = jnp.ones((SIDE, SIDE)), jax.jit(jnp.matmul)
    checked, flop = (
        check(ours, plain, progress, data),
        flop_per_sample(SHAPE, {**NETWORK, "side_inputs": range(SIDE_INPUTS)}),
    )
    arms = {
        "ours": Arm("our convolution in the epoch scan", lambda: epoch(ours, progress, data), SAMPLES),
        "ours, step": Arm("our convolution, whole batch", lambda: steps(ours, progress, data), SAMPLES),
        "plain, step": Arm("JAX's convolution, whole batch", lambda: steps(plain, progress, data), SAMPLES),
        "plain, scan": Arm("JAX's convolution in the scan", lambda: epoch(plain, progress, few), FEW),
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
            "batch": ours.batch,
            "micro_batch": ours.micro,
            "chunk": ours.chunk,
            "mflop_per_sample": flop / 1e6,
            "matrix": [SIDE, SIDE],
            "scaled": f"'plain, scan' does {FEW} samples, the others {SAMPLES}",
        },
    )


if __name__ == "__main__":
    main()
