"""The report: its text, that it loads nothing from outside, and that a browser shows it."""

import html
import json
import re

import pytest
import yaml
from browser import CHROMIUM, opened

pytestmark = pytest.mark.workflow
CATEGORIES = {"Comparison", "Accuracy", "Observed field", "Sample", "Training"}
FIGURES = {"energy_bands", "sample", "training", "predictions", "spread", "baselines", "calibration"}
FIGURES |= {"bias", "bias_supplement"}
#: an element, style or script that asks for something at another place
ASKS_OUTSIDE = r"""(?:<(?:script|img|link|iframe)[^>]*\s(?:src|href)=["']?|@import\s+["']?|url\(["']?)(https?:)?//"""


@pytest.fixture(scope="module")
def path(finished):
    return finished / "results/test/report.html"


@pytest.fixture(scope="module")
def source(path):
    return path.read_text(encoding="utf-8")


def block(source, name):
    """Return the value that the page's script `name` assigns to its variable."""
    text = re.search(rf'<script id="{name}">\s*var \w+ = (.*?);\s*</script>', source, re.DOTALL)[1]
    return json.loads(text)


def test_all_figures_are_in_it_with_captions(source):
    results = block(source, "results")
    assert {path.rsplit("/", 1)[-1].removesuffix(".svg") for path in results} == FIGURES | {"masses", "comparison"}
    assert set(block(source, "categories")) == CATEGORIES
    for path, result in results.items():
        assert len(result["caption"]) > 200, path
        assert result["data_uri"].startswith("data:image/svg+xml"), path


def test_front_page_holds_time_memory_software_and_configuration(source, finished):
    page = html.unescape(re.sub(r"<[^>]+>", " ", block(source, "workflow-desc")))
    words = " ".join(page.split())
    for step in ("simulate_realization", "train_member", "infer_observed", "plot_predictions"):
        assert re.search(rf"{step} \d+ [\d.]+ [\d.]+ \d+ (\d+|not measured) (\d+|not measured)", words), step
    software = json.loads((finished / "results/test/summary.json").read_text())["made_with"]
    assert all(f"{name} {version}" in words for name, version in software["packages"].items())
    config = (finished / "results/test/config.yaml").read_text()
    assert " ".join(config.split()) in words
    assert yaml.safe_load(config)["training"]["recipes"]["clustermass"]["epochs"] == 4


def test_rule_graph_and_run_times_are_in_it(source):
    steps = {"simulate_realization", "extract_images", "train_member", "aggregate_ensemble", "infer_observed"}
    assert steps <= {node["rule"] for node in block(source, "rulegraph")["data"][0]["values"]}
    assert steps <= {job["rule"] for job in block(source, "runtimes")["data"]["values"]}


def test_nothing_is_asked_from_outside(source):
    bare = re.sub(r"data:[\w/+;=.,-]+", "", source)
    assert re.findall(ASKS_OUTSIDE, bare) == []
    assert re.search(ASKS_OUTSIDE, '<script src="https://x.org/a.js">')
    assert re.search(ASKS_OUTSIDE, "@import url('//x.org/a.css')")


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here: the report isn't opened in a browser")
def test_a_browser_without_a_network_shows_it_without_errors(path, tmp_path):
    with opened(path.as_uri(), tmp_path) as page:
        page.wait_for(
            "!!document.querySelector('.prose h1') && !!document.querySelector('#rulegraph canvas, #rulegraph svg')"
        )
        # the beginning can be reached: its top is where the page begins
        assert 0 <= page.run("document.querySelector('.prose h1').getBoundingClientRect().top") < 100
        assert "Masses of galaxy clusters from eROSITA images" in page.text()
        text_end = "document.querySelector('.prose').getBoundingClientRect()"
        graph = "document.querySelector('#rulegraph').getBoundingClientRect()"
        assert page.run(f"{graph}.top >= {text_end}.bottom")
        assert page.run("[...document.querySelectorAll('.prose table')].every(t => t.offsetWidth < innerWidth)")
        page.click("Statistics")
        page.wait_for("!!document.querySelector('#runtimes canvas, #runtimes svg')")
        for category in sorted(CATEGORIES):
            page.click(category)
            page.wait_for("!!document.querySelector('nav [iconname=eye]')")
            page.run("document.querySelector('nav [iconname=eye]').click()")
            page.wait_for("[...document.images].some(i => i.src.startsWith('data:image/svg') && i.naturalWidth > 300)")
            page.run("app.setView({navbarMode: 'menu'})")
        assert page.errors == []
        assert {address.partition(":")[0] for address in page.requests} <= {"file", "data", "blob"}
        assert len(page.requests) > 3
