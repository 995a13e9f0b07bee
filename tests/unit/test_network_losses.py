"""The losses against hand-worked numbers, scipy and Keras' formulas, and what networks learn by them."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from network_inputs import NETWORK, RECIPE, fit, fit_members, network_block, predictions, sky
from scipy.special import log_softmax
from scipy.stats import norm, rv_histogram

from clustermass.errors import InputError
from clustermass.network.losses import (
    CLASSES,
    HIGHEST,
    LOSSES,
    LOWEST,
    WIDTH,
    Likelihood,
    loss_of_recipe,
    weighted_mean,
)

POINTS = [name for name, kind in LOSSES.items() if not kind.predicts_sigma]


def made(name):
    return loss_of_recipe({"loss": name})(mass_mean=14.0, mass_sd=0.4)


def test_likelihood_equals_eq_1_worked_by_hand():
    # y = 14.0, mu = 13.8, sigma = 0.2: ln(0.04) / 2 + 0.04 / 0.08 = -1.6094379 + 0.5
    output = jnp.array([[13.8, np.log(0.04)]])
    assert Likelihood().terms(jnp.array([14.0]), output).tolist() == pytest.approx([-1.1094379], abs=1e-5)


def test_likelihood_equals_scipy_but_for_the_constant():
    rng = np.random.default_rng(1)
    truth, mean, sigma = rng.normal(size=50), rng.normal(size=50), rng.uniform(0.3, 2, 50)
    expected = -norm.logpdf(truth, mean, sigma) - np.log(2 * np.pi) / 2
    np.testing.assert_allclose(Likelihood().terms(truth, np.stack([mean, 2 * np.log(sigma)], 1)), expected, rtol=1e-12)


def test_weight_two_counts_a_sample_twice():
    rng = np.random.default_rng(2)
    terms = jnp.asarray(rng.normal(size=3))
    doubled = jnp.concatenate([terms, terms[:1]])
    weight = jnp.array([2.0, 1.0, 1.0]) * 3 / 4  # mean 1
    assert float(weighted_mean(terms, weight)) == pytest.approx(float(doubled.mean()), rel=1e-5)


def test_losses_of_the_mass_are_those_of_keras_for_labels_log10_mass():
    """Keras' formulas written out, for labels and predictions in log10 M500c."""
    rng = np.random.default_rng(3)
    truth, predicted = rng.normal(size=200), rng.normal(size=(200, 1))
    y, y_predicted = (14.0 + 0.4 * values for values in (truth, predicted[:, 0]))
    keras = {
        "squared_log": np.square(y - y_predicted) / 0.4**2,
        "percentage": 100 * np.abs((y - y_predicted) / np.maximum(np.abs(y), 1e-7)),
        "squared_log1p": np.square(np.log(y + 1) - np.log(y_predicted + 1)) * (15 / 0.4) ** 2,
    }
    assert set(keras) == set(POINTS)
    for name, expected in keras.items():
        np.testing.assert_allclose(made(name).terms(truth, predicted), expected, rtol=1e-9, err_msg=name)
        assert 0.3 < expected.mean() < 5  # all of one size: the plateau's 1e-4 means the same for all
        assert made(name).outputs == 1


def test_cross_entropy_is_that_of_the_bin_the_mass_lies_in():
    rng = np.random.default_rng(4)
    output = rng.normal(size=(5, CLASSES))
    truth = np.array([-9.0, LOWEST, -0.01, 0.26, 9.0])  # beyond, on the lowest edge, below and above the middle, beyond
    rows = [0, 0, CLASSES // 2 - 1, CLASSES // 2 + 1, CLASSES - 1]
    expected = -log_softmax(output, axis=1)[np.arange(5), rows]
    np.testing.assert_allclose(made("classification").terms(truth, output), expected, rtol=1e-12)


def test_classes_tell_mean_and_variance_of_their_histogram():
    rng = np.random.default_rng(5)
    output = 2 * rng.normal(size=(20, CLASSES))
    mean, log_variance = made("classification").moments(output)
    edges = np.linspace(LOWEST, HIGHEST, CLASSES + 1)
    for row, logits in enumerate(output):
        histogram = rv_histogram((np.exp(log_softmax(logits)), edges), density=False)
        assert mean[row] == pytest.approx(histogram.mean(), abs=1e-9)
        assert np.exp(log_variance[row]) == pytest.approx(histogram.var(), rel=1e-9)
    sure = np.where(np.arange(CLASSES) == 3, 1e3, 0.0)[None]
    assert np.exp(made("classification").moments(sure)[1][0]) == pytest.approx(WIDTH**2 / 12)


@pytest.mark.parametrize("name", LOSSES)
def test_numpy_and_jax_agree_and_slopes_are_those_of_finite_differences(name):
    rng = np.random.default_rng(6)
    loss = made(name)
    truth, output = rng.normal(size=7), rng.normal(size=(7, loss.outputs))
    single = jnp.asarray(truth, jnp.float32), jnp.asarray(output, jnp.float32)
    np.testing.assert_allclose(loss.terms(*single), loss.terms(truth, output), rtol=2e-4, atol=1e-5)
    for mine, theirs in zip(loss.moments(single[1]), loss.moments(output), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)
    slope = jax.grad(lambda output: loss.terms(single[0], output).sum())(single[1])
    step = np.zeros_like(output)
    step[:, 0] = 1e-6
    by_hand = (loss.terms(truth, output + step) - loss.terms(truth, output - step)) / 2e-6
    np.testing.assert_allclose(slope[:, 0], by_hand, rtol=2e-3, atol=1e-4)


def test_an_unknown_loss_is_named():
    with pytest.raises(InputError, match=r"recipe\.loss: 'huber' is unknown.*likelihood, squared_log"):
        loss_of_recipe({"loss": "huber"})
    with pytest.raises(InputError, match=r"network\.layers: .*'pool': 'min'"):
        fit(sky(8, 1), sky(8, 2), network_block([4], [4], [], pooling="min"), RECIPE, 1, 0)


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in LOSSES if name != "likelihood"])
def test_a_network_learns_by_each_loss_and_its_sigma_is_that_of_unseen_clusters(name):
    train, val, test = sky(300, 1), sky(100, 2), sky(300, 3)
    recipe = RECIPE | {"epochs": 20, "loss": name, "learning_rate": 1e-2, "augmentation": "none"}
    fitted = fit(train, val, NETWORK, recipe, seed=1, member=0)
    mu, sigma = predictions(fitted, test, symmetric=True)
    residual = mu - test.log10_m500c
    assert residual.std() < 0.4 * test.log10_m500c.std()
    slow = name == "classification"  # probabilities that are still too wide after so few epochs
    assert (0.4 if slow else 0.7) < np.sqrt(np.mean((residual / sigma) ** 2)) < 1.4
    if name in POINTS:
        of_val = predictions(fitted, val, symmetric=True)[0] - val.log10_m500c
        np.testing.assert_allclose(sigma, np.sqrt(np.mean(of_val**2)), rtol=1e-5)
    else:
        assert np.ptp(sigma) > 0
    as_it_is = predictions(fitted, val, symmetric=False)[0]
    last = fitted.history.val_loss[-1]
    if name == "squared_log":
        assert last == pytest.approx(
            np.mean((as_it_is - val.log10_m500c) ** 2) / fitted.network.standardisation.mass_sd**2, rel=1e-6
        )
    if name == "percentage":
        assert last == pytest.approx(np.mean(100 * np.abs(as_it_is / val.log10_m500c - 1)), rel=1e-6)


@pytest.mark.long
def test_members_side_by_side_have_losses_of_their_own_alone():
    data = sky(64, 1), sky(40, 2)
    recipe = RECIPE | {"loss": "classification", "epochs": 2, "augmentation": "none"}
    for member, mapped in fit_members(*data, NETWORK, recipe, 1, [0, 4], side_by_side=True).items():
        alone = fit(*data, NETWORK, recipe, 1, member)
        np.testing.assert_allclose(mapped.history.val_loss, alone.history.val_loss, atol=1e-4)
        assert mapped.network.residual_sd is None


@pytest.mark.long
def test_without_side_inputs_the_redshift_has_no_influence():
    """`side_inputs: []`, and exposure alone: the mass follows from the image alone."""
    for names in ([], ["log_exposure"]):
        train, val = (replace(sky(64, seed), measurements={"exposure_s": np.full(64, 1200.0)}) for seed in (1, 2))
        train.measurements["exposure_s"][::2] = 700.0
        network = NETWORK | {"side_inputs": names}
        fitted = fit(train, val, network, RECIPE, 1, 0)
        other = replace(val, redshift=val.redshift[::-1] * 1.7)
        shuffled = fit(replace(train, redshift=train.redshift[::-1]), other, network, RECIPE, 1, 0)
        for one, two in zip(predictions(fitted, val, True), predictions(fitted, other, True), strict=True):
            np.testing.assert_array_equal(one, two)
        for one, two in zip(predictions(fitted, val, True), predictions(shuffled, val, True), strict=True):
            np.testing.assert_array_equal(one, two)
        deeper = replace(val, measurements={"exposure_s": np.full(64, 700.0)})
        changed = not np.array_equal(predictions(fitted, val, True)[0], predictions(fitted, deeper, True)[0])
        assert changed is bool(names)
