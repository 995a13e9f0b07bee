"""The paper's page on a small run: only what it needs is made, and its numbers are those of metrics.json."""

import json
import re
import shutil

import pytest
from conftest import jobs, snakemake

pytestmark = pytest.mark.workflow


def test_the_page_is_made_when_asked_for_by_name(finished, tmp_path):
    assert "paper_page" not in jobs(snakemake(finished, "-n"))
    planned = jobs(snakemake(finished, "-n", "--", "paper"))
    assert {rule for rule in planned if rule != "total"} == {"paper", "compare_pairs", "paper_page", "members_curve"}
    directory = tmp_path / "copy"
    shutil.copytree(finished, directory, copy_function=shutil.copy2)
    snakemake(directory, "--", "paper", "paper_docs")
    results = directory / "results" / "test"
    metrics = json.loads((results / "fiducial/skies/tiny_further/metrics.json").read_text())
    tables = json.loads((results / "paper.json").read_text())["tables"]
    assert metrics["n_test"] > 10
    (row,) = (row for row in tables["experiments"] if row[0] == "fiducial")
    assert row[4] == str(metrics["n_test"])
    assert row[5].startswith(f"{metrics['test']['scatter_dex']:.4f} ± ")
    assert "Nothing of this was run." in (results / "paper.md").read_text()  # no control in this configuration
    html = (results / "paper.html").read_text()
    assert html.count('src="data:image/png;base64,') == 7  # figures 1 to 7
    assert row[5] in html
    published = (directory / "docs" / "paper.md").read_text()
    assert row[5] in published
    links = re.findall(r"!\[\]\((.*?)\)", published)
    assert len(links) == 7
    assert all((directory / "docs" / link).read_bytes().startswith(b"\x89PNG") for link in links)
