"""Time alternatives, called arms, in one process, and write the results as JSON. Each arm runs once in every round.

``python benchmarks/runner.py [name ...]`` runs the named benchmarks, or all, each in a separate process. A benchmark
that can't run on this machine says why and ends with status `CANNOT_RUN`, which is no failure.
"""

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import yaml
from threadpoolctl import threadpool_limits

from clustermass.io.files import write_json

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "benchmarks"
CONFIG = yaml.safe_load((HERE.parent / "config" / "config.yaml").read_text())
PACKAGES = ("clustermass", "numpy", "scipy", "astropy", "jax", "jaxlib", "flax", "optax")
ROUNDS = 7
CANNOT_RUN = 77


@dataclass(frozen=True)
class Arm:
    """One way to do the work. The function `call` does `work` units, and `unit` is the name of a unit."""

    what: str
    call: Callable
    work: float = 1
    unit: str = "call"


def benchmark(name, what, arms, ratios, limit, checked, setup, rounds=ROUNDS):
    """Time `arms`, a dict from names to arms, on one core, and write ``results/benchmarks/<name>.json``.

    `ratios` are pairs of names of arms. The CPU time for a unit of the first arm is divided by that of the second one.
    `limit` describes the work that every implementation must do, and the pair of arms whose ratio compares our time
    with it. `what`, `checked` and `setup` are copied into the report.
    """
    report = header(name, what)
    with threadpool_limits(1):
        for arm in arms.values():
            arm.call()
        seconds = in_turn({key: partial(timed, arm.call) for key, arm in arms.items()}, rounds)
    pairs = {f"{above} / {below}": ratio(arms, seconds, above, below) for above, below in ratios}
    report |= {
        "timing": f"one core, {rounds} rounds, arms in turn, after one untimed call of each",
        "setup": setup,
        "checked": checked,
        "arms": {key: described(arm, seconds[key]) for key, arm in arms.items()},
        "ratios_of_cpu_time": pairs,
        "limit": limit,
    }
    write_json(report, RESULTS / f"{name}.json")
    for key, arm in report["arms"].items():
        print(
            f"{name:10} {key:28} {arm['cpu_s']['median']:9.4f} s CPU, {arm['units_per_cpu_s']:.4g} {arm['unit']}/CPU s"
        )
    for pair, value in pairs.items():
        print(f"{name:10} {pair:50} {value['median']:8.2f}  ({value['min']:.2f} to {value['max']:.2f})")


def header(name, what, command=None):
    """Return the beginning of a report: what was measured, on which machine under which load, with which versions."""
    return {
        "benchmark": name,
        "what": what,
        "command": command or f"python benchmarks/{name}.py",
        "machine": {**machine(), "load_at_start": round(os.getloadavg()[0], 2)},
        "versions": versions(PACKAGES),
    }


def versions(packages):
    """Return the versions of Python and of the named packages."""
    return {"python": platform.python_version(), **{package: version(package) for package in packages}}


def in_turn(calls, rounds, progress=lambda number: None):
    """Call each function of `calls` once in each round; return a dict from its name to the list of its results.

    `calls` maps names to functions. Each round starts with another function. `progress` is called with the number of
    finished rounds.
    """
    names, results = list(calls), {name: [] for name in calls}
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            results[name].append(calls[name]())
        progress(number + 1)
    return results


def timed(call):
    """Return the CPU seconds (of all threads) and the wall seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.process_time() - cpu, time.perf_counter() - wall


def described(arm, seconds):
    """Return the report of one arm from its (CPU, wall) seconds in each round."""
    cpu, wall = (spread(column) for column in zip(*seconds, strict=True))
    result = {"what": arm.what, "unit": arm.unit, "units_per_call": arm.work, "cpu_s": cpu, "wall_s": wall}
    return {**result, "units_per_cpu_s": float(f"{arm.work / cpu['median']:.6g}")}


def ratio(arms, seconds, above, below):
    """Return the `spread`, over the rounds, of the ratio `above` / `below` of the arms' CPU times for a unit."""
    scale = arms[below].work / arms[above].work
    return spread([scale * a[0] / b[0] for a, b in zip(seconds[above], seconds[below], strict=True)])


def spread(values):
    """Return median, smallest and largest of the values, and all values."""
    summary = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {**{key: float(f"{value:.6g}") for key, value in summary.items()}, "rounds": [round(v, 6) for v in values]}


def machine():
    """Return model and number of cores of the processor, without names of people or hosts."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    fields = dict(reversed([tuple(map(str.strip, line.split(":", 1))) for line in lines if ":" in line]))
    kind = f", family {fields['cpu family']}, model {fields['model']}" if "cpu family" in fields else ""
    return {"cpu": fields.get("model name", platform.processor() or platform.machine()) + kind, "cores": os.cpu_count()}


def main(names):
    """Run the benchmarks `names` (all if empty) one after another; return the exit status, 1 if any failed."""
    paths = [HERE / f"{name}.py" for name in names] or sorted(set(HERE.glob("*.py")) - {Path(__file__)})
    codes = {path.stem: subprocess.run([sys.executable, path], check=False).returncode for path in paths}
    failed = [name for name, code in codes.items() if code not in (0, CANNOT_RUN)]
    print(f"results in results/benchmarks/{'; failed: ' + ', '.join(failed) if failed else ''}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
