"""Estimates of the time and the disk space that jobs need, from measurements of earlier jobs of the same steps."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from clustermass.config.resolve import realization_names, resolve_experiment, resolve_sky, side_pixels
from clustermass.report.summary import benchmark_files, files_below, folders_of, read_benchmark, step_namer

if TYPE_CHECKING:
    from clustermass.config.models import Config

#: seconds of a job that don't grow with its work: start of Python, imports, and for trainings compiling the network
_START_S, _START_TRAINING_S = 2.0, 8.0
_TRAINING = "train_member"
#: dict from a step of test skies to a similar step of every run, whose costs are used if no run has test skies
_SIMILAR = {
    "extend_split": "split_sample",
    "predict_sky": "infer_observed",
    "fit_baselines_for_sky": "fit_baselines",
    "score_ood_of_sky": "score_ood",
    "evaluate_sky": "evaluate",
}
#: area that is assumed for a field of the user, whose own is not in the configuration
_UNKNOWN_DEG2 = 140.0
#: folders whose files are named after a member, sky or preprocessing
_NAMED_AFTER = ("members", "splits", "smoothed")
_ASIDE = re.compile(r"logs.*|benchmarks.*|checkpoints")


class Measured(NamedTuple):
    """A measured `value` of a job or file, and the amount of `work` of this job or file (see `work_of`)."""

    work: float
    value: float


class Costs(NamedTuple):
    """Costs that were measured in a run.

    `seconds` maps each step to the CPU seconds of its jobs. `bytes` maps each kind of files (`kinds`) to the sizes of
    the files of this kind.
    """

    seconds: Mapping[str, Sequence[Measured]]
    bytes: Mapping[str, Sequence[Measured]]

    @classmethod
    def of(cls, config: Config, seconds: Mapping[str, float], sizes: Mapping[str, float]) -> Costs:
        """Return the costs of a run with the configuration `config`.

        `seconds` maps each benchmark file to its CPU seconds, and `sizes` maps each file of results to its bytes. The
        names of files are relative to the folder `results`.
        """
        step_of, by_step, by_kind = step_namer(config), defaultdict(list), defaultdict(list)
        for path, measured in _measured(seconds, config):
            by_step[step_of(path)].append(measured)
        for path, measured in _measured(sizes, config):
            for kind in kinds(path):
                by_kind[kind].append(measured)
        return cls(by_step, by_kind)


def cpu_seconds(benchmark: Path) -> float:
    """Return the CPU seconds in a benchmark file, or the wall time if the job was too short to measure them."""
    row = read_benchmark(benchmark)
    measured = row.get("cpu_time", "").replace(".", "").isdecimal() and float(row["cpu_time"])
    return measured or float(row["s"])


def _measured(values: Mapping[str, float], config: Config) -> Iterator[tuple[Path, Measured]]:
    """Yield the path and the measurement of each file, without files whose value or amount of work is impossible."""
    for path, value in ((Path(name), value) for name, value in values.items()):
        work = work_of(path, config)
        if 0 < work < math.inf and 0 <= value < math.inf:
            yield path, Measured(work, value)


def measured_costs(config: Config, results: Path) -> tuple[dict[str, float], dict[str, float]]:
    """Return the arguments `seconds` and `sizes` of `Costs.of` for a finished run in the folder `results`.

    InputError if a benchmark file can't be read, and in the cases of `folders_of` and `files_below`.
    """
    folders = folders_of(config, results)
    seconds = {path: cpu_seconds(path) for path in benchmark_files(folders)}
    files = [path for path in files_below(folders) if not any(map(_ASIDE.fullmatch, path.parts))]
    sizes = {path: float(path.stat().st_size) for path in files}
    return _named(seconds, results), _named(sizes, results)


def _named(values: Mapping[Path, float], results: Path) -> dict[str, float]:
    return {str(path.relative_to(results)): value for path, value in values.items()}


def work_of(path: Path, config: Config) -> float:
    """Return the amount of work of a job or file, which is comparable only between jobs of the same step.

    For files in `skies` it is the area of the field in square degrees. For trainings it is the product of the area of
    all realizations, the epochs, the pixels of an image, and the number of networks that the job trains. For all other
    files it is 1. `path` is relative to the folder `results`.
    """
    folder, name = path.parts[:2]
    if folder == "skies":
        return _area(config, name)
    if not path.name.startswith(_TRAINING):
        return 1.0
    experiment = resolve_experiment(config["experiments"], name)
    sky = experiment["sky"]
    realizations = len(realization_names(resolve_sky(config["skies"], sky)))
    first, last = (re.findall(r"\d+", path.stem) * 2)[:2]
    epochs = config["training"]["recipes"][experiment["recipe"]]["epochs"]
    pixels = side_pixels(config["preprocessing"][experiment["preprocessing"]]) ** 2
    return _area(config, sky) * realizations * epochs * pixels * (int(last) - int(first) + 1)


def _area(config: Config, sky: str) -> float:
    field = resolve_sky(config["skies"], sky).get("field")
    return field["width_deg"] * field["height_deg"] if field else _UNKNOWN_DEG2


def kinds(path: Path) -> tuple[str, ...]:
    """Return the kinds of files to which `path` belongs, from narrow to wide. Files of a kind have similar sizes."""
    if path.parent.name in _NAMED_AFTER:
        return f"{path.parent.name}/{path.name}", f"{path.parent.name}/*{path.suffix}"
    return (path.name,)


def seconds(step: str, work: float, costs: Sequence[Costs]) -> float | None:
    """Return the estimated CPU seconds of a job of the step `step`; None if no run has the step.

    `costs` holds the costs of several runs. The estimate is the median over the jobs of this step in one of the runs,
    scaled to the amount of work `work`. The run is the first one whose jobs of this step had the amount of work closest
    to `work`.
    """
    start = _START_TRAINING_S if step == _TRAINING else _START_S

    def scaled(one: Measured) -> float:
        fixed = min(start, one.value)
        return fixed + (one.value - fixed) * work / one.work

    for name in (step, _SIMILAR.get(step)):
        if name and (groups := [one.seconds[name] for one in costs if name in one.seconds]):
            return _median(groups, work, scaled)
    return None


def size(path: Path, work: float, costs: Sequence[Costs]) -> float | None:
    """Return the bytes of a file, estimated as in `seconds`; None if no file of the same kind is known."""
    for kind in kinds(path):
        if groups := [one.bytes[kind] for one in costs if kind in one.bytes]:
            return _median(groups, work, lambda one: one.value * work / one.work)
    return None


def _median(groups: Sequence[Sequence[Measured]], work: float, scaled: Callable[[Measured], float]) -> float:
    closest = min(groups, key=lambda group: abs(math.log(group[0].work / work)))
    return median(map(scaled, closest))
