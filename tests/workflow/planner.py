"""Ask Snakemake what it would make again after a change, for any number of changes in one process.

Run by `rerun.py` as a program, so that nothing of Snakemake's stays behind in the tests' process. Each line that it
reads is `{"repository": ..., "folder": of the results, "path": PATH, "requests": [...]}`, a request
`{"do": name of a function in REQUESTS, ...options}`; for each it writes a line, the answers in their order, or what
failed as text.
"""

import contextlib
import gc
import json
import os
import sys
import traceback
from fnmatch import fnmatchcase
from pathlib import Path

import yaml
from code_paths import altered, hash_changes, imported_files, notice_changed_files
from snakemake.api import SnakemakeApi
from snakemake.exceptions import WorkflowError
from snakemake.jobs import get_script_mtime
from snakemake.persistence.file import FilePersistence
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

from clustermass.io import provenance

#: more than the 1 MB above which Snakemake, left to itself, goes by time stamps
LARGE_BYTES = 2_000_000
#: rule that others inherit from, which makes nothing
BASE = "step"
REPOSITORY = Path()  # of the requests at hand


@contextlib.contextmanager
def loaded(config, targets, cores=1, conda=False):
    """Workflow with its graph of jobs, under the repository's default profile."""
    profile = yaml.safe_load((REPOSITORY / "profiles" / "default" / "config.yaml").read_text())
    methods = {DeploymentMethod.CONDA} if conda else set()
    with SnakemakeApi(OutputSettings(dryrun=True, quiet={Quietness.ALL})) as api:
        called = api.workflow(
            ResourceSettings(cores=cores),
            ConfigSettings(config=config),
            deployment_settings=DeploymentSettings(deployment_method=methods),
            snakefile=REPOSITORY / "Snakefile",
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
        try:
            yield workflow
        finally:
            forget()


def forget():
    """Empty Snakemake's caches, which would keep the graphs of all plans (6 MB each)."""
    for kind in FilePersistence.__mro__:
        for member in vars(kind).values():
            function = getattr(member, "fget", member)
            if hasattr(function, "cache_clear"):
                function.cache_clear()


def finish(**options):
    """Make it look as if all jobs had run: write small output files, some of `LARGE_BYTES`, and Snakemake's records."""
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


def plan(alter=None, **options):
    """Return the jobs that a change itself causes to run, and all that run, each as `[rule, first output]`.

    `alter` is a script to change before, and to put back.
    """
    if alter:
        with altered(Path(alter)):
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
    """Return for each rule with a script its name, environment and step, and the names of its files and params."""
    with loaded(**options) as workflow:
        return {
            rule.name: {
                "script": Path(rule.script).name,
                "environment": Path(str(rule.conda_env)).stem,
                "step": rule.params.get("step"),
                **{kind: sorted(getattr(rule, kind).keys()) for kind in ("input", "output", "params")},
            }
            for rule in workflow.rules
            if not rule.norun and rule.name != BASE
        }


def modules(only="*", **options):
    """Return by rule the package's files that its script imports, and those whose change changes its param `code`."""
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
    changing = dict(zip(calls, hash_changes(calls.values()), strict=True))
    hashed = {rule: changing[job.params.code] for rule, job in jobs.items()}
    return {"imported": imported, "hashed": hashed}


def parsed_once(parse):
    """Return Snakemake's parser with a cache for files that stay as they are."""
    parsed = {}

    def parse_or_remember(path, workflow, linemap, overwrite_shellcmd=None, rulecount=0):
        name = path.get_path_or_uri(secret_free=True)
        key = name, Path(name).stat().st_mtime_ns, rulecount
        if key not in parsed:
            lines = {}
            parsed[key] = (*parse(path, workflow, lines, overwrite_shellcmd, rulecount), lines)
        *answer, lines = parsed[key]
        linemap.update(lines)
        return answer

    return parse_or_remember


REQUESTS = {function.__name__: function for function in (finish, plan, rules, modules)}


def answer(repository, folder, path, requests):
    """Answer requests about the results in `folder`, of the repository or a copy of it."""
    global REPOSITORY
    REPOSITORY = Path(repository)
    provenance.PACKAGE = REPOSITORY / "src" / "clustermass"
    provenance._closure.cache_clear()
    get_script_mtime.cache_clear()
    os.environ["PATH"] = path
    os.chdir(folder)
    return [REQUESTS[request.pop("do")](**request) for request in requests]


def main():
    """Answer line by line; Snakemake's messages go to the standard error."""
    from snakemake import workflow  # not before snakemake.api: each imports the other

    workflow.parse = parsed_once(workflow.parse)  # a third of the time otherwise
    yaml.SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # four fifths of it
    notice_changed_files()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)  # a fifth of the rest
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        for line in sys.stdin:
            try:
                answers_to_all = answer(**json.loads(line))
            except Exception:
                answers_to_all = traceback.format_exc()
            print(json.dumps(answers_to_all), file=answers, flush=True)


if __name__ == "__main__":
    main()
