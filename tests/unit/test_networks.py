"""The network: its convolution against JAX's own, its shape, its inputs, its optimiser and learning rate."""

import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from clustermass.errors import InputError
from clustermass.network.cnn import MassNetwork
from clustermass.network.convolution import DIMENSIONS, block, fast_block, max_block
from clustermass.network.device import use_device
from clustermass.network.optimiser import LearningRate, Plateau, optimiser
from clustermass.network.parameters import flatten, initialise, unflatten

use_device("cpu")
NETWORK = {"channels": [4, 5, 6], "dense": [8, 7], "dropout": 0.5, "side_inputs": ["z", "log_z"]}


def lax_convolution(images, kernel):
    return jax.lax.conv_general_dilated(images, kernel, (1, 1), "SAME", dimension_numbers=DIMENSIONS)


def random(shape, seed):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def lax_block(images, kernel, bias):
    sums = jax.lax.reduce_window(
        jnp.maximum(lax_convolution(images, kernel) + bias, 0), 0.0, jax.lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"
    )
    return sums / 4


def lax_max_block(images, kernel, bias):
    maps = jnp.maximum(lax_convolution(images, kernel) + bias, 0)
    return jax.lax.reduce_window(maps, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


@pytest.mark.parametrize("size", [(8, 8), (7, 9)])
@pytest.mark.parametrize(("fast", "plain"), [(fast_block, lax_block), (max_block, lax_max_block)])
def test_a_block_and_its_gradients_equal_those_that_jax_derives(size, fast, plain):
    images, kernel, bias = random((3, *size, 4), 1), random((3, 3, 4, 5), 2), random((5,), 3)
    weight = random((3, size[0] // 2, size[1] // 2, 5), 4)
    np.testing.assert_allclose(fast(images, kernel, bias), plain(images, kernel, bias), rtol=1e-5, atol=1e-5)
    ours, theirs = (
        jax.grad(lambda *parts, f=f: jnp.sum(jnp.tanh(f(*parts)) * weight), argnums=(0, 1, 2))(images, kernel, bias)
        for f in (fast, plain)
    )
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("block", [block, max_block])
def test_the_gradient_costs_no_more_inside_a_scan_than_outside(block):
    images, kernel, bias = random((16, 25, 25, 16), 1), random((3, 3, 16, 32), 2), jnp.zeros(32)

    def slope(kernel):
        return jax.grad(lambda k: jnp.sum(block(images, k, bias) ** 2))(kernel)

    def looped(kernel):
        return jax.lax.scan(lambda k, _: (k - 1e-6 * slope(k), None), kernel, length=8)[0]

    assert cpu_seconds(jax.jit(looped), kernel) / 8 < 2 * cpu_seconds(jax.jit(slope), kernel)  # 28 with plain autodiff


def cpu_seconds(function, argument, repeats=5) -> float:
    function(argument).block_until_ready()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function(argument).block_until_ready()
        times.append(time.process_time() - start)
    return min(times)


@pytest.mark.parametrize(("side", "bands"), [(25, 10), (50, 10), (12, 1)])
def test_takes_any_size_and_any_number_of_bands(side, bands):
    structure, state = unflatten((side, side, bands), NETWORK, initialise((side, side, bands), NETWORK, [1, 2]))
    mean, log_variance = nnx.merge(structure, state)(random((3, side, side, bands), 1), random((3, 2), 2))
    assert mean.shape == log_variance.shape == (3,)
    pooled = side // 2 // 2 // 2
    dense = (pooled**2 * 6 + 2) * 8 + 8 + 8 * 7 + 7 + 7 * 2 + 2
    convolutions = 9 * (bands * 4 + 4 * 5 + 5 * 6) + 4 + 5 + 6
    assert sum(leaf.size for leaf in jax.tree.leaves(state)) == dense + convolutions


@pytest.mark.parametrize("pooling", ["average", "max"])
def test_is_convolution_relu_pooling_three_times_then_dense_layers(pooling):
    """The whole network once more in plain JAX."""
    weights = initialise((12, 12, 2), NETWORK, [3])
    structure, state = unflatten((12, 12, 2), NETWORK | {"pooling": pooling}, weights)
    images, redshift = random((4, 12, 12, 2), 4), random((4, 2), 5)
    maps = images
    for layer in range(3):
        kernel, bias = (weights[f"convolutional.layers.{layer}.{part}"] for part in ("kernel", "bias"))
        maps = jax.nn.relu(lax_convolution(maps, kernel) + bias)
        even = maps.shape[1] // 2 * 2
        quarters = maps[:, :even, :even].reshape(4, even // 2, 2, even // 2, 2, -1)
        maps = quarters.mean((2, 4)) if pooling == "average" else quarters.max((2, 4))
    hidden = jnp.concatenate([maps.reshape(4, -1), redshift], axis=1)
    for layer in (0, 2, 4):
        hidden = hidden @ weights[f"dense.layers.{layer}.kernel"] + weights[f"dense.layers.{layer}.bias"]
        hidden = jax.nn.relu(hidden) if layer < 4 else hidden
    made = jnp.stack(nnx.merge(structure, state)(images, redshift), axis=1)
    np.testing.assert_allclose(made, hidden, rtol=1e-4, atol=1e-5)


def test_dropout_acts_only_with_a_key():
    structure, state = unflatten((8, 8, 2), NETWORK, initialise((8, 8, 2), NETWORK, [1]))
    model, images, redshift = nnx.merge(structure, state), random((3, 8, 8, 2), 1), random((3, 2), 2)
    np.testing.assert_array_equal(model(images, redshift)[0], model(images, redshift)[0])
    assert not np.allclose(model(images, redshift, jax.random.key(0))[0], model(images, redshift)[0])


def test_initial_weights_follow_their_seeds_and_fan_in():
    network = NETWORK | {"channels": [32, 32, 32]}
    first, again, other = (initialise((25, 25, 10), network, seeds) for seeds in ([1, 0], [1, 0], [1, 1]))
    for name, array in first.items():
        np.testing.assert_array_equal(array, again[name])
        if array.ndim > 1:
            assert not np.array_equal(array, other[name])
    assert first["convolutional.layers.1.kernel"].std() == pytest.approx((9 * 32) ** -0.5, rel=0.05)


def test_weights_survive_being_flattened_and_refuse_another_shape():
    weights = initialise((8, 8, 2), NETWORK, [1])
    for name, array in flatten(unflatten((8, 8, 2), NETWORK, weights)[1]).items():
        np.testing.assert_array_equal(array, weights[name])
    with pytest.raises(InputError, match=r"convolutional\.layers\.0\.kernel"):
        unflatten((8, 8, 3), NETWORK, weights)
    del weights["dense.layers.0.bias"]
    with pytest.raises(InputError, match="has none"):
        unflatten((8, 8, 2), NETWORK, weights)


def test_images_too_small_for_the_poolings_are_refused():
    with pytest.raises(InputError, match="8 pixels"):
        MassNetwork((6, 6, 1), NETWORK, nnx.Rngs(0))


RECIPE = {"optimizer": "adamw", "learning_rate": 0.01, "weight_decay": 0.3, "gradient_clip": 0.0, "epochs": 4}


def test_adamw_is_optax_adamw_but_for_undecayed_biases():
    parameters = {"kernel": random((3, 4), 1), "bias": random((4,), 2)}
    slopes = {"kernel": random((3, 4), 3), "bias": random((4,), 4)}
    ours = optimiser(RECIPE)
    mine, _ = ours.update(slopes, ours.init(parameters), parameters)
    for name, decay in (("kernel", 0.3), ("bias", 0.0)):
        theirs = optax.adamw(0.01, weight_decay=decay)
        expected, _ = theirs.update(slopes, theirs.init(parameters), parameters)
        np.testing.assert_allclose(-0.01 * mine[name], expected[name], rtol=1e-5)


def test_gradients_are_clipped_to_their_global_norm():
    slopes = {"kernel": 100 * random((3, 4), 3)}
    clipped = optimiser(RECIPE | {"gradient_clip": 5.0, "weight_decay": 0.0})
    _, state = clipped.update(slopes, clipped.init(slopes), slopes)
    moment = next(part.mu for part in state if hasattr(part, "mu"))  # 0.1 of the clipped gradient
    assert float(jnp.linalg.norm(moment["kernel"])) == pytest.approx(0.5, rel=1e-4)


def test_cosine_schedule_warms_up_and_ends_at_a_hundredth():
    recipe = RECIPE | {"schedule": "cosine", "warmup_fraction": 0.25, "epochs": 10}
    schedule = LearningRate(recipe, steps=8)
    rates = np.concatenate([schedule.of_epoch(epoch) for epoch in range(10)])
    assert rates[0] == pytest.approx(0.01 / 20)
    assert rates.argmax() == 19
    assert rates[-1] == pytest.approx(1e-4)
    halfway = 0.01 * (0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * 30 / 60)))
    assert rates[49] == pytest.approx(halfway, rel=1e-4)


def test_plateau_schedule_halves_after_patience_and_stops_at_its_minimum():
    plateau = {"factor": 0.5, "patience": 2, "minimum": 0.004}
    schedule = LearningRate(RECIPE | {"schedule": "plateau", "plateau": plateau, "epochs": 9}, steps=1)
    rates = []
    for epoch, loss in enumerate([1.0, 0.9, 0.9, 0.9, 0.5, 0.6, 0.6, 0.6, 0.6]):
        rates.append(float(schedule.of_epoch(epoch)[0]))
        schedule.report(loss)
    np.testing.assert_allclose(rates, [0.01] * 4 + [0.005] * 3 + [0.004] * 2, rtol=1e-6)


def test_plateau_is_that_of_optax():
    losses = np.random.default_rng(1).normal(size=200).cumsum() / 50 + np.linspace(1, 0, 200)
    options = {"factor": 0.7, "patience": 3, "minimum": 1e-4}
    ours = Plateau({"plateau": options, "learning_rate": 0.01})
    theirs = optax.contrib.reduce_on_plateau(factor=0.7, patience=3, rtol=0.0, atol=1e-4, min_scale=0.01)
    state, scales, update = theirs.init(jnp.float32(0)), [], jax.jit(theirs.update)
    for loss in losses.astype(np.float32):
        ours.report(float(loss))
        _, state = update(jnp.float32(0), state, value=loss)
        scales.append(float(state.scale))
        assert ours.scale == pytest.approx(scales[-1], rel=1e-5)
    assert len(set(scales)) > 8
    assert scales[-1] == pytest.approx(0.01)


@pytest.mark.parametrize(("key", "make"), [("optimizer", optimiser), ("schedule", partial(LearningRate, steps=1))])
def test_unknown_choices_are_named(key, make):
    with pytest.raises(InputError, match=f"recipe.{key}: 'nonsense' is unknown"):
        make(RECIPE | {"schedule": "constant", key: "nonsense"})
