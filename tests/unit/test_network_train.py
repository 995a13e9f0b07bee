"""Training a network on arrays: true masses are recovered, weights count, the best epoch is kept, faults are named."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from network_inputs import NETWORK, RECIPE, fit, fit_members, network_block, predictions, sky

from clustermass.dataset.standardise import Standardisation
from clustermass.dataset.training_data import Subset
from clustermass.errors import InputError
from clustermass.network import epoch
from clustermass.network.checkpoints import Checkpoints, Watch
from clustermass.network.predict import initialise, unflatten


@pytest.fixture(scope="module")
def small():
    """Train for three epochs on 64 clusters; for this size the program is compiled only once."""
    return fit(sky(64, 1), sky(40, 2), NETWORK, RECIPE, seed=1, member=0)


def test_recovers_true_masses_far_better_than_the_prior():
    train, val, test = sky(400, 1), sky(100, 2), sky(400, 3)
    fitted = fit(train, val, NETWORK, RECIPE | {"epochs": 30}, seed=1, member=0)
    mu, sigma = predictions(fitted, test, symmetric=True)
    residual = mu - test.log10_m500c
    assert residual.std() < 0.3 * test.log10_m500c.std()
    assert abs(residual.mean()) < 0.05
    assert 0.7 < (residual / sigma).std() < 1.4
    assert fitted.history.val_loss[-1] < fitted.history.val_loss[0]


def test_losses_are_those_of_the_log_mass_itself(small):
    """By Eq. 1, from the predictions in dex."""
    val = sky(40, 2)
    mu, sigma = predictions(small, val, symmetric=False)
    by_hand = np.mean(np.log(sigma**2) / 2 + (val.log10_m500c - mu) ** 2 / (2 * sigma**2))
    assert small.history.val_loss[-1] == pytest.approx(by_hand, rel=1e-9)


def test_constants_come_from_the_training_set():
    train = sky(50, 1)
    constants = Standardisation.from_training_set(train, ["z"])
    standard = constants.images(train.images)
    np.testing.assert_allclose(standard.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(standard.std((0, 1, 2)), 1, atol=1e-5)
    assert constants.mass_mean == pytest.approx(train.log10_m500c.mean())
    assert constants.side_sd == pytest.approx([train.redshift.std()])
    blank = np.full((3, 2, 2, 1), 0.3, np.float32)
    empty = Standardisation.from_training_set(Subset(blank, np.full(3, 0.3), np.full(3, 14.1)), ["log_z"])
    assert (empty.image_sd, empty.side_sd, empty.mass_sd) == ([1.0], [1.0], 1.0)


def test_symmetric_predictions_dont_depend_on_orientation(small):
    train = sky(64, 1)
    turned = np.rot90(train.images, axes=(1, 2))[:, ::-1]
    for symmetric in (True, False):
        one, two = (predictions(small, replace(train, images=images), symmetric) for images in (train.images, turned))
        assert np.allclose(one, two, atol=1e-5) is symmetric


def test_symmetric_prediction_is_the_mean_over_the_eight(small):
    train = sky(70, 1)
    views = [np.rot90(flip, turn, axes=(1, 2)) for turn in range(4) for flip in (train.images, train.images[:, ::-1])]
    means, sigmas = zip(
        *(predictions(small, replace(train, images=view), symmetric=False) for view in views), strict=True
    )
    mu, sigma = predictions(small, train, symmetric=True)
    np.testing.assert_allclose(mu, np.mean(means, axis=0), atol=1e-5)
    np.testing.assert_allclose(sigma**2, np.mean(np.square(sigmas), axis=0), rtol=1e-4)


def test_micro_batches_add_up_to_the_batch():
    rng = np.random.default_rng(1)
    side, mass, weight = (jnp.asarray(rng.normal(size=shape)) for shape in ((60, 3), (60,), (60,)))
    data = epoch.TrainingData({"side": side}, mass, weight)

    def loss(state, some, key):
        return jnp.mean(some.weight * (some.mass - some.inputs["side"] @ state) ** 2)

    state, rows = jnp.array([0.1, 0.2, 0.3]), jnp.arange(60)
    in_parts = epoch.accumulate(jax.value_and_grad(loss), state, data, rows.reshape(4, 15), jax.random.key(0))
    for mine, whole in zip(in_parts, jax.value_and_grad(loss)(state, data, None), strict=True):
        np.testing.assert_allclose(mine, whole, rtol=1e-4, atol=1e-6)


def test_parts_of_a_batch_divide_it_and_fit_the_cache():
    compact, paper = 25 * 25 * 16, 50 * 50 * 32
    assert [epoch.parts(batch, compact) for batch in (64, 100, 61, 6)] == [(16, 16), (20, 4), (61, 61), (6, 6)]
    assert [epoch.parts(batch, paper) for batch in (64, 100)] == [(16, 4), (20, 4)]
    assert epoch.parts(100, 10 * paper) == (20, 20)


def test_images_in_chunks_have_the_features_of_all_at_once():
    network = network_block([4, 8], [8], ["z"])
    weights = initialise(network, (9, 9, 3), 1, [1])
    model = nnx.merge(*unflatten(network, (9, 9, 3), 1, weights))
    rng = np.random.default_rng(2)
    inputs = {"image": jnp.asarray(rng.normal(size=(12, 9, 9, 3)), jnp.float32), "side": jnp.zeros((12, 1))}
    np.testing.assert_allclose(model(inputs, chunk=4), model(inputs), atol=1e-6)


def test_every_cluster_is_seen_in_every_epoch():
    rows = np.asarray(epoch.shuffled(jax.random.key(1), 10, 3, 4))
    assert set(rows.ravel()) == set(range(10))
    assert len(set(rows[:2].ravel())) == 8
    np.testing.assert_array_equal(rows[2, 2:], rows[0, :2])


def test_weight_zero_leaves_a_cluster_out():
    true, test, bias = sky(64, 1), sky(200, 3), []
    wrong = true.log10_m500c + np.repeat([0.0, 1.0], 32)
    for weight in (np.repeat([1.0, 0.0], 32), None):
        some = Subset(true.images, true.redshift, wrong, weight)
        fitted = fit(some, sky(40, 2), NETWORK, RECIPE | {"epochs": 40}, seed=1, member=0)
        bias.append(np.mean(predictions(fitted, test, False)[0] - test.log10_m500c))
    assert abs(bias[0]) < 0.1 < 0.3 < bias[1]


def test_keep_best_takes_the_epoch_of_the_lowest_validation_loss():
    train, val = sky(64, 1), sky(32, 2)
    wrong = Subset(val.images, val.redshift, np.random.default_rng(1).permutation(val.log10_m500c))
    fitted = fit(train, wrong, NETWORK, RECIPE | {"epochs": 25, "keep": "best"}, seed=1, member=0)
    best = fitted.history.best_epoch
    assert fitted.kept_epoch == best == int(np.argmin(fitted.history.val_loss)) + 1 < 25
    mu, sigma = predictions(fitted, wrong, symmetric=False)
    kept_loss = np.mean(np.log(sigma) + (wrong.log10_m500c - mu) ** 2 / (2 * sigma**2))
    assert kept_loss == pytest.approx(min(fitted.history.val_loss), rel=1e-6)


def runaway(match, train=None, val=None, **recipe):
    with pytest.raises(InputError, match=match):
        fit(train or sky(64, 1), val or sky(40, 2), NETWORK, RECIPE | {"schedule": "constant"} | recipe, 1, member=5)


def test_diverging_training_stops_with_member_epoch_batch_rate_and_cause():
    runaway(r"member 05: .* nan in epoch 1, batch 2 of 2, at learning rate 1.00e\+30.*Lower .*rate", learning_rate=1e30)
    runaway(r"at learning rate 1.00e\+30.*Set .*gradient_clip", learning_rate=1e30, gradient_clip=0.0)


def test_what_isnt_finite_in_the_data_is_reported_before_training():
    for name, change in (("training", {"train": sky(64, 1)}), ("validation", {"val": sky(40, 2)})):
        next(iter(change.values())).images[3, 2, 1, 0] = np.nan
        runaway(f"The {name} set's images or masses aren't all finite", **change)


SIDE_BY_SIDE = network_block([4, 4, 8], [16], ["z", "log_z"], dropout=0.2), RECIPE | {"keep": "best"}, 1


@pytest.mark.long
def test_members_side_by_side_are_those_trained_alone_but_for_rounding():
    """Members under `jax.vmap`, as on a GPU, but here on a CPU."""
    data = sky(64, 1), sky(40, 2)
    together = fit_members(*data, *SIDE_BY_SIDE, [0, 7], side_by_side=True)
    assert list(together) == [0, 7]
    for member, mapped in together.items():
        alone = fit(*data, *SIDE_BY_SIDE, member)
        np.testing.assert_allclose(mapped.history.val_loss, alone.history.val_loss, atol=1e-4)
        assert mapped.kept_epoch == alone.kept_epoch
        for name, array in alone.network.weights.items():
            np.testing.assert_allclose(mapped.network.weights[name], array, atol=1e-4, err_msg=name)


@pytest.mark.long
def test_members_side_by_side_go_on_from_different_epochs(tmp_path, monkeypatch):
    """A kill between two writes leaves members at different epochs; one is even finished."""
    data, left = (sky(64, 1), sky(40, 2)), Checkpoints(tmp_path, {}, every_s=0.0)
    whole = {member: fit(*data, *SIDE_BY_SIDE, member) for member in range(4)}
    fit_members(*data, *SIDE_BY_SIDE, [1], left)
    for last, members in ((2, [0]), (1, [2, 3])):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Watch, "report", stop_after(last))
            fit_members(*data, *SIDE_BY_SIDE, members, left, side_by_side=True)
    resumed = fit_members(*data, *SIDE_BY_SIDE, list(whole), left, side_by_side=True)
    for member, fitted in whole.items():
        np.testing.assert_allclose(resumed[member].history.val_loss, fitted.history.val_loss, atol=1e-4)


def stop_after(epochs):
    def report(watch):
        if watch._group[0].history.epochs > epochs:
            raise KeyboardInterrupt

    return report


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"augmentation": "twist"}, "'twist' is unknown"),
        ({"keep": "all"}, "'all' is unknown"),
        ({"schedule": "nonsense"}, r"recipe.schedule: 'nonsense' is unknown"),
    ],
)
def test_unknown_choices_are_named(changes, message):
    with pytest.raises(InputError, match=message):
        fit(sky(8, 1), sky(8, 2), NETWORK, RECIPE | changes, 1, 0)


def test_empty_subsets_and_oblong_images_are_refused():
    train, empty = sky(8, 1), sky(0, 1)
    with pytest.raises(InputError, match="validation set is empty"):
        fit(train, empty, NETWORK, RECIPE, 1, 0)
    with pytest.raises(InputError, match="8 x 7 pixels"):
        fit(Subset(train.images[:, :, :7], train.redshift, train.log10_m500c), train, NETWORK, RECIPE, 1, 0)


def test_members_differ_and_dont_depend_on_each_other(small):
    second, again = (fit(sky(64, 1), sky(40, 2), NETWORK, RECIPE, 1, member) for member in (1, 0))
    for name, array in small.network.weights.items():
        np.testing.assert_array_equal(array, again.network.weights[name])
    assert small.history.val_loss != second.history.val_loss


def test_predictions_dont_depend_on_what_else_is_in_the_batch(small):
    train = sky(100, 1)
    last = Subset(train.images[90:], train.redshift[90:], train.log10_m500c[90:])
    np.testing.assert_allclose(predictions(small, train, False)[0][90:], predictions(small, last, False)[0], atol=1e-5)


@pytest.mark.long
def test_patience_stops_a_training_and_leaves_others_of_the_group_alone():
    train, val = sky(64, 1), sky(32, 2)
    wrong = Subset(val.images, val.redshift, np.random.default_rng(1).permutation(val.log10_m500c))
    recipe = RECIPE | {"epochs": 25, "keep": "best", "schedule": "constant"}
    whole = fit(train, wrong, NETWORK, recipe, 1, 0)
    stopped = fit(train, wrong, NETWORK, recipe | {"patience": 3}, 1, 0)
    epochs = stopped.history.epochs
    assert epochs == stopped.history.best_epoch + 3 < 25
    assert stopped.history.val_loss == whole.history.val_loss[:epochs]
    together = fit_members(train, wrong, NETWORK, recipe | {"patience": 3}, 1, [0, 1], side_by_side=True)
    for member in together.values():
        assert member.history.epochs == member.history.best_epoch + 3
        assert member.kept_epoch == member.history.best_epoch
