"""docs/peers.py: folds are joined as if all clusters had been in one file; what was not run has no number."""

import json
import sys

import numpy as np
import pytest
import yaml
from astropy.table import Table
from config_inputs import ROOT

from clustermass.config.resolve import load_config

sys.path.insert(0, str(ROOT / "docs"))
import peers

CONTENT = yaml.safe_load((ROOT / "docs" / "peers.yaml").read_text(encoding="utf-8"))


def write_fold(results, run, experiment, residual):
    folder = results / run / experiment
    folder.mkdir(parents=True)
    test = {"n": len(residual), "bias_dex": float(np.mean(residual)), "scatter_dex": float(np.std(residual))}
    (folder / "metrics.json").write_text(json.dumps({"test": test}))


def made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(peers, "SKIES", ())  # takes seconds
    monkeypatch.setattr(sys, "argv", ["peers.py", "--output", "peers.json"])
    peers.main()
    return json.loads((tmp_path / "peers.json").read_text())


def test_joined_folds_have_the_scatter_of_all_their_clusters(tmp_path, monkeypatch):
    rng, results = np.random.default_rng(1), tmp_path / "results"
    parts = [rng.normal(shift, 0.05, number) for shift, number in ((-0.03, 40), (0.02, 70))]
    for fold, residual in enumerate(parts):
        write_fold(results, f"peers_ho_{fold}", "ho2023_single", residual)
        write_fold(results, f"peers_ho_{fold}", "ho2023_multi", 0.5 * residual)
    write_fold(results, "peers_ho_0", "fiducial", parts[0])
    write_fold(results, "peers_laptop_0", "ntampaka2019", parts[0])
    found = made(tmp_path, monkeypatch)
    whole, ours = np.concatenate(parts), found["systems"]["ho2023_single"]["ours"]
    assert (ours["folds"], ours["n_test"], ours["runs"]) == (2, 110, ["peers_ho_0", "peers_ho_1"])
    assert (ours["scatter_dex"], ours["bias_dex"]) == pytest.approx((whole.std(), whole.mean()), abs=6e-5)
    assert ours["scatter_error_dex"] == pytest.approx(whole.std() / np.sqrt(220), abs=6e-5)
    assert found["systems"]["ntampaka2019"]["ours"] == "not run"  # runs with the laptop's changes aren't the papers'
    assert found["ratios"]["three bands ÷ one band"]["ours"]["ratio"] == pytest.approx(0.5, abs=0.001)
    assert found["ratios"]["ours ÷ three bands"]["ours"] == "different folds"
    assert found["ratios"]["with galaxies ÷ three bands"]["ours"] == "not run"


def test_proxies_are_those_of_the_properties_given():
    rng = np.random.default_rng(2)
    mass, redshift = rng.uniform(13.6, 15.2, 2000), rng.uniform(0.1, 0.4, 2000)
    kt = 10 ** (0.6 * (mass - 14) + rng.normal(0, 0.03, 2000))
    gas = 10 ** (13 + 1.1 * (mass - 14) + rng.normal(0, 0.03, 2000))
    truth = Table({"LOG10_M500C": mass, "Z": redshift, "KT": kt, "MGAS500": gas})
    cosmology = {"h0_km_s_mpc": 67.74, "omega_m": 0.3089}
    found = [peers.proxy_scatters({"ours": [name]}, truth, cosmology) for name in ("temperature", "gas_mass")]
    exact = [one["scatter_dex_r500_error_0.0"] for one in found]
    assert exact == pytest.approx([0.03 / 0.6, 0.03 / 1.1], rel=0.06)
    assert found[0]["scatter_dex_r500_error_0.05"] == exact[0]
    # 5 % are 0.0217 dex in R, so 0.0282 dex in gas mass
    assert found[1]["scatter_dex_r500_error_0.05"] == pytest.approx(np.hypot(0.03, 0.0282) / 1.1, rel=0.06)
    assert peers.proxy_scatters({"what": "stellar mass"}, truth, cosmology) == "not available"


def test_populations_have_masses_and_redshifts_of_ho_et_al():
    config = load_config([ROOT / "config" / name for name in ("config.yaml", "peers.yaml")])
    config["skies"]["ho_like"]["realizations"] = 2
    truth = peers.population(config, "ho_like")
    mass, redshift = np.asarray(truth["LOG10_M500C"]), np.asarray(truth["Z"])
    assert len(truth) == 200
    assert (mass.min() >= 13.65, mass.max() <= 15.22, mass[:100].tolist() != mass[100:].tolist()) == (True, True, True)
    assert (redshift.min(), redshift.max()) == pytest.approx((0.066, 0.471), abs=0.02)


def test_the_written_file_has_the_rows_of_the_list_and_the_experiments_exist():
    written = json.loads((ROOT / "docs" / "measured" / "peers.json").read_text(encoding="utf-8"))
    for part in ("systems", "ratios"):
        assert {name: {k: v for k, v in row.items() if k != "ours"} for name, row in written[part].items()} == CONTENT[
            part
        ]
    assert [row["published"] for row in written["proxies"]] == [row.get("published") for row in CONTENT["proxies"]]
    config = load_config([ROOT / "config" / name for name in ("config.yaml", "peers.yaml")])
    assert {*CONTENT["systems"]} - {"ho2023_joint"} == {*config["experiments"]}
