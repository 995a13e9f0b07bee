"""What SLURM says of its jobs, finished ones included."""

import re
import subprocess
import time
from dataclasses import dataclass

PATIENCE_S = 900  # of a busy machine; a quiet one needs seconds


@dataclass(frozen=True)
class Job:
    """A job as it stands: what Snakemake calls it, its state and what was asked for it."""

    number: str
    run: str
    what: str
    state: str
    minutes: int
    memory_mb: int
    cpus: int
    gpus: int


def command(*arguments):
    return subprocess.run(arguments, check=True, capture_output=True, text=True, timeout=30).stdout


def jobs(what=""):
    """All jobs whose comment holds `what`, in the order of their submission."""
    lines = [line for line in command("scontrol", "show", "jobs", "--oneliner").splitlines() if "JobId=" in line]
    found = [_job(dict(re.findall(r"(\S+?)=(\S*)", line))) for line in lines]
    return sorted((job for job in found if what in job.what), key=lambda job: int(job.number))


def _job(facts):
    days, _, clock = facts["TimeLimit"].rpartition("-")
    hours, minutes, _ = map(int, clock.split(":"))
    memory, unit = re.fullmatch(r"(\d+)([MG])", facts["MinMemoryNode"]).groups()
    return Job(
        number=facts["JobId"],
        run=facts["JobName"],
        what=facts.get("Comment", ""),
        state=facts["JobState"],
        minutes=(24 * int(days or 0) + hours) * 60 + minutes,
        memory_mb=int(memory) * (1 if unit == "M" else 1024),
        cpus=int(facts["NumCPUs"]),
        gpus=int(facts.get("TresPerJob", "gpu:0").rpartition("gpu:")[2]),
    )


def wait_until(truth, what):
    """Wait for something true and return it."""
    start = time.monotonic()
    while time.monotonic() - start < PATIENCE_S:
        if found := truth():
            return found
        time.sleep(0.2)
    raise TimeoutError(f"waited {PATIENCE_S} s for {what}; jobs: {jobs()}")


def at_work(what):
    """Wait for a job named by `what` until its first step has begun; return it."""

    def running():
        steps = command("squeue", "--steps", "--noheader", "--format=%i").split()
        return next((job for job in jobs(what) if job.state == "RUNNING" and f"{job.number}.0" in steps), None)

    return wait_until(running, f"{what} to begin")
