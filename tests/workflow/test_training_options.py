"""The options that the paper's experiments need, all of them in one experiment, from the configuration to masses."""

import json
import shutil

import numpy as np
import pytest
import yaml
from runs import ROOT, snakemake

from clustermass.dataset.sample import select
from clustermass.io.netcdf import read_netcdf

pytestmark = [pytest.mark.workflow, pytest.mark.long]
ODD = "results/test/odd"
SELECTION = {"log10_m500c_min": 13.0, "log10_m500c_max": 15.3, "det_like_min": 5.0, "ext_like_min": 6.0}
BRIGHT = SELECTION | {"ext_like_min": 12.0}
LAYERS = [{"conv": 4}, {"pool": "max"}, {"conv": 8}, {"pool": "max"}, {"flatten": True}, {"join": "side"}, {"dense": 8}]
CHANGES = {
    "network": {"odd": {"catalogue_dropout": 0.0, "layers": LAYERS}},
    "training": {"recipes": {"odd": {"loss": "percentage", "epochs": 2, "augmentation": "none"}}},
    "experiments": {
        "odd": {
            **{"network": "odd", "recipe": "odd", "members": 1, "weighting": "uniform_mass", "test_skies": []},
            "train_selection": {"ext_like_min": 12.0},
        }
    },
}


@pytest.fixture(scope="module")
def trained(finished, tmp_path_factory):
    """Train this experiment in a copy of the finished run."""
    directory = tmp_path_factory.mktemp("odd") / "copy"
    shutil.copytree(finished, directory, copy_function=shutil.copy2)
    defaults = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    recipe = defaults["training"]["recipes"]["clustermass"] | CHANGES["training"]["recipes"]["odd"]
    network = CHANGES["network"]["odd"] | {"side_inputs": []}
    overlay = directory / "odd.yaml"
    overlay.write_text(
        yaml.safe_dump(CHANGES | {"network": {"odd": network}, "training": {"recipes": {"odd": recipe}}})
    )
    files = [str(ROOT / "config/test.yaml"), str(overlay)]
    targets = [f"{ODD}/metrics.json", f"{ODD}/observed/tiny_observed/masses.nc", f"{ODD}/figures/training.png"]
    snakemake(directory, "--configfile", *files, "--", *targets, "members_curves", config=None)
    return directory


def test_it_is_trained_on_bright_clusters_and_calibrated_and_tested_on_all(trained):
    metrics = json.loads((trained / ODD / "metrics.json").read_text())
    images = [read_netcdf(path) for path in sorted((trained / "results/skies/tiny").glob("*/images.nc"))]
    split = read_netcdf(trained / "results/test/splits/tiny.nc")["split"].to_series()
    kept = {
        name: [i for part in images for i in part["cluster"].values[select(part, cuts)[0]] if split[i] == name]
        for name, cuts in (("train", BRIGHT), ("val", SELECTION), ("test", SELECTION))
    }
    assert {name: metrics[f"n_{name}"] for name in kept} == {name: len(ids) for name, ids in kept.items()}
    fiducial = json.loads((trained / "results/test/fiducial/metrics.json").read_text())
    assert 5 < metrics["n_train"] < fiducial["n_train"]
    assert (metrics["n_test"], metrics["n_val"]) == (fiducial["n_test"], fiducial["n_val"])
    calibration = json.loads((trained / ODD / "calibration.json").read_text())
    assert calibration["n_val"] == len(kept["val"])
    assert metrics["baselines"].keys() == fiducial["baselines"].keys()


def test_a_loss_without_a_sigma_gives_all_clusters_one_in_the_run_and_for_the_observed_field(trained):
    member = read_netcdf(trained / ODD / "ensemble.nc")["member_sigma"].values
    assert np.ptp(member) < 1e-12 < 0.05 < member[0, 0] < 1
    masses = read_netcdf(trained / ODD / "observed/tiny_observed/masses.nc")
    recalibration = json.loads((trained / ODD / "calibration.json").read_text())["recalibration"]
    assert recalibration["form"] == "none"  # so few validation clusters can't constrain sigma
    sigma = masses["LOGM500_ERR_ALEATORIC"].values
    finite = np.isfinite(sigma)
    assert finite.sum() > 10
    np.testing.assert_allclose(sigma[finite], member[0, 0], rtol=1e-6)
    np.testing.assert_array_equal(masses["LOGM500_ERR_Z"].values[finite], 0)  # the redshift is no input of the network


def test_members_curves_are_made_of_every_experiment(trained):
    sizes = {
        name: list(json.loads((trained / f"results/test/{name}/members_curve.json").read_text())["sizes"])
        for name in ("fiducial", "odd")
    }
    assert sizes == {"fiducial": ["1", "2"], "odd": ["1"]}
    fiducial = json.loads((trained / "results/test/fiducial/members_curve.json").read_text())["sizes"]["2"]
    metrics = json.loads((trained / "results/test/fiducial/metrics.json").read_text())
    assert fiducial["scatter_dex"]["value"] == pytest.approx(metrics["test"]["scatter_dex"])
    ratio = metrics["ensemble"]["member_over_ensemble_sigma_mean"]
    assert fiducial["member_over_ensemble_sigma"]["mean"] == pytest.approx(ratio)
