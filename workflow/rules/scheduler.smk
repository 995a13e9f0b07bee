"""Keeps Snakemake's main process idle while steps run. No rules.

Snakemake 9 looks once more at all steps that could start, a second after each look, and each step that ends begins another
such chain, which lasts as long as steps are left: after hundreds of them it spends a core on it (docs/decisions.md). Here one
look is awaited at a time, which is all that its limit of starts per second needs.
"""

from contextlib import suppress
from threading import Timer


def look_again(scheduler, delay):
    """Stand in for JobScheduler._schedule_reevalutation: begin nothing where a look is awaited already."""

    def look():
        scheduler.look_awaited = False
        scheduler._open_jobs.release()

    if not getattr(scheduler, "look_awaited", False):
        scheduler.look_awaited = True
        Timer(delay, look).start()


with suppress(ImportError):  # a Snakemake whose scheduler lies elsewhere is left as it is
    from snakemake.scheduling.job_scheduler import JobScheduler

    JobScheduler._schedule_reevalutation = look_again
