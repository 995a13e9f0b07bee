"""Which networks the command line uses for a user's field."""

import os
import re

import pytest
import xarray as xr
from ood_inputs import by_hand, write_calibration, write_ood_model

from clustermass.apply import field as application
from clustermass.apply import masses as network_files
from clustermass.apply.field import masses_of_field
from clustermass.ensemble.aggregate import read_cosmology
from clustermass.ensemble.ensemble import Ensemble
from clustermass.errors import InputError
from clustermass.io.netcdf import write_netcdf
from clustermass.io.provenance import file_sha256

MADE = {"source": "test", "cosmology": {"h0_km_s_mpc": 70.0, "omega_m": 0.3}}


class Reached(Exception):
    """Raised once the weights are found; the rest is not tested here."""


@pytest.fixture
def experiment(tmp_path):
    """Write an ensemble of two networks in a folder that holds a third, of an earlier run."""
    write_netcdf(xr.Dataset(coords={"member": ["00", "01"]}), tmp_path / "ensemble.nc", "test", MADE)
    (tmp_path / "members").mkdir()
    for member in ("00", "01", "02"):
        (tmp_path / "members" / f"{member}.safetensors").touch()
    write_calibration(tmp_path, widths=(1.0, 1.0, 1.0), number=40)
    write_ood_model(by_hand([[0.1]]), tmp_path / "domain.nc")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("calibration.json", r"calibration\.json: no such file.*makes it from ensemble\.nc in seconds"),
        ("domain.nc", r"domain\.nc: no such file.*makes it from ensemble\.nc in a minute"),
        ("members/01.safetensors", r"01\.safetensors: no such file, though ensemble\.nc .* \(1 of 2"),
    ],
)
def test_a_folder_without_one_of_its_files_is_refused_at_once(experiment, inputs, name, message):
    (experiment / name).unlink()
    with pytest.raises(InputError, match=message):
        masses(inputs, experiment, "other.fits")


def test_the_members_are_those_of_the_ensemble(experiment):
    names = [path.name for path in Ensemble.from_folder(experiment).weights]
    assert names == ["00.safetensors", "01.safetensors"]


def test_the_first_member_of_the_ensemble_says_how_images_are_cut(experiment, monkeypatch):
    def load(path):
        raise Reached(path.name)

    monkeypatch.setattr(network_files.TrainedNetwork, "load", load)
    with pytest.raises(InputError, match=r"no such file: .*e\.fits, .*c\.csv"):
        masses_of_field([experiment / "e.fits"], experiment / "c.csv", experiment, experiment / "masses.fits")
    for name in ("e.fits", "c.csv"):
        (experiment / name).touch()
    with pytest.raises(Reached, match=r"00\.safetensors"):
        masses_of_field([experiment / "e.fits"], experiment / "c.csv", experiment, experiment / "masses.fits")


def test_a_folder_without_ensemble_is_refused(tmp_path):
    for name in ("e.fits", "c.csv"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match="no trained ensemble there"):
        masses_of_field([tmp_path / "e.fits"], tmp_path / "c.csv", tmp_path, tmp_path / "masses.fits")
    with pytest.raises(InputError, match="is a folder"):
        masses_of_field([tmp_path], tmp_path / "c.csv", tmp_path, tmp_path / "masses.fits")


@pytest.fixture
def inputs(experiment):
    """Return an existing event list and catalogue, and an earlier mass catalogue."""
    for name in ("e.fits", "c.fits", "masses.ecsv"):
        (experiment / name).write_text(name)
    return experiment / "e.fits", experiment / "c.fits"


def masses(inputs, experiment, output, **changed):
    events, catalogue = inputs
    masses_of_field([events], catalogue, experiment, experiment / output, log=True, **changed)


def test_a_catalogue_that_is_there_is_kept_without_overwrite(inputs, experiment, monkeypatch):
    with pytest.raises(InputError, match=r"masses\.ecsv: exists already.*--overwrite"):
        masses(inputs, experiment, "masses.fits")
    assert (experiment / "masses.ecsv").read_text() == "masses.ecsv"
    assert not list(experiment.glob("*.log"))

    def load(path):
        raise Reached(path.name)

    monkeypatch.setattr(network_files.TrainedNetwork, "load", load)
    for name, options in (("other.fits", {}), ("masses.fits", {"overwrite": True})):
        with pytest.raises(Reached):
            masses(inputs, experiment, name, **options)
    assert {path.name for path in experiment.glob("*.log")} == {"other.failed.log", "masses.failed.log"}


def test_the_catalogue_states_the_files_of_the_command_line(inputs, experiment, monkeypatch):
    stated = {}
    monkeypatch.setattr(application.AppliedEnsemble, "read", lambda *_: None)
    monkeypatch.setattr(application, "_masses", lambda *arguments: stated.update(arguments[-1]))
    masses(inputs, experiment, "masses.fits", overwrite=True)
    members = ["00.safetensors", "01.safetensors"]
    names = ["e.fits", "c.fits", "ensemble.nc", "calibration.json", "domain.nc", *members]
    assert list(stated["input_sha256"]) == names
    assert stated["input_sha256"]["e.fits"] == file_sha256(inputs[0])


@pytest.mark.parametrize("output", ["c.fits", "members/../e.fits"])
def test_an_input_is_never_overwritten(inputs, experiment, output):
    with pytest.raises(InputError, match="is an input, and would be overwritten"):
        masses(inputs, experiment, output, overwrite=True)
    assert [path.read_text() for path in inputs] == ["e.fits", "c.fits"]


def test_the_log_is_an_output_like_the_others(inputs, experiment):
    notes = experiment / "out.log"
    notes.write_text("mine")
    with pytest.raises(InputError, match=r"out\.log: exists already.*--overwrite"):
        masses(inputs, experiment, "out.fits")
    inputs[0].rename(experiment / "e.log")
    with pytest.raises(InputError, match=r"e\.log: is an input, and would be overwritten"):
        masses((experiment / "e.log", inputs[1]), experiment, "e.fits", overwrite=True)
    assert notes.read_text() == "mine"
    assert (experiment / "e.log").read_text() == "e.fits"


def test_a_link_to_itself_counts_as_no_file(tmp_path):
    (tmp_path / "a.fits").symlink_to("a.fits")
    application.check_outputs([tmp_path / "a.fits"], False, [tmp_path / "b.fits"])


def test_the_ensemble_is_never_overwritten(inputs, experiment):
    with pytest.raises(InputError, match=r"ensemble\.nc: is an input, and would be overwritten"):
        masses(inputs, experiment, "ensemble.fits", overwrite=True)


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "5", "{}", "[" * 100_000, '{"h0_km_s_mpc": "x", "omega_m": 0.3}', '{"h0_km_s_mpc": 70, "omega_m": 2}',
        '{"h0_km_s_mpc": 1' + "0" * 400 + ', "omega_m": 0.3}', '{"h0_km_s_mpc": NaN, "omega_m": 0.3}',
    ],
)  # fmt: skip
def test_an_impossible_cosmology_is_refused(tmp_path, text):
    write_netcdf(xr.Dataset(), tmp_path / "ensemble.nc", "test", {"cosmology": text})
    with pytest.raises(InputError, match=r"ensemble\.nc: .*cosmology"):
        read_cosmology(tmp_path / "ensemble.nc")


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("x" * 300 + ".fits", "no possible path (File name too long)"),
        ("x" * 250 + ".fits", "no possible path (File name too long)"),  # .moc.fits is longer
        ("a\0b.fits", "no possible path (embedded null byte)"),
        (os.fsdecode(b"\xff.fits"), "netCDF can't open a path with characters outside the encoding utf-8"),
    ],
)
def test_an_impossible_output_is_refused(inputs, experiment, output, message):
    before = sorted(experiment.rglob("*"))
    with pytest.raises(InputError, match=re.escape(message)):
        masses(inputs, experiment, output)
    assert sorted(experiment.rglob("*")) == before


def test_a_folder_is_no_output(inputs, experiment):
    (experiment / "taken.nc").mkdir()
    with pytest.raises(InputError, match=r"taken\.nc: is a folder"):
        masses(inputs, experiment, "taken.fits", overwrite=True)
