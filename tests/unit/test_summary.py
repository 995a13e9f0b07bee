"""The closing table of a run, also of simulations that tell no count rates."""

import json

import pytest

from clustermass.summary import headline, key_figures, summarise

METRICS = {
    "n_train": 100,
    "n_val": 20,
    "n_test": 30,
    "ensemble": {"n_members": 4},
    "test": {"scatter_dex": 0.15, "scatter_dex_ci68": [0.14, 0.17], "scatter_ln_percent": 34.5, "bias_dex": -0.01},
    "calibration": {"coverage68": 0.7},
    "ratios": {"network_over_count_rate_recalibrated": {"value": 0.9, "ci68": [0.85, 0.95]}},
}


@pytest.mark.parametrize(
    ("ratios", "shown"), [(METRICS["ratios"], "0.900 ± 0.050"), ({"network_over_prior": {}}, "no count rates")]
)
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
