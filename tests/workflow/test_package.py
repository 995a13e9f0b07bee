"""The released ensemble, and the package that pip installs, outside the repository and without it."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from email import message_from_bytes
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import yaml
from astropy.table import Table
from runs import ROOT, snakemake

from clustermass.config.resolve import load_config
from clustermass.config.validate import check_config
from clustermass.ensemble.ensemble import Ensemble
from clustermass.ensemble.released import RELEASED

pytestmark = pytest.mark.workflow
UV = ROOT / ".uv" / "bin" / "uv"
BUILT_FROM = ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "config", "src")
FIELD = "results/skies/tiny_observed/01"
#: the example of the package's docstring
SNIPPET = """
import clustermass
field = clustermass.simulate_field(width_deg=1.0)
masses = clustermass.Ensemble.load().masses(field.events, field.catalogue, field.exposure)
print(len(masses), masses["LOGM500"].unit)
"""


def build(folder, released=None, repository=None):
    """Build the wheel in a copy of the repository, with a released ensemble or without; return its path."""
    for name in BUILT_FROM:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    if released:
        shutil.copy(released, folder / "src" / "clustermass" / "ensemble" / "released.zip")
    if repository:
        project = folder / "pyproject.toml"
        text = project.read_text().replace("[project.urls]", f'[project.urls]\nRepository = "{repository}"')
        project.write_text(text)
    command = [UV, "build", "--offline", "--wheel", "--out-dir", folder / "dist"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = (folder / "dist").glob("*.whl")
    return wheel


def metadata(wheel):
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(archive.read(name))


def test_the_wheel_has_extras_and_a_readme_without_relative_links(tmp_path):
    (tmp_path / "a").mkdir()
    found = metadata(build(tmp_path / "a"))
    assert {*found.get_all("Provides-Extra")} == {"workflow", "gpu"}
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in " ".join(found.get_all("Classifier"))
    readme = found.get_payload()
    assert "](https://arxiv.org" in readme
    assert "](docs/" not in readme and "](config/" not in readme and "![" not in readme
    (tmp_path / "b").mkdir()
    readme = metadata(build(tmp_path / "b", repository="https://example.org/owner/clustermass")).get_payload()
    assert "](https://example.org/owner/clustermass/raw/HEAD/docs/figures/predictions.png)" in readme
    assert "](https://example.org/owner/clustermass/blob/HEAD/docs/explanation/accuracy.md)" in readme


@pytest.fixture(scope="module")
def released(finished, tmp_path_factory):
    """Return a folder with the finished run, the ensemble that the rule `release` packed, and its datasheet."""
    folder = tmp_path_factory.mktemp("release") / "run"
    shutil.copytree(finished, folder, copy_function=shutil.copy2)
    snakemake(folder, "--", "release")
    return folder


@pytest.mark.long
def test_the_datasheet_has_the_numbers_of_the_test(released):
    page = (released / "docs" / "reference" / "released_ensemble.md").read_text(encoding="utf-8")
    results = released / "results" / "test" / "fiducial"
    test = json.loads((results / "skies/tiny_further/metrics.json").read_text())["test"]
    training = json.loads((results / "metrics.json").read_text())["n_train"]
    assert f"| all | {test['n']} | {test['scatter_dex']:.3f} | {test['bias_dex']:+.3f} |" in page
    assert f"on {training} clusters in 2 realizations of the simulated sky `tiny`" in page
    assert "DET_LIKE above 5.0" in page
    assert "$" not in page


@pytest.fixture
def installed(tmp_path):
    """Return a function that installs the wheel with this ensemble, and returns one that runs its commands."""

    def install(ensemble):
        (tmp_path / "build").mkdir()
        wheel, venv = build(tmp_path / "build", ensemble), tmp_path / "elsewhere" / "venv"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
        command = [UV, "pip", "install", "--offline", "--no-deps", "--python", venv / "bin" / "python", wheel]
        subprocess.run(command, check=True, capture_output=True)
        # the other packages are those of this environment; the repository's own link among them doesn't count
        packages = next((venv / "lib").glob("python3*")) / "site-packages"
        (packages / "others.pth").write_text(sysconfig.get_path("purelib"))
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

        def run(program, *arguments):
            command = [str(venv / "bin" / program), *map(str, arguments)]
            done = subprocess.run(command, cwd=venv.parent, env=clean, capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, done.stderr
            return done.stdout

        assert str(packages) in run("python", "-c", "import clustermass; print(clustermass.__file__)")
        return venv.parent, run

    return install


@pytest.mark.long
def test_an_installed_package_gives_the_masses_of_the_workflow_and_shows_a_cluster(released, installed):
    place, run = installed(released / "src/clustermass/ensemble/released.zip")
    assert "masses" in run("python", "-m", "clustermass", "--help")
    field = released / FIELD
    run("clustermass", "masses", field / "events.fits", field / "catalogue.fits", "--exposure", field / "exposure.fits")
    ours = Table.read(place / "masses.fits")
    theirs = Table.read(released / "results/test/fiducial/observed/tiny_observed/masses.fits")
    assert (ours.meta["ENSVER"], "ENSVER" in theirs.meta) == ("test", False)
    assert len(ours) > 10
    assert ours.colnames == theirs.colnames
    for name in ours.colnames:
        np.testing.assert_array_equal(ours[name], theirs[name], name)
    name = str(ours["NAME"][0])
    assert name in (place / "masses.html").read_text(encoding="utf-8")
    assert re.search(r"Show one: \S*clustermass show NAME", run("clustermass", "show"))
    assert "log10(M500c/Msun)" in run("clustermass", "show", name)
    (picture,) = place.glob("*.png")
    assert name.replace(" ", "_") in picture.name


@pytest.mark.long
def test_the_examples_of_the_documentation_run_in_an_installed_package(installed):
    _, run = installed(RELEASED)
    number, unit = run("python", "-c", SNIPPET).split()[-2:]
    assert int(number) > 0
    assert unit == "dex"
    page = (ROOT / "docs" / "how-to" / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) > 5
    run("python", "-c", "\n".join(["import matplotlib", "matplotlib.use('Agg')", *blocks]))


def test_the_released_ensemble_can_be_read():
    """A change of a format needs another released ensemble."""
    page = (ROOT / "docs" / "reference" / "released_ensemble.md").read_text(encoding="utf-8")
    with Ensemble.load(RELEASED) as ensemble:
        assert ensemble.weights
        assert ensemble.digest() in page
    assert RELEASED.stat().st_size <= 8e6


def test_the_configuration_of_the_release_is_valid():
    check_config(load_config([ROOT / "config/config.yaml", ROOT / "config/release.yaml"]))


def test_the_workflow_catalog_finds_what_it_asks_for():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage["software-stack-deployment"]["conda"]
    for name in ("workflow/Snakefile", "config/README.md", "config/config.yaml", "LICENSE"):
        assert (ROOT / name).is_file()
    assert Path(ROOT, ".test/config/config.yaml").resolve() == ROOT / "config/test.yaml"
