"""Each rule's pinned environment holds what the rule's code imports, in the versions that the tests run on."""

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from importlib import import_module
from importlib.metadata import packages_distributions, version
from inspect import signature
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.tags import sys_tags
from packaging.utils import canonicalize_name, parse_wheel_filename
from rerun import ask, request, results_folder

from clustermass.io.provenance import _closure, _module_path

ROOT = Path(__file__).parents[2]
# by package name; reading it takes a second
DISTRIBUTIONS = packages_distributions()
# imported inside a function that the rule never calls: the mass function, by a figure that wants the AGN counts
NOT_CALLED = {("figures._sky_validation", "colossus")}


@cache
def rules():
    """Rules by name and by the device of trainings: environment, adapter, step, names of files and params."""
    with TemporaryDirectory() as folder:
        devices = [request("rules", {"training": {"device": device}}) for device in ("cpu", "gpu")]
        cpu, gpu = ask(ROOT, results_folder(Path(folder)), *devices)
    return {(name, device): rule for device, found in (("cpu", cpu), ("gpu", gpu)) for name, rule in found.items()}


def module(rule):
    """Return the module whose function the rule calls, empty for a rule with an adapter of its own."""
    return (rule["step"] or "").rpartition(".")[0]


def top_files(rule):
    """Return the rule's adapter, and the module of its step."""
    adapter = ROOT / "workflow" / "scripts" / rule["script"]
    return [adapter, _module_path(module(rule))] if module(rule) else [adapter]


@cache
def pins(environment):
    """Versions by distribution, as the environment file pins them."""
    text = (ROOT / "envs" / f"{environment}.yaml").read_text()
    listed = next(entry["pip"] for entry in yaml.safe_load(text)["dependencies"] if isinstance(entry, dict))
    wanted = [Requirement(line) for line in listed]
    return {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in wanted}


def imported(files):
    """Return the packages outside the standard library and this package that the files import, anywhere."""
    return set().union(*map(_imported, files)) - {*sys.stdlib_module_names, "clustermass"}


@cache
def _imported(path):
    nodes = [*ast.walk(ast.parse(path.read_bytes()))]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {name.partition(".")[0] for name in names}


def test_what_a_rule_imports_is_pinned_in_its_environment():
    missing = []
    for name, rule in rules().items():
        packages = imported(_closure(frozenset(top_files(rule))))
        packages -= {package for importer, package in NOT_CALLED if importer == module(rule)}
        pinned = pins(rule["environment"])
        assert packages, f"{name}: nothing outside the standard library is imported"
        for package in packages:
            if not {canonicalize_name(found) for found in DISTRIBUTIONS[package]} & pinned.keys():
                missing.append((name, package, rule["environment"]))
    assert missing == []


def test_files_and_params_of_a_rule_are_the_arguments_of_its_function():
    faults = []
    for (name, _), rule in rules().items():
        if rule["step"]:
            function = getattr(import_module(f"clustermass.{module(rule)}"), rule["step"].rpartition(".")[2])
            names = {*rule["input"], *rule["output"], *rule["params"]} - {"step", "code", "texts"}
            names |= {"device"} & signature(function).parameters.keys()  # step.py adds it
            if hasattr(function, "__wrapped__"):  # a figure: what draws it does not save it
                names -= {"svg", "png", "pdf", "dpi", "style"}
            try:
                signature(function).bind(**dict.fromkeys(names))
            except TypeError as error:
                faults.append(f"{name}: {error}")
    assert faults == []


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
    used = {rule["environment"] for rule in rules().values()}
    assert used == {path.stem for path in (ROOT / "envs").glob("*.yaml")}


@pytest.mark.parametrize("environment", ["data", "figures", "workflow"])
def test_rules_that_train_nothing_never_load_jax(environment):
    """Modules of all their steps and adapters, imported in one process; imports inside functions are pinned above."""
    some = [rule for rule in rules().values() if rule["environment"] == environment]
    loaded = {f"clustermass.{module(rule)}" for rule in some if module(rule)}
    loaded |= {name for rule in some for name in _top_imports(top_files(rule)[0])}
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


def test_the_stated_download_is_the_size_of_the_packages():
    command = [ROOT / ".uv/bin/uv", "export", "--locked", "--offline", "--no-hashes", "--no-emit-project"]
    exported = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    wanted = [Requirement(line) for line in exported.splitlines() if re.match(r"\w", line)]
    pinned = {(one.name, str(one.specifier)) for one in wanted if not one.marker or one.marker.evaluate()}
    packages, tags = tomllib.loads((ROOT / "uv.lock").read_text())["package"], {*sys_tags()}
    megabytes = 0
    for package in packages:
        if (package["name"], f"=={package.get('version')}") in pinned:
            wheels = [one for one in package.get("wheels", []) if tags & parse_wheel_filename(Path(one["url"]).name)[3]]
            megabytes += (wheels or [package["sdist"]])[0]["size"] / 1e6
    (stated,) = re.findall(r"downloads (\d+) MB", (ROOT / "Makefile").read_text())
    assert megabytes == pytest.approx(float(stated), rel=0.1)
    for page in ("README.md", "docs/how-to/install.md"):
        assert f" {stated} MB" in (ROOT / page).read_text()
