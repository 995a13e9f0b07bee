"""Captions and front page of the report, rendered as snakemake does."""

import html
import re
from pathlib import Path
from types import SimpleNamespace

import jinja2
import pytest
from docutils.core import publish_parts

from clustermass.io.log import printable
from clustermass.report.summary import for_captions

REPORT = Path(__file__).parents[2] / "workflow" / "report"
NAMES = sorted(path.stem for path in REPORT.glob("*.rst"))
FACTS = {
    "n_train": 1201,
    "n_val": 257,
    "n_test": 263,
    "n_members": 6,
    "scatter_dex": 0.14321,
    "scatter_dex_ci68": [0.136, 0.151],
    "scatter_ln_percent": 32.98,
    "bias_dex": -0.0012,
    "coverage68": 0.671,
    "residual_over_sigma": 0.987,
    "over_count_rate": 0.873,
    "over_count_rate_ci68": [0.85, 0.9],
    "over_ridge": 0.978,
    "over_ridge_ci68": [0.97, 0.99],
}
CONFIG = {
    "run": "default",
    "skies": {
        "embedded": {"source": "embedded"},
        "mock_efeds": {"like": "embedded", "observed": True},
        "efeds": {"source": "files", "observed": True},
    },
    "experiments": {"fiducial": {"sky": "embedded"}, "smoothed": {"preprocessing": "krippendorf2023"}},
    "observed": {"fields": ["mock_efeds", "efeds"]},
}


def render(name: str, facts: dict[str, object], record: dict[str, object] | None = None) -> str:
    """Return the text of a caption."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", page(name, facts, record))).split())


def page(name: str, facts: dict[str, object], record: dict[str, object] | None = None) -> str:
    """Render a caption as `snakemake --report` does, any warning of docutils being an error."""
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    wildcards = SimpleNamespace(experiment="smoothed", field="mock_efeds")
    config = {**CONFIG, **({"facts": facts} if facts else {}), **({"record": record} if record else {})}
    snakemake = SimpleNamespace(config=config, wildcards=wildcards)
    source = (REPORT / f"{name}.rst").read_text(encoding="utf-8")
    assert "$" not in source
    text = environment.from_string(source).render(snakemake=snakemake)
    return publish_parts(text, writer="html", settings_overrides={"halt_level": 2, "report_level": 2})["html_body"]


@pytest.mark.parametrize("name", NAMES)
def test_captions_render_with_and_without_facts(name: str) -> None:
    assert len(render(name, {})) > 100
    assert len(render(name, {"fiducial": FACTS, "smoothed": FACTS})) > 100


@pytest.mark.parametrize(
    "text",
    [
        "5\n\n.. raw:: html\n\n   <script>x</script>\n",
        "`b <javascript:c>`_ and |d| and **e** and javascript:f",
        "\x1b[2J\u2028.. raw:: html\u2028",
    ],
)
def test_texts_from_a_file_are_shown_as_they_are(text: str) -> None:
    figures = {**FACTS, "n_test": text, "n_members": text, "left_out": {"count_rate": text, text: text}}
    shown = page("workflow", for_captions({"smoothed": figures, text: FACTS}))
    assert "<script" not in shown
    assert "javascript:f</a>" not in shown
    assert 'href="javascript' not in shown
    assert printable(text) in html.unescape(re.sub(r"<[^>]+>", "", shown))


def test_captions_state_sample_and_unit() -> None:
    facts = {"smoothed": FACTS}
    assert "of the test set (n = 263);" in render("predictions", facts)
    assert "the training set (n = 1201)." in render("predictions", facts)
    assert "scatter 13 % less than masses from the count rate" in render("baselines", facts)
    assert "0.143 dex (33 %)" in render("predictions", facts)
    assert "n = 6 networks, trained on 1201 and validated on 257 clusters" in render("training", facts)
    assert "hold 67 % of the true masses" in render("calibration", facts)
    assert "n = 1201 train + 257 validation + 263 test" in render("sample", facts)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "workflow"])
def test_a_caption_begins_with_a_title(name: str) -> None:
    assert re.search(r"^<p><strong>[A-Z][^<]{15,}</strong>", page(name, {"smoothed": FACTS}), re.MULTILINE)


def test_front_page_compares_experiments_only_where_there_are_several_rows() -> None:
    assert "side by side, each" not in render("workflow", {"fiducial": FACTS | {"test_skies": {}}})
    assert "side by side, each" in render("workflow", {"fiducial": FACTS, "smoothed": FACTS})


def test_front_page_shows_further_skies_isolated_clusters_and_controls() -> None:
    isolated = {"n_test": 3981, "scatter_dex": 0.1321, "scatter_dex_ci68": [0.13, 0.134], "over_ridge": 0.99}
    isolated |= {"over_ridge_ci68": [0.98, 1.0], "over_count_rate": None, "over_count_rate_ci68": None}
    trees = {"over_trees": 1.011, "over_trees_ci68": [1.0, 1.022]}
    further = FACTS | {"n_train": 0, "n_test": 4480, "scatter_dex": 0.1399, "isolated": isolated} | trees
    fiducial = FACTS | {"test_skies": {"further": further}, "epochs": 50, "control": "none"}
    page = render("workflow", {"fiducial": fiducial, "smoothed": FACTS | {"control": "noise_images", "epochs": 4}})
    assert (
        "fiducial 6, 50, 1201 own test set 263 0.1432 (0.1360 to 0.1510) -0.0012 0.873 (0.850 to 0.900) 0.978" in page
    )
    assert "fiducial 6, 50, 1201 further 4480 0.1399" in page
    assert "1.011 (1.000 to 1.022) 0.987 67.1 % unknown isolated 3981 0.1321 (0.1300 to 0.1340) unknown 0.990" in page
    assert "smoothed (control: noise images) 6, 4, 1201 own test set" in page
    assert page.count(" isolated ") == 1


def test_front_page_says_what_is_simulated() -> None:
    page = render("workflow", {"fiducial": FACTS, "smoothed": FACTS})
    assert "The field mock_efeds is simulated too" in page
    assert "The field efeds is read from the user's own files" in page
    assert "0.873 (0.850 to 0.900)" in page
    assert "Experiment smoothed is trained on the sky embedded" in page


def test_front_page_lists_time_memory_software_and_the_configuration() -> None:
    rows = {"jobs": 2, "seconds_median": 20.0, "seconds_max": 30.0, "seconds": 40.0}
    steps = [{"step": "train_member", **rows, "cpu_seconds": 35.4, "megabytes_max": 700.2}]
    steps += [{"step": "split_sample", **rows, "cpu_seconds": None, "megabytes_max": None}]
    software = {"clustermass": "9.9", "git_commit": "abc", "git_changes": True, "python": "3.11", "platform": "Linux"}
    software |= {"packages": {"numpy": "2.4"}, "lock_sha256": "f" * 64, "finished": "2026-01-01"}
    record = {"steps": steps, "software": software, "settings": "run: default\nseed: 5\n"}
    page = render("workflow", {"fiducial": FACTS, "smoothed": FACTS}, record)
    assert "train_member 2 20.0 30.0 40 35 700" in page
    assert "split_sample 2 20.0 30.0 40 not measured not measured" in page
    assert "commit abc, with changes that aren't committed. Python 3.11 on Linux, numpy 2.4." in page
    assert "run: default seed: 5" in page
    assert "clustermass verify results/default" in page
    assert "Time and memory" not in render("workflow", {"fiducial": FACTS, "smoothed": FACTS})
