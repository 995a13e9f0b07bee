"""What Snakemake would make anew after a change, asked of Snakemake itself: one process for any number of changes.

Run by `rerun.py` as a program, so that nothing of Snakemake's stays behind in the tests' process:
`planner.py ROOT < requests.json > answers.json`, in the folder of the results, with ROOT/src as PYTHONPATH. A request is
`{"do": name of a function in REQUESTS, ...options}`; the answers come in their order.
"""

import contextlib
import json
import os
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import yaml
from clustermass import provenance
from code_paths import Trees, hash_changes, imported_files
from snakemake.api import SnakemakeApi
from snakemake.exceptions import WorkflowError
from snakemake.settings.enums import RerunTrigger
from snakemake.settings.types import (
    ConfigSettings,
    DAGSettings,
    DeploymentMethod,
    DeploymentSettings,
    ExecutionSettings,
    OutputSettings,
    Quietness,
    ResourceSettings,
)

ROOT = Path(sys.argv[1])
#: more than the 1 MB above which Snakemake, left to itself, goes by time stamps
LARGE_BYTES = 2_000_000
TREES = Trees()


@contextlib.contextmanager
def loaded(config, targets, cores=1, conda=False):
    """Workflow with its graph of jobs, under the repository's default profile."""
    profile = yaml.safe_load((ROOT / "profiles" / "default" / "config.yaml").read_text())
    methods = {DeploymentMethod.CONDA} if conda else set()
    with SnakemakeApi(OutputSettings(dryrun=True, quiet={Quietness.ALL})) as api:
        called = api.workflow(
            ResourceSettings(cores=cores),
            ConfigSettings(config=config),
            deployment_settings=DeploymentSettings(deployment_method=methods),
            snakefile=ROOT / "Snakefile",
        )
        called.dag(
            DAGSettings(
                targets=frozenset(targets),
                rerun_triggers=RerunTrigger.parse_choices_set(profile["rerun-triggers"]),
                max_checksum_file_size=profile["max-checksum-file-size"],
            )
        )
        workflow = called._workflow
        workflow.execution_settings = ExecutionSettings()
        workflow._prepare_dag(forceall=False, ignore_incomplete=True, lock_warn_only=True)
        workflow._build_dag()
        yield workflow


def finish(**options):
    """Pretend that all jobs have run: files of a few bytes, one of `LARGE_BYTES`, and Snakemake's records of the jobs."""
    with loaded(**options) as workflow:
        workflow.iocache.deactivate()
        for level in workflow.dag.toposorted():
            for job in level:
                if not job.rule.norun:
                    workflow.async_run(_pretend(workflow.persistence, job))


async def _pretend(persistence, job):
    persistence.started(job)
    for path in map(Path, [*job.output, job.benchmark]):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"path": str(path), "experiments": {}}))
        if path.name == "events.fits":
            os.truncate(path, LARGE_BYTES)
    await persistence.finished(job)


def plan(altered=None, **options):
    """Jobs that cause themselves to be made anew, and all that are then, each as `[rule, first output]`.

    `altered` is a script to change before, and to put back.
    """
    if altered:
        with TREES.altered(Path(altered)):
            return plan(**options)
    try:
        with loaded(**options) as workflow:
            causes = [_named(job) for job in workflow.dag.jobs if not job.rule.norun and _is_cause(workflow, job)]
            anew = [_named(job) for job in workflow.dag.needrun_jobs() if not job.rule.norun]
    except WorkflowError as error:  # a configuration that is refused
        return {"error": str(error)}
    return {"causes": causes, "anew": anew}


def _is_cause(workflow, job):
    """Whether a job's own params, set of inputs, input files or environment changed, or an output is missing."""
    records, reason = workflow.persistence, workflow.dag.reason(job)
    # Snakemake looks no further where a job is to be run because of one before it
    changed = records.params_changed(job) or any(records.input_changed(job))
    return bool(
        changed
        or any(records.software_stack_changed(job))
        or reason.updated_input
        or reason.code_changed
        or not all(Path(path).exists() for path in job.output)
    )


def _named(job):
    return [job.rule.name, str(job.output[0])]


def rules(**options):
    """Script of every rule that has one, and names of its params."""
    with loaded(**options) as workflow:
        return {
            rule.name: {"script": Path(rule.script).name, "params": sorted(rule.params.keys())}
            for rule in workflow.rules
            if not rule.norun
        }


def modules(only="*", **options):
    """By rule: the package's files that its script imports, and those for whose change its param `code` changes."""
    calls = {}

    def recorded(modules, scripts=()):
        calls[hashed := whole(modules, scripts)] = ([*modules], [*scripts])
        return hashed

    whole, provenance.source_hash = provenance.source_hash, recorded
    with loaded(**options) as workflow:
        jobs = {job.rule.name: job for job in workflow.dag.jobs if not job.rule.norun}
        jobs = {rule: job for rule, job in jobs.items() if fnmatchcase(rule, only)}
        imported = imported_files(jobs, workflow.config)
    provenance.source_hash = whole
    calls = {hashed: call for hashed, call in calls.items() if hashed in {job.params.code for job in jobs.values()}}
    changing = dict(zip(calls, hash_changes(calls.values(), TREES), strict=True))
    hashed = {rule: changing[job.params.code] for rule, job in jobs.items()}
    return {"imported": imported, "hashed": hashed}


def parsed_once(parse):
    """Snakemake's parser with a memory: the rules' text stays as it is while a process answers."""
    known = {}

    def parse_or_remember(path, workflow, linemap, overwrite_shellcmd=None, rulecount=0):
        key = path.get_path_or_uri(secret_free=True), rulecount
        if key not in known:
            lines = {}
            known[key] = (*parse(path, workflow, lines, overwrite_shellcmd, rulecount), lines)
        *answer, lines = known[key]
        linemap.update(lines)
        return answer

    return parse_or_remember


REQUESTS = {function.__name__: function for function in (finish, plan, rules, modules)}


def main():
    """Answer the requests; what Snakemake says meanwhile goes to the standard error."""
    from snakemake import workflow  # not before snakemake.api: each imports the other

    workflow.parse = parsed_once(workflow.parse)  # a third of the time otherwise
    yaml.SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # four fifths of the time otherwise
    requests = json.load(sys.stdin)
    with contextlib.redirect_stdout(sys.stderr):
        answers = [REQUESTS[request.pop("do")](**request) for request in requests]
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
