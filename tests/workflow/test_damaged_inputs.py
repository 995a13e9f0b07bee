"""Every step refuses a damaged file and names it: scripts run on the files of a finished run with one damaged file."""

import pickle
import runpy
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import netCDF4
import numpy as np
import pytest
from runs import ROOT
from snakemake.iocontainers import Namedlist

from clustermass.config.resolve import load_config
from clustermass.io.log import LOGGER

pytestmark = pytest.mark.workflow
HERE, SCRIPTS = Path(__file__).parent, ROOT / "workflow" / "scripts"
#: what can't be done without: the networks' images and what was predicted
FINITE = {"image", "mu", "sigma", "member_mu", "member_sigma", "sigma_calibrated", "quantile"}
#: not read: the report and the summary only name the catalogues; figures are copied into the report by snakemake
NOT_READ = {
    *(
        ("report", name) for name in ("masses", "pages", "figures", "comparisons", "metrics", "predictions")
    ),  # only hashed
    *(("summarise", f"masses.{suffix}") for suffix in ("fits", "vot", "ecsv", "nc", "cards.nc", "reg", "moc.fits")),
    ("aggregate_ensemble", "weights"),  # only hashed
    ("plot_spread", "truth"),  # that of two clusters' realizations alone
}
#: of a damaged kind, what makes nothing of those numbers, or (train_member) doesn't name the file
NOT_USED = {
    ("aggregate_ensemble", "images"), ("train_member", "images"), ("plot_sample", "ensemble"),
    ("plot_training", "members"), ("infer_observed", "ensemble"), ("score_ood", "domain"),
    ("predict_sky", "trained"),  # the haloes alone
}  # fmt: skip


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return True


def empty(path):
    path.write_bytes(b"")
    return True


def not_finite(path):
    """Set all necessary numbers of a file to NaN; return whether it has any."""
    if path.suffix != ".nc":
        return False
    with netCDF4.Dataset(path, "a") as file:
        names = FINITE & file.variables.keys()
        for name in names:
            file[name][:] = np.nan
    return bool(names)


@pytest.fixture(scope="module")
def jobs(finished, tmp_path_factory):
    output = tmp_path_factory.mktemp("jobs") / "jobs.pickle"
    subprocess.run([sys.executable, HERE / "dump_jobs.py", finished, output], check=True, capture_output=True)
    return pickle.loads(output.read_bytes())


@pytest.fixture
def results(finished, tmp_path, monkeypatch):
    """Copy of the finished run's results in a folder to work in."""
    shutil.copytree(finished / "results", tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def inputs(jobs):
    """Yield each kind of input of each rule: the job, the input's name and its first file."""
    seen = set()
    for job in jobs:
        if not all(map(Path.exists, map(Path, job["all_inputs"]))):  # what an observed field has only for a while
            continue
        for name, value in [*job["input"].items(), *((Path(path).name, path) for path in job["unnamed_input"])]:
            paths = [value] if isinstance(value, str) else value
            if paths and (job["rule"], name) not in seen | NOT_READ:
                seen.add((job["rule"], name))
                yield job, name, Path(paths[0])


def last_log_line(job):
    """Run a job's adapter here; return the last line of its log."""
    fields = {key: Namedlist(fromdict=job[key]) for key in ("input", "output", "params", "wildcards")}
    config = {**load_config([ROOT / "config" / "config.yaml", ROOT / "config" / "test.yaml"]), "run": "test"}
    handed = SimpleNamespace(rule=job["rule"], log=job["log"], scriptdir=SCRIPTS, config=config, **fields)
    try:
        with pytest.raises(SystemExit) as ended, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # astropy's, about what is damaged
            runpy.run_path(str(SCRIPTS / Path(job["script"]).name), {"snakemake": handed})
    finally:
        for handler in LOGGER.handlers[:]:
            handler.close()
            LOGGER.removeHandler(handler)
    assert ended.value.code == 1
    return Path(job["log"][0]).read_text().splitlines()[-1]


@pytest.mark.long
@pytest.mark.parametrize("damage", [half, empty, not_finite])
def test_a_damaged_input_is_refused_by_its_name_and_nothing_is_made_of_it(jobs, results, damage):
    tried, wrong = set(), []
    for job, name, path in inputs(jobs):
        if damage is not_finite and (job["rule"], name) in NOT_USED:
            continue
        content = path.read_bytes()
        if damage(path):
            tried.add(job["rule"])
            made = outputs(job)
            try:
                line = last_log_line(job)
                if f" ERROR {path}: " not in line:
                    wrong.append((job["rule"], name, line))
            except BaseException as error:
                wrong.append((job["rule"], name, repr(error)))
            if outputs(job) != made:
                wrong.append((job["rule"], name, "something was made"))
        path.write_bytes(content)
    assert not wrong, "\n".join(map(str, wrong))
    assert len(tried) >= (8 if damage is not_finite else 25)


def outputs(job):
    """Return the times at which a job's outputs were made. None = the file is gone, because it is temporary."""
    listed = [path for value in job["output"].values() for path in ([value] if isinstance(value, str) else value)]
    return [path.stat().st_mtime_ns if path.exists() else None for path in map(Path, listed)]
