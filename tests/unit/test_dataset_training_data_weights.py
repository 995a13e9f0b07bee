"""Weights of training clusters: even over mass, bounded, of mean 1, and in the loss that is made small."""

from dataclasses import replace

import numpy as np
import pytest
from network_inputs import NETWORK, RECIPE, fit, predictions, sky
from test_network_train_members import SELECTION, write_sky

from clustermass.dataset.training_data import LARGEST, load_training_sample, training_weights
from clustermass.errors import InputError


def steep(number, seed=1):
    """Masses that get rarer by a factor of 20 from 13.3 to 14.8."""
    share = np.random.default_rng(seed).uniform(size=number)
    return 13.3 - 1.5 * np.log(1 - share * (1 - 1 / 20)) / np.log(20)


def test_weighted_masses_are_spread_evenly():
    mass = steep(20_000)
    weights = training_weights("uniform_mass", mass)
    counts = np.histogram(mass, 15, (13.3, 14.8))[0]
    weighted = np.histogram(mass, 15, (13.3, 14.8), weights=weights)[0]
    assert counts.max() / counts.min() > 10
    np.testing.assert_allclose(weighted, mass.size / 15, rtol=1e-9)  # edges are multiples of 0.1, as the bins' are
    assert weights.mean() == pytest.approx(1)
    assert np.corrcoef(mass, weights)[0, 1] > 0.7


def test_a_lone_cluster_doesnt_dominate():
    mass = np.concatenate([np.full(499, 13.55), np.full(500, 13.95), [14.95]])
    weights = training_weights("uniform_mass", mass)
    # unbounded it would have a third of all weight, 333 times the mean
    assert weights[-1] / weights[0] == pytest.approx(LARGEST * 3 * 499 / 1000)
    assert weights[-1] / weights.sum() < 0.02


def test_the_order_of_clusters_doesnt_matter_and_none_is_none():
    mass = steep(300)
    np.testing.assert_array_equal(
        training_weights("uniform_mass", mass)[::-1], training_weights("uniform_mass", mass[::-1])
    )
    assert training_weights("none", mass) is None
    with pytest.raises(InputError, match="weighting is 'mass', but must be one of: none, uniform_mass"):
        training_weights("mass", mass)


def test_weights_reach_the_training_set_alone_and_its_digest(tmp_path):
    files = write_sky(tmp_path)
    experiment = {"selection": SELECTION, "redshift_noise": 0.0, "train_clusters": None, "control": "none"}
    plain, even = (
        load_training_sample(*files, experiment | {"weighting": name}, 11) for name in ("none", "uniform_mass")
    )
    masses = even.subsets["train"].log10_m500c
    np.testing.assert_array_equal(even.subsets["train"].weight, training_weights("uniform_mass", masses))
    for data, names in ((plain, ("train", "val", "test")), (even, ("val", "test"))):
        assert all(data.subsets[name].weight is None for name in names)
    assert plain.digest() != even.digest()
    assert plain.digest() == load_training_sample(*files, experiment, 11).digest()


def test_a_network_predicts_a_rare_kind_better_where_its_weight_is_larger():
    """Images hold no information: the best mean is that of the weighted masses, the network's own without weights."""
    train, val = sky(320, 1), sky(40, 2)
    blank = np.zeros_like(train.images)
    mass = steep(320)
    recipe = RECIPE | {
        "loss": "squared_log",
        "epochs": 20,
        "augmentation": "none",
        "weight_decay": 0.0,
        "learning_rate": 0.03,
    }
    for weight, expected in ((None, mass.mean()), (training_weights("uniform_mass", mass), 14.05)):
        some = replace(train, images=blank, log10_m500c=mass, weight=weight)
        network = NETWORK | {"side_inputs": []}
        fitted = fit(some, replace(val, images=blank[:40]), network, recipe, 1, 0)
        assert predictions(fitted, some, False)[0].mean() == pytest.approx(expected, abs=0.06)
    assert 14.05 - mass.mean() > 0.2
