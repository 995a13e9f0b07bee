"""Script of the rule report: makes snakemake write the report with figures, captions, settings and costs."""

import base64
import subprocess
import sys
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from clustermass.io.files import atomic
from clustermass.io.files import write_json
from clustermass.io.log import step
from clustermass.io.provenance import PACKAGE
from clustermass.io.provenance import provenance
from clustermass.report.observed_field import masses_in_words
from clustermass.report.observed_field import strangest_of_page
from clustermass.report.summary import costs_by_step
from clustermass.report.summary import folders_of
from clustermass.report.summary import for_captions
from clustermass.report.summary import settings_text
from clustermass.report.summary import read_summary

TITLE = "Galaxy cluster masses"
#: dict from the end of a figure's path to a text that says what the figure shows, for the start page
START = {
    "/figures/predictions.png": "Predicted against true masses of the test clusters",
    "/figures/baselines.png": "Scatter of masses by the networks and by other methods, for the same test clusters",
    "/masses.png": "Masses of an observed field",
}


def start_page(inputs: Any, folder: Path) -> tuple[dict[str, Any], list[Path]]:
    """Return the content of the report's start page, and the paths of its figures.

    The content is a block with the links to pages and catalogues (relative to `folder`), with a text on each observed
    field and on its most unusual clusters, and with the figures' texts.
    """
    fields = [of_field(Path(path), folder) for path in inputs.pages if path.endswith(".html")]
    links = []
    for kind, paths in (("Clusters of", inputs.pages), ("Mass catalogue of", inputs.masses)):
        for path in (Path(one).relative_to(folder) for one in paths if one.endswith((".html", "masses.fits"))):
            experiment, _, field, _ = path.parts
            links.append({"href": quote(path.as_posix()), "text": f"{kind} {field}, {experiment}"})
    found = {end: next((path for path in inputs.figures if path.endswith(end)), None) for end in START}
    figures = [Path(path) for path in found.values() if path]
    return {
        "links": links,
        "fields": fields,
        "figures": [{"text": START[end]} for end, path in found.items() if path],
    }, figures


def of_field(page: Path, folder: Path) -> dict[str, Any]:
    """Return the texts of the start page on the field with this `page`; they are safe in HTML."""
    experiment, _, field, _ = page.relative_to(folder).parts
    address = quote(page.relative_to(folder).as_posix())
    strangest = [
        {"href": f"{address}#{quote(name)}", "name": escape(name), "text": escape(text)}
        for name, text in strangest_of_page(page)
    ]
    text = escape(masses_in_words(page.with_name("masses.fits")))
    return {"name": f"{field}, {experiment}", "text": text, "strangest": strangest}


def finished(text: str, figures: list[Path]) -> str:
    """Return the report with its own title and the figures of its start page."""
    text = text.replace("<title>Snakemake Report</title>", f"<title>{TITLE}</title>")
    for number, path in enumerate(figures):
        data = base64.b64encode(path.read_bytes()).decode()
        text = text.replace(f"@figure{number}@", f"data:image/png;base64,{data}")
    return text


with step(snakemake.log[0], snakemake.rule):
    workflow, results = PACKAGE.parents[1] / "workflow", Path(snakemake.output.report).parents[1]
    summary = read_summary(Path(snakemake.input.summary))
    config = {**snakemake.config}
    with atomic(snakemake.output.settings) as page:
        page.write_text(settings_text(config), encoding="utf-8")
    record = {
        "steps": costs_by_step(folders_of(config, results), config),
        "software": for_captions(summary["made_with"]),
        "settings": settings_text(config),
    }
    overlay = Path(snakemake.log[0]).with_name("report_config.yaml")
    record["start"], shown = start_page(snakemake.input, Path(snakemake.output.report).parent)
    facts = {"facts": for_captions(summary["experiments"]), "record": record}
    overlay.write_text(yaml.safe_dump({**config, **facts}), encoding="utf-8")
    with atomic(snakemake.output.report) as page, Path(snakemake.log[0]).open("a") as log:
        command = [sys.executable, "-P", "-m", "snakemake", "--snakefile", str(workflow / "Snakefile"), "--nolock"]
        command += ["--configfile", str(overlay), "--report", str(page)]
        command += ["--report-stylesheet", str(workflow / "report" / "report.css"), "--", *snakemake.input.figures]
        subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT)
        page.write_text(finished(page.read_text(encoding="utf-8"), shown), encoding="utf-8")
    made_from = [*snakemake.input, snakemake.output.settings, snakemake.output.report]
    write_json({"provenance": provenance("report", config, made_from)}, snakemake.output.provenance)
