"""Mends two faults of Snakemake: the path of Python is not quoted, and the main process is busy. No rules.

Snakemake 9.27 looks for steps that could start, and looks again one second after each look. Each step that ends starts
another such chain of looks, which lasts until no steps are left. After hundreds of steps the chains use a whole core
(docs/decisions.md). Here a look is scheduled only if none is due by then; the limit of starts per second needs no more.
Versions of Snakemake that this was not checked with are left as they are.
"""

import shlex
import sys
import time
from importlib import import_module
from importlib.metadata import version

CHECKED_VERSIONS = ("9.27.1",)


def schedule_fewer_looks():
    """Replace the scheduler's method that schedules looks, if this version of Snakemake was checked."""
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
# Snakemake puts this path into shell commands as it is: below a folder with a space in its name no step would start
sys.executable = shlex.quote(sys.executable)
