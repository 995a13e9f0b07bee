import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from clustermass import __main__, cli
from clustermass.cli.masses import column_map
from clustermass.ensemble import released

ROOT = Path(__file__).parents[2]


COMMANDS = [command.name for command in cli.COMMANDS]


def printed_help(capsys, *command):
    with pytest.raises(SystemExit) as stopped:
        cli.main([*command, "--help"])
    assert stopped.value.code == 0
    return capsys.readouterr().out


def test_help_names_every_command(capsys):
    printed = printed_help(capsys)
    assert {"masses", "pack", "check-config", "summary", "verify", "trace"} <= {*COMMANDS}
    assert all(f"  {command}" in printed for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_examples_in_the_help_of_a_command_are_accepted(command, capsys):
    printed = printed_help(capsys, command)
    examples = re.split(r"\nexamples?:\n", printed)[1].strip().splitlines()
    assert examples
    for example in examples:
        name, *arguments = shlex.split(example)
        assert (name, arguments[0]) == ("clustermass", command)
        cli._parser().parse_args(arguments)


def test_a_users_error_is_one_message_and_status_1(tmp_path, capsys):
    assert cli.main(["summary", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("clustermass: ")
    assert "no summary.json there" in error
    assert "Traceback" not in error


def test_columns_are_given_as_pairs(capsys):
    assert column_map(["Z=z_best", "ID_SRC=id"]) == {"Z": "z_best", "ID_SRC": "id"}
    for pair in ("Z", "Z=", "=z_best"):
        assert cli.main(["masses", "e.fits", "c.csv", "--ensemble", "x", "--column", pair]) == 1
        assert f"--column {pair}: write OURS=THEIRS" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["mases"], "invalid choice: 'mases'"),
        (["masses", "e.fits"], "required: catalogue"),
        (["masses", "e.fits", "c.csv", "--ensemble", "x", "--exposure-s", "-5"], "'-5': must be a number above 0"),
        (["masses", "e.fits", "c.csv", "--ensemble", "x", "--exposure-s", "1ks"], "'1ks': must be a number above 0"),
        (["masses", "e.fits", "c.csv", "--ensemble", "x", "--exposure-s", "nan"], "'nan': must be a number above 0"),
        (["masses", "e.fits", "c.csv", "--ensemble", "x", "--acronym", "Größe"], "must be printable ASCII"),
    ],
)
def test_wrong_arguments_are_status_2_with_usage(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("usage: clustermass")
    assert message in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["masses", "e.fits", "c.csv", "--ensemble", "nowhere"], "no such file: e.fits, c.csv, nowhere."),
        (["masses", ".", "c.csv", "--ensemble", "."], "no such file: c.csv."),
        (["masses", "e.fits", "c.csv", "--ensemble", "x", "--output", "m.csv"], "must end in .fits"),
        (["pack", "nowhere", "out.zip"], "nowhere: no trained ensemble there"),
        (["summary", "nowhere"], "nowhere: no summary.json there"),
        (["check-config", "mine.yaml"], "config.yaml: no such file. Run this in the repository's root"),
    ],
)
def test_wrong_paths_are_status_1_with_one_line_and_leave_nothing(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("raised", "status", "message"),
    [
        (
            OSError(28, "No space left on device", "/data/m.fits"),
            1,
            "clustermass: /data/m.fits: No space left on device",
        ),
        (OSError("HDF error"), 1, "clustermass: HDF error"),
        (KeyboardInterrupt(), 130, "clustermass: interrupted"),
    ],
)
def test_a_full_disk_or_an_interrupt_is_one_line(raised, status, message, monkeypatch, capsys):
    def fail(run):
        raise raised

    monkeypatch.setattr("clustermass.report.console.headline", fail)
    assert cli.main(["summary", "x"]) == status
    assert capsys.readouterr().err == message + "\n"


def test_names_on_the_command_line_cannot_steer_the_terminal(capsys):
    name = "a\x1b[2J\nclustermass: done"
    assert cli.main(["summary", name]) == 1
    with pytest.raises(SystemExit):
        cli.main([name])
    with pytest.raises(SystemExit):
        cli.main(["summary", "run", name])
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert "\nclustermass: done" not in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_no_temporary_folder(tmp_path, number):
    code = (
        "import sys, tempfile, time; from clustermass import cli; import clustermass.report.console as console\n"
        "def headline(run):\n"
        "    with tempfile.TemporaryDirectory(prefix='clustermass-'):\n"
        "        print('begun', flush=True); time.sleep(60)\n"
        "console.headline = headline; sys.exit(cli.main(['summary', 'x']))"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # the tests may run under nohup, from which a process inherits that it ignores SIGHUP
    heard = {"preexec_fn": lambda: signal.signal(number, signal.SIG_DFL)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, **pipes, **heard) as process:
        assert process.stdout.readline() == "begun\n"
        process.send_signal(number)
        said = process.communicate(timeout=30)[1]
    assert (process.returncode, said) == (128 + number, f"clustermass: ended by {number.name}\n")
    assert not list(tmp_path.iterdir())


def test_a_traceback_cannot_steer_the_terminal(tmp_path):
    code = (
        "from clustermass import cli; import clustermass.report.console as console\n"
        "class Raw(Exception): __str__ = lambda self: 'a\\x1b[2J\\nclustermass: done'\n"
        "def headline(run): raise Raw\n"
        "console.headline = headline; cli.main(['summary', 'x'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "\x1b" not in done.stderr
    assert done.stderr.endswith("Raw: a\\x1b[2J\n  clustermass: done\n")


def test_check_config_lists_the_errors(tmp_path, capsys):
    (tmp_path / "mine.yaml").write_text("seed: x\nsede: 1\n")
    files = [str(ROOT / "config/config.yaml"), str(tmp_path / "mine.yaml")]
    assert cli.main(["check-config", files[1], "--base", files[0]]) == 1
    error = capsys.readouterr().err
    assert "2 errors" in error
    assert "Did you mean seed?" in error
    assert cli.main(["check-config", files[0], "--base", files[0]]) == 0


def test_a_missing_file_is_told_before_the_imports_that_take_seconds(tmp_path):
    code = (
        "import sys, time; from clustermass.cli import main; "
        "print(main(['masses', 'e.fits', 'c.csv', '--ensemble', 'x']), "
        "{'jax', 'numpy', 'astropy', 'xarray'} & {*sys.modules}, time.process_time() < 1)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "1 set() True\n"


def test_without_a_released_ensemble_one_sentence_says_how_to_get_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("e.fits", "c.csv"):
        Path(name).touch()
    monkeypatch.setattr(released, "RELEASED", tmp_path / "released.zip")
    assert cli.main(["masses", "e.fits", "c.csv"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "no released ensemble" in error
    assert "name one by --ensemble" in error and "make release" in error


def test_ctrl_c_while_libraries_are_loaded_ends_the_command_without_a_traceback(monkeypatch):
    class Interrupted:
        @staticmethod
        def find_spec(name, *_):
            if name == "clustermass.cli":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "clustermass.cli")
    monkeypatch.setattr(sys, "meta_path", [Interrupted, *sys.meta_path])
    assert __main__.main() == 130
