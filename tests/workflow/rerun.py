"""The re-run matrix: what docs/regenerate.yaml says of each key, and the same asked of Snakemake (planner.py)."""

import ast
import atexit
import copy
import json
import os
import shutil
import subprocess
import sys
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from clustermass.config import load_config, merge

HERE = Path(__file__).parent
CONFIG = load_config([HERE / "rerun_config.yaml"])
TABLE = ROOT / "docs" / "regenerate.yaml"
TARGETS = ["all", "search", "validate_sky", "pack", "results/skies/embedded/01/simput.fits"]
TRACKED = ("Snakefile", "workflow", "src", "config", "profiles", "envs")
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
    """Folder with the user's files that `rerun_config.yaml` names, and no results yet."""
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


@cache
def planner():
    """Start planner.py, once for all tests of this process."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONWARNINGS": "ignore"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, str(HERE / "planner.py")], text=True, env=variables, **pipes)
    atexit.register(process.communicate)  # its end of input ends it
    return process


def ask(repository, folder, *requests, path=""):
    """Answers of the planner, of `repository`, in a `folder` of results; `path` goes before PATH."""
    searched = os.pathsep.join([*([path] if path else []), os.environ["PATH"]])
    line = {"repository": str(repository), "folder": str(folder), "path": searched, "requests": requests}
    print(json.dumps(line), file=planner().stdin, flush=True)
    answers = json.loads(planner().stdout.readline() or '"It has ended."')
    if isinstance(answers, str):
        pytest.fail(f"planner.py failed:\n{answers}")
    return answers


def rules(jobs):
    """Names of the jobs' rules, as docs/regenerate.yaml calls them: batches and skies aside."""
    return {rule_name(rule) for rule, _ in jobs}


def rule_name(rule):
    for family in ("train_member", "ingest_published"):
        if rule.startswith(family):
            return family
    return rule


def leaves(schema, definitions, key="", execution_only=False):
    """Yield every key of the configuration that holds a value, its schema, and whether it steers execution only."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rsplit("/", 1)[-1]]
    execution_only |= schema.get("x-execution-only", False)
    named, more = schema.get("properties", {}), schema.get("additionalProperties")
    kinds = schema.get("type", "object")
    if not (named or isinstance(more, dict)) or (isinstance(kinds, list) and "integer" in kinds):  # number or block
        yield key, schema, execution_only
    for name, inner in named.items():
        yield from leaves(inner, definitions, f"{key}.{name}" if key else name, execution_only)
    if isinstance(more, dict):
        yield from leaves(more, definitions, f"{key}.<name>", execution_only)


def all_leaves(repository):
    """Return the same of the repository's schema by key: its schema, and whether it steers execution only."""
    schema = yaml.safe_load((repository / "workflow" / "schemas" / "config.schema.yaml").read_text(encoding="utf-8"))
    return {key: (inner, execution_only) for key, inner, execution_only in leaves(schema, schema["$defs"])}


def entry_of(key, table):
    """Entry of docs/regenerate.yaml for `key`: one that names it, else the one whose pattern it fits."""
    exact = [entry for entry in table["keys"] if key in entry["keys"]]
    fitting = [entry for entry in table["keys"] if any(fnmatchcase(key, pattern) for pattern in entry["keys"])]
    found = exact or fitting
    if len(found) != 1:
        raise LookupError(
            f"{len(found)} entries in docs/regenerate.yaml are about it; it needs one that says which rules it causes "
            "to be made anew and which stages follow"
        )
    return found[0]


def change(key, schema, entry, config):
    """Return changes to the configuration that alter `key`, as `entry` says or to a value nearby.

    Raises
    ------
    LookupError
        No named block has the key, or no value nearby is known.
    """
    place = place_of(key, entry.get("names"), config)
    if place is None:
        raise LookupError(f"give it a value in tests/workflow/rerun_config.yaml: no block has {key}")
    value = value_at(config, place)
    new = entry.get("values", {}).get(key, entry.get("to", nearby(value, schema)))
    if new is None or new == value:
        raise LookupError(f"give its entry in docs/regenerate.yaml a `to`: no other value than {value!r} is known")
    nested = new
    for name in reversed(place):
        nested = {name: nested}
    return merge(nested, entry.get("with", {}))


def place_of(key, names, config):
    """Path of `key` with `names` for its `<name>`s; without any, the first that leads to a value, or None."""
    if names:
        following = iter(names)
        return tuple(next(following) if part == "<name>" else part for part in key.split("."))
    return next(_places(config, key.split(".")), None)


def _places(config, parts):
    if not parts:
        yield ()
    elif isinstance(config, dict):
        for name in config if parts[0] == "<name>" else {parts[0]}.intersection(config):
            yield from ((name, *place) for place in _places(config[name], parts[1:]))


def value_at(config, place):
    """Value at a path; None where there is none."""
    for name in place:
        config = config.get(name) if isinstance(config, dict) else None
    return config


def nearby(value, schema):
    """Another value that the schema allows; None if none is known."""
    if "enum" in schema:
        return next(other for other in schema["enum"] if other != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, list):
        return value[:-1] if len(value) > 1 and isinstance(value[0], str) else [nearby(value[0], {}), *value[1:]]
    if isinstance(value, dict):
        return {**value, "changed": 1}
    if isinstance(value, int):
        return value + 1 if value < schema.get("maximum", value + 1) else value - 1
    if isinstance(value, float):
        return value * 1.01 + (value == 0) * 0.01 if value * 1.01 < schema.get("maximum", 1e99) else value * 0.99
    return f"{value}_2" if isinstance(value, str) else None


def key_faults(repository, folder, only="*"):
    """Say of each key that fits `only` how what Snakemake makes anew differs from docs/regenerate.yaml."""
    table = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    config = merge(load_config([repository / "config" / "config.yaml"]), CONFIG)
    known, faults, requests = all_leaves(repository), [], {}
    for key, (schema, _) in known.items():
        if not fnmatchcase(key, only):
            continue
        try:
            entry = entry_of(key, table)
            requests.setdefault(tuple(entry.get("without", ())), {})[key] = change(key, schema, entry, config)
        except LookupError as error:
            faults.append(f"{key}: {error}")
    for number, (without, changes) in enumerate(requests.items()):
        results = results_folder(folder / f"results_{number}")
        plans = [request("plan", changed, without) for changed in changes.values()]
        _, *answers = ask(repository, results, request("finish", without=without), *plans)
        for key, answer in zip(changes, answers, strict=True):
            _, execution_only = known[key]
            found = _faults(answer, entry_of(key, table), table, execution_only)
            faults += [f"{key}: {fault}" for fault in found]
    return faults


def _faults(answer, entry, table, execution_only):
    if "error" in answer:
        yield f"give its entry in docs/regenerate.yaml a `to` or `values` that is allowed: {answer['error']}"
        return
    if execution_only:
        if answer != NOTHING:
            yield f"steers execution only, by the schema, but makes anew {sorted(rules(answer['anew']))}"
        return
    causes = rules(answer["causes"])
    if causes <= {"report"}:
        yield "makes nothing anew: hand it to a rule as a param, or mark it `x-execution-only: true` in the schema"
    if causes != {*entry["causes"], "report"}:
        yield (
            f"makes anew {sorted(causes - {*entry['causes']} - {'report'})} against docs/regenerate.yaml, and not "
            f"{sorted({*entry['causes']} - causes)}, as it says"
        )
    stage_of = {rule: stage for stage, names in table["stages"].items() for rule in names}
    reached = {stage_of[rule] for rule in rules(answer["anew"])} - {"report", "on request"}
    if reached != {*entry["stages"]}:
        yield f"reaches the stages {sorted(reached)}, but docs/regenerate.yaml says {sorted(entry['stages'])}"


def module_faults(repository, folder, only="*"):
    """Say of each rule where the modules that its hash counts are not those that its script imports when it runs.

    `repository` must be a copy: its modules are changed, one after the other, and put back.
    """
    asked = request("modules", only=only)
    asked["targets"] = [*TARGETS, "download_efeds"]
    _, answer = ask(repository, folder, request("finish"), asked)
    for rule, imported in answer["imported"].items():
        hashed = {*answer["hashed"][rule]}
        for name in sorted({*imported} - hashed):
            if not _counts_for_nothing(repository / "src" / "clustermass" / name, imported):
                yield f"{rule}: imports {name}, whose change doesn't change its param `code`"
        yield from (f"{rule}: its param `code` counts {name}, which it never imports" for name in hashed - {*imported})


def _counts_for_nothing(path, imported):
    """Whether a module does nothing, or came along with `clustermass.config` where only its `resolve` is used."""
    body = ast.parse(path.read_bytes()).body
    if len(body) == 1 and isinstance(body[0], ast.Expr):
        return path.name == "__init__.py"
    along = path.parent.name == "config" or (path.parent.name, path.name) == ("published", "layout.py")
    return along and "config/resolve.py" in imported and path.name != "resolve.py"
