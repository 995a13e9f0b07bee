"""Shared by the tests of the re-run matrix: copies of the repository, folders of results, requests to planner.py."""

import ast
import atexit
import copy
import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from runs import ROOT

from clustermass.config.resolve import load_config, merge

HERE = Path(__file__).parent
CONFIG = load_config([HERE / "rerun_config.yaml"])
TARGETS = ["all", "search", "validate_sky", "pack", "paper", "members_curves", "results/skies/embedded/01/simput.fits"]
#: rules that no plan of the matrix asks for: one fetches from afar, the others write into the repository's own files
UNPLANNED = ("download", "paper_docs", "release")
TRACKED = ("Snakefile", "workflow", "src", "config", "profiles", "envs")
#: of one process: Snakemake lets go of no plan, of 4 MB each
MOST_PLANS = 80
NOTHING = {"causes": [], "anew": []}


def copy_of_the_repository(folder):
    """Copy all that a run reads, with new time stamps, as a fresh checkout has; return where it lies."""
    left_out = shutil.ignore_patterns("__pycache__")
    for name in TRACKED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=left_out, copy_function=shutil.copy)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / name)
    return folder


def input_files(block=CONFIG):
    """All files that `rerun_config.yaml` reads."""
    for value in block.values() if isinstance(block, dict) else block:
        if isinstance(value, dict | list):
            yield from input_files(value)
        elif isinstance(value, str) and value.startswith("data/"):
            yield value


def results_folder(folder):
    """Make a folder with the user's files that `rerun_config.yaml` names, without results."""
    for name in input_files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def request(verb, changes=None, without=(), **options):
    """One request to the planner: with `changes` to the configuration of the matrix, `without` some of its blocks."""
    config = copy.deepcopy(CONFIG)
    for key in without:
        *blocks, last = key.split(".")
        del value_at(config, blocks)[last]
    return {"do": verb, "config": merge(config, changes or {}), "targets": TARGETS, **options}


def value_at(config, place):
    """Value at a path; None where there is none."""
    for name in place:
        config = config.get(name) if isinstance(config, dict) else None
    return config


@cache
def planner():
    """Return a running planner.py; it is used until it has made `MOST_PLANS` plans."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONWARNINGS": "ignore"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, str(HERE / "planner.py")], text=True, env=variables, **pipes)
    process.plans = 0
    atexit.register(process.communicate)  # its end of input ends it
    return process


def ask(repository, folder, *requests, path=""):
    """Answers of the planner, of `repository`, in a `folder` of results; `path` goes before PATH."""
    if planner().plans > MOST_PLANS:
        planner().communicate()
        planner.cache_clear()
    planner().plans += len(requests)
    searched = os.pathsep.join([*([path] if path else []), os.environ["PATH"]])
    line = {"repository": str(repository), "folder": str(folder), "path": searched, "requests": requests}
    print(json.dumps(line), file=planner().stdin, flush=True)
    answers = json.loads(planner().stdout.readline() or '"It has ended."')
    if isinstance(answers, str):
        pytest.fail(f"planner.py failed:\n{answers}")
    return answers


def rules(jobs):
    """Return the names of the jobs' rules as in docs/regenerate.yaml, without batches and skies in the names."""
    return {rule_name(rule) for rule, _ in jobs}


def rule_name(rule):
    for family in ("train_member", "ingest_published"):
        if rule.startswith(family):
            return family
    return rule


def module_faults(repository, folder, only="*"):
    """Yield the rules whose code hash depends on other modules than their script imports when it runs.

    `repository` must be a copy: its modules are changed, one after the other, and put back.
    """
    asked = request("modules", only=only)
    asked["targets"] = [*TARGETS, *UNPLANNED]
    _, answer = ask(repository, folder, request("finish"), asked)
    for rule, imported in answer["imported"].items():
        hashed = {*answer["hashed"][rule]}
        for name in sorted({*imported} - hashed):
            if not _counts_for_nothing(repository / "src" / "clustermass" / name):
                yield f"{rule}: imports {name}, whose change doesn't change its param `code`"
        yield from (f"{rule}: its param `code` counts {name}, which it never imports" for name in hashed - {*imported})


def _counts_for_nothing(path):
    """Return whether a module changes no result: `io` but for its FORMAT, and packages with a docstring only."""
    if path.parent.name == "io" and path.name != "__init__.py":
        return True
    body = ast.parse(path.read_bytes()).body
    return len(body) == 1 and isinstance(body[0], ast.Expr) and path.name == "__init__.py"
