"""The closing table of a run, also of simulations that tell no count rates."""

import json

import pytest

from clustermass.report.key_figures import key_figures
from clustermass.report.summary import headline, summarise

METRICS = {
    "n_train": 100,
    "n_val": 20,
    "n_test": 30,
    "ensemble": {"n_members": 4},
    "test": {"scatter_dex": 0.15, "scatter_dex_ci68": [0.14, 0.17], "scatter_ln_percent": 34.5, "bias_dex": -0.01},
    "calibration": {"coverage68": 0.7, "coverage95": 0.94, "residual_std_over_mean_sigma": 0.9876},
    "ratios": {
        "network_over_count_rate_recalibrated": {"value": 0.9, "ci68": [0.85, 0.95]},
        "network_over_ridge_features": {"value": 0.98, "ci68": [0.97, 0.99]},
    },
}
RIDGE = {"network_over_ridge_features": METRICS["ratios"]["network_over_ridge_features"]}


@pytest.mark.parametrize(("ratios", "shown"), [(METRICS["ratios"], "0.900 ± 0.050"), (RIDGE, "no count rates")])
def test_table_with_and_without_count_rates(tmp_path, capsys, ratios, shown):
    (tmp_path / "metrics.json").write_text(json.dumps({**METRICS, "ratios": ratios}))
    figures = key_figures(tmp_path / "metrics.json")
    assert (figures["over_count_rate"] is None) == ("no" in shown)
    masses = {"fiducial": {"field": tmp_path / "masses.fits"}}
    summarise({"fiducial": tmp_path / "metrics.json"}, masses, tmp_path / "summary.json")
    headline(tmp_path)
    printed = capsys.readouterr().out
    assert shown in printed
    assert "0.150 ± 0.015 dex (34 %)" in printed
    assert "masses.fits" in printed
    assert "0.980 ± 0.010" in printed
    assert "0.988" in printed


def test_images_without_counts_have_no_ridge_and_say_what_is_left_out(tmp_path, capsys):
    rate = {name: ratio for name, ratio in METRICS["ratios"].items() if "rate" in name}
    content = {**METRICS, "ratios": rate, "baselines_left_out": {"ridge_features": "no counts"}}
    (tmp_path / "metrics.json").write_text(json.dumps(content))
    assert key_figures(tmp_path / "metrics.json")["left_out"] == {"ridge_features": "no counts"}
    summarise({"fiducial": tmp_path / "metrics.json"}, {}, tmp_path / "summary.json")
    headline(tmp_path)
    assert "no photon counts" in capsys.readouterr().out


def test_further_skies_stand_beside_the_experiment(tmp_path, capsys):
    (tmp_path / "metrics.json").write_text(json.dumps(METRICS))
    further = {**METRICS, "n_train": 0, "n_test": 4480, "test": {**METRICS["test"], "scatter_dex": 0.1442}}
    (tmp_path / "further.json").write_text(json.dumps(further))
    skies = {"fiducial": {"further": tmp_path / "further.json"}}
    summarise({"fiducial": tmp_path / "metrics.json"}, {}, tmp_path / "summary.json", skies)
    headline(tmp_path)
    printed = capsys.readouterr().out
    assert "fiducial on further" in printed
    assert "100 / 4480" in printed
    assert "0.144 ± 0.015 dex" in printed
