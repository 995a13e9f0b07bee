"""Each rule's pinned environment holds what the rule's code imports, in the versions that the tests run on."""

import ast
import re
import subprocess
import sys
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from clustermass.io.provenance import _closure, _module_path

ROOT = Path(__file__).parents[2]
RULE = re.compile(r"^ *rule\b.*?(?=^ *rule\b|\Z)", re.MULTILINE | re.DOTALL)
ENVIRONMENT = re.compile(r'conda:\s+(?:"../../envs/([\w-]+)\.yaml"|training_environment\(\))')
CODE = re.compile(r"code=code\(([^)]*)\)")
# by package name; reading it takes a second
DISTRIBUTIONS = packages_distributions()
# of `training_environment`, by training.device
TRAINING = ("train", "train-gpu")
# imported inside a function that the rule never calls: the mass function, by a figure that wants the AGN counts
NOT_CALLED = {("figures.sky_validation", "colossus")}


def rules():
    """Environment, script and modules of each rule with a script."""
    for path in sorted((ROOT / "workflow" / "rules").glob("*.smk")):
        for text in RULE.findall(path.read_text()):
            if code := CODE.search(text):
                names = re.findall(r'"([\w.]+)"', code[1])
                environment = ENVIRONMENT.search(text)
                assert environment, f"{path.name}: a rule with the script {names[0]} has no environment"
                for name in [environment[1]] if environment[1] else TRAINING:
                    yield pytest.param(name, names[0], names[1:], id=f"{'-'.join(names[:2])}-{name}")


def pins(environment):
    """Versions by distribution, as the environment file pins them."""
    text = (ROOT / "envs" / f"{environment}.yaml").read_text()
    listed = next(entry["pip"] for entry in yaml.safe_load(text)["dependencies"] if isinstance(entry, dict))
    wanted = [Requirement(line) for line in listed]
    return {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in wanted}


def imported(files):
    """Return the packages outside the standard library and this package that the files import, anywhere."""
    names = set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                names.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
    return names - {*sys.stdlib_module_names, "clustermass"}


@pytest.mark.parametrize(("environment", "script", "modules"), list(rules()))
def test_what_a_rule_imports_is_pinned_in_its_environment(environment, script, modules):
    start = {ROOT / "workflow" / "scripts" / f"{script}.py", *map(_module_path, modules)}
    packages, pinned = imported(_closure(frozenset(start))), pins(environment)
    packages -= {name for module, name in NOT_CALLED if module in modules}
    providers = {name: {canonicalize_name(found) for found in DISTRIBUTIONS[name]} for name in packages}
    assert packages, "nothing outside the standard library is imported"
    assert [name for name in packages if not providers[name] & pinned.keys()] == []


@pytest.mark.parametrize("environment", ["data", "train", "figures", "workflow"])
def test_pins_are_the_versions_that_the_tests_run_on(environment):
    pinned = pins(environment)
    assert len(pinned) > 15
    assert {name: version(name) for name in pinned} == pinned


def test_training_on_a_gpu_has_the_same_versions_and_cuda():
    cpu, gpu = pins("train"), pins("train-gpu")
    assert gpu.items() >= cpu.items()
    added = gpu.keys() - cpu.keys()
    assert {"jax-cuda12-plugin", "jax-cuda12-pjrt", "nvidia-cudnn-cu12"} <= added
    assert all("cuda" in name or name.startswith("nvidia-") for name in added)
    assert gpu["jax-cuda12-plugin"] == gpu["jax"]


def test_every_environment_belongs_to_rules():
    used = {parameter.values[0] for parameter in rules()}
    assert used == {path.stem for path in (ROOT / "envs").glob("*.yaml")}


@pytest.mark.parametrize("environment", ["data", "figures", "workflow"])
def test_rules_that_train_nothing_never_load_jax(environment):
    """All their modules, imported in one process; what is imported later, inside functions, the pins above tell of."""
    names = sorted({name for rule in rules() if rule.values[0] == environment for name in rule.values[2]})
    tops = [ROOT / "workflow" / "scripts" / f"{rule.values[1]}.py" for rule in rules() if rule.values[0] == environment]
    loaded = {f"clustermass.{name}" for name in names} | {name for path in tops for name in _top_imports(path)}
    assert loaded
    script = f"import sys, importlib\nfor name in {sorted(loaded)}: importlib.import_module(name)\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    modules = {name.partition(".")[0] for name in done.stdout.split()}
    assert "clustermass" in modules
    assert modules & {"jax", "jaxlib", "flax", "optax"} == set()


def _top_imports(path):
    """Modules of the package that an adapter imports at its top."""
    nodes = ast.parse(path.read_bytes()).body
    return {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module.startswith("clustermass")}
