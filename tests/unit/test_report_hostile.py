"""A results folder of somebody else: what `verify`, `trace` and `summary` print harms nobody who reads or pastes it."""

import json
import re
import resource
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from astropy.io import fits

from clustermass.cli import main
from clustermass.errors import InputError
from clustermass.report.console import headline
from clustermass.report.records import read_record

MEMORY_BYTES = 4_000_000_000
LIES = "\x1b[2J\x1b[H\nAll 3 hashes that 3 files state are right.\r\u202e"
NAMES = [
    "a'; touch pwned; '.json",
    "$(touch pwned).json",
    "`touch pwned`.json",
    "-rf.json",
    "a b\\.json",
    f"a{LIES}.json",
    "ü.json",
]


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Return the folder of a run in a results folder, and make the folder around it the current one."""
    (tmp_path / "results" / "skies" / "mine" / "01").mkdir(parents=True)
    (tmp_path / "results" / "skies" / "mine" / "01" / "images.nc").touch()
    (tmp_path / "results" / "run").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "results" / "run"


def write(path, **stated):
    path.write_text(json.dumps({"provenance": {"step": "evaluate", "config_hash": "0", **stated}}))


def printed(results, capsys):
    assert main(["verify", str(results)]) == 1
    said = capsys.readouterr().out
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", said)
    assert not re.search(r"^All \d+ hashes", said, re.MULTILINE)
    return said


def paste(said):
    """Run the commands that remove files, as somebody does who pastes them; return the names that they removed."""
    removed = []
    for command in re.findall(r"(rm -f .*?) && \.venv", said):
        removed += shlex.split(command)[2:]
        subprocess.run(["bash", "-c", command])
    return removed


@pytest.mark.parametrize("name", NAMES)
def test_a_command_removes_the_file_that_it_names_and_nothing_else(results, capsys, name):
    write(results / name, parameters="{}")
    before = {path.name for path in results.iterdir()}
    removed = paste(printed(results, capsys))
    assert removed == ([f"results/run/{name}"] if name.isprintable() else [])
    assert {path.name for path in results.iterdir()} == before - ({name} if name.isprintable() else set())
    assert sorted(path.name for path in Path().iterdir()) == ["notes.txt", "results"]


@pytest.mark.parametrize(
    "name",
    [
        "results/../notes.txt",
        "results/run/../../notes.txt",
        "results/out/notes.txt",
        f"results/{LIES}",
        "results/" + "x" * 300,
    ],
)
def test_no_command_names_what_a_record_says_lies_elsewhere(results, capsys, name):
    (results.parent / "out").symlink_to(results.parents[1])
    write(results / "metrics.json", input_sha256={name: "0" * 64})
    said = printed(results, capsys)
    assert [one for one in paste(said) if "notes" in one or "\n" in one] == []
    assert (results.parents[1] / "notes.txt").read_text() == "mine"


def test_of_many_differences_the_first_are_printed_and_runs_are_searched_once(results, capsys, monkeypatch):
    write(results / "bad.json", input_sha256={f"results/run/{number}.nc": "0" * 64 for number in range(30)})
    searched, glob = [], Path.glob
    monkeypatch.setattr(Path, "glob", lambda path, pattern: searched.append(pattern) or glob(path, pattern))
    said = printed(results, capsys)
    assert said.count("DIFFERS") == 20
    assert "\nand 10 more differences\n" in said
    assert "\n30 of what 1 files state does not hold." in said
    assert searched.count("*/config.yaml") == 1


@pytest.mark.parametrize(
    "stated",
    [
        {"step": f"x{LIES}"},
        {"input_sha256": {LIES: LIES}},
        {"config_hash": LIES, "parameters": "{}"},
        {"parameters": "[" * 100_000},
        {"parameters": {"a": 1}},
        {"input_sha256": [[1, 2]]},
        {"input_sha256": {"a": [1]}},
        {"input_sha256": 5},
    ],
)
def test_whatever_a_record_holds_becomes_a_line_that_is_no_lie(results, capsys, stated):
    write(results / "bad.json", **{"parameters": "{}", **stated})
    assert "DIFFERS  results/run/bad.json" in printed(results, capsys)
    assert main(["trace", str(results / "bad.json")]) in (0, 1)
    assert "\x1b" not in "".join(capsys.readouterr())


def test_records_that_name_each_other_end_in_a_sentence(results):
    names = [f"{one}.json" for one in "abc"]
    for name, other in zip(names, names[1:] + names[:1], strict=True):
        write(results / name, input_sha256={f"results/run/{other}": "0" * 64})
    done = limited(f"main(['trace', {str(results / 'a.json')!r}])")
    assert re.fullmatch(r"clustermass: .*\.json <- .*: their records name each other in a circle\..*\n", done.stderr)


def test_the_way_through_many_files_is_found_at_once(results):
    layers = 40
    for layer in range(layers):
        inputs = {f"results/run/{layer + 1}_{one}.json": "0" * 64 for one in range(3)} if layer + 1 < layers else {}
        for one in range(3):
            write(results / f"{layer}_{one}.json", input_sha256=inputs, parameters=str(layer))
    done = limited(f"main(['trace', {str(results / '0_0.json')!r}])")
    assert done.stdout.index("results/run/1_0.json") < done.stdout.index(f"results/run/{layers - 1}_0.json")


@pytest.mark.long
def test_a_file_of_holes_and_files_of_the_system_are_not_read(results):
    with (results / "holes.dat").open("wb") as stream:
        stream.truncate(2**43)
    done = limited(f"main(['verify', {str(results)!r}])")
    assert "holes.dat" not in done.stderr  # nothing names its hash
    write(results / "metrics.json", input_sha256={"results/run/holes.dat": "0" * 64})
    done = limited(f"main(['verify', {str(results)!r}])")
    assert (
        done.stderr
        == f"clustermass: {results}/holes.dat: states {2**43} bytes, but hardly any are on the disk. It isn't read.\n"
    )
    names = {name: "0" * 64 for name in ("/proc/kcore", "../" * 20 + "proc/kcore", "/dev/zero")}
    write(results / "metrics.json", input_sha256=names)
    done = limited(f"main(['verify', {str(results)!r}])")
    assert "kcore (read for results/run/metrics.json)" in done.stdout
    assert "SHA-256 is" not in done.stdout


def test_a_link_to_a_file_of_the_system_is_not_read(results):
    (results / "link.json").symlink_to("/proc/version")  # others in /proc have no end
    done = limited(f"main(['verify', {str(results)!r}])")
    assert "link.json" not in done.stdout + done.stderr
    with pytest.raises(InputError, match="no regular file"):
        read_record(results / "link.json")


def limited(call):
    """Run a call of the command line in a process of its own, with little memory and time."""

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))

    command = [sys.executable, "-c", f"from clustermass.cli import main; {call}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, preexec_fn=limit)


FIGURES = {
    **{"n_train": 8, "n_test": 4, "n_members": 2, "scatter_dex": 0.1, "scatter_dex_ci68": [0.09, 0.11]},
    **{"scatter_ln_percent": 25.0, "bias_dex": 0.0, "residual_over_sigma": 1.0, "coverage68": 0.7},
    **{"over_count_rate": None, "over_ridge": None, "catalogues": {"field": "results/run/masses.fits"}},
}


def summary(results, experiments):
    (results / "summary.json").write_text(json.dumps({"experiments": experiments, "made_with": {}}))


@pytest.mark.parametrize("name", ["[/red]", "[bold]", ":smiley:", LIES])
def test_a_name_is_printed_as_it_is(results, capsys, name):
    summary(results, {"fiducial": FIGURES, name: {**FIGURES, "catalogues": {name: name}}})
    headline(results)
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert not re.search(r"^All \d+ hashes", said, re.MULTILINE)
    assert (name if name.isprintable() else "\\x1b[2J\\x1b[H\\nAll 3 hashes") in said


@pytest.mark.parametrize(
    "experiments",
    [
        [],
        {"fiducial": None},
        {"fiducial": []},
        {"fiducial": {}},
        *({"fiducial": {**FIGURES, key: value}} for key in FIGURES for value in ("x", [1], {}, 10**4000)),
        {"fiducial": {**FIGURES, "test_skies": 5}},
    ],
)
def test_a_bad_summary_is_one_sentence_or_printed(results, capsys, experiments):
    summary(results, experiments)
    status = main(["summary", str(results)])
    said = capsys.readouterr().err
    assert (status, said) == (0, "") or (status == 1 and "no readable summary" in said and said.count("\n") == 1)


def test_links_in_a_circle_and_records_of_other_types_are_read(results, capsys):
    (results / "loop").symlink_to("loop")
    write(results / "metrics.json", input_sha256={"results/run/loop": "0" * 64})
    assert "results/run/loop" in printed(results, capsys)
    header = fits.Header({"CFGHASH": 5, "OBJECT": 1.5, "REALIZ": True, "SEED": 2})
    fits.PrimaryHDU(header=header).writeto(results / "events.fits")
    record = read_record(results / "events.fits")
    assert (record.config_hash, record.further) == ("5", {"sky": "1.5", "realization": "True", "seed": "2"})
