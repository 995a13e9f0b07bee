"""A user's own event lists and catalogue, through the command line and through the workflow."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.io import fits
from astropy.table import Table
from runs import ROOT, snakemake

pytestmark = pytest.mark.workflow
SIXTE = Path(__file__).parents[3] / "shared" / "data" / "sixte"
EXPERIMENT = "results/test/fiducial"
FIELD = "results/skies/tiny_observed/01"


def clustermass(*arguments):
    command = [sys.executable, "-m", "clustermass", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_the_command_line_gives_the_masses_of_the_workflow(finished, tmp_path):
    field = finished / FIELD
    done = clustermass(
        "masses", field / "events.fits", field / "catalogue.fits", "--exposure", field / "exposure.fits",
        "--ensemble", finished / EXPERIMENT, "--output", tmp_path / "masses.fits",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ours = Table.read(tmp_path / "masses.fits")
    theirs = Table.read(finished / EXPERIMENT / "observed/tiny_observed/masses.fits")
    assert len(ours) == len(theirs) > 10
    assert np.array_equal(ours["ID_SRC"], theirs["ID_SRC"])
    for column in ("N_PHOT", "LOGM500", "LOGM500_ERR", "LOGM500_Q84"):
        ours_filled, theirs_filled = (np.ma.filled(table[column].astype(float), np.nan) for table in (ours, theirs))
        np.testing.assert_allclose(ours_filled, theirs_filled, rtol=1e-6)
    for command in ("trace", "verify"):
        told = clustermass(command, tmp_path / "masses.fits", "--inputs", field, "--inputs", finished / EXPERIMENT)
        assert told.returncode == 0, told.stdout
        assert "DIFFERS" not in told.stdout
        assert ("NOT AT HAND  00.safetensors" in told.stdout) == (command == "trace")  # it lies in members/
    assert "events.fits sha256" in "".join(fits.getheader(tmp_path / "masses.fits")["HISTORY"])


def test_the_sixte_fixture_gets_a_mass_by_the_ordinary_way(finished, tmp_path):
    if not SIXTE.is_dir():
        pytest.skip("needs the real SIXTE event list, which lies beside the development checkout only")
    done = clustermass(
        "masses", SIXTE / "fixture_sixte_cal_tm0.fits.gz", SIXTE / "clusters.csv",
        "--ensemble", finished / EXPERIMENT, "--output", tmp_path / "masses.fits",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (row,) = Table.read(tmp_path / "masses.fits")
    assert row["N_PHOT"] == 3104
    assert row["NAME"].startswith("SIM ")
    assert 13 < row["LOGM500"] < 15.5
    assert row["LOGM500_ERR"] > 0


def overlay(directory, files):
    sky = {"source": "files", "observed": True, "realizations": {"tile_2": files}}
    changes = {"skies": {"mine": sky}, "observed": {"fields": ["mine"]}}
    (directory / "mine.yaml").write_text(yaml.safe_dump(changes))
    return ["--configfile", str(ROOT / "config/test.yaml"), str(directory / "mine.yaml")]


def test_a_field_of_ones_own_uses_the_trained_ensemble(finished, tmp_path):
    files = {"events": [str(finished / FIELD / "events.fits")], "catalogue": str(finished / FIELD / "catalogue.fits")}
    arguments = [*overlay(tmp_path, files), "-n", "--", f"{EXPERIMENT}/observed/mine/masses.fits"]
    planned = snakemake(finished, *arguments, config=None).stdout
    assert "ingest_field" in planned
    assert "train_member" not in planned


@pytest.mark.parametrize(("fault", "message"), [("no redshift", "has no column for Z"), ("truncated", "events.fits: ")])
def test_a_faulty_file_stops_the_workflow_with_its_message_and_leaves_nothing(finished, tmp_path, fault, message):
    catalogue = Table.read(finished / FIELD / "catalogue.fits")
    events = (finished / FIELD / "events.fits").read_bytes()
    if fault == "no redshift":
        catalogue.remove_columns(["Z", "Z_ERR", "Z_TYPE"])
    else:
        events = events[: len(events) // 2]
    catalogue.write(tmp_path / "catalogue.fits")
    (tmp_path / "events.fits").write_bytes(events)
    files = {"events": [str(tmp_path / "events.fits")], "catalogue": str(tmp_path / "catalogue.fits")}
    target = "results/skies/mine/tile_2/catalogue.fits"
    done = snakemake(tmp_path, *overlay(tmp_path, files), "--", target, config=None, check=False)
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert message in text
    assert "Traceback" not in (tmp_path / "results/skies/mine/tile_2/logs/ingest_field.log").read_text()
    assert not any((tmp_path / "results/skies/mine/tile_2").glob("*.fits"))


def test_files_that_are_not_there_are_named_even_if_older_results_are(finished, tmp_path):
    files = {"events": ["data/nosuch.fits", "x" * 300], "catalogue": str(finished / FIELD / "catalogue.fits")}
    done = snakemake(finished, *overlay(tmp_path, files), "-n", config=None, check=False)
    assert done.returncode != 0
    for name in files["events"]:
        assert f"skies.mine.realizations.tile_2: {name}: no such file." in done.stdout + done.stderr


@pytest.mark.long
def test_a_cluster_outside_the_field_is_left_out(finished, tmp_path):
    catalogue = Table.read(finished / FIELD / "catalogue.fits")
    catalogue = catalogue[(catalogue["EXT_LIKE"] > 6) & np.isfinite(catalogue["Z"])][:3]
    catalogue["RA"][1] = 200.0
    catalogue.write(tmp_path / "catalogue.fits")
    done = clustermass(
        "masses", finished / FIELD / "events.fits", tmp_path / "catalogue.fits",
        "--exposure", finished / FIELD / "exposure.fits",
        "--ensemble", finished / EXPERIMENT, "--output", tmp_path / "masses.fits",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    masses = Table.read(tmp_path / "masses.fits")
    assert masses["ID_SRC"].tolist() == catalogue["ID_SRC"][[0, 2]].tolist()
    assert np.isfinite(masses["LOGM500"]).all()
    assert "2 of 3 rows lie in the exposed field or within 10' of it; the others are left out" in done.stderr


def test_a_folder_without_an_ensemble_is_refused(tmp_path):
    files = [tmp_path / name for name in ("events.fits", "clusters.csv")]
    for path in files:
        path.touch()
    done = clustermass("masses", *files, "--ensemble", tmp_path)
    assert done.returncode == 1
    assert "no trained ensemble there" in done.stderr
    assert "Traceback" not in done.stderr
