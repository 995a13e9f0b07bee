"""Everything that is installed is pinned by version, and by hash where SECURITY.md says so."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HASH = re.compile(r"sha256:[0-9a-f]{64}")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = tomllib.loads((ROOT / "uv.lock").read_text())


def requirements(text):
    """Return the lines of a requirements file, each with its continuation lines."""
    lines = text.replace("\\\n", " ").splitlines()
    return [line for line in map(str.strip, lines) if line and not line.startswith("#")]


def installs(text):
    """Return the commands by which a script or recipe lets pip install something."""
    return re.findall(r"pip\b[^\n&|;]*? install [^\n&|;}]*", text.replace("\\\n", " "))


def test_the_installer_is_pinned_by_hash():
    (line,) = requirements((ROOT / "envs" / "uv.txt").read_text())
    assert re.match(r"uv==\d[\d.]* ", line)
    assert len(HASH.findall(line)) > 10
    assert len(HASH.findall(line)) == line.count("--hash")


@pytest.mark.parametrize("file", ["Makefile", "envs/container.def"])
def test_pip_installs_hashed_wheels_only(file):
    # the benchmarks' rivals have an environment of their own, without hashes
    commands = [one for one in installs((ROOT / file).read_text()) if "-r $<" not in one]
    assert commands
    assert all("--require-hashes --only-binary :all: -r " in one and "uv.txt" in one for one in commands)


def test_nothing_else_calls_pip():
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [path for path in tracked.split("\0") if path and not path.endswith((".md", "uv.lock", ".fits"))]
    texts = {path: (ROOT / path).read_bytes().decode(errors="replace") for path in paths if (ROOT / path).is_file()}
    found = {path for path, text in texts.items() if installs(text)}
    assert found <= {"Makefile", "envs/container.def", "tests/unit/test_supply_chain.py"}


def test_what_builds_the_package_is_pinned_by_hash():
    settings = PROJECT["tool"]["uv"]
    assert settings["require-build-hashes"] is True
    pinned = {one["requirement"]: one["hashes"] for one in settings["build-constraint-dependencies"]}
    assert all(re.fullmatch(r"[\w-]+==[\w.]+", name) for name in pinned)
    assert all(hashes and all(map(HASH.fullmatch, hashes)) for hashes in pinned.values())
    assert PROJECT["build-system"]["requires"]
    assert {*PROJECT["build-system"]["requires"]} <= pinned.keys()
    # "setuptools" builds the packages of the lock that have no wheel
    assert any(name.startswith("setuptools==") for name in pinned)


def test_every_locked_file_has_a_hash():
    packages = [package for package in LOCK["package"] if package["source"] != {"editable": "."}]
    assert len(packages) > 100
    for package in packages:
        assert package["source"] == {"registry": "https://pypi.org/simple"}
        files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
        assert files
        assert all(HASH.fullmatch(file["hash"]) for file in files), package["name"]


def test_images_are_named_by_digest():
    (image,) = re.findall(r"^From: (.*)$", (ROOT / "envs" / "container.def").read_text(), re.MULTILINE)
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", image)


def test_the_benchmarks_packages_are_pinned_by_version():
    lines = requirements((ROOT / "benchmarks" / "requirements.txt").read_text())
    assert lines
    assert all(re.fullmatch(r"[\w-]+==[\w.]+", line) for line in lines)
