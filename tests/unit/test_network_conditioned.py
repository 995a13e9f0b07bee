"""Networks conditioned on the physics: many draws at once give what single predictions give, and phi is used."""

import numpy as np
import pytest
from network_inputs import NETWORK, RECIPE, fit, network_block, sky
from physics_inputs import PRIOR

from clustermass.dataset.standardise import Standardisation
from clustermass.dataset.training_data import Subset
from clustermass.errors import InputError
from clustermass.network.predict import TrainedNetwork, initialise, predict, predict_draws

CONDITIONED = NETWORK | {"conditioned": True}
SHAPE = (8, 8, 2)


def network(block=CONDITIONED, symmetric=True, prior=PRIOR):
    """Return an untrained network with random weights, biases too."""
    number = len(prior.names) if prior else 0
    rng = np.random.default_rng(4)
    weights = initialise(block, SHAPE, 2, [1], number)
    weights = {
        name: (array + 0.1 * rng.standard_normal(array.shape)).astype(np.float32) for name, array in weights.items()
    }
    constants = Standardisation([0.5, 0.3], [1.0, 0.8], block["side_inputs"], [0.4, -1.0], [0.2, 0.5], 14.1, 0.4)
    recipe = RECIPE | {"symmetric_prediction": symmetric}
    return TrainedNetwork(weights, constants, block, recipe, SHAPE, 0, 1, prior=prior)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_draws_at_once_are_the_single_predictions(symmetric, dropout):
    block = network_block([4, 8], [16, 8], ["z", "log_z"]) | {"conditioned": True}
    block["layers"].insert(-2, {"dropout": dropout})
    trained, data = network(block, symmetric), sky(70, 1)
    draws = PRIOR.draws(12, 1)
    mu, sigma = predict_draws(trained, data.images, data.redshift, {}, draws)
    assert mu.shape == sigma.shape == (70, 12)
    for number, draw in enumerate(draws):
        one = predict(trained, data.images, data.redshift[:, None], {}, np.tile(draw, (70, 1)))
        np.testing.assert_allclose(mu[:, number], one[0][:, 0], atol=1e-5, rtol=0)
        np.testing.assert_allclose(sigma[:, number], one[1][:, 0], atol=1e-5, rtol=0)
    assert mu.std(axis=1).min() > 0.005


def test_without_phi_the_mass_is_that_at_phi0_for_any_redshifts():
    trained, data = network(), sky(5, 2)
    grid = np.stack([data.redshift, data.redshift + 0.05], axis=1)
    given = predict(trained, data.images, grid, {}, np.zeros((5, 2)))
    np.testing.assert_array_equal(predict(trained, data.images, grid, {}), given)
    assert not np.allclose(predict(trained, data.images, grid, {}, np.ones((5, 2)))[0], given[0], atol=1e-3)


def test_an_unconditioned_network_ignores_phi_and_keeps_its_bytes(tmp_path):
    plain, data = network(NETWORK, prior=None), sky(5, 2)
    assert {name: array.shape for name, array in plain.weights.items()} == {
        name: array.shape for name, array in initialise(NETWORK, SHAPE, 2, [1]).items()
    }
    without = predict(plain, data.images, data.redshift[:, None], {})
    np.testing.assert_array_equal(predict(plain, data.images, data.redshift[:, None], {}, np.ones((5, 2))), without)
    plain.save(tmp_path / "plain")
    assert b"prior" not in (tmp_path / "plain").read_bytes()


def test_a_conditioned_network_comes_back_with_its_prior(tmp_path):
    network().save(tmp_path / "one")
    assert TrainedNetwork.load(tmp_path / "one").prior == PRIOR
    network(NETWORK).save(tmp_path / "other")
    with pytest.raises(InputError, match="conditioned"):
        TrainedNetwork.load(tmp_path / "other")


def physics_sky(number, seed):
    """Return a sky whose photons are 10^(0.2 phi_0) times as many at the same mass."""
    rng = np.random.default_rng([8, seed])
    phi = rng.standard_normal((number, 2)).astype(np.float32)
    plain = sky(number, seed)
    brighter = np.maximum(plain.log10_m500c - 0.2 * phi[:, 0], 12.0)
    return Subset(plain.images, plain.redshift, brighter, phi=phi, prior=PRIOR)


def test_training_finds_the_response_to_the_physics():
    recipe = RECIPE | {"epochs": 30, "batch_size": 64}
    block = network_block([8], [16], ["z"]) | {"conditioned": True}
    fitted = fit(physics_sky(1500, 1), physics_sky(300, 2), block, recipe, 1, 0)
    data = sky(200, 3)
    draws = PRIOR.draws(200, 1)
    mu, _ = predict_draws(fitted.network, data.images, data.redshift, {}, draws)
    slopes = np.linalg.lstsq(draws, (mu - mu.mean(axis=1, keepdims=True)).T)[0].mean(axis=1)
    np.testing.assert_allclose(slopes, [-0.2, 0.0], atol=0.03)


def test_validation_loss_is_weighted():
    train, val = sky(64, 1), sky(40, 2)
    weight = np.zeros(40)
    weight[:10] = 4.0
    first = Subset(val.images[:10], val.redshift[:10], val.log10_m500c[:10])
    weighted = Subset(val.images, val.redshift, val.log10_m500c, weight)
    losses = [fit(train, one, NETWORK, RECIPE, 1, 0).history.val_loss for one in (first, weighted, val)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)
    assert not np.allclose(losses[0], losses[2], rtol=1e-3)


def test_what_cant_be_conditioned_is_refused():
    with pytest.raises(InputError, match="no prior of the physics"):
        fit(sky(20, 1), sky(20, 2), CONDITIONED, RECIPE, 1, 0)
    unjoined = CONDITIONED | {"layers": [{"flatten": True}, {"dense": 4}]}
    with pytest.raises(InputError, match="needs one layer `join: side`, but has 0"):
        fit(physics_sky(20, 1), physics_sky(20, 2), unjoined, RECIPE, 1, 0)
