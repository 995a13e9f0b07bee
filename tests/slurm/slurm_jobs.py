"""The jobs of SLURM, finished ones included."""

import re
import subprocess
from dataclasses import dataclass

from running import wait_until


@dataclass(frozen=True)
class Job:
    """A job: its name in Snakemake, its state, the resources asked for, and the GPUs granted."""

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
    listed = [_job(dict(re.findall(r"(\S+?)=(\S*)", line))) for line in lines if "JobId=" in line]
    return sorted((job for job in listed if what in job.what), key=lambda job: int(job.number))


def _job(fields):
    days, _, clock = fields["TimeLimit"].rpartition("-")
    hours, minutes, _ = map(int, clock.split(":"))
    memory, unit = re.fullmatch(r"(\d+)([MG])", fields["MinMemoryNode"]).groups()
    return Job(
        number=fields["JobId"],
        run=fields["JobName"],
        what=fields.get("Comment", ""),
        state=fields["JobState"],
        minutes=(24 * int(days or 0) + hours) * 60 + minutes,
        memory_mb=int(memory) * (1 if unit == "M" else 1024),
        cpus=int(fields["NumCPUs"]),
        gpus=int(fields.get("TresPerJob", "gpu:0").rpartition("gpu:")[2]),
        granted=fields.get("GRES", ""),
    )


def at_work(what, process):
    """Wait for a job named by `what`, of a snakemake's, until its first step has begun; return it."""

    def running():
        steps = command("squeue", "--steps", "--noheader", "--format=%i").split()
        return next((job for job in jobs(what) if job.state == "RUNNING" and f"{job.number}.0" in steps), None)

    return wait_until(running, f"{what} began", process)
