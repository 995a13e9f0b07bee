"""Costs of a run for its report: time and memory by step, from the workflow's benchmark files."""

import csv
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import yaml


def costs_by_step(folders: Iterable[Path], labels: Iterable[str], excluded: str = "report") -> list[dict[str, Any]]:
    """Sum up the costs of the jobs below `folders` by step, the longest in all first.

    Benchmark files are ``benchmarks[_<image set>]/<step>[_<label>].tsv`` at any depth; `labels` are suffixes of a
    step's name besides numbers: names of skies, preprocessings, ... A step `excluded` is left out: the running one,
    whose file is of an earlier run. Returns for each `step`, `jobs`, `seconds` (sum), `seconds_median`, `seconds_max`,
    `cpu_seconds` (sum) and `megabytes_max`; the last two None if not measured.
    """
    suffixes = "|".join(sorted(map(re.escape, labels), key=len, reverse=True))
    label = re.compile(rf"_(?:\d+(?:_\d+)?|{suffixes or '(?!)'})$")
    jobs: dict[str, list[dict[str, str]]] = {}
    for folder in folders:
        for path in sorted(folder.rglob("benchmarks*/*.tsv")):
            with path.open(newline="", encoding="utf-8") as stream:
                jobs.setdefault(label.sub("", path.stem), []).append(next(csv.DictReader(stream, delimiter="\t")))
    costs = [{"step": step, **_costs(rows)} for step, rows in jobs.items() if step != excluded]
    return sorted(costs, key=lambda row: -row["seconds"])


def _costs(jobs: list[dict[str, str]]) -> dict[str, Any]:
    """Sum up rows of benchmark files: columns s, cpu_time (s), max_rss (MB); jobs of 1 or 2 s have NA in the latter."""
    seconds = [float(job["s"]) for job in jobs]
    cpu, memory = (
        [float(text) for job in jobs if (text := job.get(name, "")) not in ("", "NA", "-") and float(text) > 0]
        for name in ("cpu_time", "max_rss")
    )
    return {
        "jobs": len(jobs),
        "seconds": sum(seconds),
        "seconds_median": median(seconds),
        "seconds_max": max(seconds),
        "cpu_seconds": sum(cpu) if cpu else None,
        "megabytes_max": max(memory, default=None),
    }


def folders_of(config: Mapping[str, Any], results: Path) -> list[Path]:
    """Folders of a run's results and of the skies that it uses."""
    experiments = config["experiments"].values()
    used = {*config["observed"]["fields"], *(sky for one in experiments for sky in one.get("test_skies", ()))}
    used |= {one["sky"] for one in experiments if "sky" in one}
    return [results / config["run"], *(results / "skies" / sky for sky in sorted(used))]


def labels_of(config: Mapping[str, Any]) -> set[str]:
    """Names of skies, fields, preprocessings and experiments in the configuration."""
    blocks = ("skies", "preprocessing", "experiments")
    return {*config["observed"]["fields"], *(name for block in blocks for name in config[block])}


def settings_text(config: Mapping[str, Any]) -> str:
    """Return a configuration as YAML in the order of its keys, to run it again."""
    return yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True, width=100)
