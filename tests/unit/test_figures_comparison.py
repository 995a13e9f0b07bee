"""Experiments side by side: the numbers of their metrics, at the right places of the right figures."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comparison_inputs import BASELINES, content, make_run
from figures_inputs import laid_out, texts
from matplotlib.figure import Figure
from matplotlib.image import imread

from clustermass import figures
from clustermass.errors import InputError
from clustermass.io.files import write_json
from clustermass.report.summary import compared, key_figures

PLOTS = {"comparison": figures.comparison, "learning_curve": figures.learning_curve}


@pytest.fixture
def run(tmp_path: Path) -> tuple[list[Path], list[dict[str, Any]]]:
    return make_run(tmp_path)


def family(run: tuple[list[Path], list[dict[str, Any]]]) -> tuple[list[Path], list[dict[str, Any]]]:
    """Rows of the learning curve."""
    pairs = [pair for pair in zip(*run, strict=True) if pair[1]["family"]]
    return [path for path, _ in pairs], [row for _, row in pairs]


def drawn(name: str, paths: Any, rows: Any) -> Figure:
    return laid_out(PLOTS[name](paths, rows))


def marks(axes: Any) -> dict[tuple[float, str], float]:
    """Value of each single mark of a panel by height and marker."""
    lines = [line for line in axes.lines if len(line.get_xdata()) == 1]
    return {(round(float(line.get_ydata()[0]), 2), line.get_marker()): float(line.get_xdata()[0]) for line in lines}


@pytest.mark.parametrize("name", PLOTS)
def test_same_bytes_twice_small_and_not_blank(name: str, run: Any, tmp_path: Path) -> None:
    paths, rows = run if name == "comparison" else family(run)
    for part in "ab":
        PLOTS[name](paths, rows, svg=tmp_path / part / "x.svg", png=tmp_path / part / "x.png", dpi=60)
    for suffix in ("svg", "png"):
        assert (tmp_path / f"a/x.{suffix}").read_bytes() == (tmp_path / f"b/x.{suffix}").read_bytes()
    assert (tmp_path / "a/x.svg").stat().st_size < 300_000
    assert imread(tmp_path / "a/x.png")[..., :3].std() > 0.05


def test_key_figures_are_those_of_the_file(tmp_path: Path) -> None:
    write_json(content(0.15, 1000, 400), tmp_path / "metrics.json")
    found = key_figures(tmp_path / "metrics.json")
    assert found["over_trees"] == pytest.approx(0.15 / BASELINES["boosted_trees"])
    assert found["over_count_rate"] == pytest.approx(0.15 / BASELINES["count_rate_recalibrated"])
    assert (found["n_train"], found["n_members"], found["coverage68_ci68"]) == (1000, 6, [0.65, 0.69])
    assert found["isolated"]["n_test"] == 360
    assert found["isolated"]["over_ridge"] == pytest.approx(0.96 * 0.15 / BASELINES["ridge_features"])
    bare = content(0.15, 1000, 400, isolated=False)
    del bare["ratios"]["network_over_count_rate_recalibrated"]
    write_json(bare, tmp_path / "metrics.json")
    found = key_figures(tmp_path / "metrics.json")
    assert (found["isolated"], found["over_count_rate"], found["over_count_rate_ci68"]) == (None, None, None)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    broken = content(0.15, 1000, 400)
    del broken["calibration"]
    write_json(broken, tmp_path / "metrics.json")
    with pytest.raises(InputError, match=r"metrics\.json: no readable metrics .KeyError: 'calibration'."):
        key_figures(tmp_path / "metrics.json")
    (tmp_path / "metrics.json").write_text("{")
    with pytest.raises(InputError, match=r"metrics\.json: no readable metrics"):
        key_figures(tmp_path / "metrics.json")
    with pytest.raises(InputError, match="no readable metrics"):
        key_figures(tmp_path / "absent.json")


def test_further_skies_state_the_training_clusters_of_their_experiment(run: Any) -> None:
    found = compared(*run)
    assert [row["n_train"] for row in found] == [1972, 1972, 250, 250, 1000, 1000, 1972, 1972, 1972, 1972]
    assert [row["n_test"] for row in found] == 5 * [395, 4480]


def test_each_value_stands_in_its_line_and_panel(run: Any) -> None:
    figure = drawn("comparison", *run)
    lines = [place for place in figure.axes[0].get_yticks()]
    rows = compared(*run)
    assert len(lines) == len(rows) == 10
    assert (np.diff(lines) > 0).all()
    for axes, key in zip(figure.axes, ("scatter_dex", "over_count_rate", "over_ridge"), strict=True):
        found = marks(axes)
        for place, row in zip(lines, rows, strict=True):
            if row["control"] != "none":
                continue
            marker = "D" if row["sky"] else "o"
            assert found[round(place - 0.22, 2), marker] == row[key]
            alone = found.get((round(place + 0.22, 2), marker))
            assert alone == (row["isolated"][key] if row["isolated"] else None)


def test_numbers_samples_and_trainings_are_printed(run: Any) -> None:
    printed = texts(drawn("comparison", *run))
    half = 0.1 / 395**0.5
    assert f"0.1440 ± {half:.4f}" in printed
    assert f"{0.144 / BASELINES['ridge_features']:.3f} ± {6 * half:.3f}" in printed
    assert {"6 networks, 50 epochs, 1972 clusters", "3 networks, 50 epochs, 250 clusters"} < set(printed)
    assert {"blind", "1 network, 50 epochs, 1972 clusters", "control: noise images"} < set(printed)
    assert {"own test set\nn = 395", "further\nn = 4480"} < set(printed)
    assert {"of another sky", "isolated clusters only", "control"} < set(printed)


def test_controls_dont_stretch_the_panels(run: Any) -> None:
    paths, rows = run
    with_control = drawn("comparison", paths, rows)
    without = drawn("comparison", paths[:-2], rows[:-2])
    for one, other in zip(with_control.axes, without.axes, strict=True):
        assert one.get_xlim() == other.get_xlim()
    arrows = [key for key in marks(with_control.axes[0]) if key[1] == ">"]
    assert len(arrows) == 4
    alone = drawn("comparison", paths[-2:], rows[-2:])
    assert not [key for key in marks(alone.axes[0]) if key[1] == ">"]
    assert alone.axes[0].get_xlim()[0] < 0.22 < 0.24 < alone.axes[0].get_xlim()[1]


def test_every_bar_is_whole_and_the_line_of_equal_scatter_is_labelled(run: Any) -> None:
    figure = drawn("comparison", *run)
    for axes in figure.axes:
        low, high = axes.get_xlim()
        bars = [line.get_xdata() for line in axes.lines if len(line.get_xdata()) == 2 and line.get_linewidth() == 1.2]
        assert len(bars) > 10
        assert all(low < min(bar) and max(bar) < high for bar in bars)
    for axes in figure.axes[1:]:
        assert 1.0 in axes.get_xticks()
        assert [text.get_position()[0] for text in axes.texts if text.get_text() == "equal"] == [1]


def test_too_few_test_clusters_leave_a_line_empty(run: Any) -> None:
    paths, rows = run
    tiny = json.loads(paths[2].read_text())
    for part in (tiny["test"], tiny["test"]["isolated"], *tiny["ratios"].values()):
        part.update(scatter_dex=None, scatter_dex_ci68=None, value=None, ci68=None)
    tiny["test"]["isolated"]["ratios"] = {}
    write_json(tiny, paths[2])
    figure = drawn("comparison", paths, rows)
    place = figure.axes[0].get_yticks()[2]
    assert [height for height, _ in marks(figure.axes[0]) if abs(height - place) < 0.4] == []
    assert not any("None" in text or "nan" in text for text in texts(figure))


def test_learning_curves_rise_to_the_left_for_each_sample(run: Any) -> None:
    figure = drawn("learning_curve", *family(run))
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["fiducial: test set of the training sky, n = 395", "fiducial: sky further, n = 4480"]
    for axes, factor in zip(figure.axes, (1.0, 0.99), strict=True):
        curves = {c.get_label(): c.lines[0] for c in axes.containers}
        assert len(curves) == 4
        network = curves["network ensemble"]
        np.testing.assert_allclose(network.get_xdata(), [250, 1000, 1972], rtol=0.05)
        np.testing.assert_allclose(network.get_ydata(), np.multiply([0.167, 0.15, 0.144], factor))
        ridge = curves["ridge regression on hand-made features"].get_ydata()
        np.testing.assert_allclose(ridge, BASELINES["ridge_features"] * (1972 / np.array([250, 1000, 1972])) ** 0.02)
        assert axes.get_xscale() == "log"
        assert [label.get_text() for label in axes.get_xticklabels()] == ["250", "1,000", "1,972"][::-1]


def test_baselines_that_a_size_lacks_are_left_out(run: Any) -> None:
    paths, rows = family(run)
    lacking = json.loads(paths[0].read_text())
    del lacking["baselines"]["count_rate_recalibrated"]
    write_json(lacking, paths[0])
    own, further = drawn("learning_curve", paths, rows).axes
    assert (len(own.containers), len(further.containers)) == (3, 4)


def test_nothing_to_compare_is_refused(run: Any, tmp_path: Path) -> None:
    out = {"svg": tmp_path / "a.svg", "dpi": 60}
    with pytest.raises(InputError, match="no experiment to compare"):
        figures.comparison([], [], **out)
    paths, rows = family(run)
    with pytest.raises(InputError, match="two experiments that differ only in train_clusters"):
        figures.learning_curve(paths[:2], rows[:2], **out)
    with pytest.raises(InputError, match="no learning curve"):
        figures.learning_curve([], [], **out)
    assert not out["svg"].exists()
