"""Measure the time that Snakemake itself takes: for planning, for a run with nothing to do, and for 2,000 empty jobs.

Times are wall and CPU seconds with all child processes. The check with nothing to do needs a finished default run in
this folder; the other measurements use temporary folders. Usage: `python benchmarks/limits/scheduling.py [jobs]`
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from clustermass.io.files import write_json

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
from runner import RESULTS, header, spread  # noqa: E402

SNAKEMAKE = [sys.executable, "-m", "snakemake"]
ROUNDS = 3
#: file with the CPU seconds of the steps in a run of the paper's size
STEPS = ROOT / "docs" / "measured" / "paper_size_jobs.json"
#: jobs of a realization, one after another, and the number of trainings for each realization
CHAIN = ("simulate_realization", "extract_images", "smooth_images")
TRAININGS_PER_REALIZATION = 30 / 18

SNAKEFILE = """
REALIZATIONS, MEMBERS = range({realizations}), range({members})


rule all:
    input:
        "ensemble",


rule simulate_realization:
    output:
        "sky/{{realization}}/events",
    script:
        "nothing.py"


rule extract_images:
    input:
        "sky/{{realization}}/events",
    output:
        "sky/{{realization}}/images",
    script:
        "nothing.py"


rule smooth_images:
    input:
        "sky/{{realization}}/images",
    output:
        "sky/{{realization}}/smoothed",
    script:
        "nothing.py"


rule train_member:
    input:
        expand("sky/{{realization}}/smoothed", realization=REALIZATIONS),
    output:
        "members/{{member}}",
    script:
        "nothing.py"


rule aggregate_ensemble:
    input:
        expand("members/{{member}}", member=MEMBERS),
    output:
        "ensemble",
    script:
        "nothing.py"
"""


def main(jobs):
    """Run all measurements with `jobs` empty jobs; print them and write results/benchmarks/scheduling.json."""
    what, command = "what Snakemake itself costs", f"python benchmarks/limits/scheduling.py {jobs}"
    report = header("scheduling", what, command) | {
        "plan": repeated(plan, "planning config/paper_size.yaml in an empty folder"),
        "up_to_date": up_to_date(),
        "nothing": nothing(jobs),
    }
    write_json(report, RESULTS / "scheduling.json")


def repeated(call, what):
    """Call `call` several times; print and return the `spread` of its wall and CPU seconds."""
    seconds = [measured(call) for _ in range(ROUNDS)]
    wall, cpu = (spread([one[key] for one in seconds]) for key in ("wall_s", "cpu_s"))
    print(f"{what}: {wall['median']:.1f} s ({cpu['median']:.1f} s CPU)")
    return {"what": what, "wall_s": wall, "cpu_s": cpu}


def measured(call):
    """Return the wall seconds of a call, and the CPU seconds of its child processes."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    call()
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"wall_s": wall, "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def snakemake(*arguments, folder=ROOT):
    """Run snakemake in `folder` and return its output; exit if it fails."""
    done = subprocess.run([*SNAKEMAKE, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return done.stdout + done.stderr


def plan():
    """Let snakemake plan a run of the paper's size in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["-n", "--quiet", "--snakefile", ROOT / "Snakefile", "--directory", folder]
        snakemake(*arguments, "--configfile", ROOT / "config" / "paper_size.yaml")


def up_to_date():
    """Measure snakemake on a finished default run, with nothing to do; None if the run isn't finished."""
    if "Nothing to be done" not in snakemake("-n"):
        print("up-to-date check: left out, the default run isn't finished in this folder (make results)")
        return None
    return repeated(lambda: snakemake("--cores", "1"), "finding that the default run has nothing to do")


def nothing(jobs):
    """Run `jobs` jobs that only write an empty file, in the order of the pipeline; return their costs."""
    realizations = round((jobs - 2) / (len(CHAIN) + TRAININGS_PER_REALIZATION))
    members = jobs - 2 - len(CHAIN) * realizations
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "Snakefile").write_text(SNAKEFILE.format(realizations=realizations, members=members))
        Path(folder, "nothing.py").write_text("open(snakemake.output[0], 'w').close()\n")
        seconds = measured(lambda: snakemake("--cores", "2", "--quiet", folder=folder))
        made = sum(path.is_file() for pattern in ("sky/*/*", "members/*") for path in Path(folder).glob(pattern))
    if made != jobs - 2:
        sys.exit(f"{made} files were made instead of {jobs - 2}")
    work = work_of(realizations, members)
    overhead = seconds["cpu_s"] / work
    print(
        f"{jobs} jobs that do nothing: {seconds['wall_s']:.0f} s ({seconds['cpu_s']:.0f} s CPU, "
        f"{seconds['cpu_s'] / jobs:.3f} a job); the work of such jobs: {work:.0f} s CPU; overhead "
        f"{100 * overhead:.1f} %"
    )
    counts = {"jobs": jobs, "realizations": realizations, "trainings": members}
    return {**counts, **seconds, "work_cpu_s": work, "overhead_over_work": overhead}


def work_of(realizations, members):
    """Return the CPU seconds that the real steps take for this number of realizations and networks."""
    steps = json.loads(STEPS.read_text())["steps"]
    by_rule = {name: next(of["cpu_s_mean"] for step, of in steps.items() if step.startswith(name)) for name in CHAIN}
    training = next(of["cpu_s_mean"] for step, of in steps.items() if step.startswith("train_member"))
    return realizations * sum(by_rule.values()) + members * training


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
