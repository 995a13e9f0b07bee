"""What a run took and what it ran with, for the report: time and memory by step, software, the configuration."""

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
    """One finished job: `seconds` on the clock and of CPU, `megabytes` of resident memory at most; None = not measured.

    Jobs of a second or two end before their memory and CPU time are measured.
    """

    seconds: float
    cpu_seconds: float | None
    megabytes: float | None


def read_cost(benchmark: Path) -> Cost:
    """Read a table of one row as the workflow writes it for each job: columns s, cpu_time (s), max_rss (MB), ..."""
    with benchmark.open(newline="", encoding="utf-8") as stream:
        row = next(csv.DictReader(stream, delimiter="\t"))
    return Cost(float(row["s"]), _number(row.get("cpu_time")), _number(row.get("max_rss")))


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:  # NA or -
        return None
    return value if value > 0 else None


def costs_by_step(folders: Iterable[Path], labels: Iterable[str], but: str = "report") -> list[dict[str, Any]]:
    """Sum up the costs of the jobs below `folders` by step, the one that took longest altogether first.

    Parameters
    ----------
    folders
        Searched for ``benchmarks[_<image set>]/<step>[_<label>].tsv`` at any depth.
    labels
        What may follow a step's name in the name of a file beside numbers: names of skies, preprocessings, ...
    but
        A step that is left out: the one at work, whose benchmark would be an earlier run's.

    Returns
    -------
    list
        Of each step `step`, `jobs`, `seconds` (of all), `seconds_median`, `seconds_max`, and where they were measured
        `cpu_seconds` (of all) and `megabytes_max`, else None.
    """
    named = "|".join(sorted(map(re.escape, labels), key=len, reverse=True))
    label = re.compile(rf"_(?:\d+(?:_\d+)?|{named or '(?!)'})$")
    jobs: dict[str, list[Cost]] = {}
    for folder in folders:
        for path in sorted(folder.rglob("benchmarks*/*.tsv")):
            jobs.setdefault(label.sub("", path.stem), []).append(read_cost(path))
    found = [{"step": step, "jobs": len(costs), **_summary(costs)} for step, costs in jobs.items() if step != but]
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
    """Folders that hold what a run made and the skies that it used."""
    experiments = config["experiments"].values()
    used = {*config["observed"]["fields"], *(sky for one in experiments for sky in one.get("test_skies", ()))}
    used |= {one["sky"] for one in experiments if "sky" in one}
    return [results / config["run"], *(results / "skies" / sky for sky in sorted(used))]


def labels_of(config: Mapping[str, Any]) -> set[str]:
    """Names that the configuration gives to skies, fields, preprocessings and experiments."""
    blocks = ("skies", "preprocessing", "experiments")
    return {*config["observed"]["fields"], *(name for block in blocks for name in config[block])}


def settings_text(config: Mapping[str, Any]) -> str:
    """Return a configuration as YAML in the order of its keys, to be used again."""
    return yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True, width=100)
