"""Bias and scatter of network and baselines in bins of mass, as in Fig. 5 of Krippendorf et al. (2023)."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator
from scipy import stats

from clustermass.errors import InputError
from clustermass.figures import style
from clustermass.figures.style import PREDICTED_MASS, RESIDUAL, SIGMA, TRUE_MASS, predictor, read_subset, signed
from clustermass.io.netcdf import check_finite, read_netcdf

BIN_DEX = 0.25
#: bins with fewer clusters are joined to the neighbouring bin with fewer clusters
MIN_IN_BIN = 8
#: predictors that aren't drawn: their bias is so large that all others would look alike
LEFT_OUT = ("prior",)
#: colour, marker and shift (in bin widths) of an experiment and of the same experiment with weights
PAIR = ((style.BLUE, "o", -0.15), (style.VERMILION, "D", 0.15))
#: number of bins of the histograms of a pair
HISTOGRAM_BINS = 32


@style.saved
def plot_bias(predictions: Path, baselines: Path) -> Figure:
    """Draw mean residual and scatter of every predictor on the test set, in bins of true and of predicted mass."""
    mass, residuals, sigma = residuals_of_test_set(predictions, baselines)
    predicted = mass + residuals["network"]
    figure = style.new_figure(style.TWO_COLUMNS_IN, 6.2)
    by_truth, by_prediction = figure.subplots(2, 2, sharey="row").T
    for panels, values, label in ((by_truth, mass, TRUE_MASS), (by_prediction, predicted, PREDICTED_MASS)):
        edges = mass_bins(values)
        for axes in panels:
            mark_bins(axes, values, edges, label)
        draw_all(panels, panels is by_truth, mass, residuals, edges)
        panels[0].axhline(0, color=style.BLACK, lw=0.7)
    draw_expected(by_truth[0], mass, predicted, sigma)
    by_truth[0].set_ylabel("mean " + RESIDUAL)
    by_truth[1].set(ylabel="scatter in the bin [dex]", ylim=(0, None))
    style.common_legend(figure, 3)
    return figure


def residuals_of_test_set(predictions: Path, baselines: Path) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """Return for the test clusters: true masses, each predictor's residuals, and the network's sigma; (cluster,) each.

    Masses are log10(M500c / Msun), residuals and sigma are in dex. InputError if the baselines lack a test cluster.
    """
    network = read_subset(predictions, "test", require=["mu", "sigma_calibrated"])
    others = read_netcdf(baselines, require=["mu", "predictor"])
    check_finite(others, ["mu"], baselines)
    missing = ~np.isin(network["cluster"].values, others["cluster"].values)
    if missing.any():
        raise InputError(
            f"{baselines}: lacks {int(missing.sum())} test cluster(s) of {predictions}, first "
            f"{network['cluster'].values[missing][0]}. Delete both and run again."
        )
    true = network["log10_m500c"].values
    mu = others["mu"].sel(cluster=network["cluster"].values)
    residuals = {str(name): mu.sel(predictor=name).values - true for name in mu["predictor"].values}
    return true, {"network": network["mu"].values - true, **residuals}, network["sigma_calibrated"].values


def expected_bias(mu: np.ndarray, sigma: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the bias of a perfect prediction in bins of true mass, (bin,), in dex; true masses aren't needed for it.

    For a perfect prediction each true mass is a draw from the cluster's Gaussian N(`mu`, `sigma`). If a and b are the
    edges of a bin in units of sigma from mu, the cluster contributes to the bin with the weight Phi(b) - Phi(a) and the
    mean true mass mu - sigma (phi(b) - phi(a)) / (Phi(b) - Phi(a)).
    """
    scaled = (edges[:, None] - mu) / sigma
    weight = np.diff(stats.norm.cdf(scaled), axis=0).sum(axis=1)
    moment = (sigma * np.diff(stats.norm.pdf(scaled), axis=0)).sum(axis=1)
    return np.asarray(np.divide(moment, weight, out=np.full_like(weight, np.nan), where=weight > 0))


def draw_expected(axes: Axes, mass: np.ndarray, mu: np.ndarray, sigma: np.ndarray) -> None:
    """Draw the bias of a perfect prediction in bins of true mass; print the measured and the expected slope."""
    edges = mass_bins(mass)
    steps = np.tile(expected_bias(mu, sigma, edges), (2, 1))
    label = "expected of a perfect network"
    axes.plot([edges[:-1], edges[1:]], steps, color=style.BLACK, lw=1.6, zorder=5, label=label)
    if np.unique(mass).size > 1:
        # slope of the residual with true mass, whose variance is var(mu) + mean sigma^2
        shrinkage = np.mean(sigma**2) / (mu.var() + np.mean(sigma**2))
        slope = np.polyfit(mass, mu - mass, 1)[0]
        text = f"slope of the network\n{signed(slope)}, expected {signed(-shrinkage)}"
        style.note(axes, text, "upper right", zorder=2)


def draw_all(
    panels: np.ndarray, by_truth: bool, mass: np.ndarray, residuals: dict[str, np.ndarray], edges: np.ndarray
) -> None:
    """Draw bias (first panel) and scatter (second panel) of every predictor in bins of true or of predicted mass."""
    names = style.in_order(name for name in residuals if name not in LEFT_OUT)
    offsets = np.linspace(-0.36, 0.36, len(names)) if len(names) > 1 else np.zeros(1)
    for name, offset in zip(names, offsets, strict=True):
        # masses of other predictors outside the bins are counted in the outermost bins
        by = mass if by_truth else np.clip(mass + residuals[name], edges[0], np.nextafter(edges[-1], 0))
        look, lead = predictor(name), name == "network"
        sizes = {"ms": 5, "elinewidth": 1.3, "zorder": 4} if lead else {"ms": 3.5, "elinewidth": 0.8, "zorder": 3}
        statistics = binned(by, residuals[name], edges)
        for axes, (value, error) in zip(panels, (statistics[:2], statistics[2:]), strict=True):
            places = 0.5 * (edges[:-1] + edges[1:]) + offset * np.diff(edges)
            axes.errorbar(places, value, error, fmt=look.marker, color=look.colour, label=look.label, **sizes)


def mass_bins(mass: np.ndarray) -> np.ndarray:
    """Return the edges of bins of 0.25 dex that hold all masses; bins with few clusters are joined to a neighbour."""
    first, last = np.floor(mass.min() / BIN_DEX), np.floor(mass.max() / BIN_DEX) + 1
    edges = BIN_DEX * np.arange(first, last + 1)
    while len(edges) > 2:
        number = np.histogram(mass, edges)[0]
        thin = int(np.argmin(number))
        if number[thin] >= MIN_IN_BIN:
            break
        left = number[thin - 1] if thin > 0 else np.inf
        right = number[thin + 1] if thin + 1 < len(number) else np.inf
        edges = np.delete(edges, thin if left <= right else thin + 1)
    return edges


def binned(mass: np.ndarray, residual: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return mean, error of the mean, scatter s and its error s / sqrt(2 n - 2) of each bin's residuals, (4, bin), dex.

    In a bin with one cluster all but the mean are NaN, in an empty bin all four. NaN is not drawn.
    """
    columns = []
    for low, high in itertools.pairwise(edges):
        inside = residual[(mass >= low) & (mass < high)]
        n = len(inside)
        scatter = np.std(inside, ddof=1) if n > 1 else np.nan
        mean = inside.mean() if n else np.nan
        columns.append([mean, scatter / np.sqrt(max(n, 1)), scatter, scatter / np.sqrt(max(2 * n - 2, 1))])
    return np.array(columns).T


def mark_bins(axes: Axes, mass: np.ndarray, edges: np.ndarray, label: str) -> None:
    """Shade every other bin, print above each bin how many clusters it holds, and label the axis."""
    across = axes.get_xaxis_transform()
    for index, n in enumerate(np.histogram(mass, edges)[0]):
        low, high = edges[index : index + 2]
        if index % 2 == 0:
            axes.axvspan(low, high, color=style.LIGHT_GREY, alpha=0.3, lw=0)
        number = f"{n}" if index else f"n = {n}"
        axes.text(0.5 * (low + high), 1.01, number, transform=across, ha="center", va="bottom", fontsize=7)
    axes.set(xlim=edges[[0, -1]], xlabel=label)
    axes.xaxis.set_major_locator(MultipleLocator(0.5))
    axes.xaxis.set_minor_locator(MultipleLocator(BIN_DEX))


@style.saved
def plot_weighting(predictions: Sequence[Path], rows: Sequence[Mapping[str, str]]) -> Figure:
    """Draw residuals and sigma of pairs of experiments on the same test clusters (Figs. 5 and 8 of the paper).

    The experiments of a pair differ in their weights in training. Each file of `predictions` has a row with the name
    `experiment` and its `weighting`. In each pair the experiment without weights comes first.
    """
    if not rows or len(rows) % 2 or len(rows) != len(predictions):
        raise InputError("no pair of experiments that differ in weighting alone.")
    tables = [read_subset(path, "test", require=["mu", "sigma_calibrated"]) for path in predictions]
    names = [f"{row['experiment']} (weighting: {row['weighting'].replace('_', ' ')})" for row in rows]
    pairs = len(rows) // 2
    figure = style.new_figure(style.TWO_COLUMNS_IN, 0.2 + 3.0 * pairs)
    for block, start in zip(figure.subfigures(pairs, 1, squeeze=False)[:, 0], range(0, len(rows), 2), strict=True):
        plain, weighted = tables[start : start + 2]
        if not np.array_equal(plain["cluster"].values, weighted["cluster"].values):
            raise InputError(f"{predictions[start + 1]}: holds other test clusters than {predictions[start]}.")
        draw_pair(block.subplots(1, 3, width_ratios=[1.5, 1, 1]), (plain, weighted), names[start : start + 2])
        block.suptitle(f"the same test clusters, n = {plain.sizes['cluster']}")
        style.common_legend(block, 2)
    return figure


def draw_pair(panels: np.ndarray, tables: Sequence[xr.Dataset], names: Sequence[str]) -> None:
    """Draw a pair of experiments: bias in bins of true mass, and the distributions of residuals and of sigma."""
    truth = tables[0]["log10_m500c"].values
    residuals = [(table["mu"] - table["log10_m500c"]).values for table in tables]
    sigmas = [table["sigma_calibrated"].values for table in tables]
    edges = mass_bins(truth)
    mark_bins(panels[0], truth, edges, TRUE_MASS)
    panels[0].axhline(0, color=style.BLACK, lw=0.7)
    for residual, name, (colour, marker, shift) in zip(residuals, names, PAIR, strict=True):
        mean, error, _, _ = binned(truth, residual, edges)
        places = 0.5 * (edges[:-1] + edges[1:]) + shift * np.diff(edges)
        panels[0].errorbar(places, mean, error, fmt=marker, color=colour, elinewidth=1.0, label=name)
    panels[0].set_ylabel("mean " + RESIDUAL)
    draw_distributions(panels[1], residuals, [f"bias {signed(r.mean())}, scatter {r.std():.3f}" for r in residuals])
    panels[1].axvline(0, color=style.GREY, lw=0.7, ls=":")
    panels[1].set(xlabel=RESIDUAL, ylabel="test clusters")
    draw_distributions(panels[2], sigmas, [f"mean {sigma.mean():.3f}" for sigma in sigmas])
    panels[2].set_xlabel(SIGMA)


def draw_distributions(axes: Axes, values: Sequence[np.ndarray], texts: Sequence[str]) -> None:
    """Draw histograms of both experiments in the same bins; above them print each experiment's text in its colour."""
    low, high = np.min(values), np.max(values)
    edges = np.linspace(low, max(high, low + 1e-3), HISTOGRAM_BINS + 1)
    for number, (each, text, (colour, _, _)) in enumerate(zip(values, texts, PAIR, strict=True)):
        axes.hist(each, bins=edges.tolist(), histtype="step", color=colour, lw=1.1)
        axes.text(0.5, 1.02 + 0.07 * number, text, transform=axes.transAxes, ha="center", color=colour, fontsize=7)
