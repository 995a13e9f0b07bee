"""What SLURM says of its jobs, finished ones included."""

import re
import subprocess
from dataclasses import dataclass

from running import wait_until


@dataclass(frozen=True)
class Job:
    """A job as it stands: what Snakemake calls it, its state, what was asked for it, and GPUs that it has."""

    number: str
    run: str
    what: str
    state: str
    minutes: int
    memory_mb: int
    cpus: int
    gpus: int
    granted: str


def command(*arguments):
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{' '.join(arguments)}: {done.stderr}"
    return done.stdout


def jobs(what=""):
    """All jobs whose comment holds `what`, in the order of their submission."""
    lines = command("scontrol", "show", "jobs", "--details", "--oneliner").splitlines()
    found = [_job(dict(re.findall(r"(\S+?)=(\S*)", line))) for line in lines if "JobId=" in line]
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
        granted=facts.get("GRES", ""),
    )


def at_work(what, process):
    """Wait for a job named by `what`, of a snakemake's, until its first step has begun; return it."""

    def running():
        steps = command("squeue", "--steps", "--noheader", "--format=%i").split()
        return next((job for job in jobs(what) if job.state == "RUNNING" and f"{job.number}.0" in steps), None)

    return wait_until(running, f"{what} began", process)
