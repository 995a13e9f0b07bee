"""Side inputs of a network: needed quantities, and measured ones that a cluster may lack."""

from dataclasses import replace

import numpy as np
import pytest
from network_inputs import fit, network_block, predictions

from clustermass.dataset.standardise import SIDE_INPUTS, Standardisation, side_inputs, widths
from clustermass.dataset.training_data import Control, Subset
from clustermass.errors import InputError

ALL = ["log_background", "z", "log_rate", "log_z", "log_extent", "log_exposure"]
MEASUREMENTS = {
    "exposure_s": np.array([1000.0, 1200.0, 900.0, 1100.0]),
    "ml_rate": np.array([0.1, 0.2, np.nan, 0.4]),
    "ext": np.array([20.0, 30.0, 25.0, 0.0]),
    "ml_bkg": np.array([6.0, 7.0, 6.5, 6.2]),
}
REDSHIFT = np.array([0.2, 0.3, 0.4, 0.5])


def test_needed_inputs_come_first_and_a_cluster_that_lacks_one_measured_has_none():
    made = side_inputs(REDSHIFT, MEASUREMENTS, ALL)
    expected = [[0.3, np.log(0.3), np.log(1200.0), np.log(7.0), np.log(0.2), np.log(30.0)]]
    np.testing.assert_allclose(made[1:2], expected)
    assert np.isfinite(made[:, :3]).all()
    np.testing.assert_array_equal(np.isfinite(made[:, 3:]).all(axis=1), [True, True, False, False])
    assert np.isnan(made[2:, 3:]).all()  # no rate; no extent
    assert widths(ALL) == (3, 4)
    assert widths(["z"]) == (1, 0)


def test_errors_name_input_quantity_and_row():
    np.testing.assert_allclose(side_inputs(np.array([0.5]), {}, ["z", "log_z"]), [[0.5, -0.6931472]], rtol=1e-6)
    assert side_inputs(np.array([0.5, 0.6]), {}, []).shape == (2, 0)
    with pytest.raises(InputError, match="row 1"):
        side_inputs(np.array([0.5, np.nan]), {}, ["z"])
    with pytest.raises(InputError, match="'zz' is unknown"):
        side_inputs(np.array([0.5]), {}, ["zz"])
    with pytest.raises(InputError, match=r"need exposure_s of every cluster \(log_exposure\), but there is none\.$"):
        side_inputs(np.array([0.2]), {}, ["log_exposure"])
    with pytest.raises(InputError, match=r"there is none\. Give the table of clusters a column NH, in cm-2"):
        side_inputs(np.array([0.2]), {}, ["log_nh"])
    with pytest.raises(InputError, match="exposure_s: 1 value"):
        side_inputs(np.array([0.2, 0.3]), {"exposure_s": np.array([900.0, 0.0])}, ["log_exposure"])


def test_measurements_join_every_redshift_of_their_cluster():
    measurements = {"exposure_s": np.array([[1000.0], [2000.0]]), "ml_rate": np.array([[0.1], [np.nan]])}
    both = side_inputs(np.array([[0.2, 0.3], [0.4, 0.5]]), measurements, ["log_exposure", "z", "log_rate"])
    np.testing.assert_allclose(both[..., 0], np.log([[1000, 1000], [2000, 2000]]))
    np.testing.assert_allclose(both[..., 1], [[0.2, 0.3], [0.4, 0.5]])
    np.testing.assert_allclose(both[..., 2], [[np.log(0.1)] * 2, [np.nan] * 2])


def constants(measurements):
    images = np.random.default_rng(1).random((4, 2, 2, 1))
    return Standardisation.from_training_set(Subset(images, REDSHIFT, REDSHIFT + 14, None, measurements), ALL)


def test_unknown_measurements_are_zeros_and_the_last_column_says_so():
    side = constants(MEASUREMENTS).side(REDSHIFT, MEASUREMENTS)
    assert side.shape == (4, 7)
    np.testing.assert_array_equal(side[:, 6], [1, 1, 0, 0])
    np.testing.assert_array_equal(side[2:, 3:], 0)
    np.testing.assert_allclose(side[:2, 3:6].mean(axis=0), 0, atol=1e-6)  # moments are of the measured ones alone
    np.testing.assert_allclose(np.abs(side[:2, 3:6]), 1, atol=1e-5)


def test_what_no_training_cluster_has_stays_hidden_from_the_network():
    without = constants({name: values for name, values in MEASUREMENTS.items() if name != "ext"})
    np.testing.assert_array_equal(without.side(REDSHIFT, MEASUREMENTS)[:, 3:], 0)


def test_noise_hides_the_measurements_of_the_image_that_it_replaces():
    images = np.ones((4, 2, 2, 1))
    hidden = Control.from_training_images("noise_images", "none", images, 1).measurements(MEASUREMENTS)
    assert all(np.isnan(hidden[name]).all() for name in ("ml_rate", "ext", "ml_bkg"))
    np.testing.assert_array_equal(hidden["exposure_s"], MEASUREMENTS["exposure_s"])
    assert Control.from_training_images("none", "none", images, 1).measurements(MEASUREMENTS) == MEASUREMENTS


RECIPE = {
    "optimizer": "adamw", "learning_rate": 0.01, "schedule": "constant", "warmup_fraction": 0.0, "weight_decay": 0.0,
    "gradient_clip": 0.0, "batch_size": 20, "epochs": 30, "augmentation": "none", "average_decay": 0.0, "keep": "last",
    "symmetric_prediction": False,
}  # fmt: skip


def test_the_network_uses_a_measured_rate_and_widens_its_sigma_without():
    """The mass depends on the count rate alone: with it the network is sharp, without it falls back on the prior."""
    assert "log_rate" in SIDE_INPUTS
    rng = np.random.default_rng(3)
    rate = np.exp(rng.normal(-2, 0.5, 400))
    images, redshift = rng.normal(size=(400, 8, 8, 1)).astype("f4"), rng.uniform(0.2, 0.4, 400)
    whole = Subset(images, redshift, 14 + 0.6 * np.log(rate), measurements={"ml_rate": rate})
    network = network_block([2], [16], ["z", "log_rate"], hidden=0.3)
    fitted = fit(whole, replace(whole), network, RECIPE, 1, 0)
    (mu, sigma), (mu_without, sigma_without) = (
        predictions(fitted, some, False) for some in (whole, replace(whole, measurements={}))
    )
    sd = fitted.network.standardisation.mass_sd
    assert np.std(mu - whole.log10_m500c) < 0.3 * sd
    assert np.std(mu_without - whole.log10_m500c) > 0.8 * sd
    assert np.median(sigma_without) > 2 * np.median(sigma)
    assert np.isfinite(sigma_without).all()
