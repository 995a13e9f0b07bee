"""The examples of docs/how-to/python.md and of the docstrings run as they stand."""

import doctest
import logging
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import matplotlib as mpl
import pytest
from test_apply_field_parts import write_ensemble

import clustermass
from clustermass.ensemble import released

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "python.md"
MODULES = ("clustermass", *(f"clustermass.interface.{name}" for name in ("conversions", "simulated", "posterior")))


@pytest.fixture(scope="module", autouse=True)
def ensemble(tmp_path_factory):
    """Let an ensemble of random weights be the released one, so that the test doesn't depend on a release."""
    folder = tmp_path_factory.mktemp("released")
    write_ensemble(folder)
    clustermass.Ensemble.load(folder).save(folder / "released.zip")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(released, "RELEASED", folder / "released.zip")
        yield


def test_the_page_runs_from_top_to_bottom(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.NOTSET, logger="clustermass")  # the page's level is undone after the test
    mpl.use("agg")
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) > 5
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    logs, reads = (next(block for block in blocks if word in block) for word in ("basicConfig", "open_dataset"))
    told = "logging.getLogger('clustermass').info('rows dropped')"
    new = subprocess.run([sys.executable, "-c", f"{logs}\n{reads}\n{told}"], check=True, capture_output=True, text=True)
    assert "INFO:clustermass:rows dropped" in new.stderr


@pytest.mark.parametrize("page", [PAGE, PAGE.parents[1] / "reference" / "python.md"])
def test_a_page_names_all_that_can_be_imported(page):
    assert set(clustermass.__all__) - {"__version__"} <= set(re.findall(r"\w+", page.read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_docstrings_run(name):
    result = doctest.testmod(import_module(name), extraglobs={"clustermass": clustermass})
    assert result.attempted > 0
    assert result.failed == 0
