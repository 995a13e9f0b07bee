"""Training: it learns what is planted, sees no test set, repeats to the byte, and says what goes wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from clustermass import epochs
from clustermass.datasets import read_netcdf, write_netcdf
from clustermass.device import use_device
from clustermass.errors import InputError
from clustermass.fitting import Fitted, Subset, fit
from clustermass.inference import check_grid, predict, redshift_response
from clustermass.networks.parameters import flatten
from clustermass.prediction import standardised_predictions
from clustermass.standardisation import Standardisation
from clustermass.training import noisy_redshift, predictions, train_member
from clustermass.weights import load_weights

use_device("cpu")
NETWORK = {"channels": [4, 4, 8], "dense": [16], "dropout": 0.0, "redshift_inputs": ["z", "log_z"]}
RECIPE = {
    "optimizer": "adamw",
    "learning_rate": 5e-3,
    "schedule": "cosine",
    "warmup_fraction": 0.1,
    "weight_decay": 0.01,
    "gradient_clip": 5.0,
    "batch_size": 32,
    "epochs": 3,
    "augmentation": "symmetries",
    "average_decay": 0.9,
    "keep": "last",
    "symmetric_prediction": True,
}
SELECTION = {"log10_m500c_min": 13.0, "log10_m500c_max": 15.3, "det_like_min": 5.0, "ext_like_min": 6.0}


def sky(number: int, seed: int, size: int = 8) -> Subset:
    """Poisson images of a source at the centre whose counts grow with mass, on a flat background."""
    rng = np.random.default_rng(seed)
    mass, redshift = rng.uniform(13.3, 14.8, number), rng.uniform(0.1, 0.7, number)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    profile = (1 + (x**2 + y**2) / 2) ** -1.5
    source = 200 * 10 ** (mass - 14)[:, None, None, None] * (profile / profile.sum())[..., None] * [0.7, 0.3]
    return Subset(np.sqrt(rng.poisson(source + 0.3)).astype(np.float32), redshift, mass)


@pytest.fixture(scope="module")
def small() -> Fitted:
    """Train for three epochs on 64 clusters; for this size the program is compiled only once."""
    return fit(sky(64, 1), sky(40, 2), NETWORK, RECIPE, seed=1, member=0)


def test_recovers_planted_masses_far_better_than_the_prior():
    train, val, test = sky(400, 1), sky(100, 2), sky(400, 3)
    fitted = fit(train, val, NETWORK, RECIPE | {"epochs": 30}, seed=1, member=0)
    mu, sigma = predictions(fitted, test.images, test.redshift, symmetric=True)
    residual = mu - test.log10_m500c
    assert residual.std() < 0.3 * test.log10_m500c.std()
    assert abs(residual.mean()) < 0.05
    assert 0.7 < (residual / sigma).std() < 1.4
    assert fitted.history.val_loss[-1] < fitted.history.val_loss[0]


def test_losses_are_those_of_the_log_mass_itself(small):
    """By Eq. 1, from the predictions in dex."""
    val = sky(40, 2)
    mu, sigma = predictions(small, val.images, val.redshift, symmetric=False)
    by_hand = np.mean(np.log(sigma**2) / 2 + (val.log10_m500c - mu) ** 2 / (2 * sigma**2))
    assert small.history.val_loss[-1] == pytest.approx(by_hand, rel=1e-9)


def test_constants_come_from_the_training_set():
    train = sky(50, 1)
    constants = Standardisation.of(train.images, train.redshift, train.log10_m500c, ["z"])
    standard = constants.images(train.images)
    np.testing.assert_allclose(standard.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(standard.std((0, 1, 2)), 1, atol=1e-5)
    assert constants.mass_mean == pytest.approx(train.log10_m500c.mean())
    assert constants.redshift_sd == pytest.approx([train.redshift.std()])
    empty = Standardisation.of(np.full((3, 2, 2, 1), 0.3, np.float32), np.full(3, 0.3), np.full(3, 14.1), ["log_z"])
    assert (empty.image_sd, empty.redshift_sd, empty.mass_sd) == ([1.0], [1.0], 1.0)


def test_symmetric_predictions_dont_depend_on_orientation(small):
    train = sky(64, 1)
    turned = np.rot90(train.images, axes=(1, 2))[:, ::-1]
    for symmetric in (True, False):
        one, two = (predictions(small, images, train.redshift, symmetric) for images in (train.images, turned))
        assert np.allclose(one, two, atol=1e-5) is symmetric


def test_symmetric_prediction_is_the_mean_over_the_eight(small):
    train = sky(70, 1)
    views = [np.rot90(flip, turn, axes=(1, 2)) for turn in range(4) for flip in (train.images, train.images[:, ::-1])]
    means, sigmas = zip(*(predictions(small, view, train.redshift, symmetric=False) for view in views), strict=True)
    mu, sigma = predictions(small, train.images, train.redshift, symmetric=True)
    np.testing.assert_allclose(mu, np.mean(means, axis=0), atol=1e-5)
    np.testing.assert_allclose(sigma**2, np.mean(np.square(sigmas), axis=0), rtol=1e-4)


def test_micro_batches_add_up_to_the_batch():
    rng = np.random.default_rng(1)
    data = epochs.TrainingData(*(jnp.asarray(rng.normal(size=shape)) for shape in ((60, 1), (60, 3), (60,), (60,))))

    def loss(state, some, key):
        return jnp.mean(some.weight * (some.mass - some.redshift @ state) ** 2)

    state, rows = jnp.array([0.1, 0.2, 0.3]), jnp.arange(60)
    in_parts = epochs.accumulate(jax.value_and_grad(loss), state, data, rows.reshape(4, 15), jax.random.key(0))
    for mine, whole in zip(in_parts, jax.value_and_grad(loss)(state, data, None), strict=True):
        np.testing.assert_allclose(mine, whole, rtol=1e-4, atol=1e-6)
    assert [epochs.micro_batch(batch) for batch in (64, 128, 100, 61, 6)] == [16, 16, 10, 61, 6]


def test_every_cluster_is_seen_in_every_epoch():
    rows = np.asarray(epochs.shuffled(jax.random.key(1), 10, 3, 4))
    assert set(rows.ravel()) == set(range(10))
    assert len(set(rows[:2].ravel())) == 8
    np.testing.assert_array_equal(rows[2, 2:], rows[0, :2])


def test_weight_zero_leaves_a_cluster_out():
    true, test, bias = sky(64, 1), sky(200, 3), []
    wrong = true.log10_m500c + np.repeat([0.0, 1.0], 32)
    for weight in (np.repeat([1.0, 0.0], 32), None):
        some = Subset(true.images, true.redshift, wrong, weight)
        fitted = fit(some, sky(40, 2), NETWORK, RECIPE | {"epochs": 40}, seed=1, member=0)
        bias.append(np.mean(predictions(fitted, test.images, test.redshift, False)[0] - test.log10_m500c))
    assert abs(bias[0]) < 0.1 < 0.3 < bias[1]


def test_keep_best_takes_the_epoch_of_the_lowest_validation_loss():
    train, val = sky(64, 1), sky(32, 2)
    wrong = Subset(val.images, val.redshift, np.random.default_rng(1).permutation(val.log10_m500c))
    fitted = fit(train, wrong, NETWORK, RECIPE | {"epochs": 25, "keep": "best"}, seed=1, member=0)
    best = fitted.history.best_epoch
    assert fitted.kept_epoch == best == int(np.argmin(fitted.history.val_loss)) + 1 < 25
    mu, sigma = predictions(fitted, wrong.images, wrong.redshift, symmetric=False)
    kept_loss = np.mean(np.log(sigma) + (wrong.log10_m500c - mu) ** 2 / (2 * sigma**2))
    assert kept_loss == pytest.approx(min(fitted.history.val_loss), rel=1e-6)


def test_diverging_training_stops_with_member_epoch_and_rate():
    with pytest.raises(RuntimeError, match=r"member 5: .* epoch 1 .* learning rate 1.00e\+30"):
        fit(sky(64, 1), sky(8, 2), NETWORK, RECIPE | {"learning_rate": 1e30, "schedule": "constant"}, 1, member=5)


@pytest.mark.parametrize(
    ("changes", "message"), [({"augmentation": "twist"}, "'twist' is unknown"), ({"keep": "all"}, "'all' is unknown")]
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


def test_redshift_noise_depends_on_seed_and_cluster_only():
    redshift, ids = np.full(2000, 0.5), np.array([f"01_{row}" for row in range(2000)])
    noisy = noisy_redshift(redshift, ids, 0.05, seed=3)
    assert noisy.std() == pytest.approx(0.05, rel=0.06)
    assert noisy.mean() == pytest.approx(0.5, abs=0.005)
    np.testing.assert_array_equal(noisy_redshift(redshift[::-1], ids[::-1], 0.05, seed=3)[::-1], noisy)
    assert not np.array_equal(noisy_redshift(redshift, ids, 0.05, seed=4), noisy)
    np.testing.assert_array_equal(noisy_redshift(redshift, ids, 0.0, seed=3), redshift)
    assert noisy_redshift(np.full(500, 0.01), ids[:500], 0.05, seed=3).min() > 0


def write_sky(folder: Path, test_seed: int = 0) -> tuple[list[Path], Path]:
    """Two realizations and a split; `test_seed` changes images and masses of the test set only."""
    subset = np.resize(["train", "train", "val", "train", "train", "test"], 48)
    paths, names = [], []
    for realization in ("01", "02"):
        data, other = sky(48, int(realization)), sky(48, 100 + test_seed)
        test = subset == "test"
        images = np.where(test[:, None, None, None], other.images, data.images).transpose(0, 3, 1, 2)
        columns = {
            "redshift": data.redshift,
            "redshift_err": np.zeros(48),
            "det_like": np.full(48, 20.0),
            "ext_like": np.full(48, 20.0),
            "ml_rate": images.sum((1, 2, 3)) / 1000,
            "ml_cts": images.sum((1, 2, 3)),
            "exposure_s": np.full(48, 1200.0),
            "halo_id": np.arange(48),
            "realization": np.full(48, realization),
            "log10_m500c": np.where(test, other.log10_m500c, data.log10_m500c),
        }
        ids = [f"{realization}_{row}" for row in range(48)]
        pixels = np.arange(8) * 24.0 - 84.0
        dataset = xr.Dataset(
            {"image": (("cluster", "band", "y", "x"), images), **{k: ("cluster", v) for k, v in columns.items()}},
            coords={"cluster": ids, "band": [0.3, 0.5], "y": pixels, "x": pixels},
        )
        paths.append(folder / f"smoothed_{realization}.nc")
        made = {"parameters": json.dumps({"transform": "sqrt"})}
        write_netcdf(dataset, paths[-1], "test images", made)
        names += ids
    split = xr.Dataset(
        {"split": ("cluster", np.tile(subset, 2)), "group": ("cluster", names)}, coords={"cluster": names}
    )
    write_netcdf(split, folder / "split.nc", "test split", {})
    return paths, folder / "split.nc"


def train(folder: Path, images: list[Path], split: Path, member: int = 3, **recipe) -> tuple[Path, Path]:
    output, weights = folder / f"{member:02d}.nc", folder / f"{member:02d}.safetensors"
    recipe = RECIPE | {"keep": "best"} | recipe
    train_member(images, split, SELECTION, NETWORK, recipe, "cpu", 11, member, 0.0, output, weights)
    return output, weights


def test_member_file_holds_predictions_of_all_three_subsets(tmp_path):
    images, split = write_sky(tmp_path)
    output, weights = train(tmp_path, images, split)
    member = read_netcdf(output, ("mu", "sigma", "split", "log10_m500c", "train_loss", "val_loss", "learning_rate"))
    assert dict(zip(*np.unique(member["split"].values, return_counts=True), strict=True)) == {
        "test": 16,
        "train": 64,
        "val": 16,
    }
    assert member["mu"].dtype == np.float64 and np.isfinite(member["mu"]).all() and (member["sigma"] > 0).all()
    assert member["epoch"].values.tolist() == [1, 2, 3]
    assert int(member.attrs["best_epoch"]) == int(np.argmin(member["val_loss"].values)) + 1
    # the weights file alone gives the same masses from the images
    cube = np.concatenate([read_netcdf(path)["image"].values for path in images])
    names = np.concatenate([read_netcdf(path)["cluster"].values for path in images]).astype(str)
    redshift = np.concatenate([read_netcdf(path)["redshift"].values for path in images])
    again = predict([weights], cube, redshift, device="cpu")
    row = {name: number for number, name in enumerate(names)}
    order = [row[name] for name in member["cluster"].values.astype(str)]
    np.testing.assert_allclose(again["mu"][0][order], member["mu"], atol=1e-6)
    np.testing.assert_allclose(again["sigma"][0][order], member["sigma"], atol=1e-6)
    known = load_weights(weights)
    assert known.preprocessing == {"transform": "sqrt"}
    train_mass = member["log10_m500c"].values[member["split"].values == "train"]
    assert known.ranges["log10_m500c"] == [train_mass.min(), train_mass.max()]


def test_other_test_images_and_masses_change_neither_weights_nor_epochs(tmp_path):
    made = []
    for test_seed in (0, 1):
        folder = tmp_path / str(test_seed)
        images, split = write_sky(folder, test_seed)
        output, weights = train(folder, images, split)
        made.append((weights.read_bytes(), read_netcdf(output)))
    (first, one), (second, two) = made
    assert first == second
    assert one.attrs["best_epoch"] == two.attrs["best_epoch"]
    np.testing.assert_array_equal(one["val_loss"], two["val_loss"])
    test = one["split"].values == "test"
    np.testing.assert_array_equal(one["mu"].values[~test], two["mu"].values[~test])
    assert not np.array_equal(one["mu"].values[test], two["mu"].values[test])


SCRIPT = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_training import train, write_sky
train(Path("."), *write_sky(Path(".")))
import jax.numpy as jnp
matrix = jnp.ones((1200, 1200))
(matrix @ matrix).block_until_ready()
cpu, wall = time.process_time(), time.monotonic()
for _ in range(10):
    (matrix @ matrix).block_until_ready()
print((time.process_time() - cpu) / (time.monotonic() - wall))
"""


def test_two_processes_write_the_same_bytes_on_one_core_each(tmp_path, monkeypatch):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    command = [sys.executable, "-c", SCRIPT, str(Path(__file__).parent)]
    with subprocess.Popen(command, cwd=there, stdout=subprocess.PIPE, text=True) as process:
        monkeypatch.chdir(here)  # provenance names the inputs as they are given
        train(Path(), *write_sky(Path()))
        cores = process.communicate(timeout=300)[0]
    assert process.returncode == 0
    assert float(cores) < 1.15
    for name in ("03.nc", "03.safetensors"):
        assert (here / name).read_bytes() == (there / name).read_bytes(), name


def test_members_differ_and_dont_depend_on_each_other(small):
    second, again = (fit(sky(64, 1), sky(40, 2), NETWORK, RECIPE, 1, member) for member in (1, 0))
    for name, array in flatten(small.state).items():
        np.testing.assert_array_equal(array, flatten(again.state)[name])
    assert small.history.val_loss != second.history.val_loss


def test_redshift_response_finds_a_planted_slope(tmp_path):
    """log10 M = 14 + z, and the images tell nothing: an error of 0.03 in z is one of 0.03 in log10 M."""
    images, split = write_sky(tmp_path)
    for path in images:
        dataset = read_netcdf(path)
        dataset["log10_m500c"] = 13.6 + dataset["redshift"]
        dataset["image"] = dataset["image"] * 0
        write_netcdf(dataset, path, "test images", {})
    _, weights = train(tmp_path, images, split, epochs=300)
    cube, redshift = np.zeros((9, 2, 8, 8)), np.linspace(0.2, 0.6, 9)
    response = redshift_response([weights], cube, redshift, np.full(9, 0.03), device="cpu")
    np.testing.assert_allclose(response, 0.03, atol=0.015)  # the network's own curve, bent a little
    assert response.mean() == pytest.approx(0.03, rel=0.15)
    np.testing.assert_array_equal(redshift_response([weights], cube, redshift, np.zeros(9), device="cpu"), 0)
    mu = predict([weights, weights], cube, redshift, device="cpu")["mu"]
    assert mu.shape == (2, 9)
    np.testing.assert_allclose(mu[0], 13.6 + redshift, atol=0.05)


def test_inference_refuses_what_doesnt_fit(tmp_path):
    images, split = write_sky(tmp_path)
    _, weights = train(tmp_path, images, split, epochs=1)
    cube = np.zeros((2, 2, 8, 8))
    with pytest.raises(InputError, match="no weights"):
        predict([], cube, np.ones(2))
    with pytest.raises(InputError, match=r"takes images of \(y, x, band\) = \(8, 8, 2\), not \(9, 9, 2\)"):
        predict([weights], np.zeros((2, 2, 9, 9)), np.ones(2))
    with pytest.raises(InputError, match="row 1"):
        predict([weights], cube, np.array([0.3, np.nan]))
    with pytest.raises(InputError, match="redshift_err: row 0"):
        predict([weights], cube, np.array([0.3, 0.4]), np.array([-0.1, 0.1]))
    dataset = read_netcdf(images[0])
    check_grid([weights], dataset)
    with pytest.raises(InputError, match="trained on band"):
        check_grid([weights], dataset.assign_coords(band=[0.3, 0.6]))


def test_predictions_dont_depend_on_what_else_is_in_the_batch(small):
    train_set, constants = sky(100, 1), small.constants
    images, redshift = constants.images(train_set.images), constants.redshift(train_set.redshift)[:, None]
    whole = standardised_predictions(small.structure, small.state, images, redshift, False)
    part = standardised_predictions(small.structure, small.state, images[90:], redshift[90:], False)
    np.testing.assert_allclose(whole[0][90:], part[0], atol=1e-5)


def test_device_is_checked(monkeypatch):
    monkeypatch.setenv("PJRT_NPROC", os.environ.get("PJRT_NPROC", "1"))
    with pytest.raises(InputError, match="'tpu' is unknown"):
        use_device("tpu")
    with pytest.raises(InputError, match="threads"):
        use_device("cpu", 0)
    assert use_device("auto") == jax.default_backend()
    if jax.default_backend() == "cpu":
        with pytest.raises(InputError, match="JAX sees none"):
            use_device("gpu")
