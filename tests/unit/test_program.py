"""Commands in printed advice work when they are pasted."""

import subprocess
import sys

import pytest

from clustermass.io.program import program


@pytest.mark.parametrize("kind", ["on the path", "in the folder", "elsewhere", "not installed"])
def test_the_printed_command_runs(tmp_path, monkeypatch, kind):
    here, bin = tmp_path / "my work", tmp_path / ("my work/.venv/bin" if kind != "elsewhere" else "other venv/bin")
    here.mkdir()
    bin.mkdir(parents=True)
    (bin / "python").symlink_to(sys.executable)
    if kind != "not installed":
        (bin / "clustermass").write_text("#!/bin/sh\necho usage: clustermass\n")
        (bin / "clustermass").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bin / "python"))
    monkeypatch.setenv("PATH", f"{bin}:/usr/bin:/bin" if kind == "on the path" else "/usr/bin:/bin")
    monkeypatch.chdir(here)
    shown = program()
    if kind == "not installed":
        assert shown.endswith(" -m clustermass")
        return
    assert shown == {"on the path": "clustermass", "in the folder": ".venv/bin/clustermass"}.get(
        kind, f"'{bin / 'clustermass'}'"
    )
    assert subprocess.check_output(shown, shell=True, text=True) == "usage: clustermass\n"
