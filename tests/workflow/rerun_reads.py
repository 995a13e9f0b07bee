"""Reads of the configuration and of the clock that Snakemake doesn't see, from the source of scripts and rules."""

import ast
import re

from rerun_keys import all_leaves

from clustermass.config.validate import EXECUTION_ONLY

#: what Snakemake records of a job, and what follows from that
RECORDED = {"input", "output", "params", "wildcards", "log", "rule", "scriptdir"}
#: read otherwise: of a script the keys, each with why that is harmless
ALLOWED = {"report.py": "**", "search.py": "run"}  # the whole stands in the param `config`; the name of its folder
#: ways to other code, and to the configuration or the environment, that a package module has no need of
ASIDE = ("import_module", "__import__", "exec", "eval", "run_module", "run_path", "load_config", "environ", "getenv")
#: modules that no rule runs, or that set variables for JAX and record its flags
EXEMPT = ("cli.py", "config/__init__.py", "config/resolve.py", "network/predict.py")
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
                yield f"{path.name}, line {number}: a step without script: its code stands in no param `code`"
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
