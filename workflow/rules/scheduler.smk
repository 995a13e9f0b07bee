"""Corrects two faults of Snakemake: it doesn't quote the path of Python, and its main process is busy. No rules here.

Snakemake 9.27 checks for steps that can start, and repeats the check every second. Each step that ends starts one more
such series of checks, and every series lasts until the end of the run. After hundreds of steps, the checks use a whole
core (docs/explanation/decisions.md). Here a check is scheduled only if no other one is due before it. This is enough for Snakemake's
limit of starts per second. In versions of Snakemake with which this was not tested, nothing is replaced.
"""

import shlex
import sys
import time
from importlib import import_module
from importlib.metadata import version

CHECKED_VERSIONS = ("9.27.1",)


def schedule_fewer_looks():
    """Replace the method of the scheduler that schedules the next check, if this version of Snakemake was tested."""
    if version("snakemake") not in CHECKED_VERSIONS:
        return
    scheduler_class = import_module("snakemake.scheduling.job_scheduler").JobScheduler
    schedule = getattr(scheduler_class, "_schedule_reevalutation", None)
    if schedule is None:
        return

    def schedule_unless_due(scheduler, delay):
        now = time.monotonic()
        if not now < getattr(scheduler, "next_look", 0) <= now + delay:
            scheduler.next_look = now + delay
            schedule(scheduler, delay)

    scheduler_class._schedule_reevalutation = schedule_unless_due


schedule_fewer_looks()
# Snakemake uses this path in shell commands without quotes, so no step would start in a folder with a space in its name
sys.executable = shlex.quote(sys.executable)
