"""The page: `paper.md`, and the same as one HTML file with its figures inside."""

import base64
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from markdown_it import MarkdownIt

from clustermass.datasets import atomic, write_json
from clustermass.figures.labels import PREDICTORS
from clustermass.paper import tables
from clustermass.paper.claims import BASE, OURS, THEIRS
from clustermass.paper.evidence import Evidence, read_evidence, read_json
from clustermass.provenance import provenance


def write_page(
    metrics: Mapping[tuple[str, str], Path],
    pairs: Path,
    curves: Mapping[str, Path],
    figures: Mapping[Path, str],
    settings: Mapping[str, Mapping[str, Any]],
    run: Mapping[str, str],
    words: tuple[str, str],
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
        Captions by PNG, in order.
    settings
        Of each experiment `sky` that it learns from, `epochs`, `control`.
    run
        `command`, `one` (the command for one experiment), `sky` (a sentence on the skies), `judged_on` (the sky that
        experiments are judged on).
    words
        Template of the page in Markdown, and the style of its HTML as CSS.
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
    pictures = "\n\n".join(f"![]({_relative(path, folder)})\n\n{caption}" for path, caption in figures.items())
    texts = {name: _markdown_table(rows) for name, rows in found.items()}
    gains = "; ".join(tables.gains(evidence)) or "Not measured"
    markdown = Template(words[0]).substitute(**run, **texts, gains=gains, figures=pictures)
    inside = {_relative(path, folder): path for path in figures}
    for name, text in (("markdown", markdown), ("html", _html(markdown, words[1], inside))):
        with atomic(outputs[name]) as temporary:
            temporary.write_text(text, encoding="utf-8")
    made = provenance("paper_page", dict(run), [*metrics.values(), pairs, *curves.values(), *figures])
    write_json({"tables": found, "provenance": made}, outputs["numbers"])


def page_tables(evidence: Evidence, settings: Mapping[str, Mapping[str, Any]]) -> dict[str, tables.Table]:
    """All tables of the page by name, the first row of each its header."""
    labels = {name: predictor.label for name, predictor in PREDICTORS.items()}
    controls = {name: setting for name, setting in settings.items() if setting["control"] != "none"}
    return {
        "numbers": tables.numbers(evidence),
        "changes": tables.changes(evidence),
        "weighting": tables.weighting(evidence),
        "baselines": tables.baselines(evidence, OURS, labels),
        "controls": tables.experiments(evidence, {**controls, **{OURS: settings[OURS]}}),
        "variants": tables.variants(evidence, [name for name in (OURS, THEIRS, BASE) if name in evidence.learnt]),
        "experiments": tables.experiments(evidence, {n: s for n, s in settings.items() if n not in controls}),
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
