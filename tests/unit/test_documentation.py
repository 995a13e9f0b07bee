"""Links and keys on the pages in docs/."""

import json
import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_links_to_pages_are_words_and_not_names_of_files():
    pages = {path: path.read_text() for path in DOCS.rglob("*.md") if "_build" not in path.parts}
    for path in DOCS.glob("tutorial/*.ipynb"):
        pages[path] = "".join("".join(cell["source"]) for cell in json.loads(path.read_text())["cells"])
    links = [(path, text) for path, page in pages.items() for text in re.findall(r"\[([^\]]*)\]\([^)]*\)", page)]
    assert len(links) > 100
    assert [(path.name, text) for path, text in links if re.fullmatch(r"[\w./-]+\.md", text)] == []
