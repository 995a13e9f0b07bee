"""The table of key figures, also without count rates; time and memory of steps from Snakemake's benchmark files."""

import json

import pytest
from cards_inputs import write_field

from clustermass.report.console import headline
from clustermass.report.summary import costs_by_step, folders_of, key_figures, summarise

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
HEAD = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
CONFIG = {
    "run": "r",
    "skies": {"tiny": {}, "tiny_observed": {}, "unused": {}},
    "preprocessing": {"central": {}},
    "experiments": {"fiducial": {"sky": "tiny", "test_skies": ["further"]}, "other": {}},
    "observed": {"fields": ["tiny_observed"]},
}


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
    assert "clusters.html" not in printed
    (tmp_path / "clusters.html").touch()
    headline(tmp_path)
    assert f"open {tmp_path / 'clusters.html'} in a browser" in capsys.readouterr().out
    assert "0.980 ± 0.010" in printed
    write_field(tmp_path)
    headline(tmp_path)
    line = "Field field, experiment fiducial: 5 of 6 clusters have a mass, 1 have none (no redshift: 1); 0 of the "
    assert line in capsys.readouterr().out
    assert "0.988" in printed


def test_images_without_counts_have_no_ridge_and_say_what_is_left_out(tmp_path, capsys):
    rate = {name: ratio for name, ratio in METRICS["ratios"].items() if "rate" in name}
    content = {**METRICS, "ratios": rate, "baselines_left_out": {"ridge_features": "no counts"}}
    (tmp_path / "metrics.json").write_text(json.dumps(content))
    assert key_figures(tmp_path / "metrics.json")["left_out"] == {"ridge_features": "no counts"}
    summarise({"fiducial": tmp_path / "metrics.json"}, {}, tmp_path / "summary.json")
    headline(tmp_path)
    assert "no photon counts" in capsys.readouterr().out


def test_further_skies_and_experiments_are_rows_of_a_table_for_80_columns(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "metrics.json").write_text(json.dumps(METRICS))
    further = {**METRICS, "n_train": 0, "n_test": 4480, "test": {**METRICS["test"], "scatter_dex": 0.1442}}
    (tmp_path / "further.json").write_text(json.dumps(further))
    skies = {"fiducial": {"further": tmp_path / "further.json"}}
    experiments = {name: tmp_path / "metrics.json" for name in ("fiducial", *"abcdefgh", "krippendorf2023")}
    summarise(experiments, {}, tmp_path / "summary.json", skies)
    headline(tmp_path)
    printed = capsys.readouterr().out.splitlines()
    assert max(map(len, printed[:-1])) <= 80
    rows = [line for line in printed if " ± " in line]
    assert len(rows) == 11
    assert " ".join(rows[0].split()) == "fiducial: 30 0.150 ± 0.015 0.900 ± 0.050 0.980 ± 0.010 70 %"
    assert " ".join(rows[1].split()).startswith("fiducial on 0.144 ± 0.015")
    assert "further: 4480" in printed[printed.index(rows[1]) + 1]


def job(path, seconds, memory="100.5", cpu="2.5"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{HEAD}{seconds}\t0:00:01\t{memory}\t1\t1\t1\t0\t0\t50\t{cpu}\n")


def test_jobs_are_summed_up_by_step_whatever_follows_its_name(tmp_path):
    job(tmp_path / "r/fiducial/benchmarks/train_member_00.tsv", 10, memory=600)
    job(tmp_path / "r/fiducial/benchmarks/train_member_01.tsv", 30, memory=700)
    job(tmp_path / "r/fiducial/benchmarks/train_members_00_17.tsv", 5)
    job(tmp_path / "r/benchmarks/split_sample_tiny.tsv", 0.5, memory="NA", cpu="NA")
    job(tmp_path / "r/fiducial/benchmarks/infer_observed_tiny_observed.tsv", 2)
    job(tmp_path / "r/benchmarks/report.tsv", 99)
    job(tmp_path / "skies/tiny/01/benchmarks/smooth_images_central.tsv", 1)
    job(tmp_path / "skies/unused/01/benchmarks/smooth_images_central.tsv", 1000)
    steps = costs_by_step(folders_of(CONFIG, tmp_path), CONFIG)
    assert [row["step"] for row in steps] == [
        "train_member", "train_members", "infer_observed", "smooth_images", "split_sample",
    ]  # fmt: skip
    trained, split = steps[0], steps[-1]
    assert (trained["jobs"], trained["seconds"], trained["seconds_median"], trained["seconds_max"]) == (2, 40, 20, 30)
    assert (trained["cpu_seconds"], trained["megabytes_max"]) == (5, 700)
    assert (split["cpu_seconds"], split["megabytes_max"]) == (None, None)


def test_jobs_of_image_sets_count_with_the_others(tmp_path):
    job(tmp_path / "skies/tiny/01/benchmarks/extract_images.tsv", 1)
    job(tmp_path / "skies/tiny/01/benchmarks_large_box/extract_images.tsv", 3)
    job(tmp_path / "skies/tiny/01/benchmarks_large_box/smooth_images_central.tsv", 2)
    steps = costs_by_step(folders_of(CONFIG, tmp_path), CONFIG)
    assert [(row["step"], row["jobs"], row["seconds"]) for row in steps] == [
        ("extract_images", 2, 4), ("smooth_images", 1, 2),
    ]  # fmt: skip


def test_the_folders_of_a_run_are_its_own_and_those_of_the_skies_that_it_uses(tmp_path):
    names = {path.relative_to(tmp_path).as_posix() for path in folders_of(CONFIG, tmp_path)}
    assert names == {"r", "skies/tiny", "skies/further", "skies/tiny_observed"}
