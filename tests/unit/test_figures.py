"""Figures from small synthetic files of the layouts that the pipeline passes on: whole, right, and the same twice."""

import json
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import xarray as xr
from astropy.table import Table
from figures_inputs import FIGURES, RELATION, draw, laid_out, make_inputs, texts
from matplotlib.figure import Figure
from matplotlib.image import imread
from scipy import stats

from clustermass import figures
from clustermass.baselines.scaling_relations import count_rate_relation
from clustermass.errors import InputError
from clustermass.figures import output, style
from clustermass.figures._observed import read_masses
from clustermass.figures._predictions import binomial_band, conformal, conformal_error, coverage
from clustermass.io.netcdf import write_netcdf
from clustermass.io.provenance import provenance


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.mark.long
@pytest.mark.parametrize("name", FIGURES)
def test_same_bytes_twice_small_and_not_blank(name: str, inputs: Path, tmp_path: Path) -> None:
    first, again = ({kind: tmp_path / run / f"{name}.{kind}" for kind in output.KINDS} for run in "ab")
    draw(name, inputs, **first, dpi=60)
    with matplotlib.rc_context({"lines.linewidth": 9, "axes.facecolor": "red", "svg.hashsalt": None}):
        draw(name, inputs, **again, dpi=60)
    for kind in output.KINDS:
        assert first[kind].read_bytes() == again[kind].read_bytes(), kind
    assert first["svg"].stat().st_size < 300_000
    assert b"<dc:date>" not in first["svg"].read_bytes()
    assert b"CreationDate" not in first["pdf"].read_bytes()
    assert imread(first["png"])[..., :3].std() > 0.05
    assert {path.suffix for path in first["svg"].parent.iterdir()} == {".svg", ".png", ".pdf"}


@pytest.mark.parametrize("name", figures.__all__)
def test_every_figure_is_a_public_function_with_a_docstring(name: str) -> None:
    function = getattr(figures, name)
    assert function.__name__ == name
    assert function.__doc__.startswith("Return ")


def test_data_in_memory_give_the_figure_of_the_files(inputs: Path, tmp_path: Path) -> None:
    from_files = draw("calibration", inputs, png=tmp_path / "files.png")
    data, metrics = xr.load_dataset(inputs / "predictions.nc"), json.loads((inputs / "metrics.json").read_text())
    in_memory = figures.calibration(data, metrics, png=tmp_path / "memory.png")
    assert texts(in_memory) == texts(from_files)
    np.testing.assert_array_equal(imread(tmp_path / "memory.png"), imread(tmp_path / "files.png"))
    with pytest.raises(InputError, match=r"the data in memory: lacks the variable.s. pit"):
        figures.calibration(data.drop_vars("pit"), metrics)


def test_a_figure_keeps_its_style_in_a_notebook(inputs: Path) -> None:
    shown = draw("predictions", inputs)._repr_png_()
    with matplotlib.rc_context({"xtick.major.size": 30, "text.color": "red"}):
        assert draw("predictions", inputs)._repr_png_() == shown
    assert shown.startswith(b"\x89PNG")


def test_a_style_sheet_needs_no_latex_and_must_be_text(inputs: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "science.mplstyle"
    sheet.write_text("text.usetex: True\ntext.latex.preamble: \\\\input{/etc/hostname}\nlines.linewidth: 3\n")
    draw("baselines", inputs, svg=tmp_path / "a.svg", style=sheet)
    assert (tmp_path / "a.svg").stat().st_size > 1000
    sheet.write_bytes("# grün\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"style: .*science\.mplstyle can't be read \(.*utf-8"):
        draw("baselines", inputs, svg=tmp_path / "b.svg", style=sheet)
    with sheet.open("wb") as stream:
        stream.truncate(10**6 + 1)
    with pytest.raises(InputError, match=r"science\.mplstyle: more than 1000000 bytes in a style sheet"):
        draw("baselines", inputs, svg=tmp_path / "b.svg", style=sheet)
    assert not (tmp_path / "b.svg").exists()


def test_a_style_sheet_of_the_user_comes_on_top_and_is_named(inputs: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "mine.mplstyle"
    sheet.write_text("font.size: 11\nlegend.fontsize: 10\naxes.facecolor: FFEECC\n")
    plain, mine = (draw("baselines", inputs, svg=tmp_path / "a.svg", style=n) for n in (None, sheet))
    assert {axes.get_facecolor()[:3] for axes in plain.axes if axes.axison} == {(1.0, 1.0, 1.0)}
    assert matplotlib.colors.to_rgb("#FFEECC") in {axes.get_facecolor()[:3] for axes in mine.axes}
    printed = next(text for text in mine.axes[0].texts if "±" in text.get_text())
    assert printed.get_fontsize() == 10
    assert "mine.mplstyle" in (tmp_path / "a.svg").read_text()


def test_a_failure_while_writing_leaves_no_half_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(_: Figure, path: Path, **__: object) -> None:
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(Figure, "savefig", full_disk)
    with pytest.raises(OSError, match="No space left"):
        output.save(Figure(), {"svg": tmp_path / "a.svg", "png": tmp_path / "a.png"}, 60, "test")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_smallest_samples_are_drawn(tmp_path: Path) -> None:
    make_inputs(tmp_path, {"train": 2, "val": 1, "test": 1}, n_detection=3, n_observed=1)
    for name in FIGURES:
        if name != "baselines":
            draw(name, tmp_path, png=tmp_path / f"{name}.png")
            assert (tmp_path / f"{name}.png").stat().st_size > 0


def test_clusters_without_a_count_rate_keep_their_place_against_redshift(inputs: Path) -> None:
    data = Table.read(inputs / "masses_True.fits")
    for missing, remark in ((9, "n = 81 with a count rate"), (91, "n = 0 with a count rate")):
        data["ML_RATE"][:missing] = np.nan
        printed = texts(laid_out(figures.observed(data, RELATION)))
        assert any(text.startswith(remark) for text in printed)
        assert not any("nan" in text for text in printed)


def test_predictions_prints_sample_size_and_scatter(inputs: Path, tmp_path: Path) -> None:
    printed = texts(draw("predictions", inputs))
    with xr.open_dataset(inputs / "predictions.nc") as data:
        for split, n in (("train", 600), ("test", 140)):
            rows = data["split"].values == split
            residual = data["mu"].values[rows] - data["log10_m500c"].values[rows]
            scatter = np.sqrt(np.mean(residual**2) - np.mean(residual) ** 2)
            expected = f"n = {n}\nscatter {scatter:.3f} dex ({100 * np.log(10) * scatter:.0f} %)"
            assert any(text.startswith(expected) for text in printed)
        sigma = data["sigma_calibrated"].values[data["split"].values == "test"].mean()
        assert f"expected from $\\sigma$\n(mean {sigma:.3f} dex)" in printed


def test_percent_of_the_paper() -> None:
    assert style.percent(0.188) == pytest.approx(43.3, abs=0.05)  # design: 0.188 dex = 43 %


def test_coverage_of_a_gaussian_is_nominal_and_inside_the_band() -> None:
    quantiles = stats.norm.ppf((np.arange(1000) + 0.5) / 1000)
    levels = np.array([0.1, 0.5, 0.6827, 0.95])
    np.testing.assert_allclose(coverage(quantiles, levels), levels, atol=0.002)
    np.testing.assert_allclose(coverage(2 * quantiles, np.array([0.95])), 2 * stats.norm.cdf(1.96 / 2) - 1, atol=0.002)
    low, high = binomial_band(1000, levels)
    # the normal approximation of the binomial
    np.testing.assert_allclose(high - low, 2 * 1.96 * np.sqrt(levels * (1 - levels) / 1000), rtol=0.08)


def test_clusters_with_a_mass_are_read_with_their_flags(inputs: Path) -> None:
    table = read_masses(inputs / "masses_True.fits")
    by_rate = count_rate_relation(table["Z"].values, RELATION).log10_mass(table["ML_RATE"].values)
    # the synthetic masses scatter by 0.1 dex about the relation, 0.05 dex above it
    assert np.std(table["LOGM500"].values - by_rate) == pytest.approx(0.1, rel=0.2)
    assert np.mean(table["LOGM500"].values - by_rate) == pytest.approx(0.05, abs=0.03)
    assert (table.sizes["cluster"], table.attrs["without_mass"], table["FLAG_OOD"].values.sum()) == (90, 1, 6)


@pytest.mark.parametrize("simulated", [True, False])
def test_simulated_fields_are_marked(simulated: bool, inputs: Path, tmp_path: Path) -> None:
    (tmp_path / "masses_True.fits").write_bytes((inputs / f"masses_{simulated}.fits").read_bytes())
    printed = texts(draw("observed", tmp_path))
    assert any(text.startswith("simulated field") for text in printed) is simulated
    assert any(text.endswith("n = 90 with a mass (1 more without)") for text in printed)
    assert "published mass, n = 30" in printed


def test_empty_inputs_are_refused(inputs: Path, tmp_path: Path) -> None:
    make_inputs(tmp_path, {"train": 3, "val": 1, "test": 0}, n_detection=3, n_observed=0)
    out = {"svg": tmp_path / "a.svg", "png": tmp_path / "a.png"}
    with pytest.raises(InputError, match=r"predictions.nc: no cluster of the test set"):
        figures.predictions(tmp_path / "predictions.nc", **out)
    with pytest.raises(InputError, match="no cluster of the test set"):
        figures.calibration(tmp_path / "predictions.nc", tmp_path / "metrics.json", **out)
    with pytest.raises(InputError, match="no cluster of the test set"):
        figures.bias(tmp_path / "predictions.nc", tmp_path / "baselines.nc", **out)
    with pytest.raises(InputError, match="too few to compare predictors"):
        figures.baselines(tmp_path / "metrics.json", **out)
    with pytest.raises(InputError, match="no ensemble member"):
        figures.training([], **out)
    with pytest.raises(InputError, match="without a single halo"):
        figures.sample([], inputs / "ensemble.nc", **out)
    with pytest.raises(InputError, match="no test cluster with a mass"):
        figures.energy_bands([], inputs / "split.nc", **out)
    with pytest.raises(InputError, match="no such file"):
        figures.calibration(tmp_path / "nothing.nc", inputs / "metrics.json", **out)
    with pytest.raises(InputError, match="no readable metrics"):
        figures.calibration(inputs / "predictions.nc", tmp_path / "nothing.json", **out)
    assert not (tmp_path / "a.svg").exists()


def test_field_without_a_mass_has_a_figure_that_says_so(tmp_path: Path) -> None:
    make_inputs(tmp_path, {"train": 3, "val": 1, "test": 1}, n_detection=3, n_observed=0)
    out = {"svg": tmp_path / "a.svg", "png": tmp_path / "a.png"}
    figures.observed(tmp_path / "masses_True.fits", RELATION, **out)
    assert "none of 1 clusters has a mass" in (tmp_path / "a.svg").read_text()


def test_values_that_are_not_finite_are_refused(inputs: Path, tmp_path: Path) -> None:
    data = xr.load_dataset(inputs / "predictions.nc")
    data["mu"].values[data["split"].values == "test"] = np.nan
    write_netcdf(data, tmp_path / "predictions.nc", "test", provenance("test", {}))
    with pytest.raises(InputError, match=r"mu holds numbers that"):
        figures.calibration(tmp_path / "predictions.nc", inputs / "metrics.json")


def test_bins_are_labelled_by_their_edges_and_numbers(inputs: Path, tmp_path: Path) -> None:
    printed = texts(draw("calibration", inputs))
    assert {"13.5", "14.0", "14.5", "0.15", "0.3", "0.45", "0.6", "50", "100", "200", "500"} <= set(printed)
    assert not any("nan" in text or "None" in text for text in printed)
    with xr.open_dataset(inputs / "predictions.nc") as data:
        counts = data["ml_cts"].values[data["split"].values == "test"]
    assert str(((counts >= 50) & (counts < 100)).sum()) in printed


def test_conformal_shares_by_hand() -> None:
    truth, low, high = np.array([1.0, 2.0, 3.0, 4.0]), np.full((2, 4), 1.5), np.full((2, 4), 3.5)
    low[1], high[1] = np.nan, np.nan
    columns = {"conformal_low": (("level", "cluster"), low), "conformal_high": (("level", "cluster"), high)}
    test = xr.Dataset({"log10_m500c": ("cluster", truth), **columns}, {"level": [68, 95]})
    assert conformal(test) == {0.68: 0.5}


def test_error_of_a_conformal_share_has_both_its_parts() -> None:
    """Intervals from 50 values, whose share is measured on 80 others, many times over."""
    rng = np.random.default_rng(7)
    known, tested = np.abs(rng.normal(size=(4000, 50))), np.abs(rng.normal(size=(4000, 80)))
    half_width = np.quantile(known, 0.68, axis=1, method="higher")
    shares = (tested <= half_width[:, None]).mean(axis=1)
    assert conformal_error(np.array([0.68]), 50, 80)[0] == pytest.approx(shares.std(), rel=0.05)


def test_baselines_stand_in_two_groups_and_each_is_sorted(inputs: Path) -> None:
    figure = draw("baselines", inputs)
    scatter, ratio = figure.axes[:2]
    lines = [label.get_text() for label in scatter.get_yticklabels()]
    assert (lines[0], lines[7]) == ("an observer can:", "needs the simulation's truth:")
    assert lines[1] == "network ensemble"  # 0.143 dex, less than all that an observer could do otherwise
    assert all(label.startswith("true luminosity") for label in lines[8:]) and len(lines) == 11
    values = {round(float(line.get_ydata()[0])): float(line.get_xdata()[0]) for line in scatter.lines[2::2]}
    for group in (range(1, 7), range(8, 11)):
        assert [values[place] for place in group] == sorted(values[place] for place in group)
    for axes, number in ((scatter, 9), (ratio, 8)):
        assert sum(" ± " in text.get_text() for text in axes.texts) == number
    assert "0.143 ± 0.006" in {text.get_text() for text in scatter.texts}


def test_one_network_has_no_median(inputs: Path) -> None:
    one, six = (figures.training(sorted(inputs.glob("member_*.nc"))[:n]) for n in (1, 6))
    assert not any("median" in text or "member" in text for text in texts(one))
    assert {"training, median", "validation, each member", "6 networks"} <= set(texts(six))
    heights = [axes.get_subplotspec().get_gridspec().get_height_ratios() for axes in one.axes]
    assert heights[0] == [4.5, 1]  # the learning rate is a strip below


def test_masses_have_errors_a_symbol_for_each_flag_and_a_place_on_the_sky(inputs: Path) -> None:
    data = Table.read(inputs / "masses_False.fits")
    data["FLAG_EDGE"][:2], data["RA"] = 1, (data["RA"] + 224) % 360  # across RA = 0
    figure = figures.observed(data, RELATION)
    redshift, _, sky = figure.axes[:3]
    bars = redshift.collections[0].get_segments()
    np.testing.assert_allclose([np.ptp(bar[:, 1]) for bar in bars], 2 * data["LOGM500_ERR"][:90], rtol=1e-5)
    marks = {line.get_label(): line for line in sky.lines}
    assert marks["near the edge of the field, n = 2"].get_marker() == "^"
    assert marks["out-of-distribution, n = 6"].get_marker() == "D"
    assert np.ptp(sky.collections[0].get_offsets()[:, 0]) < 21
    assert sky.xaxis_inverted()


def test_coverage_of_both_intervals_is_in_the_legend(inputs: Path) -> None:
    figure = draw("calibration", inputs)
    legend = {text.get_text() for text in figure.legends[0].get_texts()}
    assert legend == {f"{level} % interval: {kind}" for level in (68, 95) for kind in ("nominal", "measured")}
    (bars,) = (c for axes in figure.axes for c in axes.containers if c.get_label() == "conformal, ± its error")
    assert len(bars.lines[2][0].get_segments()) == 3
    assert any("conformal 68 %:\n" in text and "±" in text for text in texts(figure))
