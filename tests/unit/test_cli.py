from pathlib import Path

import pytest

from clustermass import cli

ROOT = Path(__file__).parents[2]


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--help"])
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    assert all(command in printed for command in ("masses", "check-config", "summary"))


def test_a_users_error_is_one_message_and_status_1(tmp_path, capsys):
    assert cli.main(["summary", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("clustermass: ")
    assert "no summary.json there" in error
    assert "Traceback" not in error


def test_columns_are_given_as_pairs(capsys):
    assert cli._column_map(["Z=z_best", "ID_SRC=id"]) == {"Z": "z_best", "ID_SRC": "id"}
    assert cli.main(
        ["masses", "e.fits", "c.csv", "--ensemble", "x", "--output", "/nonexistent/m.fits", "--column", "Z"]
    )
    assert "write OURS=THEIRS" in capsys.readouterr().err


def test_check_config_lists_the_errors(tmp_path, capsys):
    (tmp_path / "mine.yaml").write_text("seed: x\nsede: 1\n")
    schema = ROOT / "workflow/schemas/config.schema.yaml"
    files = [str(ROOT / "config/config.yaml"), str(tmp_path / "mine.yaml")]
    assert cli.main(["check-config", *files, "--schema", str(schema)]) == 1
    error = capsys.readouterr().err
    assert "2 errors" in error
    assert "Did you mean seed?" in error
    assert cli.main(["check-config", files[0], "--schema", str(schema)]) == 0
