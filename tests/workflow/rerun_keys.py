"""Compare docs/regenerate.yaml with Snakemake's plan for each key; find reads of keys that Snakemake can't see."""

import ast
import re
from collections import Counter
from fnmatch import fnmatchcase

import yaml
from rerun import CONFIG, MOST_PLANS, NOTHING, ROOT, ask, request, results_folder, rules, value_at

from clustermass.config.resolve import load_config, merge
from clustermass.config.validate import EXECUTION_ONLY, keys

TABLE = ROOT / "docs" / "regenerate.yaml"


def all_leaves():
    """Return every key of the configuration that holds a value, with its part of the schema."""
    rules = dict(keys())
    blocks = {key.rpartition(".")[0] for key in rules}
    return {key: rule for key, rule in rules.items() if key not in blocks or "integer" in rule["type"]}


def entry_of(key, table):
    """Return the entry of docs/regenerate.yaml for `key`: one with its full name, else one whose pattern matches."""
    exact = [entry for entry in table["keys"] if key in entry["keys"]]
    fitting = [entry for entry in table["keys"] if any(fnmatchcase(key, pattern) for pattern in entry["keys"])]
    entries = exact or fitting
    if len(entries) != 1:
        raise LookupError(
            f"{len(entries)} entries in docs/regenerate.yaml are about it; it needs one that says which rules it "
            "causes to be made anew and which stages follow"
        )
    return entries[0]


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
    """Path of `key` with `names` for its first `<name>`s; for others the first that lead to a value, or None."""
    following = iter(names or ())
    parts = [next(following, part) if part == "<name>" else part for part in key.split(".")]
    return next(_places(config, parts), None) if "<name>" in parts else tuple(parts)


def _places(config, parts):
    if not parts:
        yield ()
    elif isinstance(config, dict):
        for name in config if parts[0] == "<name>" else {parts[0]}.intersection(config):
            yield from ((name, *place) for place in _places(config[name], parts[1:]))


def nearby(value, schema):
    """Another value that the schema allows; None if none is known."""
    if "enum" in schema:
        return next(other for other in schema["enum"] if other != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, list):
        shorter = len(value) > 1 and (isinstance(value[0], str) or schema.get("uniqueItems"))
        return value[:-1] if shorter else [nearby(value[0], {}), *value[1:]]
    if isinstance(value, dict):
        return {**value, "changed": 1}
    if isinstance(value, int):
        return value + 1 if value < schema.get("maximum", value + 1) else value - 1
    if isinstance(value, float):
        return value * 1.01 + (value == 0) * 0.01 if value * 1.01 < schema.get("maximum", 1e99) else value * 0.99
    return f"{value}_2" if isinstance(value, str) else None


def key_faults(repository, folder, only=("*",), every=1):
    """Return for each key that matches `only` the differences between Snakemake's plan and docs/regenerate.yaml.

    Every key needs an entry there. Of the keys of an entry, the first one and then every `every`-th one are planned.
    """
    table = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    config = merge(load_config([repository / "config" / "config.yaml"]), CONFIG)
    leaves, faults, requests, places = all_leaves(), [], {}, Counter()
    for key, schema in leaves.items():
        if not any(fnmatchcase(key, pattern) for pattern in only):
            continue
        try:
            entry = entry_of(key, table)
            changed = change(key, schema, entry, config)
            if places[entry["keys"][0]] % every == 0:
                requests.setdefault(tuple(entry.get("without", ())), {})[key] = changed
            places[entry["keys"][0]] += 1
        except LookupError as error:
            faults.append(f"{key}: {error}")
    for number, (without, changes) in enumerate(requests.items()):
        results = results_folder(folder / f"results_{number}")
        plans = [request("plan", changed, without) for changed in changes.values()]
        ask(repository, results, request("finish", without=without))
        answers = [answer for some in batched(plans) for answer in ask(repository, results, *some)]
        for key, answer in zip(changes, answers, strict=True):
            of_key = _faults(answer, entry_of(key, table), table, EXECUTION_ONLY in leaves[key])
            faults += [f"{key}: {fault}" for fault in of_key]
    return faults


def batched(plans):
    """Yield the plans in parts: a process ends between two."""
    yield from (plans[start : start + MOST_PLANS] for start in range(0, len(plans), MOST_PLANS))


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


#: what Snakemake records of a job, and what follows from that
RECORDED = {"input", "output", "params", "wildcards", "log", "rule", "scriptdir"}
#: read otherwise: of a script the keys, each with why that is harmless
ALLOWED = {"report.py": "**", "search.py": "run"}  # the param `config` holds it all; the name of its folder
#: ways to other code, and to the configuration or the environment, that a package module has no need of
ASIDE = ("import_module", "__import__", "exec", "eval", "run_module", "run_path", "load_config", "environ", "getenv")
#: modules that no rule runs, that import names for users only, or that set variables for JAX and record its flags
EXEMPT = (
    "__init__.py",
    "cli/configuration.py",
    "io/samp.py",
    "config/__init__.py",
    "figures/__init__.py",
    "config/resolve.py",
    "network/predict.py",
    "report/plan.py",
)
CLOCKS = re.compile(r"\btime\(\)|\bstrftime\(|\bnow\(|\btoday\(|mtime\b|\buuid|\brandom\b")


def read_faults(repository):
    """Yield the reads of scripts, rules and package that Snakemake can't see."""
    execution_only = {key for key, rule in all_leaves().items() if EXECUTION_ONLY in rule}
    for script in sorted((repository / "workflow" / "scripts").glob("*.py")):
        tree = ast.parse(script.read_bytes())
        for key in _reads(tree):
            if key not in {*execution_only, ALLOWED.get(script.name)}:
                yield f"{script.name} reads {key} behind Snakemake's back: hand it over as a param"
    for path in sorted((repository / "workflow").rglob("*.smk")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if found := CLOCKS.search(line.split("#")[0]):
                yield f"{path.name}, line {number}: {found[0]} is of the clock or of chance: no job may depend on it"
            if re.match(r"\s*(shell|run|notebook|wrapper):", line):
                yield f"{path.name}, line {number}: a step without script: no param `code` holds its code"
    package = repository / "src" / "clustermass"
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            name = getattr(node, "id", getattr(node, "attr", None))
            if name in ASIDE and path.relative_to(package).as_posix() not in EXEMPT:
                yield f"{path.name}, line {node.lineno}: {name} leads to what no param holds"


def _reads(tree):
    """Yield dotted names of all that a script reads of `snakemake` and that Snakemake does not record of a job."""
    holders = {node.value: node for node in ast.walk(tree) if isinstance(node, ast.Attribute | ast.Subscript)}
    unpacked = {node.values[i] for node in ast.walk(tree) if isinstance(node, ast.Dict) for i in _unpacked(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == "snakemake":
            holder = holders.get(node)
            if not isinstance(holder, ast.Attribute):
                yield "snakemake"
            elif holder.attr == "config":
                yield "**" if holder in unpacked else ".".join(_keys(holder, holders)) or "the whole configuration"
            elif holder.attr not in RECORDED:
                yield f"snakemake.{holder.attr}"


def _unpacked(block):
    return [i for i, key in enumerate(block.keys) if key is None]


def _keys(node, holders):
    while isinstance(outer := holders.get(node), ast.Subscript) and isinstance(outer.slice, ast.Constant):
        yield str(outer.slice.value)
        node = outer
