"""Figures from small synthetic files of the layouts that the pipeline passes on: whole, right, and the same twice."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest
import xarray as xr
from figures_inputs import FIGURES, RELATION, caught, draw, make_inputs, texts
from matplotlib.figure import Figure
from matplotlib.image import imread
from scipy import stats

from clustermass.baselines.scaling_relations import count_rate_relation
from clustermass.errors import InputError
from clustermass.figures import style
from clustermass.figures.baselines import plot_baselines
from clustermass.figures.bias import binned, expected_bias, mass_bins, plot_bias, residuals_of_test_set
from clustermass.figures.observed import count_rates, plot_observed, read_masses
from clustermass.figures.predictions import binomial_band, conformal, coverage, plot_calibration, plot_predictions
from clustermass.figures.sample import (
    brightest_test_cluster,
    pixels_of,
    plot_energy_bands,
    plot_sample,
    read_haloes,
)
from clustermass.figures.training import plot_training
from clustermass.io.netcdf import write_netcdf
from clustermass.io.provenance import provenance


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_inputs(tmp_path_factory.mktemp("inputs"))


def printed_on(name: str, inputs: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All texts of a figure that is drawn from `inputs`."""
    return texts(caught(monkeypatch, lambda: draw(name, inputs, inputs / "a.svg", inputs / "a.png")))


@pytest.mark.parametrize("name", FIGURES)
def test_same_bytes_twice_small_and_not_blank(name: str, inputs: Path, tmp_path: Path) -> None:
    files = [(tmp_path / run / f"{name}.svg", tmp_path / run / f"{name}.png") for run in "ab"]
    for svg, png in files:
        draw(name, inputs, svg, png)
    (svg, png), (svg_again, png_again) = files
    assert svg.read_bytes() == svg_again.read_bytes()
    assert png.read_bytes() == png_again.read_bytes()
    assert svg.stat().st_size < 300_000
    assert b"<dc:date>" not in svg.read_bytes()
    assert imread(png)[..., :3].std() > 0.05
    assert sorted(path.name for path in svg.parent.iterdir()) == [png.name, svg.name]


def test_user_settings_do_not_shine_through(inputs: Path, tmp_path: Path) -> None:
    draw("calibration", inputs, tmp_path / "a.svg", tmp_path / "a.png")
    with matplotlib.rc_context({"lines.linewidth": 9, "axes.facecolor": "red", "svg.hashsalt": None}):
        draw("calibration", inputs, tmp_path / "b.svg", tmp_path / "b.png")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_failure_while_writing_leaves_no_half_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(_: Figure, path: Path, **__: object) -> None:
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(Figure, "savefig", full_disk)
    with pytest.raises(OSError, match="No space left"):
        style.save(Figure(), {"svg": tmp_path / "a.svg", "png": tmp_path / "a.png"}, 60, "test")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_smallest_samples_are_drawn(tmp_path: Path) -> None:
    make_inputs(tmp_path, {"train": 2, "val": 1, "test": 1}, n_detection=3, n_observed=1)
    for name in FIGURES:
        if name != "baselines":
            draw(name, tmp_path, tmp_path / f"{name}.svg", tmp_path / f"{name}.png")
            assert (tmp_path / f"{name}.png").stat().st_size > 0


def test_clusters_without_a_count_rate_keep_their_place_against_redshift(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "masses_True.fits").write_bytes((inputs / "masses_True.fits").read_bytes())
    data = xr.load_dataset(inputs / "field.nc")
    for missing, remark in ((9, "n = 81 with a count rate"), (91, "n = 0 with a count rate")):
        data["ml_rate"].values[:missing] = np.nan
        write_netcdf(data, tmp_path / "field.nc", "test", provenance("test", {}))
        printed = printed_on("observed", tmp_path, monkeypatch)
        assert any(text.startswith(remark) for text in printed)
        assert not any("nan" in text for text in printed)


def test_predictions_prints_sample_size_and_scatter(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = printed_on("predictions", inputs, monkeypatch)
    with xr.open_dataset(inputs / "predictions.nc") as data:
        for split, n in (("train", 600), ("test", 140)):
            rows = data["split"].values == split
            residual = data["mu"].values[rows] - data["log10_m500c"].values[rows]
            scatter = np.sqrt(np.mean(residual**2) - np.mean(residual) ** 2)
            expected = f"n = {n}\nscatter {scatter:.3f} dex ({100 * np.log(10) * scatter:.0f} %)"
            assert any(text.startswith(expected) for text in printed)
        assert (
            f"mean $\\sigma$ {data['sigma_calibrated'].values[data['split'].values == 'test'].mean():.3f} dex"
            in printed
        )


def test_percent_of_the_paper() -> None:
    assert style.percent(0.188) == pytest.approx(43.3, abs=0.05)  # design: 0.188 dex = 43 %


def test_brightest_test_cluster_is_exposed_labelled_and_in_the_test_set(inputs: Path) -> None:
    chosen = brightest_test_cluster(sorted(inputs.glob("images_*.nc"), reverse=True), inputs / "split.nc")
    with xr.open_dataset(inputs / "split.nc") as table:
        split = dict(zip(table["cluster"].values.tolist(), table["split"].values.tolist(), strict=True))
    usable = {}
    for path in inputs.glob("images_*.nc"):
        with xr.open_dataset(path) as data:
            for i, name in enumerate(data["cluster"].values.tolist()):
                if split[name] == "test" and data["covered_fraction"].values[i] > 0.99:
                    usable[name] = data["ml_cts"].values[i]
    assert chosen["cluster"].item() == max(usable, key=lambda name: usable[name])


def test_coarse_counts_keep_every_photon_in_its_place() -> None:
    counts = np.zeros((1, 100, 100), dtype=np.uint16)
    counts[0, 7, 98] = 3  # 4th coarse row from the South, last coarse column to the West
    counts[0, 6, 99] = 2
    x = 12.0 * (np.arange(100) - 49.5)
    cluster = xr.Dataset({"counts": (("band", "y", "x"), counts)}, {"x": x, "y": x})
    coarse, half_width = pixels_of(cluster, 2)
    assert half_width == 600.0
    assert coarse.shape == (1, 50, 50)
    assert coarse[0, 3, 49] == 5
    assert coarse.sum() == 5


def test_west_is_drawn_to_the_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_inputs(tmp_path, n_detection=6)
    for path in tmp_path.glob("images_*.nc"):
        data = xr.load_dataset(path)
        data["counts"].values[:] = 0
        data["counts"].values[:, :, 90:, 80:90] = 7  # North-West: large y, large x
        write_netcdf(data, path, "test", provenance("test", {}))
    figure = caught(monkeypatch, lambda: draw("energy_bands", tmp_path, tmp_path / "a.svg", tmp_path / "a.png"))
    images = [image for axes in figure.axes for image in axes.get_images()]
    assert len(images) == 10
    assert images[0].get_extent() == [-600, 600, -600, 600]
    assert images[0].origin == "lower"
    assert np.asarray(images[0].get_array())[45:, 40:45].min() == 28.0


def test_energy_bands_titles_are_the_band_edges(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    printed = printed_on("energy_bands", inputs, monkeypatch)
    titles = [text for text in printed if text.endswith("keV")]
    assert titles == [f"{0.25 + 0.205 * k:.3f}–{0.25 + 0.205 * (k + 1):.3f} keV" for k in range(10)]


def test_haloes_of_all_realizations_are_counted(inputs: Path) -> None:
    z, mass = read_haloes(sorted(inputs.glob("truth_*.fits")))
    assert z.shape == mass.shape == (12_000,)


def test_mass_bins_hold_everything_and_none_is_thin() -> None:
    rng = np.random.default_rng(3)
    for n in (1, 7, 30, 400):
        mass = np.append(13 + rng.exponential(0.4, n), 15.0)
        edges = mass_bins(mass)
        number = np.histogram(mass, edges)[0]
        assert number.sum() == n + 1
        assert (np.diff(edges) > 0).all()
        assert len(number) == 1 or number.min() >= 8
        np.testing.assert_allclose(edges / 0.25, np.round(edges / 0.25))


def test_expected_bias_is_that_of_drawn_truths() -> None:
    """Many clusters of a Gaussian mass function: also the closed form, -shrinkage times the distance from the mean."""
    rng = np.random.default_rng(60)
    mu, sigma = rng.normal(14.1, 0.2, 200_000), np.full(200_000, 0.15)
    truth = mu + sigma * rng.normal(size=mu.size)
    edges = np.array([13.0, 13.8, 14.0, 14.1, 14.6, 15.3])
    found = expected_bias(mu, sigma, edges)
    shrinkage = 0.15**2 / (0.15**2 + 0.2**2)
    for low, high, value in zip(edges[:-1], edges[1:], found, strict=True):
        inside = (truth >= low) & (truth < high)
        assert value == pytest.approx(np.mean(mu[inside] - truth[inside]), abs=0.003)
        assert value == pytest.approx(-shrinkage * (truth[inside].mean() - 14.1), abs=0.003)
    # two clusters far from each other, by hand: the upper half of the first alone lies in the bin
    by_hand = expected_bias(np.array([14.0, 20.0]), np.array([0.1, 0.1]), np.array([14.0, 16.0]))
    assert by_hand == pytest.approx([-0.1 * np.sqrt(2 / np.pi)])


def test_binned_statistics_by_hand() -> None:
    mass = np.array([13.1, 13.2, 13.24, 13.3])
    residual = np.array([0.1, 0.2, 0.6, -0.4])
    mean, error, scatter, scatter_error = binned(mass, residual, np.array([13.0, 13.25, 13.5]))
    np.testing.assert_allclose(mean, [0.3, -0.4])
    np.testing.assert_allclose(scatter[0], np.sqrt((0.04 + 0.01 + 0.09) / 2))
    np.testing.assert_allclose(error[0], scatter[0] / np.sqrt(3))
    np.testing.assert_allclose(scatter_error[0], scatter[0] / 2)
    assert np.isnan(scatter[1])


def test_residuals_are_matched_by_id_not_by_row(inputs: Path, tmp_path: Path) -> None:
    _, expected, _ = residuals_of_test_set(inputs / "predictions.nc", inputs / "baselines.nc")
    turned = xr.load_dataset(inputs / "baselines.nc").isel(cluster=slice(None, None, -1))
    write_netcdf(turned, tmp_path / "baselines.nc", "test", provenance("test", {}))
    _, found, _ = residuals_of_test_set(inputs / "predictions.nc", tmp_path / "baselines.nc")
    for name in ("network", "ridge_features"):
        np.testing.assert_array_equal(found[name], expected[name])
    write_netcdf(turned.isel(cluster=slice(9, None)), tmp_path / "baselines.nc", "test", provenance("test", {}))
    with pytest.raises(InputError, match=r"lacks 9 test cluster\(s\)"):
        residuals_of_test_set(inputs / "predictions.nc", tmp_path / "baselines.nc")


def test_coverage_of_a_gaussian_is_nominal_and_inside_the_band() -> None:
    quantiles = stats.norm.ppf((np.arange(1000) + 0.5) / 1000)
    levels = np.array([0.1, 0.5, 0.6827, 0.95])
    np.testing.assert_allclose(coverage(quantiles, levels), levels, atol=0.002)
    np.testing.assert_allclose(coverage(2 * quantiles, np.array([0.95])), 2 * stats.norm.cdf(1.96 / 2) - 1, atol=0.002)
    low, high = binomial_band(1000, levels)
    # the normal approximation of the binomial
    np.testing.assert_allclose(high - low, 2 * 1.96 * np.sqrt(levels * (1 - levels) / 1000), rtol=0.08)


def test_count_rates_are_found_by_position(inputs: Path) -> None:
    table = read_masses(inputs / "masses_True.fits")
    rate = count_rates(table, inputs / "masses_True.fits", [inputs / "field.nc"])
    by_rate = count_rate_relation(table["Z"].values, RELATION).log10_mass(rate)
    # the synthetic masses scatter by 0.1 dex about the relation, 0.05 dex above it
    assert np.std(table["LOGM500"].values - by_rate) == pytest.approx(0.1, rel=0.2)
    assert np.mean(table["LOGM500"].values - by_rate) == pytest.approx(0.05, abs=0.03)
    assert (table.sizes["cluster"], table.attrs["without_mass"], table["flagged"].values.sum()) == (90, 1, 6)
    elsewhere = table.assign(DEC=table["DEC"] + 0.001)
    with pytest.raises(InputError, match=r"90 cluster\(s\) aren't among the detections"):
        count_rates(elsewhere, inputs / "masses_True.fits", [inputs / "field.nc"])


@pytest.mark.parametrize("simulated", [True, False])
def test_simulated_fields_are_marked(
    simulated: bool, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "masses_True.fits").write_bytes((inputs / f"masses_{simulated}.fits").read_bytes())
    (tmp_path / "field.nc").write_bytes((inputs / "field.nc").read_bytes())
    printed = printed_on("observed", tmp_path, monkeypatch)
    assert any(text.startswith("simulated field") for text in printed) is simulated
    assert any(text.endswith("n = 90 (1 more without redshift)") for text in printed)
    assert "published mass, n = 30" in printed


def test_empty_inputs_are_refused(inputs: Path, tmp_path: Path) -> None:
    make_inputs(tmp_path, {"train": 3, "val": 1, "test": 0}, n_detection=3, n_observed=0)
    out = {"svg": tmp_path / "a.svg", "png": tmp_path / "a.png", "dpi": 60}
    with pytest.raises(InputError, match=r"predictions.nc: no cluster of the test set"):
        plot_predictions(tmp_path / "predictions.nc", **out)
    with pytest.raises(InputError, match="no cluster of the test set"):
        plot_calibration(tmp_path / "predictions.nc", tmp_path / "metrics.json", **out)
    with pytest.raises(InputError, match="no cluster of the test set"):
        plot_bias(tmp_path / "predictions.nc", tmp_path / "baselines.nc", **out)
    with pytest.raises(InputError, match="too few to compare predictors"):
        plot_baselines(tmp_path / "metrics.json", **out)
    with pytest.raises(InputError, match="no ensemble member"):
        plot_training([], **out)
    with pytest.raises(InputError, match="without a single halo"):
        plot_sample([], inputs / "ensemble.nc", **out)
    with pytest.raises(InputError, match="no test cluster with a mass"):
        plot_energy_bands([], inputs / "split.nc", **out)
    with pytest.raises(InputError, match="no such file"):
        plot_calibration(tmp_path / "nothing.nc", inputs / "metrics.json", **out)
    with pytest.raises(InputError, match="no readable metrics"):
        plot_calibration(inputs / "predictions.nc", tmp_path / "nothing.json", **out)
    assert not (tmp_path / "a.svg").exists()


def test_field_without_a_mass_has_a_figure_that_says_so(tmp_path: Path) -> None:
    make_inputs(tmp_path, {"train": 3, "val": 1, "test": 1}, n_detection=3, n_observed=0)
    out = {"svg": tmp_path / "a.svg", "png": tmp_path / "a.png", "dpi": 60}
    plot_observed(tmp_path / "masses_True.fits", [tmp_path / "field.nc"], RELATION, **out)
    assert "none of 1 clusters has a mass" in (tmp_path / "a.svg").read_text()


def test_values_that_are_not_finite_are_refused(inputs: Path, tmp_path: Path) -> None:
    data = xr.load_dataset(inputs / "predictions.nc")
    data["mu"].values[data["split"].values == "test"] = np.nan
    write_netcdf(data, tmp_path / "predictions.nc", "test", provenance("test", {}))
    with pytest.raises(InputError, match=r"mu holds numbers that"):
        plot_calibration(
            tmp_path / "predictions.nc", inputs / "metrics.json", svg=tmp_path / "a.svg", png=tmp_path / "a.png", dpi=60
        )


def test_bins_are_labelled_by_their_edges_and_numbers(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = printed_on("calibration", inputs, monkeypatch)
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
