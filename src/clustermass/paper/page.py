"""The page that compares a run with the paper, as `paper.md` and as one HTML file that contains its figures."""

import base64
import os
import shutil
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import NamedTuple

import numpy as np
import yaml
from markdown_it import MarkdownIt

from clustermass.errors import InputError
from clustermass.io.files import atomic, read_json, write_json
from clustermass.io.log import printable
from clustermass.io.provenance import provenance
from clustermass.paper import tables
from clustermass.paper.results import BASE, CLEAR, OURS, THEIRS, Results, read_published, scatter_ratio
from clustermass.paper.tables import Settings, Table

#: signs of Markdown that a text from a file must not have, escaped
_ESCAPED = str.maketrans({"|": r"\|", "[": r"\[", "<": "&lt;", "\\": r"\\"})


class Figure(NamedTuple):
    """A figure of the page, with the key of its caption in captions.yaml, its experiments and its observed field."""

    png: Path
    caption: str
    experiments: Sequence[str]
    field: str = ""


def write_page(
    metrics: Mapping[tuple[str, str], Path],
    pairs: Path,
    curves: Mapping[str, Path],
    figures: Sequence[Figure],
    settings: Mapping[str, Settings],
    run: Mapping[str, str],
    words: Path,
    outputs: Mapping[str, Path],
) -> None:
    """Write the page of a run to the files in `outputs`: `markdown`, `html`, and `numbers` (its tables as JSON).

    `metrics` maps (experiment, sky) to a metrics.json. `curves` maps experiments to a members_curve.json. `settings`
    maps experiments to the settings that the page states. `pairs` is the file pairs.json. The page shows `figures` in
    their order. `run` holds texts for the template of the page. One of them is `test_sky`, the name of the sky on which
    experiments are tested. The folder `words` holds page.md, captions.yaml, published.yaml and page.css. InputError if
    an input is missing or damaged; the message names it.
    """
    trained_on = {name: setting["sky"] for name, setting in settings.items()}
    blocks = {key: read_json(path, "JSON") for key, path in metrics.items()}
    results = Results(blocks, read_json(pairs, "JSON")["rows"], trained_on, run["test_sky"])
    made = page_tables(results, settings, words)
    made["members"] = tables.members({name: read_json(path, "JSON") for name, path in curves.items()})
    captions = yaml.safe_load((words / "captions.yaml").read_text(encoding="utf-8"))
    links = {Path(os.path.relpath(one.png, outputs["markdown"].parent)).as_posix(): one for one in figures}
    pictures = [f"![]({link})\n\n{caption(one, captions, results, settings)}" for link, one in links.items()]
    texts = {**run, **summary_texts(results), **{name: markdown_table(table) for name, table in made.items()}}
    template = Template((words / "page.md").read_text(encoding="utf-8"))
    markdown = template.substitute(texts, figures="\n\n".join(pictures))
    html = in_html(markdown, (words / "page.css").read_text(encoding="utf-8"), {k: one.png for k, one in links.items()})
    for name, text in (("markdown", markdown), ("html", html)):
        with atomic(outputs[name]) as temporary:
            temporary.write_text(text, encoding="utf-8")
    inputs = [*metrics.values(), pairs, *curves.values(), *(one.png for one in figures)]
    write_json({"tables": made, "provenance": provenance("paper_page", dict(run), inputs)}, outputs["numbers"])


def page_tables(results: Results, settings: Mapping[str, Settings], words: Path) -> dict[str, Table]:
    """Return a dict from names to all tables of the page except `tables.members`."""
    published = read_published(words / "published.yaml")
    numbers, changes = tables.numbers(results, published), tables.changes(results, published)
    return {
        "differences": tables.differences((numbers, changes)),
        "numbers": numbers,
        "changes": changes,
        "weighting": tables.weighting(results, published),
        "baselines": tables.baselines(results),
        "diagnostics": tables.diagnostics(results),
        "controls": tables.controls(results, settings),
        "variants": tables.variants(results, [name for name in (OURS, THEIRS, BASE) if name in results.trained_on]),
        "experiments": tables.experiments(results, settings),
    }


def summary_texts(results: Results) -> dict[str, str]:
    """Return a dict from names in the template of the page to texts that are made from the results.

    The texts state how many pairs of experiments are compared, how large the noise of training is, which differences of
    scatters are significant, and how much smaller the scatter of networks is than that of luminosity relations.
    """
    errors = [error for name in results.trained_on if (error := scatter_ratio(results.pair(name)).error) is not None]
    seen = [f"{100 * CLEAR * error:.1f} %" for error in np.quantile(errors or [np.nan], [0, 0.5, 1], method="higher")]
    noise = {row["against"]: (row.get("training_noise") or {}).get("typical") for row in results.pairs}
    texts = {"pairs": str(len(errors)), "seen_least": seen[0], "seen_median": seen[1], "seen_most": seen[2]}
    texts["noise"] = ", ".join(f"{100 * of:.1f} % (`{name}`)" for name, of in noise.items() if of is not None) or "—"
    for relation in ("published", "recalibrated"):
        gains = []
        for name, recipe in tables.RECIPES.items():
            ratio = results.number(name, f"ratios/network_over_luminosity_{relation}")
            if ratio.value is not None and (sigmas := ratio.sigmas(1.0)) is not None:
                gains.append(f"{recipe} {100 * (1 - ratio.value):+.1f} % ({abs(sigmas):.0f} σ)")
        texts[f"gain_{relation}"] = ", ".join(gains) or "—"
    return texts


def caption(figure: Figure, captions: Mapping[str, str], results: Results, settings: Mapping[str, Settings]) -> str:
    """Return the caption of a figure, made from its template in `captions` with the numbers of its experiments."""
    own = {name: results.metrics[name, results.trained_on[name]] for name in figure.experiments}
    who = " and ".join(
        f"experiment `{name}` ({one['ensemble']['n_members']:,} networks, {settings[name]['epochs']} epochs, "
        f"{one['n_train']:,} training clusters, {one['n_test']:,} test clusters of the sky `{settings[name]['sky']}`)"
        for name, one in own.items()
    )
    number = {name: own[figure.experiments[0]][f"n_{name}"] for name in ("train", "val", "test")}
    texts = {name: f"{value:,}" for name, value in {**number, "all": sum(number.values())}.items()}
    return Template(captions[figure.caption]).substitute(texts, who=who, field=figure.field)


def markdown_table(rows: Table) -> str:
    """Return a table in Markdown, or a sentence if the table has only a header."""
    if len(rows) == 1:
        return "Nothing of this was run."
    lines = [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def _cell(text: str) -> str:
    """Return a text as one cell of a table in Markdown, escaped so that it makes no link, picture or raw HTML."""
    return printable(text).translate(_ESCAPED)


def in_html(markdown: str, style: str, pictures: Mapping[str, Path]) -> str:
    """Return the page as the text of an HTML file that contains its figures.

    `pictures` maps the links to figures in `markdown` to their files. `style` is CSS.
    """
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    for link, path in pictures.items():
        data = base64.b64encode(path.read_bytes()).decode()
        body = body.replace(f'src="{link}"', f'src="data:image/png;base64,{data}"')
    title = escape(markdown.splitlines()[0].removeprefix("# "))
    head = f'<meta charset="utf-8">\n<title>{title}</title>\n<style>\n{style}</style>'
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{body}</body>\n</html>\n'


def publish(page: Path, figures: Sequence[Path], output: Path, folder: Path) -> None:
    """Copy the Markdown page to `output` and its figures into `folder`; InputError if the page lacks a figure."""
    text = page.read_text(encoding="utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    for figure in figures:
        link = f"]({Path(os.path.relpath(figure, page.parent)).as_posix()})"
        if link not in text:
            raise InputError(f"{page}: shows no {figure}. Delete the page and run again.")
        copy = folder / figure.name
        with atomic(copy) as temporary:
            shutil.copyfile(figure, temporary)
        text = text.replace(link, f"]({Path(os.path.relpath(copy, output.parent)).as_posix()})")
    with atomic(output) as temporary:
        temporary.write_text(text, encoding="utf-8")
