"""The page: `paper.md`, and the same as one HTML file with its figures inside."""

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import yaml
from markdown_it import MarkdownIt

from clustermass.figures.style import PREDICTORS
from clustermass.io.files import atomic, write_json
from clustermass.io.provenance import provenance
from clustermass.paper import tables
from clustermass.paper.captions import Figure, captioned
from clustermass.paper.claims import BASE, OURS, THEIRS
from clustermass.paper.controls import controls
from clustermass.paper.diagnostics import diagnostics
from clustermass.paper.evidence import Evidence, read_evidence, read_json


@dataclass(frozen=True)
class Words:
    """What the page says beside its numbers.

    Attributes
    ----------
    page
        Template in Markdown: page.md.
    captions
        Templates by the names of figures: captions.yaml.
    style
        CSS of the HTML: page.css.
    """

    page: str
    captions: Mapping[str, str]
    style: str


def read_words(folder: Path) -> Words:
    """Read a folder with page.md, captions.yaml and page.css."""
    page, captions, style = ((folder / f).read_text(encoding="utf-8") for f in ("page.md", "captions.yaml", "page.css"))
    return Words(page, yaml.safe_load(captions), style)


def write_page(
    metrics: Mapping[tuple[str, str], Path],
    pairs: Path,
    curves: Mapping[str, Path],
    figures: Sequence[Figure],
    settings: Mapping[str, Mapping[str, Any]],
    run: Mapping[str, str],
    words: Words,
    outputs: Mapping[str, Path],
) -> None:
    """Write the page.

    Parameters
    ----------
    metrics
        metrics.json by experiment and sky.
    pairs
        Of `pairs.compare_pairs`.
    curves
        members_curve.json by experiment.
    figures
        In the order of the page.
    settings
        Of each experiment `sky` that it learns from, `epochs`, `control`.
    run
        `name`, `one` (the file with an experiment's numbers), `sky` (a sentence on the skies), `judged_on` (the sky
        that experiments are judged on).
    words
        What the page says beside its numbers.
    outputs
        `markdown`, `html`, and `numbers`: the same tables as JSON.

    Raises
    ------
    InputError
        An input is missing or damaged.
    """
    learnt = {name: str(setting["sky"]) for name, setting in settings.items()}
    evidence = read_evidence(metrics, pairs, learnt, run["judged_on"])
    found = page_tables(evidence, settings)
    found["members"] = tables.members({name: read_json(path) for name, path in curves.items()})
    folder = outputs["markdown"].parent
    captions = captioned(figures, words.captions, evidence, settings)
    pictures = "\n\n".join(f"![]({_relative(path, folder)})\n\n{caption}" for path, caption in captions.items())
    texts = {name: _markdown_table(rows) for name, rows in found.items()} | sentences(evidence)
    markdown = Template(words.page).substitute(**run, **texts, figures=pictures)
    inside = {_relative(path, folder): path for path in captions}
    for name, text in (("markdown", markdown), ("html", _html(markdown, words.style, inside))):
        with atomic(outputs[name]) as temporary:
            temporary.write_text(text, encoding="utf-8")
    made = provenance("paper_page", dict(run), [*metrics.values(), pairs, *curves.values(), *captions])
    write_json({"tables": found, "provenance": made}, outputs["numbers"])


def sentences(evidence: Evidence) -> dict[str, str]:
    """Conclusions, by their names in the page."""
    against, unseen = (
        "\n".join(f"- {sentence}." for sentence in found(evidence)) for found in (tables.disagreements, tables.unseen)
    )
    return {
        "gains": "; ".join(tables.gains(evidence, "luminosity_published")) or "Not measured",
        "rival": "; ".join(tables.gains(evidence, "luminosity_recalibrated")) or "Not measured",
        "resolution": tables.resolution(evidence),
        "disagreements": against or "Nothing, at 3 σ.",
        "unseen": unseen or "Nothing.",
    }


def page_tables(evidence: Evidence, settings: Mapping[str, Mapping[str, Any]]) -> dict[str, tables.Table]:
    """All tables of the page by name, the first row of each its header."""
    labels = {name: predictor.label for name, predictor in PREDICTORS.items()}
    plain = {name: setting for name, setting in settings.items() if setting["control"] == "none"}
    return {
        "numbers": tables.numbers(evidence),
        "changes": tables.changes(evidence),
        "weighting": tables.weighting(evidence),
        "baselines": tables.baselines(evidence, OURS, labels),
        "diagnostics": diagnostics(evidence, {THEIRS: "the paper's recipe", OURS: "our recipe"}),
        "controls": controls(evidence, settings),
        "variants": tables.variants(evidence, [name for name in (OURS, THEIRS, BASE) if name in evidence.learnt]),
        "experiments": tables.experiments(evidence, plain),
    }


def _markdown_table(rows: Sequence[Sequence[str]]) -> str:
    if len(rows) == 1:
        return "Nothing of this was run."
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()


def _html(markdown: str, style: str, pictures: Mapping[str, Path]) -> str:
    """One HTML file; the pictures, by the names that the text gives them, are part of it."""
    body = MarkdownIt("commonmark").enable("table").render(markdown)
    for name, path in pictures.items():
        data = base64.b64encode(path.read_bytes()).decode()
        body = body.replace(f'src="{name}"', f'src="data:image/png;base64,{data}"')
    title = markdown.splitlines()[0].removeprefix("# ")
    head = f'<meta charset="utf-8">\n<title>{title}</title>\n<style>\n{style}</style>'
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{body}</body>\n</html>\n'
