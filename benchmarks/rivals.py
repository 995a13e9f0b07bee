"""Compare our training on two cores with Keras, PyTorch and plain JAX; measure its memory and its time per sample.

Every alternative (arm) trains the same network from the same weights, with the same recipe, batch size and
augmentation. It runs in worker processes (`rival_workers`) that are started once for all rounds; one arm works at a
time. The other libraries need a separate environment: ``make rivals-environment``.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
from rival_workers.cases import CASES, CORES, PRODUCT_FLOP
from rival_workers.processes import Workers, keep_to_cores
from runner import CANNOT_RUN, RESULTS, header, in_turn, spread

from clustermass.io.files import write_json

ROUNDS, MEMBERS, MEMBERS_SAMPLES = 5, (1, 2, 5, 10), 200
PYTHON = RESULTS / "rivals-venv" / "bin" / "python"
RIVALS = ("torch", "tensorflow-cpu", "keras", "numpy")
START = time.perf_counter()
FIRST_LOSS, LATER_LOSSES = 1e-5, 1e-4  # largest relative differences of the losses


def timed(case, python, rounds):
    """Check and time the arms of a case.

    Returns the check, a dict from each arm to its (wall, CPU) seconds in each round, and the arms.
    """
    arms = case.arms(python)
    workers = {id(arm.workers): arm.workers for arm in arms.values()}.values()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        problem, messages = Path(folder) / "problem.npz", stack.enter_context(log())
        case.write(problem)
        for each in workers:
            stack.enter_context(each).start(problem, messages)
        checked = compared({name: arm.workers for name, arm in arms.items() if name in ("ours", *case.rivals)})
        for name, arm in arms.items():
            arm.call()  # the untimed first call compiles
            said(f"{case.network}: {name} is ready")
        calls = {name: arm.call for name, arm in arms.items()}
        return checked, in_turn(calls, rounds, lambda number: said(f"round {number} of {rounds} done")), arms


def compared(workers):
    """Return the differences of the losses of all `workers` from ours; AssertionError if they are too large."""
    with ThreadPoolExecutor(CORES) as pool:  # in parallel, because most of the time is for compiling
        values = pool.map(lambda each: np.array(each.do("losses")[0]), workers.values())
        losses = dict(zip(workers, values, strict=True))
    ours, worst = losses["ours"][0], {}
    for name, values in losses.items():
        off = np.abs(values / ours - 1).max(axis=0)
        if not (off[0] <= FIRST_LOSS and off.max() <= LATER_LOSSES):  # also fails for NaN
            raise AssertionError(f"{name}: losses {values.tolist()} aren't ours {ours.tolist()}")
        worst[name] = f"{off[0]:.0e}, {off.max():.0e}"
    said(f"losses agree: {worst}")
    what = "relative difference to ours of the loss of the first weights, and the largest of three steps on one batch"
    return {"what": what, "limits": [FIRST_LOSS, LATER_LOSSES], "losses": ours.tolist(), "differences": worst}


def described(arm, seconds):
    """Return the report of one arm from its (wall, CPU) seconds in each round."""
    wall, cpu = (spread(column) for column in zip(*seconds, strict=True))
    rates = {f"{arm.unit}s_per_{kind}_s": arm.work / of["median"] for kind, of in (("wall", wall), ("cpu", cpu))}
    result = {"what": arm.what, f"{arm.unit}s": arm.work, "wall_s": wall, "cpu_s": cpu}
    result |= {key: float(f"{value:.6g}") for key, value in rates.items()}
    return {**result, "max_rss_mib": arm.workers.max_rss_mib}


def ratios(case, arms, seconds):
    """Return our samples per second divided by those of each other library, for wall time and for CPU time."""
    work = {name: arms[name].work for name in ("ours", *case.rivals)}
    return {f"ours / {name}": speed_ratio(work, seconds, name, case.bars.get(name)) for name in case.rivals}


def peak_shares(case, arms, seconds):
    """Return our rate of operations divided by that of a large matrix product in each library."""
    work = {name: arm.work * PRODUCT_FLOP for name, arm in arms.items() if name.startswith("matmul")}
    bar = case.bars.get("matmul")
    ours = {"ours": arms["ours"].work * case.flop}
    return {f"ours / {name}": speed_ratio(ours | work, seconds, name, bar) for name in work}


def speed_ratio(work, seconds, other, bar):
    """Return our work per second divided by that of the arm `other`, for wall time and for CPU time.

    If `bar` is given, the result also says whether the median for wall time is at least `bar`.
    """
    scale = work["ours"] / work[other]
    pairs = list(zip(seconds[other], seconds["ours"], strict=True))
    wall, cpu = (spread([scale * theirs[kind] / ours[kind] for theirs, ours in pairs]) for kind in (0, 1))
    return {"wall": wall, "cpu": cpu, **({} if bar is None else {"bar": bar, "met": wall["median"] >= bar})}


def growth(arms, seconds):
    """Return a dict from the size of an epoch to our wall time per sample, divided by that in the largest epoch."""
    sizes = {arm.options["samples"]: name for name, arm in arms.items() if name.split(",")[0] == "ours"}
    largest = max(sizes)
    relative = {}
    for size, name in sorted(sizes.items()):
        pairs = zip(seconds[name], seconds[sizes[largest]], strict=True)
        relative[size] = spread([few[0] / size / (all_[0] / largest) for few, all_ in pairs])
    return relative


def memory():
    """Return the peak memory (MiB) of jobs with different numbers of networks.

    The networks are trained one after another, or side by side.
    """
    ways = {"one after another": False, "side by side": True}
    with tempfile.TemporaryDirectory() as folder, log() as messages, ThreadPoolExecutor(CORES) as pool:
        problem = Path(folder) / "problem.npz"
        replace(CASES["paper"], samples=MEMBERS_SAMPLES).write(problem)

        def peak(members, together):
            with Workers("members.py") as job:
                job.start(problem, messages)
                job.do("fit", members=members, together=together)
            return job.max_rss_mib

        jobs = {way: [pool.submit(peak, each, together) for each in MEMBERS] for way, together in ways.items()}
        return {way: {each: job.result() for each, job in zip(MEMBERS, of, strict=True)} for way, of in jobs.items()}


def log():
    """Return the log file for the messages of the workers, opened."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    return (RESULTS / "rivals.log").open("a")


def said(text):
    """Print a line on the progress."""
    print(f"rivals     {time.perf_counter() - START:4.0f} s  {text}", flush=True)


def report_of(case, python, rounds):
    """Check and time a case; return its part of the report."""
    checked, seconds, arms = timed(case, python, rounds)
    return {
        "network": case.network,
        "image": case.shape,
        "batch": case.batch,
        "mflop_per_sample": case.flop / 1e6,
        "checked": checked,
        "arms": {name: described(arm, seconds[name]) for name, arm in arms.items()},
        "samples_per_second": ratios(case, arms, seconds),
        "share_of_matmul": peak_shares(case, arms, seconds),
        "time_per_sample_by_samples_an_epoch": growth(arms, seconds),
    }


def printed(name, results):
    """Print rates and ratios of a case."""
    for arm, values in results["arms"].items():
        unit = next(key for key in values if key.endswith("per_wall_s"))
        print(f"{name:10} {arm:28} {values[unit]:10.4g} {unit}")
    for pair, values in (results["samples_per_second"] | results["share_of_matmul"]).items():
        wall, cpu = values["wall"], values["cpu"]["median"]
        bar = f"  bar {values['bar']}: {'met' if values['met'] else 'NOT met'}" if "bar" in values else ""
        print(f"{name:10} {pair:28} {wall['median']:6.2f} ({wall['min']:.2f} to {wall['max']:.2f}), CPU {cpu:.2f}{bar}")


def main():
    """Run the comparison and write rivals.json; exit with `CANNOT_RUN` without the environment or two cores."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=ROUNDS)
    options.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
    options.add_argument("--python", type=Path, default=PYTHON, help="interpreter of the rivals' environment")
    options.add_argument("--output", type=Path, default=RESULTS / "rivals.json")
    chosen = options.parse_args()
    if not chosen.python.exists():
        print(f"rivals     can't run: no {chosen.python}. Make the rivals' environment by `make rivals-environment`.")
        sys.exit(CANNOT_RUN)
    if keep_to_cores(CORES) < CORES:
        print(f"rivals     can't run: it needs {CORES} cores.")
        sys.exit(CANNOT_RUN)
    (RESULTS / "rivals.log").unlink(missing_ok=True)
    code = f"from importlib.metadata import version; print(*map(version, {RIVALS}))"
    out = subprocess.run([chosen.python, "-c", code], check=True, capture_output=True, text=True).stdout
    report = header("rivals", "training on two cores: samples a second of all members together")
    cases = {name: report_of(CASES[name], chosen.python, chosen.rounds) for name in chosen.cases}
    report |= {
        "versions_of_rivals": dict(zip(RIVALS, out.split(), strict=True)),
        "timing": f"{CORES} cores, {chosen.rounds} rounds, arms in turn, after one untimed call of each",
        "setup": "random images; recipe krippendorf2023 (Adam, eight symmetries) with each case's batch, no dropout",
        "cases": cases,
        "memory_mib_by_members": memory(),
    }
    write_json(report, chosen.output)
    for name, results in cases.items():
        printed(name, results)


if __name__ == "__main__":
    main()
