"""The network: its convolution against JAX's own, its shape, its inputs, its optimiser and learning rate."""

import json
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from network_inputs import network_block
from torch_outputs import CONFIGURED, CUBE_BRANCH, NETWORKS, XRAY_BRANCH, numbers, weight

from clustermass.errors import InputError
from clustermass.network.convolution import DIMENSIONS, block, fast_block, max_block
from clustermass.network.epoch import optimiser
from clustermass.network.predict import flatten, initialise, number_of_parameters, unflatten
from clustermass.network.train import LearningRate

CHANNELS, DENSE, SIDE = [4, 5, 6], [8, 7], ["z", "log_z"]
NETWORK = network_block(CHANNELS, DENSE, SIDE, dropout=0.5)


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
    shape = (side, side, bands)
    structure, state = unflatten(NETWORK, shape, 2, initialise(NETWORK, shape, 2, [1, 2]))
    inputs = {"image": random((3, *shape), 1), "side": random((3, 2), 2)}
    assert nnx.merge(structure, state)(inputs).shape == (3, 2)
    pooled = side // 2 // 2 // 2
    dense = (pooled**2 * 6 + 2) * 8 + 8 + 8 * 7 + 7 + 7 * 2 + 2
    convolutions = 9 * (bands * 4 + 4 * 5 + 5 * 6) + 4 + 5 + 6
    assert sum(leaf.size for leaf in jax.tree.leaves(state)) == dense + convolutions


@pytest.mark.parametrize("pooling", ["average", "max"])
def test_is_convolution_relu_pooling_three_times_then_dense_layers(pooling):
    """The whole network once more in plain JAX."""
    network = network_block(CHANNELS, DENSE, SIDE, dropout=0.5, pooling=pooling)
    weights = initialise(network, (12, 12, 2), 2, [3])
    structure, state = unflatten(network, (12, 12, 2), 2, weights)
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
    made = nnx.merge(structure, state)({"image": images, "side": redshift})
    np.testing.assert_allclose(made, hidden, rtol=1e-4, atol=1e-5)


def built(layers, shape, side_inputs=(), outputs=1):
    network = {"layers": layers, "side_inputs": list(side_inputs)}
    return nnx.merge(*unflatten(network, shape, outputs, initialise(network, shape, outputs, [1])))


def test_dropout_acts_only_with_a_key_and_each_of_several_differently():
    inputs = {"image": random((3, 8, 8, 2), 1), "side": random((3, 2), 2)}
    model = built(NETWORK["layers"], (8, 8, 2), SIDE)
    np.testing.assert_array_equal(model(inputs), model(inputs))
    assert not np.allclose(model(inputs, jax.random.key(0)), model(inputs))
    twice = built([{"flatten": True}, {"dropout": 0.5}, {"dropout": 0.5}], (30, 30, 1))
    twice.dense.layers["0"].kernel[...] = jnp.ones((900, 1))
    kept = twice({"image": jnp.ones((50, 30, 30, 1)), "side": jnp.zeros((50, 0))}, jax.random.key(1)) / 4 / 900
    assert float(kept.mean()) == pytest.approx(0.25, abs=0.01)  # the same numbers dropped twice: half


def test_initial_weights_follow_their_seeds_and_fan_in():
    network = network_block([32, 32, 32], DENSE, SIDE)
    first, again, other = (initialise(network, (25, 25, 10), 2, seeds) for seeds in ([1, 0], [1, 0], [1, 1]))
    for name, array in first.items():
        np.testing.assert_array_equal(array, again[name])
        if array.ndim > 1:
            assert not np.array_equal(array, other[name])
    assert first["convolutional.layers.1.kernel"].std() == pytest.approx((9 * 32) ** -0.5, rel=0.05)
    local = initialise({"layers": [{"local": 8}, {"flatten": True}], "side_inputs": []}, (9, 9, 4), 1, [1])
    assert local["convolutional.layers.0.kernel"].std() == pytest.approx((9 * 4) ** -0.5, rel=0.05)


def test_weights_survive_being_flattened_and_refuse_another_shape():
    weights = initialise(NETWORK, (8, 8, 2), 2, [1])
    for name, array in flatten(unflatten(NETWORK, (8, 8, 2), 2, weights)[1]).items():
        np.testing.assert_array_equal(array, weights[name])
    with pytest.raises(InputError, match=r"convolutional\.layers\.0\.kernel"):
        unflatten(NETWORK, (8, 8, 3), 2, weights)
    del weights["dense.layers.0.bias"]
    with pytest.raises(InputError, match="has none"):
        unflatten(NETWORK, (8, 8, 2), 2, weights)


@pytest.mark.parametrize(
    ("name", "bands", "number"), [("ntampaka2019", 1, 58437), ("ho2023", 1, 363629), ("ho2023", 3, 364829)]
)
def test_published_networks_have_their_number_of_parameters(name, bands, number):
    """Ntampaka et al. (2019), Ho et al. (2023): networks for images of 128 x 128 pixels."""
    assert number_of_parameters(CONFIGURED[name], (128, 128, bands), 1) == number


def test_the_parts_of_the_joint_network_have_its_number_of_parameters():
    """Ho et al. (2023), Fig. 5: two branches, each ending with 128 features, then three dense layers."""
    # a network adds a last dense layer to its list: here, that of 128 features
    xray = number_of_parameters(listed(XRAY_BRANCH[:-1]), (128, 128, 3), 128)
    cube = number_of_parameters(listed(CUBE_BRANCH[:-1]), (22, 22, 22, 4), 128)
    cube += (7**3 - 1) * 8 * 128  # a cube of 64^3 leaves 7^3 pixels of 8 features, one of 22^3 a single pixel
    head = number_of_parameters(listed([{"flatten": True}, {"dense": 128}, {"dense": 64}]), (1, 1, 256), 1)
    assert xray + cube + head == 432557


def listed(layers):
    return {"layers": layers, "side_inputs": []}


@pytest.mark.parametrize("name", NETWORKS)
def test_published_networks_and_their_gradients_are_those_of_torch(name):
    expected = json.loads((Path(__file__).parent / "torch_outputs.json").read_text())[name]
    layers, shape = NETWORKS[name]
    drawn = initialise(listed(layers), shape, 1, [1])
    order = sorted(drawn, key=in_order)
    structure, state = unflatten(
        listed(layers), shape, 1, {name: weight(drawn[name].shape, number) for number, name in enumerate(order)}
    )
    images = jnp.asarray(numbers((2, *shape), 0))

    def loss(images, state):
        made = nnx.merge(structure, state)({"image": images, "side": jnp.zeros((2, 0))})[:, 0]
        return jnp.sum(made**2), made

    (of_images, of_weights), made = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))(images, state)
    largest = np.abs(expected["output"]).max()
    np.testing.assert_allclose(made, expected["output"], rtol=1e-5, atol=1e-5 * largest)
    named = flatten(of_weights)
    for slope, norm, projection in zip(
        [of_images, *(named[name] for name in order)], expected["slope_norm"], expected["slope_projection"], strict=True
    ):
        assert np.linalg.norm(slope) == pytest.approx(norm, rel=1e-4)
        projected = (np.asarray(slope, float) * numbers(slope.shape, 99)).sum()
        assert projected == pytest.approx(projection, abs=1e-3 * norm)  # rounding swaps the maximum of a few windows


def in_order(name):
    group, _, number, part = name.split(".")
    return group, int(number), part != "kernel"


def test_layers_are_those_of_jax_and_of_plain_numpy():
    images = random((2, 9, 9, 3), 1)
    inputs = {"image": images, "side": jnp.zeros((2, 0))}
    strided = built([{"conv": 4, "kernel": 4, "stride": 2, "padding": "valid", "activation": "none"}, GAP], (9, 9, 3))
    kernel = strided.convolutional.layers["0"].kernel[...]
    maps = jax.lax.conv_general_dilated(images, kernel, (2, 2), "VALID", dimension_numbers=DIMENSIONS)
    np.testing.assert_allclose(strided(inputs), last(strided, maps.mean((1, 2))), rtol=1e-4, atol=1e-5)
    pooled = built([{"pool": "max", "size": 3}, {"global_pool": "max"}], (9, 9, 3))
    np.testing.assert_allclose(pooled(inputs), last(pooled, images.max((1, 2))), rtol=1e-5, atol=1e-6)
    mean = built([{"pool": "average", "size": 2}, GAP], (9, 9, 3))
    np.testing.assert_allclose(mean(inputs), last(mean, images[:, :8, :8].mean((1, 2))), rtol=1e-4, atol=1e-5)


GAP = {"global_pool": "average"}


def last(model, features):
    return features @ model.dense.layers["0"].kernel[...] + model.dense.layers["0"].bias[...]


def test_a_locally_connected_layer_with_one_kernel_everywhere_is_a_convolution():
    images = random((2, 6, 6, 3), 1)
    local = built([{"local": 4}, {"flatten": True}], (6, 6, 3)).convolutional.layers["0"]
    kernel = random((3, 3, 3, 4), 2)
    # patches have their channels outermost
    local.kernel[...] = jnp.broadcast_to(kernel.transpose(2, 0, 1, 3).reshape(27, 4), (6, 6, 27, 4))
    expected = jax.nn.relu(lax_convolution(images, kernel))
    np.testing.assert_allclose(local(images, {}, None), expected, rtol=1e-4, atol=1e-5)


def test_convolutions_take_cubes_and_any_dense_layer_takes_the_side_inputs():
    cube = built([{"conv": 4, "kernel": 5, "padding": "valid"}, {"pool": "max"}, {"flatten": True}], (9, 9, 9, 2))
    assert cube({"image": jnp.ones((2, 9, 9, 9, 2)), "side": jnp.zeros((2, 0))}).shape == (2, 1)
    late = built([GAP, {"dense": 5}, {"join": "side"}, {"dense": 3}], (9, 9, 3), ["z"])
    inputs = {"image": random((2, 9, 9, 3), 1), "side": random((2, 4, 1), 2)}
    at_each = [late({**inputs, "side": inputs["side"][:, number]}) for number in range(4)]
    np.testing.assert_allclose(late(inputs), jnp.stack(at_each, axis=1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([{"pool": "max"}] * 3, r"nothing is left of images of 6 x 6 pixels after the layer"),
        ([{"fold": 3}], "'fold' is no kind of layer. Choose from conv"),
        ([{"conv": 3, "width": 4}, GAP], "'width'"),
        ([GAP, {"conv": 3}], "must come before flatten or global_pool"),
        ([{"dense": 3}], "must come after flatten or global_pool"),
        ([GAP, {"join": "cube"}], "'cube': no such input. Choose from image, side"),
    ],
)
def test_lists_that_make_no_network_are_refused(layers, message):
    with pytest.raises(InputError, match=message):
        built(layers, (6, 6, 1))


RECIPE = {"learning_rate": 0.01, "epochs": 4}


def test_adamw_is_optax_adamw_but_for_undecayed_biases():
    parameters = {"kernel": random((3, 4), 1), "bias": random((4,), 2)}
    slopes = {"kernel": random((3, 4), 3), "bias": random((4,), 4)}
    ours = optimiser("adamw", 0.3, 0.0, 0.0)
    mine, _ = ours.update(slopes, ours.init(parameters), parameters)
    for name, decay in (("kernel", 0.3), ("bias", 0.0)):
        theirs = optax.adamw(0.01, weight_decay=decay)
        expected, _ = theirs.update(slopes, theirs.init(parameters), parameters)
        np.testing.assert_allclose(-0.01 * mine[name], expected[name], rtol=1e-5)


def test_gradients_are_clipped_to_their_global_norm():
    slopes = {"kernel": 100 * random((3, 4), 3)}
    clipped = optimiser("adamw", 0.0, 0.0, 5.0)
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
    options = {"factor": 0.7, "patience": 3, "minimum": 0.01}
    recipe = {"schedule": "plateau", "plateau": options, "learning_rate": 1.0, "epochs": 200}
    ours = LearningRate(recipe, steps=1)
    theirs = optax.contrib.reduce_on_plateau(factor=0.7, patience=3, rtol=0.0, atol=1e-4, min_scale=0.01)
    state, scales, update = theirs.init(jnp.float32(0)), [], jax.jit(theirs.update)
    for epoch, loss in enumerate(losses.astype(np.float32)):
        ours.report(float(loss))
        _, state = update(jnp.float32(0), state, value=loss)
        scales.append(float(state.scale))
        assert float(ours.of_epoch(epoch)[0]) == pytest.approx(scales[-1], rel=1e-5)
    assert len(set(scales)) > 8
    assert scales[-1] == pytest.approx(0.01)


def test_l2_adds_the_slope_of_the_squares_of_all_kernels():
    weights = {"kernel": random((3, 4), 1), "bias": random((4,), 2)}
    slopes = {"kernel": random((3, 4), 3), "bias": random((4,), 4)}
    penalty = jax.grad(lambda weights: 0.01 * jnp.sum(weights["kernel"] ** 2))(weights)
    ours, plain = optimiser("adam", 0.0, 0.01, 0.0), optimiser("adam", 0.0, 0.0, 0.0)
    with_penalty = jax.tree.map(jnp.add, slopes, penalty)
    mine, _ = ours.update(slopes, ours.init(weights), weights)
    expected, _ = plain.update(with_penalty, plain.init(weights), weights)
    for name in weights:
        np.testing.assert_allclose(mine[name], expected[name], rtol=1e-5)


def test_unknown_choices_are_named():
    with pytest.raises(InputError, match=r"recipe.optimizer: 'nonsense' is unknown"):
        optimiser("nonsense", 0.0, 0.0, 0.0)
