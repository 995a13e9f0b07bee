"""The order of the folders in docs/explanation/architecture.md is the order of imports."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "clustermass"
LINE = re.compile(r"\| `(\w+)/` \|")


def order(page):
    return [match[1] for match in map(LINE.match, page.splitlines()) if match]


def wrong_way(folder, imported, folders):
    return imported in folders and folders.index(imported) > folders.index(folder)


def imports(path):
    """Folders of the package that a module imports from."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        names = (
            [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in getattr(node, "names", [])]
        )
        yield from (name.split(".")[1] for name in names if name.startswith("clustermass."))


@pytest.fixture(scope="module")
def folders():
    return order((ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8"))


def test_the_page_has_every_folder_once(folders):
    assert sorted(folders) == sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


def test_the_steps_of_the_picture_are_folders(folders):
    picture = (ROOT / "docs" / "figures" / "pipeline.svg").read_text(encoding="utf-8")
    steps = re.findall(r'<g class="step">.*?class="name"[^>]*>(\w+)<', picture)
    assert len(steps) > 8
    assert set(steps) <= set(folders)


def test_no_folder_imports_from_a_later_one(folders):
    edges = {
        (folder, name, path.name)
        for folder in folders
        for path in (PACKAGE / folder).glob("*.py")
        for name in imports(path)
    }
    assert len(edges) > 100
    assert [edge for edge in sorted(edges) if wrong_way(*edge[:2], folders)] == []


def test_an_import_from_a_later_folder_is_noticed(folders):
    assert wrong_way("network", "ensemble", folders)
    assert not wrong_way("ensemble", "network", folders)
