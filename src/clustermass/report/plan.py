"""The plan of a configuration: which steps would run and why, their estimated costs, and which results they replace.

`workflow/plan.py` asks Snakemake which jobs would run. No job is run.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from clustermass.config.differences import changed_keys
from clustermass.config.resolve import Block, read_yaml, resolve_sky
from clustermass.config.validate import without_execution_keys
from clustermass.errors import InputError
from clustermass.report.estimate import Costs, measured_costs, seconds, size, work_of
from clustermass.report.records import CONFIG
from clustermass.report.summary import folders_of

if TYPE_CHECKING:
    from clustermass.config.models import Config

#: dict from reasons in Snakemake's words to our words; `_FOLLOWS` is shown only if there is no other reason
_NEW, _FOLLOWS = "not made yet", "its input is made anew"
_REASONS = {
    "Set of input files has changed": "other input files",
    "Software environment definition": "software environment changed",
    "Updated input files": "input file changed",
    "Missing output files": _NEW,
    "Incomplete output files": "not finished",
    "Forced execution": "not finished",  # a plan forces only outputs of killed steps
    "Input files updated by another job": _FOLLOWS,
}
_PARAMS = re.compile(r"Params have changed.* before: (.*) now: (.*?) *(?:;|$)")
#: CPU seconds for which Snakemake works before each job; they aren't in the job's benchmark
_SNAKEMAKE_S = 2.0
#: a param of a rule that is a hash of the code, or of the configuration as a whole
_HASH = re.compile(r"'[0-9a-f]{16,64}'")
#: errors that occur if a configuration or files aren't as this version writes them
_DAMAGED = (InputError, OSError, LookupError, TypeError, AttributeError, ValueError, ArithmeticError)
#: blocks of the configuration that influence the files of all skies in results/skies
_OF_SKIES = ("cosmology", "events", "images", "image_sets", "preprocessing")


class Job(NamedTuple):
    """A job that would run; paths are relative to the folder that holds `results`."""

    rule: str
    output: tuple[Path, ...]
    benchmark: Path
    reason: str  #: in Snakemake's words

    @property
    def step(self) -> str:
        """The name of the rule, without the numbers of the members that the job trains."""
        return re.sub(r"s?(_\d+)+$", "", self.rule)


def described(jobs: Sequence[Job], config: Config, cores: int, measured: Costs, base: Path = Path()) -> Iterator[str]:
    """Yield lines that describe a plan: changed keys, steps with reasons and costs, and shared skies that are replaced.

    Parameters
    ----------
    jobs
        All jobs that would run, in an order in which they can run.
    config
        The whole configuration, checked.
    cores
        Number of cores for the estimated time.
    measured
        Costs of a default run, for steps that never ran here.
    base
        Folder that holds `results`.
    """
    runs, run = finished_runs(base / "results"), config["run"]
    yield from _changes(runs.get(run), config)
    if not jobs:
        yield "Nothing would run: all results are there and up to date."
        return
    yield from _steps(jobs, config, _costs(runs, config, measured, base), cores, base)
    yield from _shared_skies(jobs, config, {name: one for name, one in runs.items() if name != run}, base)


def in_short(jobs: Sequence[Job], config: Config, cores: int, measured: Costs, base: Path = Path()) -> str:
    """Return a sentence with the estimated time of the jobs; `described` describes the arguments."""
    costs = _costs(finished_runs(base / "results"), config, measured, base)
    return f"Estimated time: {_wall_time([*_times(jobs, config, costs).values()], cores)}."


def _costs(runs: Mapping[str, Config], config: Config, measured: Costs, base: Path) -> list[Costs]:
    """Return the costs of the finished runs, the configured one first, and `measured` as the last."""
    own_first = sorted(runs, key=lambda name: name != config["run"])
    return [*(found for name in own_first for found in _costs_of(runs[name], base / "results")), measured]


def _costs_of(config: Config, results: Path) -> list[Costs]:
    with suppress(*_DAMAGED):
        return [Costs.of(config, *measured_costs(config, results))]
    return []


def finished_runs(results: Path) -> dict[str, Config]:
    """Return a dict from the names of the finished runs in the folder `results` to their configurations.

    The newest run comes first.
    """
    runs = {}
    found = [path for path in results.glob(f"*/{CONFIG}") if path.is_file()]
    for path in sorted(found, key=lambda path: -path.stat().st_mtime):
        with suppress(*_DAMAGED):  # from another version, or of somebody else
            config = cast("Config", read_yaml(path))
            _of_skies(config, _skies(config))
            runs[path.parent.name] = config
    return runs


def _changes(before: Config | None, config: Config) -> Iterator[str]:
    folder = f"results/{config['run']}"
    if before is None:
        yield f"{folder}: no finished run is there yet."
        return
    old, new = (without_execution_keys(cast(Block, one)) for one in (before, config))
    keys = [*changed_keys(old, new)]
    yield f"Changed since {folder} was finished:" if keys else f"No key has changed since {folder} was finished."
    yield from (f"  {line}" for line in keys)


def _steps(jobs: Sequence[Job], config: Config, costs: Sequence[Costs], cores: int, base: Path) -> Iterator[str]:
    steps: dict[str, list[Job]] = {}
    for job in jobs:
        steps.setdefault("plot_*" if job.rule.startswith("plot_") else job.step, []).append(job)
    times = _times(jobs, config, costs)
    width = max(map(len, steps))
    yield f"{len(jobs)} jobs would run:"
    yield f"  {'step':<{width}}  jobs  CPU time  why"
    for step, some in steps.items():
        known = [time for job in some if (time := times[job]) is not None]
        why = ", ".join(dict.fromkeys(reason for job in some for reason in reasons(job, base)))
        yield f"  {step:<{width}}  {len(some):>4}  {_duration(sum(known)) if known else '?':>8}  {why}"
    yield (
        f"Time: {_wall_time([*times.values()], cores)}. This is an estimate from earlier jobs "
        "of the same steps, scaled by area, epochs and pixels; other networks take another time."
    )
    yield _disk(jobs, config, costs, base)


def _times(jobs: Sequence[Job], config: Config, costs: Sequence[Costs]) -> dict[Job, float | None]:
    """Return a dict from each job to its estimated CPU time in s, or None if it is unknown."""
    return {job: seconds(job.step, _work(job.benchmark, config), costs) for job in jobs}


def _wall_time(times: Sequence[float | None], cores: int) -> str:
    known = [time for time in times if time is not None]
    unknown = "" if len(known) == len(times) else f", without jobs of unknown cost ({len(times) - len(known)})"
    wall = _duration(max((sum(known) + _SNAKEMAKE_S * len(times)) / cores, *known, 0))
    return f"about {wall} on {cores} free core{'s' * (cores > 1)}{unknown}"


def _work(path: Path, config: Config) -> float:
    return work_of(path.relative_to("results"), config)


def _disk(jobs: Sequence[Job], config: Config, costs: Sequence[Costs], base: Path) -> str:
    files = [path for job in jobs for path in job.output]
    old = [(base / path).stat().st_size for path in files if (base / path).is_file()]
    new = [size(path, _work(path, config), costs) or 0 for path in files if not (base / path).exists()]
    free = shutil.disk_usage(base).free
    full = " That isn't enough." if sum(new) > free else ""
    more, replaced, left = (f"{amount / 1e6:,.0f} MB" for amount in (sum(new), sum(old), free))
    return f"Disk: about {more} more; {replaced} are replaced; {left} are free.{full}"


def reasons(job: Job, base: Path) -> list[str]:
    """Return the reasons why a job would run. `base` is the folder that holds `results`."""
    found = []
    if params := _PARAMS.search(job.reason):
        values = " ".join(params.groups()).replace("<nothing exclusive>", "")
        found += ["settings changed"] if _HASH.sub("", values).strip(" ,") else []
        found += ["code changed"] if _HASH.search(values) and job.rule != "report" else []
        found = found or ["configuration changed"]
    found += [ours for theirs, ours in _REASONS.items() if theirs in job.reason]
    if _NEW in found and any((base / path).exists() for path in job.output):
        found[found.index(_NEW)] = "some of its files are missing"
    return found[:-1] if len(found) > 1 and found[-1] == _FOLLOWS else found


def _duration(time: float) -> str:
    return f"{time:.0f} s" if time < 99.5 else f"{time / 60:.0f} min" if time < 6000 else f"{time / 3600:.1f} h"


def _shared_skies(jobs: Sequence[Job], config: Config, others: Mapping[str, Config], base: Path) -> Iterator[str]:
    """Yield lines about files of shared skies that the jobs would replace, and the runs in `others` that use them."""
    outputs = [path for job in jobs for path in job.output if path.parts[:2] == ("results", "skies")]
    by_sky: dict[str, list[Path]] = {}
    for path in outputs:
        if (base / path).exists():
            by_sky.setdefault(path.parts[2], []).append(path)
    if not by_sky:
        return
    files = [path for some in by_sky.values() for path in some]
    what = f"{len(files)} files of shared skies ({', '.join(sorted(by_sky))}) would be made anew"
    users = {name: {*by_sky} & _skies(other) for name, other in others.items()}
    users = {name: skies for name, skies in users.items() if skies}
    if not users:
        yield f"{what}: {_listed(files)}. No other finished run uses them."
        return
    yield f"WARNING: {what}, and other runs use them: {', '.join(users)}. The files: {_listed(files)}."
    for name, skies in users.items():
        for line in changed_keys(_of_skies(others[name], skies), _of_skies(config, skies)):
            yield f"  differs from run {name}: {line}"
    yield (
        "  Results of those runs wouldn't belong to their skies any more. To keep both, give the skies other names in "
        "this configuration, or make it in a folder of its own (snakemake --directory FOLDER)."
    )


def _listed(files: Sequence[Path]) -> str:
    return ", ".join(sorted({path.name for path in files}))


def _skies(config: Config) -> set[str]:
    return {folder.name for folder in folders_of(config, Path())[1:]}


def _of_skies(config: Config, skies: Iterable[str]) -> dict[str, Any]:
    """Return the settings of a run that influence the files of the skies called `skies`."""
    own = {sky: resolve_sky(config["skies"], sky) for sky in sorted(skies)}
    return {name: config.get(name) for name in _OF_SKIES} | {"skies": own}
