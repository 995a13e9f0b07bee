"""DeepDream and derivatives: exact for a linear network, and finite differences for one that isn't linear."""

import dataclasses

import numpy as np
import pytest
from network_inputs import NETWORK, RECIPE, fit, sky
from test_ensemble_responses import linear_network

from clustermass.errors import InputError
from clustermass.network.attribution import mass_slope
from clustermass.network.deep_dream import Dream, deep_dream
from clustermass.network.predict import predict

SIDE = np.hypot(*(np.mgrid[:8, :8] - 3.5))


def mass(network, image, redshift=0.3):
    return float(predict(network, image[None].astype(np.float32), np.array([[redshift]]), {})[0][0, 0])


@pytest.fixture(name="network", scope="module")
def plain_linear_network():
    """Return a linear network that isn't averaged over symmetries, and d log10 M / d counts, (y, x, band)."""
    network = linear_network(0, None)
    network = dataclasses.replace(network, recipe={**RECIPE, "symmetric_prediction": False})
    kernel = network.weights["dense.layers.0.kernel"][:-1, 0].reshape(8, 8, 2).astype(float)
    return network, 0.4 * kernel / [1.0, 0.8]


@pytest.fixture(name="counts", scope="module")
def bright_cluster():
    return np.random.default_rng(8).poisson(400.0, (8, 8, 2)).astype(float)


def test_the_slope_of_a_linear_network_is_its_kernel(network, counts):
    found, slope = mass_slope(network[0], counts, 0.3, {})
    np.testing.assert_allclose(slope, network[1], rtol=1e-5)
    assert found == pytest.approx(mass(network[0], counts), abs=1e-5)


def test_the_slope_of_a_trained_network_agrees_with_finite_differences():
    train = sky(60, 1)
    network = fit(train, sky(20, 2), NETWORK, RECIPE, 3, 0).network
    image = train.images[0].astype(float)
    _, slope = mass_slope(network, image, 0.3, {})
    step = (
        1e-4 / (slope**2).sum() * slope
    )  # a ten-thousandth of a dex: more than the digits of float32, and few kinks of ReLU
    finite = (mass(network, image + step) - mass(network, image - step)) / 2
    assert finite == pytest.approx((slope * step).sum(), rel=0.02)


def test_each_iteration_adds_the_kernel_with_the_step_that_is_asked_for(network, counts):
    dream = deep_dream(network[0], counts, 0.3, {}, step_dex=5.0)
    kernel = network[1]
    step = 5.0 * kernel / (kernel**2).sum()
    assert np.abs(step).max() > 10  # so that rounding changes little
    once = np.rint(counts + step)
    np.testing.assert_array_equal(dream.images, [counts, once, np.rint(once + step)])
    np.testing.assert_allclose(np.diff(dream.masses), 5.0, atol=0.2)


def test_pixels_stay_counts(network):
    dream = deep_dream(network[0], np.ones((8, 8, 2)), 0.3, {}, step_dex=1.0)
    assert dream.images.min() == 0
    np.testing.assert_array_equal(dream.images, np.rint(dream.images))


def test_added_photons_in_rings():
    images = np.zeros((3, 8, 8, 2))
    images[:, 3, 3] = 5.0  # 10 photons in all
    images[1, 3, 4, 0] += 2.0  # in the centre
    images[2, 3, 4, 0] += 3.0
    images[2, 0, 3, 1] += 1.0  # at the edge, 3.5 pixels away
    found = Dream(images, np.zeros(3)).added(SIDE / 5, np.array([0.0, 0.2, 0.5, 1.0]))
    np.testing.assert_allclose(found, [[0.2, 0.0, 0.0], [0.3, 0.0, 0.1]])


def test_errors(network, counts):
    with pytest.raises(InputError, match="negative or not finite"):
        deep_dream(network[0], -counts, 0.3, {})
    flat = dataclasses.replace(network[0], weights={name: 0 * one for name, one in network[0].weights.items()})
    with pytest.raises(InputError, match="after 0 iterations, the mass doesn't depend"):
        deep_dream(flat, counts, 0.3, {})
    with pytest.raises(InputError, match="holds no photon"):
        Dream(np.zeros((2, 8, 8, 2)), np.zeros(2)).added(SIDE, np.array([0.0, 9.0]))
