"""Links and keys on the pages in docs/."""

import json
import re
from pathlib import Path

from clustermass.config.resolve import default_config

DOCS = Path(__file__).parents[2] / "docs"


def test_links_to_pages_are_words_and_not_names_of_files():
    pages = {path: path.read_text() for path in DOCS.rglob("*.md") if "_build" not in path.parts}
    for path in DOCS.glob("tutorial/*.ipynb"):
        pages[path] = "".join("".join(cell["source"]) for cell in json.loads(path.read_text())["cells"])
    links = [(path, text) for path, page in pages.items() for text in re.findall(r"\[([^\]]*)\]\([^)]*\)", page)]
    assert len(links) > 100
    assert [(path.name, text) for path, text in links if re.fullmatch(r"[\w./-]+\.md", text)] == []


def test_the_uncertain_parameters_have_keys_of_a_sky():
    page = (DOCS / "explanation" / "prior.md").read_text()
    tables = re.findall(r"These keys are in `([\w.]+)`(.+?)^## ", page, re.DOTALL | re.MULTILINE)
    rows = [
        f"{block}.{key}" for block, table in tables for key in re.findall(r"^\| `([\w.]+)` \|", table, re.MULTILINE)
    ]
    assert len(rows) == len(set(rows)) == page.count("\n| `")
    for row in rows:
        value = default_config()["skies"]["embedded"]
        for part in row.split("."):
            value = value[part]
