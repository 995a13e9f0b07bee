"""Costs of a run for its report: time and memory by step, from the workflow's benchmark files."""

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import yaml


@dataclass(frozen=True)
class Cost:
    """Cost of a job: wall-clock and CPU seconds, maximum of resident memory; None = not measured (jobs of 1 or 2 s)."""

    seconds: float
    cpu_seconds: float | None
    megabytes: float | None


def read_cost(benchmark: Path) -> Cost:
    """Read the benchmark file of a job, a table of one row: columns s, cpu_time (s), max_rss (MB), ..."""
    with benchmark.open(newline="", encoding="utf-8") as stream:
        row = next(csv.DictReader(stream, delimiter="\t"))
    return Cost(float(row["s"]), _number(row.get("cpu_time")), _number(row.get("max_rss")))


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:  # NA or -
        return None
    return value if value > 0 else None


def costs_by_step(folders: Iterable[Path], labels: Iterable[str], excluded: str = "report") -> list[dict[str, Any]]:
    """Sum up the costs of the jobs below `folders` by step, the longest in all first.

    Parameters
    ----------
    folders
        Searched for ``benchmarks[_<image set>]/<step>[_<label>].tsv`` at any depth.
    labels
        Suffixes of a step's name in file names, beside numbers: names of skies, preprocessings, ...
    excluded
        A step that is left out: the running one, whose benchmark file is of an earlier run.

    Returns
    -------
    list
        For each step `step`, `jobs`, `seconds` (sum), `seconds_median`, `seconds_max`, `cpu_seconds` (sum) and
        `megabytes_max`; the last two None if not measured.
    """
    named = "|".join(sorted(map(re.escape, labels), key=len, reverse=True))
    label = re.compile(rf"_(?:\d+(?:_\d+)?|{named or '(?!)'})$")
    jobs: dict[str, list[Cost]] = {}
    for folder in folders:
        for path in sorted(folder.rglob("benchmarks*/*.tsv")):
            jobs.setdefault(label.sub("", path.stem), []).append(read_cost(path))
    found = [{"step": step, "jobs": len(costs), **_summary(costs)} for step, costs in jobs.items() if step != excluded]
    return sorted(found, key=lambda row: -row["seconds"])


def _summary(costs: list[Cost]) -> dict[str, float | None]:
    seconds = [cost.seconds for cost in costs]
    cpu = [cost.cpu_seconds for cost in costs if cost.cpu_seconds is not None]
    memory = [cost.megabytes for cost in costs if cost.megabytes is not None]
    return {
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
