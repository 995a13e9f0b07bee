"""The systems of other papers by their names, in small: from a simulated population to the scores of a fold by mass."""

import json

import numpy as np
import pytest
import yaml
from runs import ROOT, snakemake

from clustermass.io.netcdf import read_netcdf

pytestmark = pytest.mark.workflow
RUN = "results/peers_mass_3"
SMALL = {
    "run": "peers_mass_3",
    "split": {"folds": {"test": 3}},
    "skies": {
        "ho_like": {"realizations": 1, "field": {"width_deg": 6.2, "height_deg": 5.2}, "population": {"number": 30}},
        "nearby_329": {"realizations": 1, "exposure": {"depth_s": 2000.0}, "population": {"number": 30}},
    },
    "training": {"recipes": {"ho2023": {"epochs": 1}, "ntampaka2019": {"epochs": 2}}},
    "evaluation": {"bootstrap": 100},
}


def small(folder, wanted):
    """Run a fold by mass of a few clusters up to the file `wanted`."""
    (folder / "small.yaml").write_text(yaml.safe_dump(SMALL))
    files = [str(ROOT / "config" / f"peers{ending}.yaml") for ending in ("", "_laptop", "_mass_folds")]
    snakemake(folder, "--configfile", *files, str(folder / "small.yaml"), "--", wanted, config=None)
    return folder / wanted


def test_ntampaka_et_al_run_by_name_in_a_fold_by_mass(tmp_path):
    metrics = json.loads(small(tmp_path, f"{RUN}/ntampaka2019/metrics.json").read_text())
    assert (metrics["n_train"], metrics["n_val"], metrics["n_test"]) == (24, 3, 3)
    assert metrics["baselines"]["luminosity_recalibrated"]["scatter_dex"] > 0
    split = read_netcdf(tmp_path / RUN / "splits/nearby_329.nc")
    images = read_netcdf(tmp_path / "results/skies/nearby_329/01/images.nc")
    order = images["log10_m500c"].values.argsort()
    by_mass = split["split"].sel(cluster=images["cluster"].values[order]).values.astype(str)
    assert (by_mass[3::10] == "test").all()
    assert (by_mass[4::10] == "val").all()


@pytest.mark.long
def test_ho_et_al_run_by_name_on_scaled_images_of_the_larger_set(tmp_path):
    member = read_netcdf(small(tmp_path, f"{RUN}/ho2023_single/members/00.nc"))
    assert member.sizes["cluster"] == 30
    assert np.isfinite(member["mu"].values).all()
    images = read_netcdf(tmp_path / "results/skies/ho_like/01/smoothed_wide_field/ho2023_single.nc")
    assert images["image"].shape == (30, 1, 128, 128)
