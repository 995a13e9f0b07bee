"""The key `stop` of a recipe: when a training ends, and that its state is stored."""

import numpy as np
import pytest
from network_inputs import NETWORK, RECIPE, fit, fit_members, predictions, sky

from clustermass.network.checkpoints import Checkpoints
from clustermass.network.stopping import has_converged

STOP = {"largest": 0.3, "median": 0.02, "slope": 0.9}
TRUTH = np.linspace(13.6, 14.8, 31)


@pytest.mark.parametrize(
    ("predicted", "expected"),
    [
        (TRUTH, True),
        (TRUTH + 0.019, True),
        (TRUTH + 0.021, False),  # median
        (TRUTH + 0.31 * (np.arange(31) == 15), False),  # one outlier
        (14.2 + 1.1 * (TRUTH - 14.2), True),  # slope 1 / 1.1
        (14.2 + 1.12 * (TRUTH - 14.2), False),
        (np.full(31, 14.2), False),  # no slope
    ],
)
def test_all_three_conditions_must_hold(predicted, expected):
    assert has_converged(STOP, TRUTH, np.stack([predicted, TRUTH])).tolist() == [expected, True]


def test_a_training_stops_at_the_first_epoch_that_meets_the_conditions(tmp_path):
    train, val = sky(64, 1), sky(32, 2)
    recipe = RECIPE | {"epochs": 30, "schedule": "constant", "average_decay": 0.0, "loss": "squared_log"}
    stop = {"largest": 0.7, "median": 0.1, "slope": 0.7}
    done = fit(train, val, NETWORK, recipe | {"stop": stop}, 1, 0)
    epochs = done.history.epochs
    assert 1 < epochs < 30
    assert epochs == done.kept_epoch
    for number in (epochs - 1, epochs):
        assert meets(stop, train, val, recipe | {"epochs": number}) == (number == epochs)
    whole = fit(train, val, NETWORK, recipe, 1, 0)
    assert done.history.val_loss == whole.history.val_loss[:epochs]
    checkpoints = Checkpoints(tmp_path, {}, every_s=0.0)
    together = fit_members(train, val, NETWORK, recipe | {"stop": stop}, 1, [0, 1], checkpoints, side_by_side=True)
    assert together[0].history.epochs == epochs
    again = fit_members(train, val, NETWORK, recipe | {"stop": stop}, 1, [0, 1], checkpoints, side_by_side=True)
    assert {number: member.history for number, member in again.items()} == {
        number: member.history for number, member in together.items()
    }


def meets(stop, train, val, recipe):
    made = fit(train, val, NETWORK, recipe, 1, 0)
    predicted, _ = predictions(made, val, False)
    return bool(has_converged(stop, val.log10_m500c, predicted[None])[0])
