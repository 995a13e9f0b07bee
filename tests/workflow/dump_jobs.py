"""Write the inputs of each job's script to a file: dump_jobs.py <folder> <output> [<configuration> ...]."""

import pickle
import sys
from pathlib import Path

from runs import ROOT
from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, Quietness, ResourceSettings

DIRECTORY, OUTPUT, *CONFIGURATIONS = map(Path, sys.argv[1:])


def plain(named):
    """Return the same as dict of str, and lists of them, that need no Snakemake to be read."""
    return {
        name: str(value) if isinstance(value, str) else [str(one) for one in value] for name, value in named.items()
    }


def unnamed(files):
    """Return the files that have no name: the adapter step.py hands them to no function."""
    named = [path for value in plain(files).values() for path in ([value] if isinstance(value, str) else value)]
    return [str(path) for path in files if str(path) not in named]


with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
    workflow = api.workflow(
        resource_settings=ResourceSettings(cores=1),
        config_settings=ConfigSettings(configfiles=[ROOT / "config" / "test.yaml", *CONFIGURATIONS]),
        snakefile=ROOT / "Snakefile",
        workdir=DIRECTORY,
    )
    workflow.dag(DAGSettings(forceall=True)).execute_workflow(executor="dryrun")
    jobs = [
        {
            "rule": job.rule.name,
            "script": str(job.rule.script),
            "input": plain(job.input),
            "all_inputs": [str(path) for path in job.input],
            "unnamed_input": unnamed(job.input),
            "output": plain(job.output),
            "params": dict(job.params.items()),
            "wildcards": plain(job.wildcards),
            "log": [str(path) for path in job.log],
        }
        for job in workflow._workflow.dag.jobs
        if job.rule.script
    ]
OUTPUT.write_bytes(pickle.dumps(jobs))
