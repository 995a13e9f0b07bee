"""Training from files: no test set is seen, bytes repeat, and the weights alone give the same masses again."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import xarray as xr
from network_inputs import NETWORK, RECIPE, network_block, sky

from clustermass.dataset.training_data import noisy_redshift
from clustermass.ensemble import ensemble as ensemble_module
from clustermass.ensemble.ensemble import Ensemble
from clustermass.errors import InputError
from clustermass.io.netcdf import read_netcdf, write_netcdf
from clustermass.network.predict import TrainedNetwork, use_device
from clustermass.network.train_members import train_members

SELECTION = {"log10_m500c_min": 13.0, "log10_m500c_max": 15.3, "det_like_min": 5.0, "ext_like_min": 6.0}

PREPROCESSING = {"half_width_arcsec": 96.0, "pixel_arcsec": 24.0, "transform": "sqrt"}


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
        made = {"parameters": json.dumps(PREPROCESSING)}
        write_netcdf(dataset, paths[-1], "test images", made)
        names += ids
    split = xr.Dataset(
        {"split": ("cluster", np.tile(subset, 2)), "group": ("cluster", names)}, coords={"cluster": names}
    )
    write_netcdf(split, folder / "split.nc", "test split", {})
    return paths, folder / "split.nc"


def experiment(recipe, **keys):
    defaults = {"selection": SELECTION, "redshift_noise": 0.0, "train_clusters": None, "control": "none"}
    return {**defaults, "network": NETWORK, "recipe": RECIPE | {"keep": "best"} | recipe, **keys}


def train_batch(folder, images, split, members, keys=None, checkpoints=None, every_s=0.0, **recipe):
    """Train members 3, 4, ...; their files by number."""
    outputs = {member: (folder / f"{member:02d}.nc", folder / f"{member:02d}.safetensors") for member in members}
    made = experiment(recipe, **(keys or {}))
    train_members(images, split, made, "cpu", 11, outputs, 1, checkpoints, every_s)
    return outputs


def train(folder: Path, images: list[Path], split: Path, member: int = 3, **recipe) -> tuple[Path, Path]:
    return train_batch(folder, images, split, [member], **recipe)[member]


@pytest.mark.long
@pytest.mark.parametrize(
    ("recipe", "pooling"),
    [({}, "average"), ({"loss": "percentage"}, "max"), ({"loss": "classification"}, "average")],
)
def test_member_file_holds_predictions_of_all_three_subsets(tmp_path, recipe, pooling):
    images, split = write_sky(tmp_path)
    output, weights = train_batch(
        tmp_path,
        images,
        split,
        [3],
        {"network": network_block([4, 4, 8], [16], ["z", "log_z"], pooling=pooling)},
        **recipe,
    )[3]
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
    again = Ensemble.from_weights([weights]).predict(cube, redshift, device="cpu")
    row = {name: number for number, name in enumerate(names)}
    order = [row[name] for name in member["cluster"].values.astype(str)]
    np.testing.assert_allclose(again.mu[order], member["mu"], atol=1e-6)
    np.testing.assert_allclose(again.member_sigma[0][order], member["sigma"], atol=1e-6)
    known = TrainedNetwork.load(weights)
    assert known.preprocessing == PREPROCESSING
    train_mass = member["log10_m500c"].values[member["split"].values == "train"]
    assert known.ranges["log10_m500c"] == [train_mass.min(), train_mass.max()]


def test_a_simulation_without_fitted_counts_trains_all_the_same(tmp_path):
    images, split = write_sky(tmp_path)
    for path in images:
        sky_file = read_netcdf(path)
        sky_file["ml_cts"] = sky_file["ml_cts"].astype(float) * np.nan
        write_netcdf(sky_file, path, "test images", {"parameters": "{}"})
    assert set(TrainedNetwork.load(train(tmp_path, images, split)[1]).ranges) == {"redshift", "log10_m500c"}


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
    for history in ("train_loss", "val_loss", "learning_rate"):
        assert one[history].values.tobytes() == two[history].values.tobytes()
    test = one["split"].values == "test"
    np.testing.assert_array_equal(one["mu"].values[~test], two["mu"].values[~test])
    assert not np.array_equal(one["mu"].values[test], two["mu"].values[test])


def test_a_subset_of_another_name_is_refused(tmp_path):
    images, split = write_sky(tmp_path)
    table = read_netcdf(split)
    table["split"][3] = "spare"
    write_netcdf(table, split, "test split", {})
    with pytest.raises(InputError, match=r"split\.nc: subset 'spare' is unknown"):
        train(tmp_path, images, split)


SCRIPT = """
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
sys.path.insert(0, sys.argv[1])
from test_network_train_members import train, write_sky
train(Path("."), *write_sky(Path(".")))
import jax.numpy as jnp
def seconds():
    stats = {task.name: (task / "stat").read_text() for task in Path("/proc/self/task").iterdir()}
    fields = {name: line.rpartition(")")[2].split() for name, line in stats.items()}
    return {name: int(columns[11]) + int(columns[12]) for name, columns in fields.items()}
matrix = jnp.ones((1500, 1500))
(matrix @ matrix).block_until_ready()
before = seconds()
for _ in range(10):
    (matrix @ matrix).block_until_ready()
used = [ticks - before.get(name, 0) for name, ticks in seconds().items()]
print(sum(ticks > 0.1 * sum(used) for ticks in used))
"""


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts busy threads by Linux' /proc")
def test_two_processes_write_the_same_bytes_on_one_core_each(tmp_path, monkeypatch):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    command = [sys.executable, "-c", SCRIPT, str(Path(__file__).parent)]
    free = {name: value for name, value in os.environ.items() if name != "PJRT_NPROC"}
    with subprocess.Popen(command, cwd=there, env=free, stdout=subprocess.PIPE, text=True) as process:
        monkeypatch.chdir(here)  # provenance names the inputs as they are given
        train(Path(), *write_sky(Path()))
        busy_threads = process.communicate(timeout=300)[0]
    assert process.returncode == 0
    assert int(busy_threads) == 1
    for name in ("03.nc", "03.safetensors"):
        assert (here / name).read_bytes() == (there / name).read_bytes(), name


def test_a_redshift_error_moves_the_mass_by_the_slope_of_the_data(tmp_path):
    """log10 M = 14 + z, and the images tell nothing: an error of 0.03 in z is one of 0.03 in log10 M."""
    images, split = write_sky(tmp_path)
    for path in images:
        dataset = read_netcdf(path)
        dataset["log10_m500c"] = 13.6 + dataset["redshift"]
        dataset["image"] = dataset["image"] * 0
        write_netcdf(dataset, path, "test images", {})
    _, weights = train(tmp_path, images, split, epochs=300)
    ensemble = Ensemble.from_weights([weights])
    cube, redshift = np.zeros((9, 2, 8, 8)), np.linspace(0.2, 0.6, 9)
    response = ensemble.predict(cube, redshift, np.full(9, 0.03), device="cpu").sigma_redshift
    np.testing.assert_allclose(response, 0.03, atol=0.015)  # the network's own curve, bent a little
    assert response.mean() == pytest.approx(0.03, rel=0.15)
    exact = ensemble.predict(cube, redshift, np.zeros(9), device="cpu").sigma_redshift
    np.testing.assert_array_equal(exact, 0)
    mu = Ensemble.from_weights([weights, weights]).predict(cube, redshift, device="cpu").member_mu
    assert mu.shape == (2, 9)
    np.testing.assert_allclose(mu[0], 13.6 + redshift, atol=0.05)


def test_networks_of_a_control_are_evaluated_under_it_but_give_no_masses(tmp_path):
    """Without energy information, photons that change their bands change no prediction."""
    images, split = write_sky(tmp_path)
    files = {}
    for control in ("none", "no_energy"):
        folder = tmp_path / control
        folder.mkdir()
        files[control] = train_batch(folder, images, split, [3], {"control": control})[3][1]
    cube, redshift = read_netcdf(images[0])["image"].values, read_netcdf(images[0])["redshift"].values
    swapped = cube[:, ::-1]
    for control, weights in files.items():
        predict = partial(Ensemble.from_weights([weights]).predict, device="cpu", controlled=True)
        mu = [predict(some, redshift).member_mu for some in (cube, swapped)]
        assert np.allclose(*mu, atol=1e-5) is (control == "no_energy")
    member = read_netcdf(files["no_energy"].with_suffix(".nc"))
    rows = [name.startswith("01_") for name in member["cluster"].values.astype(str)]
    order = np.argsort(read_netcdf(images[0])["cluster"].values.astype(str))
    tested = predict(cube, redshift).mu
    np.testing.assert_allclose(tested[order], member["mu"].values[rows], atol=1e-6)
    with pytest.raises(InputError, match=r"network of the control 'no_energy'.* gives no masses"):
        Ensemble.from_weights([weights]).predict(cube, redshift, device="cpu")


def test_training_on_fewer_clusters_predicts_all_but_marks_them(tmp_path):
    images, split = write_sky(tmp_path)
    output, weights = train_batch(tmp_path, images, split, [3], {"train_clusters": 24})[3]
    member = read_netcdf(output)
    names, numbers = np.unique(member["split"].values, return_counts=True)
    assert dict(zip(names, numbers, strict=True)) == {"test": 16, "train": 24, "unused": 40, "val": 16}
    assert np.isfinite(member["mu"].values).all()
    mass = member["log10_m500c"].values[member["split"].values == "train"]
    assert TrainedNetwork.load(weights).ranges["log10_m500c"] == [mass.min(), mass.max()]


def test_inference_refuses_what_doesnt_fit(tmp_path):
    images, split = write_sky(tmp_path)
    _, weights = train(tmp_path, images, split, epochs=1)
    ensemble, cube = Ensemble.from_weights([weights]), np.zeros((2, 2, 8, 8))
    with pytest.raises(InputError, match="no weights"):
        Ensemble.from_weights([])
    with pytest.raises(InputError, match=r"takes images of \(y, x, band\) = \(8, 8, 2\), not \(9, 9, 2\)"):
        ensemble.predict(np.zeros((2, 2, 9, 9)), np.ones(2))
    with pytest.raises(InputError, match="row 1"):
        ensemble.predict(cube, np.array([0.3, np.nan]))
    with pytest.raises(InputError, match="redshift_err: row 0"):
        ensemble.predict(cube, np.array([0.3, 0.4]), np.array([-0.1, 0.1]))
    dataset = read_netcdf(images[0])
    ensemble.check_grid(dataset)
    with pytest.raises(InputError, match="trained on band"):
        ensemble.check_grid(dataset.assign_coords(band=[0.3, 0.6]))


def test_bands_of_equal_centres_and_other_widths_are_refused():
    network = SimpleNamespace(edges_ev=(200, 400, 800))
    bounds = np.array([[0.2, 0.4], [0.4, 0.8]])
    same, other = (xr.Dataset({"band_bounds": (("band", "edge"), values)}) for values in (bounds, bounds - [0.1, -0.1]))
    ensemble_module._check_bands(same, network, Path("00.safetensors"))
    wanted = r"wants images in 2 bands with the edges 0.2, 0.4, 0.8 keV, and these have 3 bands with the edges 0.1"
    with pytest.raises(InputError, match=wanted):
        ensemble_module._check_bands(other, network, Path("00.safetensors"))


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


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="JAX has a GPU")
def test_a_gpu_plugin_that_finds_no_gpu_is_a_warning(monkeypatch, caplog):
    monkeypatch.setenv("PJRT_NPROC", os.environ.get("PJRT_NPROC", "1"))
    use_device("auto")
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    monkeypatch.setattr("clustermass.network.accelerator.entry_points", lambda group: [group])
    use_device("auto")
    (warned,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "finds no GPU: the CPU is used" in warned.message
