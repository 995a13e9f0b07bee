"""An ensemble in one file: it comes back as it was packed, with the same bytes each time; other files are refused."""

import hashlib
import json
import os
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from ood_inputs import by_hand, write_ood_model
from test_network_predict import example

from clustermass.apply.field import masses_of_field
from clustermass.dataset.training_data import Control
from clustermass.ensemble import pack as packing
from clustermass.ensemble.ensemble import Ensemble
from clustermass.ensemble.posterior import Posterior
from clustermass.errors import InputError
from clustermass.io.files import write_json
from clustermass.io.netcdf import write_netcdf
from clustermass.network.predict import TrainedNetwork

NAMES = ["ensemble.nc", "calibration.json", "domain.nc", "members/00.safetensors", "members/01.safetensors"]


@pytest.fixture
def experiment(tmp_path):
    """Write a finished experiment of two networks; a third, of an earlier run, isn't part of its ensemble."""
    folder = tmp_path / "fiducial"
    (folder / "members").mkdir(parents=True)
    columns = {
        "split": ["train", "train", "train", "val"],
        "redshift": [0.0, 1.0, 0.5, 0.01],
        "redshift_err": [0.03, 0.0, 0.0, 0.9],
        "ml_cts": [np.nan, np.nan, np.nan, 5.0],
        "exposure_s": [100.0, 300.0, 200.0, 900.0],
        "log10_m500c": [14.0, 13.0, 15.0, 16.0],
    }
    coordinates = {"cluster": ["a", "b", "c", "d"], "member": ["00", "01"]}
    dataset = xr.Dataset({name: ("cluster", np.array(values)) for name, values in columns.items()}, coordinates)
    made = {"source": "clustermass 0.0.7", "cosmology": {"h0_km_s_mpc": 70.0, "omega_m": 0.3}}
    write_netcdf(dataset, folder / "ensemble.nc", "test", made)
    for member in range(3):
        replace(example(), member=member).save(folder / "members" / f"0{member}.safetensors")
    levels = {level: {"half_width": 1.0} for level in ("68", "90", "95")}
    recalibration = {"form": "scale", "scale": 1.25, "floor_dex": 0.0}
    write_json(
        {"n_val": 40, "recalibration": recalibration, "conformal": {"levels": levels}}, folder / "calibration.json"
    )
    write_ood_model(by_hand([[0.1], [0.2], [0.3]]), folder / "domain.nc")
    return folder


@pytest.fixture
def packed(experiment, tmp_path):
    Ensemble.from_folder(experiment).save(tmp_path / "my ensemble.zip")
    return tmp_path / "my ensemble.zip"


def manifest_of(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("manifest.json"))


def test_the_file_holds_the_ensemble_s_files_and_their_hashes(experiment, packed):
    with zipfile.ZipFile(packed) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["manifest.json", *NAMES]
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        assert all(archive.read(name) == (experiment / name).read_bytes() for name in NAMES)
    expected = {name: hashlib.sha256((experiment / name).read_bytes()).hexdigest() for name in NAMES}
    assert manifest_of(packed)["files"] == expected


def test_the_manifest_tells_what_the_ensemble_is(packed):
    manifest = manifest_of(packed)
    assert manifest["members"] == [0, 1]
    training = manifest["training"]
    assert training["clusters"] == 3
    assert training["ranges"] == {"redshift": [0.0, 1.0], "exposure_s": [100.0, 300.0], "log10_m500c": [13.0, 15.0]}
    assert manifest["domain"] == {"clusters": 3, "quantities": ["mass"], "false_alarm_rate": 0.01}
    assert training["redshift_error"] == pytest.approx(0.03 / np.sqrt(3))
    assert manifest["calibration"] == {"clusters": 40, "form": "scale", "scale": 1.25, "floor_dex": 0.0}
    assert manifest["cosmology"] == {"h0_km_s_mpc": 70.0, "omega_m": 0.3}
    assert manifest["trained_with"] == "clustermass 0.0.7"
    known = example()
    for key, value in (
        ("image_geometry", known.grid),
        ("preprocessing", known.preprocessing),
        ("cutting", known.cutting),
        ("network", known.network),
        ("recipe", known.recipe),
        ("seed", known.seed),
    ):
        assert manifest[key] == value
    assert manifest["standardisation"]["image_mean"] == known.standardisation.image_mean
    assert manifest["packed_with"]["numpy"] == np.__version__


def test_the_same_ensemble_gives_the_same_bytes_wherever_and_whenever(experiment, packed, tmp_path):
    other = tmp_path / "elsewhere" / "copy"
    shutil.copytree(experiment, other, copy_function=shutil.copyfile)
    for number, name in enumerate(reversed(NAMES)):
        os.utime(other / name, (1e9 + number, 1e9 + number))
        (other / name).chmod(0o600)
    (other / "metrics.json").write_text("{}")
    Ensemble.from_folder(other).save(tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == packed.read_bytes()


def test_unpacked_files_and_hash_are_those_of_the_folder(experiment, packed):
    with Ensemble.load(experiment) as there, Ensemble.load(packed) as here:
        assert here.digest() == there.digest() == manifest_of(packed)["ensemble_hash"]
        assert here.named().keys() == there.named().keys() == set(NAMES)
        assert all(here.named()[name].read_bytes() == path.read_bytes() for name, path in there.named().items())
        assert [TrainedNetwork.load(path).member for path in here.weights] == [0, 1]
        folder = here.ensemble.parent
    assert not folder.exists()


def rewrite(path, change):
    """Write the zip anew, as someone with a zip program might; `change` takes and gives files by name."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in change(files).items():
            archive.writestr(name, content)


@pytest.mark.parametrize("files", [[[1, 2]], [], {"ensemble.nc": 1}, {"ensemble.nc": None}, 5, "a", None, {"a": {}}])
def test_a_manifest_without_names_and_hashes_is_refused(packed, files):
    with_manifest(files=files, ensemble_hash=None)(packed)
    with pytest.raises(InputError, match=r"no manifest\.json of ours in it|lacks|was changed by hand"):
        Ensemble.load(packed)


def with_manifest(**changes):
    def change(files):
        return files | {"manifest.json": json.dumps(json.loads(files["manifest.json"]) | changes)}

    return lambda path: rewrite(path, change)


def without(name):
    return lambda path: rewrite(path, lambda files: {key: value for key, value in files.items() if key != name})


def traversal(path):
    name = "../evil.safetensors"
    stated = {name: hashlib.sha256(b"x").hexdigest()}
    changed = with_manifest(files=stated, ensemble_hash=packing.config_hash(stated))
    rewrite(path, lambda files: {"manifest.json": files["manifest.json"], name: b"x"})
    changed(path)


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (Path.unlink, "no such file"),
        (lambda path: path.write_bytes(path.read_bytes()[:-30]), "not a readable zip file"),
        (lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), "not a readable zip file"),
        (lambda path: path.write_bytes(path.read_bytes()[:2]), "not a readable zip file"),
        (lambda path: path.write_bytes(b""), r"no packed ensemble \(not a zip file\)"),
        (lambda path: path.write_text("weights?"), r"no packed ensemble \(not a zip file\)"),
        (flipped, "not a readable zip file .*Bad CRC"),
        (without("manifest.json"), r"no packed ensemble \(no manifest\.json"),
        (lambda path: rewrite(path, lambda f: f | {"manifest.json": b"[1]"}), r"no packed ensemble \(no manifest"),
        (with_manifest(format="clustermass-ensemble-1"), "holds format clustermass-ensemble-1, .*reads clustermass-en"),
        (with_manifest(weights_format="clustermass-member-2"), "holds networks of format clustermass-member-2"),
        (without(NAMES[4]), r"lacks members/01\.safetensors"),
        (lambda path: rewrite(path, lambda files: files | {"new.txt": b"1"}), r"holds new\.txt, which isn't"),
        (
            lambda path: rewrite(path, lambda files: files | {NAMES[1]: b"{}"}),
            r"calibration\.json in it isn't what",
        ),
        (with_manifest(files={}), "its manifest.json was changed by hand"),
        (traversal, "its manifest.json was changed by hand"),
    ],
)
def test_anything_else_is_refused_by_name_with_what_to_do(packed, tmp_path, damage, message):
    damage(packed)
    with pytest.raises(InputError, match=rf"my ensemble\.zip: {message}") as refused, Ensemble.load(packed):
        pass
    assert any(word in str(refused.value) for word in ("copy it again", "Name a file", "Use the version"))
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.long
def test_no_flipped_bit_changes_what_is_unpacked(experiment, packed):
    whole = packed.read_bytes()
    rng = np.random.default_rng(9)
    refused = 0
    for place in rng.integers(0, len(whole), 150).tolist() + list(range(-200, 0)):
        content = bytearray(whole)
        content[place] ^= 1 << int(rng.integers(8))
        packed.write_bytes(content)
        try:
            with Ensemble.load(packed) as trained:
                same = [trained.named()[name].read_bytes() == (experiment / name).read_bytes() for name in NAMES]
                assert all(same)
        except InputError:
            refused += 1
    assert refused > 100  # the rest are dates and the like, of no consequence


def test_masses_refuse_a_damaged_file_before_any_work(packed, tmp_path):
    flipped(packed)
    events, clusters = tmp_path / "e.fits", tmp_path / "c.csv"
    events.touch()
    clusters.touch()
    with pytest.raises(InputError, match=r"my ensemble\.zip: not a readable zip"):
        masses_of_field([events], clusters, packed, tmp_path / "masses.fits")


def test_a_control_s_networks_are_not_packed(experiment, tmp_path):
    control = Control("no_energy", "none", [], 1)
    replace(example(), control=control).save(experiment / "members" / "01.safetensors")
    with pytest.raises(InputError, match=r"01\.safetensors: a network of the control 'no_energy'"):
        Ensemble.from_folder(experiment).save(tmp_path / "bad.zip")
    assert not (tmp_path / "bad.zip").exists()


def test_networks_that_see_different_images_are_not_packed(experiment, tmp_path):
    odd = replace(example(), grid={**example().grid, "x": [-24.0, 0.0, 24.0]})
    odd.save(experiment / "members" / "01.safetensors")
    with pytest.raises(InputError, match=r"01\.safetensors: its grid differs"):
        Ensemble.from_folder(experiment).save(tmp_path / "bad.zip")


def test_networks_whose_images_were_made_differently_are_not_applied(experiment):
    images = xr.Dataset(coords=example().grid)
    odd = {**example().preprocessing, "transform": "log1p"}
    replace(example(), preprocessing=odd).save(experiment / "members" / "01.safetensors")
    with pytest.raises(InputError, match=r"01\.safetensors: its preprocessing differs from that of the first member"):
        Ensemble.from_folder(experiment).check_grid(images)


@pytest.mark.parametrize(
    ("name", "message"), [(NAMES[1], "no such file"), (NAMES[2], "no such file"), (NAMES[4], "no such file, though")]
)
def test_an_incomplete_experiment_is_not_packed(experiment, tmp_path, name, message):
    (experiment / name).unlink()
    with pytest.raises(InputError, match=message):
        Ensemble.from_folder(experiment).save(tmp_path / "bad.zip")
    assert not (tmp_path / "bad.zip").exists()


def test_a_posterior_is_the_mixture_of_the_members():
    posterior = Posterior(np.array([14.0, 14.4]), np.array([0.1, 0.2]))
    grid = np.linspace(12, 16, 40001)
    density = posterior.pdf(grid)
    assert np.trapezoid(density, grid) == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(posterior.cdf(grid)[1:], np.cumsum(density)[1:] * (grid[1] - grid[0]), atol=2e-4)
    assert posterior.cdf(posterior.quantile(0.16)) == pytest.approx(0.16, abs=1e-9)
    drawn = posterior.sample(20000, np.random.default_rng(1))
    assert drawn.mean() == pytest.approx(14.2, abs=0.01)
    assert np.mean(drawn < 14.1) == pytest.approx(float(posterior.cdf(14.1)), abs=0.015)
