"""Provenance read back from every format as it was written, and a user's own files found again."""

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from ingest_inputs import EVENTS, sky

from clustermass.apply.catalogue import CataloguePaths, write_catalogue
from clustermass.cli import main
from clustermass.ensemble.released import RELEASED
from clustermass.errors import InputError
from clustermass.figures import output
from clustermass.ingest.user_field import ingest_field
from clustermass.io.files import write_json
from clustermass.io.products import MASSES, MEMBERS, FieldFiles, add_history
from clustermass.io.provenance import config_hash, provenance
from clustermass.report.records import read_record

# blanks wherever a card of 72 characters may be cut, quotes, and what FITS can't hold
SETTINGS = {"cut": [f"{'x' * n} > {n} und 'ä' \\ \"q\"" for n in range(60, 90)], "none": None}
MADE = {
    **provenance("infer_observed", SETTINGS, seed=5, cosmology={"h0": 67.74}),
    "input_sha256": {"data/ä b.fits": "a" * 64, "results/x/" + "long/" * 20 + "m.nc": "b" * 64},
}


def columns():
    kinds = {"A": np.array(["SIM J1"]), "J": np.array([1], np.int32), "I": np.array([1], np.int16)}
    return {one.name: kinds.get(one.format, np.array([1.0])) for one in MASSES} | dict.fromkeys(
        MEMBERS, np.ones((1, 2))
    )


@pytest.mark.parametrize("suffix", ["fits", "vot", "ecsv", "nc", "json", "events.fits"])
def test_what_is_written_is_read_back_whole(tmp_path, suffix):
    path = tmp_path / f"masses.{suffix}"
    if suffix in ("fits", "vot", "ecsv", "nc"):
        paths = CataloguePaths.beside(tmp_path / "masses.fits")
        write_catalogue(columns(), np.array(["01_1"]), {"H0": (67.74, "km/s/Mpc")}, MADE, paths)
    elif suffix == "json":
        write_json({"provenance": MADE}, path)
    else:
        primary = fits.PrimaryHDU()
        add_history(primary, MADE)
        primary.writeto(path)
    record = read_record(path)
    assert record.step == "infer_observed"
    assert record.inputs == MADE["input_sha256"]
    assert json.loads(record.parameters) == SETTINGS
    assert config_hash(json.loads(record.parameters)) == record.config_hash
    assert record.further["seed"] == "5"
    assert json.loads(record.further["cosmology"]) == {"h0": 67.74}


@output.styled
def line(values, title):
    figure = output.new_figure(2, 2)
    figure.subplots().plot(json.loads(values.read_text()))
    return figure


def test_figures_name_what_they_show_and_stay_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("values.json").write_text("[1, 2]")
    names = [Path(f"{name}.{suffix}") for name in ("one", "two") for suffix in ("svg", "png", "pdf")]
    line(Path("values.json"), "(\\ä)", svg=names[0], png=names[1], pdf=names[2], dpi=50)
    line(values=Path("values.json"), title="(\\ä)", svg=names[3], png=names[4], pdf=names[5], dpi=50)
    for first, second in zip(names[:3], names[3:], strict=True):
        assert first.read_bytes() == second.read_bytes()
        record = read_record(first)
        assert record.step == "plot_line"
        assert json.loads(record.parameters) == {"dpi": 50, "title": "(\\ä)"}
        assert record.inputs == provenance("", {}, [Path("values.json")])["input_sha256"]


@pytest.fixture
def ingested(tmp_path):
    """Take a user's field into a results folder, whose provenance has the bare names of its files."""
    own, folder = tmp_path / "own", tmp_path / "results" / "skies" / "mine" / "01"
    own.mkdir()
    folder.mkdir(parents=True)
    outputs = {name: folder / f"{name}.fits" for name in ("events", "exposure", "catalogue")}
    ingest_field(sky(own, exposure_s=1000.0), "01", EVENTS, FieldFiles(**outputs))
    (folder / "images.nc").write_bytes(b"")
    return own, folder


def test_a_users_files_are_looked_for_in_the_given_folder(ingested, capsys):
    own, folder = ingested
    assert main(["verify", str(folder / "events.fits")]) == 0
    printed = capsys.readouterr().out
    assert "Not at hand" in printed
    assert "mine.csv (read for results/skies/mine/01/events.fits)" in printed
    assert main(["verify", str(folder / "events.fits"), "--inputs", str(own)]) == 0
    assert "All 2 hashes that 1 files state are right." in capsys.readouterr().out
    with (own / "mine.csv").open("a") as stream:
        stream.write("9,0.0,2.0,0.3\n")
    assert main(["verify", str(folder / "events.fits"), "--inputs", str(own)]) == 1
    printed = capsys.readouterr().out
    assert f"DIFFERS  {own / 'mine.csv'}" in printed
    assert "Put the file back as it was" in printed


def test_the_configuration_of_a_run_says_where_a_users_files_lie(ingested, capsys):
    own, folder = ingested
    run = folder.parents[2] / "mine"
    run.mkdir()
    (run / "config.yaml").write_text(f"skies: {{mine: {{catalogue: '{own}/mine.csv', events: ['{own}/mine.fits']}}}}\n")
    assert main(["verify", str(folder / "events.fits")]) == 0
    printed = capsys.readouterr().out
    assert "Not at hand" not in printed
    assert "All 2 hashes" in printed


def test_a_catalogue_made_without_the_workflow_is_checked_as_far_as_its_inputs_are_at_hand(tmp_path, capsys):
    own = tmp_path / "elsewhere"
    own.mkdir()
    (own / "images.nc").write_bytes(b"photons")
    made = provenance("infer_observed", {}, [own / "images.nc", Path(__file__).resolve()])
    write_json({"provenance": made}, tmp_path / "masses.json")
    assert main(["verify", str(tmp_path / "masses.json"), "--inputs", str(own)]) == 0
    printed = capsys.readouterr().out
    assert f"{Path(__file__).name} (read for {tmp_path}/masses.json)" in printed
    assert "All 1 hashes" in printed
    assert main(["trace", str(tmp_path / "masses.json")]) == 0
    assert "NOT AT HAND  images.nc" in capsys.readouterr().out
    (own / "images.nc").write_bytes(b"other photons")
    assert main(["verify", str(tmp_path / "masses.json"), "--inputs", str(own)]) == 1
    assert f"DIFFERS  {own}/images.nc" in capsys.readouterr().out


def made(path, step, *inputs):
    """Write a file at `path` that names the step by which it was made, and its inputs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json({"provenance": provenance(step, {}, inputs)}, path)
    return path


def test_the_way_of_a_users_own_picture_leads_on_through_other_folders(tmp_path, monkeypatch, capsys):
    fields, pictures = tmp_path / "fields", tmp_path / "pictures"
    for folder in (fields, pictures):
        folder.mkdir()
    monkeypatch.chdir(fields)
    made(Path("data/events.json"), "cut_events")
    made(Path("masses.json"), "masses", Path("data/events.json"), RELEASED)
    monkeypatch.chdir(pictures)
    made(Path("cluster.json"), "show", Path("../fields/masses.json"))
    monkeypatch.chdir(tmp_path)
    assert main(["trace", "pictures/cluster.json"]) == 0
    printed = capsys.readouterr().out
    steps = [line.split()[0] for line in printed.splitlines()[1:] if line and not line.startswith((" ", "/"))]
    assert steps == ["show", "masses", "cut_events", "pack_ensemble"]
    assert "NOT AT HAND" not in printed
    assert "The way back ends" not in printed
    (fields / "data" / "events.json").unlink()
    assert main(["trace", "pictures/cluster.json"]) == 0
    printed = capsys.readouterr().out
    assert printed.endswith(
        "The way back ends at files that weren't found: data/events.json. Name the folder where they are by --inputs "
        "FOLDER.\n"
    )


def test_the_way_of_a_picture_leads_into_the_results_that_are_named(tmp_path, monkeypatch, capsys):
    repository, elsewhere = tmp_path / "repository", tmp_path / "elsewhere"
    field = made(repository / "results/skies/mock/01/catalogue.json", "match_sources")
    field.with_name("images.nc").write_bytes(b"")
    monkeypatch.chdir(repository)
    masses = made(
        Path("results/default/fiducial/observed/mock/masses.json"), "infer_observed", field.relative_to(repository)
    )
    # one record has the whole name, the other one only the file name, because the path was absolute
    pictures = [made(elsewhere / "a.json", "show", masses), made(elsewhere / "b.json", "show", masses.absolute())]
    monkeypatch.chdir(elsewhere)
    for picture in pictures:
        assert main(["trace", str(picture)]) == 0
        assert "The way back ends at files that weren't found" in capsys.readouterr().out
        assert main(["trace", str(picture), "--inputs", str(repository)]) == 0
        printed = capsys.readouterr().out
        assert "results/skies/mock/01/catalogue.json" in printed
        assert "The way back ends" not in printed


def test_a_file_cut_short_is_one_finding_and_no_traceback(ingested, capsys):
    _, folder = ingested
    path = folder / "events.fits"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    assert main(["verify", str(folder)]) == 1
    printed = capsys.readouterr().out
    assert "DIFFERS  results/skies/mine/01/events.fits" in printed
    assert "images.nc" in printed  # an empty file is none either


def test_no_program_is_run_for_a_figure_that_is_no_png(tmp_path, monkeypatch):
    ghostscript, path = tmp_path / "gs", tmp_path / "fig.png"
    ghostscript.write_text(f"#!/bin/sh\ntouch '{tmp_path}/ran'\n")
    ghostscript.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n")
    with pytest.raises(InputError, match=r"fig\.png: not readable"):
        read_record(path)
    assert not (tmp_path / "ran").exists()


def test_a_figure_of_a_billion_pixels_is_refused(tmp_path):
    header = b"IHDR" + struct.pack(">IIBBBBB", 40_000, 40_000, 8, 6, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    (tmp_path / "fig.png").write_bytes(content)
    with pytest.raises(InputError, match=r"fig\.png: "):
        read_record(tmp_path / "fig.png")
