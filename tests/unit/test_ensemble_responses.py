"""Responses to the physics: exact for linear networks, and the marginal is that of the mixture."""

from pathlib import Path

import numpy as np
import pytest
from network_inputs import RECIPE, sky
from physics_inputs import PRIOR

from clustermass.dataset.physics import PhysicsPrior
from clustermass.dataset.standardise import Standardisation
from clustermass.ensemble.calibration import Recalibration
from clustermass.ensemble.ensemble import Ensemble
from clustermass.ensemble.responses import responses, systematic_errors
from clustermass.errors import InputError
from clustermass.network.predict import TrainedNetwork

#: response of the mean, and of ln(variance), to each standardised parameter, dex; the second member has half of them
MEAN, WIDTH = np.array([-0.041, 0.012]), np.array([0.2, 0.0])


def linear_network(member: int, prior: PhysicsPrior | None = PRIOR) -> TrainedNetwork:
    """Return a network whose outputs are linear in image, redshift and phi."""
    rng = np.random.default_rng([9, member])
    block = {"side_inputs": ["z"], "catalogue_dropout": 0.0, "conditioned": prior is not None}
    block["layers"] = [{"flatten": True}, {"join": "side"}]
    kernel = 0.02 * rng.standard_normal((8 * 8 * 2 + 1 + 2 * bool(prior), 2)).astype(np.float32)
    if prior:
        kernel[-2:] = np.stack([MEAN / 0.4, WIDTH], axis=1) / (1 + member)
    weights = {"dense.layers.0.kernel": kernel, "dense.layers.0.bias": np.float32([0.0, -1.5])}
    constants = Standardisation([0.5, 0.3], [1.0, 0.8], ["z"], [0.4], [0.2], 14.1, 0.4)
    return TrainedNetwork(weights, constants, block, RECIPE, (8, 8, 2), member, 1, prior=prior)


def ensemble(folder: Path, prior: PhysicsPrior | None = PRIOR) -> Ensemble:
    (folder / "members").mkdir(parents=True)
    paths = [folder / "members" / f"{member:02d}.safetensors" for member in range(2)]
    for member, path in enumerate(paths):
        linear_network(member, prior).save(path)
    return Ensemble.from_weights(paths)


@pytest.fixture(name="data")
def clusters():
    data = sky(30, 5)
    return data.images.transpose(0, 3, 1, 2), data.redshift


def test_linear_responses_are_exact(tmp_path, data):
    found = ensemble(tmp_path).responses(*data, device="cpu")
    slope = 0.75 * MEAN / PRIOR.sd  # mean of the two members
    np.testing.assert_allclose(found.slope, np.tile(slope, (30, 1)), rtol=1e-4)
    np.testing.assert_allclose(found.systematic, 0.75 * np.hypot(*MEAN), rtol=1e-4)
    np.testing.assert_allclose(found.remainder, 0, atol=1e-6)


def test_predictions_for_a_given_phi(tmp_path, data):
    trained = ensemble(tmp_path)
    at_phi0 = trained.predict(*data, device="cpu")
    given = trained.predict(*data, device="cpu", phi=np.array(PRIOR.mean))
    np.testing.assert_array_equal(at_phi0.mu, given.mu)
    shifted = trained.predict(*data, device="cpu", phi=np.array([43.5 + 0.16, 0.03 - 0.01]))
    np.testing.assert_allclose(shifted.mu - at_phi0.mu, 0.75 * (2 * MEAN[0] - MEAN[1]), atol=1e-5)
    own = trained.predict(*data, device="cpu", phi=np.tile([43.66, 0.02], (30, 1)))
    np.testing.assert_array_equal(own.mu, shifted.mu)


def test_marginal_is_the_mixture_over_draws(tmp_path, data):
    trained, again = ensemble(tmp_path), Recalibration(1.2, 0.05)
    found = trained.responses(*data, device="cpu", recalibration=again, number=40, seed=3)
    singles = [
        trained.predict(*data, device="cpu", phi=np.add(PRIOR.mean, PRIOR.sd * draw)) for draw in PRIOR.draws(40, 3)
    ]
    mu = np.array([one.mu for one in singles])
    variance = np.array([(1.2 * one.sigma) ** 2 + 0.05**2 for one in singles])
    np.testing.assert_allclose(found.marginal_mu, mu.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(found.mean_sigma, np.sqrt(variance.mean(axis=0)), atol=1e-5)
    total = variance.mean(axis=0) + mu.var(axis=0)
    np.testing.assert_allclose(found.marginal_sigma, np.sqrt(total), atol=1e-5)
    # law of total variance with the response, whose draws have a variance of their own
    assert found.marginal_sigma**2 == pytest.approx(found.mean_sigma**2 + found.systematic**2, rel=0.02)


def test_slope_of_sigma_and_remainder_of_a_curved_response():
    draws = PRIOR.draws(20_000, 4)
    mu = np.array([[14.0], [14.5]]) + draws @ [0.04, -0.02] + 0.01 * draws[:, 0] ** 2
    sigma = 0.15 + 0.01 * draws[:, 1] * np.ones((2, 1))
    found = responses(mu, sigma, draws, PRIOR)
    np.testing.assert_allclose(found.slope * PRIOR.sd, [[0.04, -0.02]] * 2, atol=2e-4)
    np.testing.assert_allclose(found.sigma_slope * PRIOR.sd, [[0, 0.01]] * 2, atol=1e-4)
    np.testing.assert_allclose(found.remainder, 0.01 * np.sqrt(2), rtol=0.03)  # variance of x^2 is 2
    np.testing.assert_allclose(found.marginal_mu, [14.01, 14.51], atol=4e-4)


def test_correlated_parameters():
    covariance = np.array([[4.0, 1.0], [1.0, 9.0]])
    slope = np.array([[1.0, 2.0], [0.0, 1.0]])
    np.testing.assert_allclose(systematic_errors(slope, covariance), np.sqrt([4 + 4 + 36, 9]))


def test_what_cant_be_done_is_refused(tmp_path, data):
    plain = ensemble(tmp_path / "plain", None)
    assert plain.prior is None
    with pytest.raises(InputError, match=r"isn't conditioned on the physics\. Name an ensemble"):
        plain.responses(*data, device="cpu")
    with pytest.raises(InputError, match="leave phi out"):
        plain.predict(*data, device="cpu", phi=np.array(PRIOR.mean))
    trained = ensemble(tmp_path / "conditioned")
    with pytest.raises(InputError, match="2 draws are too few"):
        trained.responses(*data, device="cpu", number=2)
    with pytest.raises(InputError, match="a finite number for each"):
        trained.predict(*data, device="cpu", phi=np.array([43.5, np.nan]))
