"""The guard over a training: what stops it and what it says, and what doesn't."""

import logging

import numpy as np
import pytest

from clustermass.errors import InputError
from clustermass.network import checkpoints as watch
from clustermass.network.checkpoints import History, Member, Watch

RECIPE = {"epochs": 9, "gradient_clip": 5.0}
RATES = np.array([[1e-3, 2e-3, 3e-3], [4e-3, 5e-3, 6e-3]])
FINE = np.array([[0.5, -3.0, 9e5], [0.4, 0.3, 0.2]])


def watching(recipe=RECIPE, extreme=8.0, epochs=2):
    history = History([0.1] * epochs, [0.2] * epochs, [1e-3] * epochs)
    group = [Member(number, None, None, 0, history) for number in (4, 12)]
    return group, Watch(group, recipe, lambda: extreme)


@pytest.mark.parametrize("loss", [np.nan, np.inf, -np.nan, 2e6])
def test_the_first_bad_batch_of_any_member_is_named(loss):
    losses = FINE.copy()
    losses[1, 1] = losses[0, 2] = loss
    expected = r"member 12: the loss is .* in epoch 3, batch 2 of 3, at learning rate 5.00e-03\. Likely cause: too high"
    with pytest.raises(InputError, match=expected):
        watching()[1].check_steps(losses, RATES)


def test_high_but_bearable_losses_stop_nothing():
    watching()[1].check_steps(FINE, RATES)
    watching()[1].check_validation(np.array([0.3, 1e9]), RATES)


@pytest.mark.parametrize(
    ("recipe", "extreme", "cause"),
    [
        (RECIPE, 1e5, "pixels of 1e\\+05 standard deviations"),
        (RECIPE, np.nan, "pixels of nan standard deviations"),
        (RECIPE | {"gradient_clip": 0.0}, 8.0, "Set the recipe's gradient_clip"),
        (RECIPE, 8.0, "Lower the recipe's learning_rate"),
    ],
)
def test_the_likely_cause(recipe, extreme, cause):
    with pytest.raises(InputError, match=cause):
        watching(recipe, extreme)[1].check_steps(FINE * np.nan, RATES)


def test_a_validation_loss_that_isnt_finite_has_its_own_cause():
    expected = (
        "member 12: the validation loss is nan after epoch 3, at learning rate 6.00e-03, .* split and the selection"
    )
    with pytest.raises(InputError, match=expected):
        watching()[1].check_validation(np.array([0.3, np.nan]), RATES)


def test_progress_has_epoch_losses_rate_and_time_left(caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    clock = iter([0.0, 10.0, 12.0, 18.0])
    monkeypatch.setattr(watch.time, "monotonic", lambda: next(clock))
    group, guard = watching(epochs=3)
    for _ in range(3):  # 10 s of compilation and an epoch, then one in 2 s and one in 6 s
        group[0].add_epoch(0.5, 0.25, 1e-3, "last")  # they share their history
        guard.report()
    assert [record.message.split(": ", 1)[1] for record in caplog.records] == [
        "epoch 5 of 9, loss 0.500, validation 0.250, 0.50 epochs/s, 8 s left",
        "epoch 6 of 9, loss 0.500, validation 0.250, 0.25 epochs/s, 12 s left",
    ]
    assert caplog.records[0].message.startswith("members 04 to 12: ")
