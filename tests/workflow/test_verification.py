"""`clustermass verify` and `trace` on a finished run: later changes are found and named."""

import json
import shutil
from contextlib import contextmanager
from pathlib import Path

import netCDF4
import pytest
import yaml
from safetensors.numpy import load_file, save_file

from clustermass.cli import main
from clustermass.report.records import Files
from clustermass.report.verify import verify

pytestmark = pytest.mark.workflow
FIDUCIAL = "test/fiducial"
MASSES = "observed/tiny_observed/masses"


@pytest.fixture(scope="module")
def results(finished, tmp_path_factory):
    """Copy of the results, under another name; tests leave it as it was."""
    folder = tmp_path_factory.mktemp("verified") / "archive"
    shutil.copytree(finished / "results", folder)
    return folder


@contextmanager
def changed(path, change):
    """Change a file by `change` during the block; restore it afterwards."""
    before = path.read_bytes()
    try:
        change(path)
        assert not path.exists() or path.read_bytes() != before
        yield
    finally:
        path.write_bytes(before)


def findings(path, **options):
    return verify(path, Files.around(path, **options)).findings


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_finished_run_verifies_and_all_its_files_are_covered(results, capsys):
    assert main(["verify", str(results / "test")]) == 0
    printed = capsys.readouterr().out
    verified = verify(results / "test", Files.around(results / "test"))
    assert sum(verified.compared.values()) > 150
    assert verified.chains == 4
    page, regions = (f"results/{FIDUCIAL}/observed/tiny_observed/{name}" for name in ("clusters.html", "masses.reg"))
    assert verified.silent == ["results/test/config.yaml", page, regions, "results/test/report.html"]
    assert verified.unnamed == []
    assert verified.absent == {}
    assert {
        "simulate_realization",
        "match_sources",
        "train_member",
        "infer_observed",
        "plot_predictions",
        "report",
    } <= verified.steps.keys()
    assert "The way from 4 mass catalogues back to their events is whole." in printed


def test_the_whole_results_folder_verifies(results):
    verified = verify(results, Files.around(results))
    assert verified.findings == []
    # truth that no step of this run reads
    assert {Path(name).name for name in verified.unnamed} == {"labels.fits", "sources.fits"}
    assert verified.steps["simulate_realization"] == 3 * 5 + 2
    assert verified.steps["match_sources"] == 3 * 2 + 1


@pytest.mark.parametrize(
    ("file", "maker"),
    [
        ("skies/tiny/01/events.fits", "skies/tiny/01/images.nc"),
        ("skies/tiny/02/truth.fits", "baselines.nc (and "),
        (f"{FIDUCIAL}/members/01.safetensors", "ensemble.nc"),
        (f"{FIDUCIAL}/figures/bias.svg", "test/provenance.json"),
        (f"{FIDUCIAL}/{MASSES}.ecsv", "test/provenance.json"),
        ("test/report.html", "test/provenance.json"),
    ],
)
def test_one_flipped_byte_is_found_and_named(results, capsys, file, maker):
    path = results / file
    with changed(path, flip_a_byte):
        assert main(["verify", str(results / "test")]) == 1
        printed = capsys.readouterr().out
    assert f"DIFFERS  results/{file}" in printed
    assert maker in printed
    again = ".venv/bin/snakemake --cores all --configfile results/test/config.yaml"
    assert f"rm -f results/{file} && {again} -- results/{file} && {again}" in printed


def test_a_catalogue_with_a_flipped_byte_is_found_by_its_own_checksum(results, capsys):
    path = results / f"{FIDUCIAL}/{MASSES}.fits"
    with changed(path, flip_a_byte):
        assert main(["verify", str(path)]) == 1
    assert "sum verification failed" in capsys.readouterr().out


def test_an_edited_json_is_found(results):
    def better(path):
        content = json.loads(path.read_text())
        content["test"]["scatter_dex"] *= 0.5
        path.write_text(json.dumps(content))

    with changed(results / FIDUCIAL / "metrics.json", better):
        reported = findings(results / "test")
    assert [finding.file for finding in reported] == [f"results/{FIDUCIAL}/metrics.json"]
    assert "plot_" not in reported[0].what
    assert "SHA-256 is" in reported[0].what


def test_an_edited_calibration_is_found_also_where_its_settings_and_clusters_are(results):
    path = results / FIDUCIAL / "calibration.json"

    def of_other_clusters(path):
        content = json.loads(path.read_text())
        content["provenance"]["validation_sha256"] = "0" * 64
        content["provenance"]["parameters"] = '{"recalibration": "none"}'
        path.write_text(json.dumps(content))

    with changed(path, of_other_clusters):
        reported = "\n".join(finding.what for finding in findings(path))
    assert "its settings were changed" in reported
    assert "was made from other validation clusters" in reported


def test_an_exchanged_weights_file_is_found(results):
    members = results / FIDUCIAL / "members"
    with changed(members / "00.safetensors", lambda path: shutil.copyfile(members / "01.safetensors", path)):
        reported = findings(results / "test")
    assert [finding.file for finding in reported] == [f"results/{FIDUCIAL}/members/00.safetensors"]
    assert "ensemble.nc" in reported[0].what


def test_scaled_weights_are_found_from_the_catalogue_alone(results):
    def scale(path):
        arrays = {name: 1.01 * array for name, array in load_file(path).items()}
        save_file(arrays, path)

    with changed(results / FIDUCIAL / "members/00.safetensors", scale):
        reported = findings(results / f"{FIDUCIAL}/{MASSES}.vot")
    assert f"results/{FIDUCIAL}/members/00.safetensors" in {finding.file for finding in reported}


def test_changed_settings_in_a_file_are_found_by_their_hash(results):
    def other_recipe(path):
        with netCDF4.Dataset(path, "a") as dataset:
            dataset.setncattr("parameters", json.dumps(json.loads(dataset.getncattr("parameters")) | {"clip": 9}))

    path = results / "skies/tiny/01/smoothed/central.nc"
    with changed(path, other_recipe):
        reported = findings(results / "test")
    assert {finding.file for finding in reported} == {"results/skies/tiny/01/smoothed/central.nc"}
    assert any("its settings were changed" in finding.what for finding in reported)


def test_a_changed_configuration_is_found_and_the_skies_that_it_does_not_fit(results):
    def other_sky(path):
        config = yaml.safe_load(path.read_text())
        config["skies"]["embedded"]["clusters"]["flux_min_cgs"] *= 2
        path.write_text(yaml.safe_dump(config))

    with changed(results / "test/config.yaml", other_sky):
        reported = findings(results / "test")
    assert reported[0].file == "results/test/config.yaml"
    others = {finding.file for finding in reported[1:]}
    assert others == {
        f"results/skies/{sky}/events.fits" for sky in ("tiny/01", "tiny/02", "tiny_further/01", "tiny_observed/01")
    }
    assert all("other settings" in finding.what for finding in reported[1:])


def test_a_missing_input_is_named(results):
    with changed(results / "skies/tiny/01/images.nc", lambda path: path.unlink()):
        reported = findings(results / FIDUCIAL / "ensemble.nc")
    assert reported[0].file == "results/skies/tiny/01/images.nc"
    assert "is missing" in reported[0].what


def test_a_chain_that_ends_before_the_events_is_reported(results):
    def forget(path):
        with netCDF4.Dataset(path, "a") as dataset:
            dataset.delncattr("step")

    with changed(results / "skies/tiny_observed/01/images.nc", forget):
        reported = findings(results / f"{FIDUCIAL}/{MASSES}.nc")
    assert any("ends at results/skies/tiny_observed/01/images.nc" in finding.what for finding in reported)


@pytest.mark.parametrize(
    "file", [f"{FIDUCIAL}/{MASSES}.{suffix}" for suffix in ("fits", "vot", "ecsv", "nc", "svg", "png")]
)
def test_every_format_leads_back_to_the_events(results, capsys, file):
    assert main(["trace", str(results / file)]) == 0
    printed = capsys.readouterr().out
    order = ["infer_observed", "aggregate_ensemble", "train_member", "smooth_images", "extract_images"]
    lines = [line.split()[0] for line in printed.splitlines() if line and not line.startswith(" ")]
    lines.reverse()  # the observed field's own images and events come before the training's
    places = [-lines.index(step) for step in [*order, "simulate_realization"]]
    assert places == sorted(places)
    assert "results/skies/tiny_observed/01/events.fits" in printed
    assert "seed: 20230502" in printed
    assert "DIFFERS" not in printed
    summary = json.loads((results / "test/summary.json").read_text())
    assert summary["made_with"]["packages"]["numpy"] in printed


def test_what_says_nothing_can_not_be_traced(results, capsys):
    assert main(["trace", str(results / "test/report.html")]) == 1
    assert "doesn't say how it was made" in capsys.readouterr().err
    assert main(["verify", str(results.parent)]) == 1
    assert "neither it nor a folder around it holds skies/" in capsys.readouterr().err
