"""Tell what a configuration would make anew, why, how long it takes and which results it replaces. Nothing is run.

    .venv/bin/python workflow/plan.py [--directory FOLDER] [--cores N] [--short] [my.yaml ...]

`clustermass plan` calls this script. With `--short`, which `make results` uses, it prints only the estimated time.
"""

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import yaml
from snakemake.api import SnakemakeApi
from snakemake.exceptions import RuleException, WorkflowError
from snakemake.logging import logger
from snakemake.persistence.file import FilePersistence
from snakemake.settings.enums import RerunTrigger
from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings

from clustermass.config.models import Config
from clustermass.config.resolve import load_config
from clustermass.config.validate import check_config
from clustermass.errors import InputError
from clustermass.io.files import reading
from clustermass.io.log import printable, printable_lines
from clustermass.io.state import check_state
from clustermass.report.estimate import Costs
from clustermass.report.plan import Job, described, in_short

ROOT = Path(__file__).resolve().parents[1]
BASE = ROOT / "config" / "config.yaml"
PROFILE = ROOT / "profiles" / "default" / "config.yaml"
MEASURED = ROOT / "docs" / "measured" / "default_costs.json"


class Jobs(logging.Handler):
    """Handler of Snakemake's log that collects the jobs of a dry run."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[Job] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Collect the job that a record of the log is about, unless the job makes no file."""
        if getattr(record, "event", None) == "job_info" and record.output:
            paths = tuple(map(Path, record.output))
            self.jobs.append(Job(record.rule_name, paths, Path(record.benchmark or paths[0]), record.reason))


def main(arguments: Sequence[str]) -> int:
    """Print the plan; return the exit status, 1 if the configuration is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("config", type=Path, nargs="*")
    parser.add_argument("--directory", type=Path, default=ROOT)
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args(arguments)
    overlays = [path.absolute() for path in options.config]
    try:
        if not options.directory.is_dir():
            raise InputError(
                f"--directory {options.directory}: no such folder. Without the option it is the repository."
            )
        check_state(options.directory / ".snakemake")
        config = load_config([BASE, *overlays])
        check_config(config)
        measured = json.loads(MEASURED.read_text(encoding="utf-8"))
        default = Costs.of(cast(Config, load_config([BASE])), measured["seconds"], measured["bytes"])
        with reading(options.directory / ".snakemake", "records of Snakemake"):
            jobs = planned(overlays, options.directory)
        given = jobs, cast(Config, config), options.cores, default, options.directory
        lines = ([in_short(*given)] if jobs else []) if options.short else described(*given)
        for line in lines:
            print(printable(line))
    except (InputError, WorkflowError, RuleException) as error:
        print(printable_lines(error), file=sys.stderr)
        return 1
    return 0


def planned(overlays: Sequence[Path], directory: Path) -> list[Job]:
    """Return the jobs that Snakemake would run in the folder `directory`, with the default profile.

    `overlays` are the user's configuration files.
    """
    profile = yaml.safe_load(PROFILE.read_text(encoding="utf-8"))
    rules = DAGSettings(
        rerun_triggers=RerunTrigger.parse_choices_set(profile["rerun-triggers"]),
        max_checksum_file_size=profile["max-checksum-file-size"],
        force_incomplete=profile["rerun-incomplete"],
    )
    FilePersistence.save_iocache = lambda _: None  # a plan writes no file
    seen = Jobs()
    with SnakemakeApi(OutputSettings(dryrun=True, enable_file_logging=False)) as api:
        logger.handlers = [seen]  # instead of the one that prints
        configuration = ConfigSettings(configfiles=overlays)
        workflow = api.workflow(
            ResourceSettings(cores=1), configuration, snakefile=ROOT / "Snakefile", workdir=directory
        )
        workflow.dag(rules).execute_workflow(executor="dryrun")
    return seen.jobs


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
