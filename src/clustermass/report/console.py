"""Output of the command line: key figures of a run, the result of a verification, and the steps that made a file."""

from __future__ import annotations

import itertools
import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from clustermass.config.resolve import is_regular
from clustermass.errors import InputError
from clustermass.io.files import reading
from clustermass.io.log import printable
from clustermass.io.program import program
from clustermass.report.observed_field import masses_in_words
from clustermass.report.records import CONFIG, RUN_RECORD, Files, Record
from clustermass.report.summary import read_summary

if TYPE_CHECKING:
    from clustermass.report.verify import Verification

SHOWN = 5  #: number of names that are printed of a longer list
FINDINGS = 20  #: number of findings of a verification that are printed
#: settings that may differ between files of one step
VARYING = ("realization", "member", "best_epoch", "kept_epoch")


def headline(run: str | Path) -> None:
    """Print the key figures of a run, and the paths of its report and catalogues.

    InputError if the run has no summary.json.
    """
    run = Path(run)
    if not (run / "summary.json").is_file():
        raise InputError(f"{run}: no summary.json there. Finish the run first: snakemake --cores all")
    with reading(run / "summary.json", "summary"):
        experiments = read_summary(run / "summary.json")["experiments"]
        tests = {}  # an experiment, followed by its further test skies
        for name, figures in experiments.items():
            skies = figures.get("test_skies", {})
            tests[name] = figures
            tests |= {f"{name} on {sky}": {**skies[sky], "n_train": figures["n_train"]} for sky in skies}
        title = printable(f"Test set of the simulated sky, run '{run.name}'")
        table = _of_one(next(iter(tests.values())), title) if len(tests) == 1 else _of_several(tests, title)
        catalogues = [
            line
            for name, figures in experiments.items()
            for field, path in figures["catalogues"].items()
            for line in _of_field(Path(path), field, name)
        ]
    console = _console()
    console.print(table)
    _print(console, f"Report: open {run / 'report.html'} in a browser", *catalogues)


def _of_field(masses: Path, field: str, experiment: str) -> Iterator[str]:
    """Yield lines about the mass catalogue of a field: how many clusters have a mass, and where its files are.

    The number is left out if the catalogue can't be read, and the page of its clusters if it doesn't exist.
    """
    with suppress(InputError):
        if is_regular(masses):
            yield f"Field {field}, experiment {experiment}: {masses_in_words(masses)}."
    yield f"  Catalogue: {masses}"
    if (page := masses.with_name("clusters.html")).is_file():
        command = f"{program()} show --field {shlex.quote(str(masses))}"
        yield f"  Clusters:  open {page} in a browser"
        yield f"  The most unusual clusters: {command}"
        yield f"  A picture of the first of them: {command} --strangest"


def _console() -> Console:
    """Return a console that prints texts unchanged, because names from files may look like rich's markup or emoji."""
    return Console(soft_wrap=True, markup=False, highlight=False, emoji=False)


def _print(console: Console, *lines: str) -> None:
    """Print each text as one line, without control characters, so that names from files can't imitate other lines."""
    for line in lines:
        console.print(printable(line))


def _of_one(figures: Mapping[str, Any], title: str) -> Table:
    """Return a table with the key figures of one test set below each other."""
    table = Table("", "", title=title, title_justify="left", show_header=False)
    rows = {
        "clusters, train / test": f"{figures['n_train']} / {figures['n_test']}",
        "networks": str(figures["n_members"]),
        "scatter of log10 M500c": f"{_with_error(figures, 'scatter_dex')} dex ({figures['scatter_ln_percent']:.0f} %)",
        "bias": f"{figures['bias_dex']:+.3f} dex",
        "scatter ÷ count-rate relation's": _with_error(figures, "over_count_rate", "no count rates"),
        "scatter ÷ ridge regression's": _with_error(figures, "over_ridge", "no photon counts"),
        "residual std ÷ mean sigma": f"{figures['residual_over_sigma']:.3f}",
        "within 1 sigma (68 %)": f"{100 * figures['coverage68']:.0f} %",
    }
    for cells in rows.items():
        table.add_row(*cells)
    return table


def _of_several(tests: Mapping[str, Mapping[str, Any]], title: str) -> Table:
    """Return a table with a row for each test set. It is narrow enough for 80 columns."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("test clusters", overflow="fold")
    for name in ("scatter, dex", "÷ count rate's", "÷ ridge's", "in 1 sigma"):
        table.add_column(name, no_wrap=True)
    for name, figures in tests.items():
        numbers = (_with_error(figures, key, "none") for key in ("scatter_dex", "over_count_rate", "over_ridge"))
        table.add_row(printable(f"{name}: {figures['n_test']}"), *numbers, f"{100 * figures['coverage68']:.0f} %")
    return table


def _with_error(figures: Mapping[str, Any], name: str, missing: str = "") -> str:
    if figures[name] is None:
        return missing
    low, high = figures[f"{name}_ci68"]
    return f"{figures[name]:.3f} ± {(high - low) / 2:.3f}"


def print_verification(result: Verification, files: Files) -> None:
    """Print the result of a verification, and a verdict.

    The result is the number of checked files of each step, the first `FINDINGS` differences, and the files that weren't
    checked.
    """
    console = _console()
    title = printable(f"Provenance of {files.root}")
    table = Table("step", "files", "hashes of inputs compared", title=title, title_justify="left")
    for step, number in sorted(result.steps.items()):
        table.add_row(printable(step), str(number), str(result.compared[step]))
    console.print(table)
    for finding in result.findings[:FINDINGS]:
        _print(console, "", f"DIFFERS  {finding.file}", f"  {finding.what}.", f"  {finding.remedy}")
    if len(result.findings) > FINDINGS:
        _print(console, "", f"and {len(result.findings) - FINDINGS} more differences")
    if result.findings:
        _print(console, "")
    absent = [f"{name} (read for {by})" for name, by in result.absent.items()]
    for what, names in (
        ("Not at hand, and so not checked (--inputs FOLDER says where they lie)", absent),
        ("Say nothing of how they were made", result.silent),
        ("Named by no file's hashes, so that a change of them isn't seen", result.unnamed),
    ):
        if names:
            more = [f"and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
            _print(console, f"{what}: {len(names)}", *(f"  {name}" for name in [*names[:SHOWN], *more]))
    number, compared = sum(result.steps.values()), sum(result.compared.values())
    if result.findings:
        _print(console, f"{len(result.findings)} of what {number} files state does not hold.")
    else:
        way = f" The way from {result.chains} mass catalogues back to their events is whole." if result.chains else ""
        _print(console, f"All {compared} hashes that {number} files state are right.{way}")
    for path in filter(Path.is_file, sorted(files.root.glob(f"*/{RUN_RECORD}"))):
        whole = f"The run {path.parent.name} as a whole is named by the SHA-256 of its {RUN_RECORD}:"
        _print(console, whole, f"  {files.sha256(path)}")


def print_trace(path: Path, files: Files) -> None:
    """Print the steps by which a file was made from the events; InputError if the file has no provenance record.

    If a file isn't found, the last line says where the chain of files ends.
    """
    whole = path.resolve()
    chain = files.chain([whole], outside=True)
    if chain[whole] is None:
        files.record(whole)  # InputError if it is damaged
        raise InputError(
            f"{path}: doesn't say how it was made. Name a file that clustermass made: a figure (.svg, .png, .pdf), a "
            "mass catalogue, or another file of results/."
        )
    steps = (_described(members, chain, files) for members in _steps(chain, files))
    lines = itertools.chain(*steps, _of_run(whole, files), _ends(chain, files))
    _print(_console(), files.shown(whole), "", *lines)


def _steps(chain: dict[Path, Record | None], files: Files) -> list[list[Path]]:
    """Return groups of files that the same step made with the same settings.

    The last step comes first. Steps at the same distance from the traced file are sorted by name.
    """
    depth = _depths({path: files.origins(path, record) if record else [] for path, record in chain.items()})
    groups: dict[tuple[str, str], list[Path]] = {}
    for path in sorted(depth, key=lambda one: (depth[one], one)):
        record = chain[path]
        groups.setdefault((record.step, _settings(record)) if record else ("", ""), []).append(path)
    outside = groups.pop(("", ""), [])
    steps = sorted(groups, key=lambda step: (max(depth[path] for path in groups[step]), step))
    return [*(groups[step] for step in steps), *([outside] if outside else [])]


def _depths(origins: Mapping[Path, list[Path]]) -> dict[Path, int]:
    """Return the largest number of steps from each file to the traced one. InputError if there is a circle."""
    try:
        order = [*TopologicalSorter(origins).static_order()]
    except CycleError as error:
        way = " <- ".join(path.name for path in error.args[1])
        raise InputError(f"{way}: their records name each other in a circle. They were changed by hand.") from None
    depth = dict.fromkeys(origins, 0)
    for path in reversed(order):  # a file comes before those that it was made from
        for one in origins[path]:
            depth[one] = max(depth[one], depth[path] + 1)
    return depth


def _settings(record: Record) -> str:
    """Return the settings of a record as text. Those in `VARYING` are left out, so that all files of a step agree."""
    shared = {key: _without_label(text) for key, text in record.further.items() if key not in VARYING}
    return json.dumps([_without_label(record.parameters or record.config_hash), shared], sort_keys=True)


def _without_label(text: str) -> str:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(content, dict):
        content = {key: value for key, value in content.items() if key not in VARYING}
    return json.dumps(content, sort_keys=True)


def _described(members: list[Path], chain: dict[Path, Record | None], files: Files) -> Iterator[str]:
    records = [record for path in members if (record := chain[path])]
    first = records[0] if records else None
    source = f"  ({first.source})" if first and first.source else ""
    yield (
        f"{first.step}{source}"
        if first
        else "files that don't say how they were made: your own, or those of other software"
    )
    for path in members[:SHOWN]:
        yield f"  {files.shown(path)}  sha256 {files.sha256(path)}"
    if len(members) > SHOWN:
        yield f"  and {len(members) - SHOWN} more"
    if first:
        hashes = _several(record.config_hash for record in records)
        stated = f": {_without_label(first.parameters)}" if first.parameters else ""
        yield f"  settings {hashes}{stated}" if hashes else "  settings:"
        for name in first.further:
            yield f"  {name}: {_several(_without_label(record.further.get(name, '')) for record in records)}"
    for path, (name, stated) in ((path, one) for path in members if (of := chain[path]) for one in of.inputs.items()):
        there = files.locate(name, stated, path)
        if there is None:
            yield f"  NOT AT HAND  {name}, sha256 {stated}"
        elif files.sha256(there) != stated:
            yield f"  DIFFERS  {name} was {stated} when {path.name} was made from it"
    yield ""


def _ends(chain: Mapping[Path, Record | None], files: Files) -> list[str]:
    """Return a sentence about the files on the way back that weren't found, or an empty list if all were found."""
    readers = [(path, record) for path, record in chain.items() if record]
    named = ((path, *item) for path, record in readers for item in record.inputs.items())
    lost = [name for path, name, digest in named if files.locate(name, digest, path) is None]
    if not lost:
        return []
    ours = any(map(files.is_ours, lost))
    folder = "the folder that contains results/" if ours else "the folder where they are"
    return [f"The way back ends at files that weren't found: {_several(lost)}. Name {folder} by --inputs FOLDER."]


def _several(values: Iterable[str]) -> str:
    different = list(dict.fromkeys(value for value in values if value))
    return ", ".join([*different[:SHOWN], *(["..."] if len(different) > SHOWN else [])])


def _of_run(path: Path, files: Files) -> list[str]:
    run = files.root / path.relative_to(files.root).parts[0] if path.is_relative_to(files.root) else files.root
    if not (run / "summary.json").is_file():
        return []
    with reading(run / "summary.json", "summary"):
        made = read_summary(run / "summary.json")["made_with"]
        packages = ", ".join(f"{name} {version}" for name, version in made["packages"].items())
        changes = ", with changes that aren't committed" if made.get("git_changes") else ""
        return [
            f"run {run.name}",
            f"  configuration: {files.shown(run / CONFIG)}",
            f"  code: clustermass {made['clustermass']}, commit {made['git_commit'] or 'unknown'}{changes}",
            f"  software: Python {made['python']}, {packages}; uv.lock {made.get('lock_sha256') or 'not at hand'}",
        ]
