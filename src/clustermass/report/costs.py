"""Costs of a run for its report: time and memory by step, from the workflow's benchmark files."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, TypedDict

import yaml

if TYPE_CHECKING:
    from clustermass.config.models import Config


class StepCosts(TypedDict):
    """Costs of all jobs of a step: sums and largest values; None if not measured."""

    step: str
    jobs: int
    seconds: float
    seconds_median: float
    seconds_max: float
    cpu_seconds: float | None
    megabytes_max: float | None


def costs_by_step(folders: Iterable[Path], labels: Iterable[str], excluded: str = "report") -> list[StepCosts]:
    """Sum up the costs of the jobs below `folders` by step, the longest in all first.

    Benchmark files are ``benchmarks[_<image set>]/<step>[_<label>].tsv`` at any depth; `labels` are suffixes of a
    step's name besides numbers: names of skies, preprocessings, ... A step `excluded` is left out: the running one,
    whose file is of an earlier run.
    """
    suffixes = "|".join(sorted(map(re.escape, labels), key=len, reverse=True))
    label = re.compile(rf"_(?:\d+(?:_\d+)?|{suffixes or '(?!)'})$")
    jobs: dict[str, list[dict[str, str]]] = {}
    for folder in folders:
        for path in sorted(folder.rglob("benchmarks*/*.tsv")):
            with path.open(newline="", encoding="utf-8") as stream:
                jobs.setdefault(label.sub("", path.stem), []).append(next(csv.DictReader(stream, delimiter="\t")))
    costs = [_costs(step, rows) for step, rows in jobs.items() if step != excluded]
    return sorted(costs, key=lambda row: -row["seconds"])


def _costs(step: str, jobs: list[dict[str, str]]) -> StepCosts:
    """Sum up rows of benchmark files: columns s, cpu_time (s), max_rss (MB); jobs of 1 or 2 s have NA in the latter."""
    seconds = [float(job["s"]) for job in jobs]
    cpu, memory = (
        [float(text) for job in jobs if (text := job.get(name, "")) not in ("", "NA", "-") and float(text) > 0]
        for name in ("cpu_time", "max_rss")
    )
    return {
        "step": step,
        "jobs": len(jobs),
        "seconds": sum(seconds),
        "seconds_median": median(seconds),
        "seconds_max": max(seconds),
        "cpu_seconds": sum(cpu) if cpu else None,
        "megabytes_max": max(memory, default=None),
    }


def folders_of(config: Config, results: Path) -> list[Path]:
    """Folders of a run's results and of the skies that it uses."""
    experiments = [experiment for experiment in config["experiments"].values() if experiment]
    used = {*config["observed"]["fields"], *(sky for one in experiments for sky in one.get("test_skies", ()))}
    used |= {one["sky"] for one in experiments if "sky" in one}
    return [results / config["run"], *(results / "skies" / sky for sky in sorted(used))]


def labels_of(config: Config) -> set[str]:
    """Names of skies, fields, preprocessings and experiments in the configuration."""
    return {*config["observed"]["fields"], *config["skies"], *config["preprocessing"], *config["experiments"]}


def settings_text(config: Config) -> str:
    """Return a configuration as YAML in the order of its keys, to run it again."""
    return yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True, width=100)
