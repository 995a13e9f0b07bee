"""The notebooks of docs/tutorial are committed without outputs, and the pictures of the tutorial are small."""

import json
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
NOTEBOOKS = sorted((DOCS / "tutorial").glob("*.ipynb"))


def test_there_are_three_notebooks():
    assert [path.stem for path in NOTEBOOKS] == ["a_network_of_your_own", "a_sky_of_your_own", "first_masses"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_no_outputs_and_its_code_compiles(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) > 5
    for cell in code:
        assert (cell["outputs"], cell["execution_count"]) == ([], None)
        compile("".join(cell["source"]), str(path), "exec")


def test_pictures_of_the_tutorial_are_small():
    pictures = list((DOCS / "figures" / "tutorial").iterdir())
    assert pictures
    assert max(path.stat().st_size for path in pictures) <= 150_000
