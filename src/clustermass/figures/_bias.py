"""Bias and scatter of network and baselines in bins of mass, as in Fig. 5 of Krippendorf et al. (2023)."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from functools import partial

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator
from scipy import stats

from clustermass.errors import InputError
from clustermass.figures import style
from clustermass.figures.inputs import Data, dataset, name_of, subset
from clustermass.figures.output import new_figure, styled
from clustermass.figures.style import PREDICTED_MASS, RESIDUAL, SIGMA, TRUE_MASS, predictor, signed
from clustermass.io.netcdf import check_finite

BIN_DEX = 0.25
#: bins with fewer clusters are joined to the neighbouring bin with fewer clusters
MIN_IN_BIN = 8
#: predictors of the figure `bias`; the others are drawn in its supplement, except for the prior, whose bias is so large
#: that all others would look alike
MAIN = ("network", "ridge_features", "count_rate_recalibrated", "count_rate_efeds")
LEFT_OUT = ("prior",)
#: distance in dex between the markers of two predictors in a bin; largest share of the bin that all markers take
APART, SHARE = 0.045, 0.7
#: colour and marker of an experiment and of the same experiment with weights
PAIR = ((style.BLUE, "o"), (style.VERMILION, "D"))
#: number of bins of the histograms of a pair
HISTOGRAM_BINS = 32


@styled
def bias(predictions: Data, baselines: Data) -> Figure:
    """Return a figure of bias and scatter in bins of true and of predicted mass, for the network and three baselines.

    `predictions` and `baselines` are the contents of `predictions.nc` and `baselines.nc`. Only the test set is drawn.
    """
    mass, residuals, sigma = residuals_of_test_set(predictions, baselines)
    return draw_bias(mass, {name: residuals[name] for name in residuals if name in MAIN}, sigma)


@styled
def bias_supplement(predictions: Data, baselines: Data) -> Figure:
    """Return a figure like that of `bias`, for the network and the baselines that `bias` leaves out."""
    mass, residuals, sigma = residuals_of_test_set(predictions, baselines)
    left_out = {*MAIN, *LEFT_OUT} - {"network"}
    return draw_bias(mass, {name: residuals[name] for name in residuals if name not in left_out}, sigma)


def draw_bias(mass: np.ndarray, residuals: Mapping[str, np.ndarray], sigma: np.ndarray) -> Figure:
    """Return a figure of bias and scatter, given the residuals of each predictor in dex, (cluster,).

    `mass` holds the true log10 masses, and `sigma` the network's standard deviations in dex. The figure also shows the
    expected bias, which is computed from `sigma`.
    """
    predicted = mass + residuals["network"]
    figure = new_figure(style.TWO_COLUMNS_IN, 5.6)
    by_truth, by_prediction = figure.subplots(2, 2, sharey="row", sharex="col", height_ratios=[1.25, 1]).T
    for panels, values, label, title in (
        (by_truth, mass, TRUE_MASS, "at fixed true mass: regression to the mean"),
        (by_prediction, predicted, PREDICTED_MASS, "at fixed predicted mass, as in a catalogue"),
    ):
        edges = mass_bins(values)
        for axes in panels:
            mark_bins(axes, edges)
        print_numbers(panels[0], values, edges)
        draw_all(panels, panels is by_truth, mass, residuals, edges)
        panels[0].axhline(0, color=style.BLACK, lw=0.7)
        panels[0].set_title(title, pad=16)
        panels[1].set_xlabel(label)
    draw_expected(by_truth[0], mass, predicted, sigma)
    by_truth[0].set_ylabel("mean " + RESIDUAL)
    by_truth[1].set(ylabel="scatter in the bin [dex]", ylim=(0, None))
    style.common_legend(figure, 2)
    return figure


def residuals_of_test_set(predictions: Data, baselines: Data) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """Return, for the test clusters, the true masses, the residuals of each predictor, and the network's sigma.

    All arrays have the shape (cluster,). Masses are log10(M500c / Msun), residuals and sigma are in dex. InputError if
    the baselines lack a test cluster.
    """
    network = subset(predictions, "test", require=["mu", "sigma_calibrated"])
    others, place = dataset(baselines, require=["mu", "predictor"]), name_of(baselines)
    check_finite(others, ["mu"], place)
    missing = ~np.isin(network["cluster"].values, others["cluster"].values)
    if missing.any():
        raise InputError(
            f"{place}: lacks {int(missing.sum())} test cluster(s) of {name_of(predictions)}, first "
            f"{network['cluster'].values[missing][0]}. Delete both and run again."
        )
    true = network["log10_m500c"].values
    mu = others["mu"].sel(cluster=network["cluster"].values)
    residuals = {str(name): mu.sel(predictor=name).values - true for name in mu["predictor"].values}
    return true, {"network": network["mu"].values - true, **residuals}, network["sigma_calibrated"].values


def expected_bias(mu: np.ndarray, sigma: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the bias in dex that a perfect prediction has in bins of true mass, (bin,).

    If the prediction is perfect, each true mass is a random draw from the cluster's Gaussian N(`mu`, `sigma`).
    Therefore no true masses are needed. Let a and b be the edges of a bin, measured from mu in units of sigma. The
    cluster contributes to this bin with the weight Phi(b) - Phi(a), and with the mean true mass mu - sigma (phi(b) -
    phi(a)) / (Phi(b) - Phi(a)).
    """
    scaled = (edges[:, None] - mu) / sigma
    weight = np.diff(stats.norm.cdf(scaled), axis=0).sum(axis=1)
    moment = (sigma * np.diff(stats.norm.pdf(scaled), axis=0)).sum(axis=1)
    return np.asarray(np.divide(moment, weight, out=np.full_like(weight, np.nan), where=weight > 0))


def draw_expected(axes: Axes, mass: np.ndarray, mu: np.ndarray, sigma: np.ndarray) -> None:
    """Draw `expected_bias` in bins of true mass, and print the measured and the expected slope of the bias."""
    edges = mass_bins(mass)
    steps = np.tile(expected_bias(mu, sigma, edges), (2, 1))
    label = "network, if it were perfect: expected regression to the mean"
    axes.plot([edges[:-1], edges[1:]], steps, color=style.BLACK, lw=1.6, zorder=5, label=label)
    if np.unique(mass).size > 1:
        # slope of the residual with true mass, whose variance is var(mu) + mean sigma^2
        shrinkage = np.mean(sigma**2) / (mu.var() + np.mean(sigma**2))
        slope = np.polyfit(mass, mu - mass, 1)[0]
        text = f"slope of the network\n{signed(slope)}, expected {signed(-shrinkage)}"
        style.note(axes, text, "upper right", zorder=2)


def draw_all(
    panels: np.ndarray, by_truth: bool, mass: np.ndarray, residuals: Mapping[str, np.ndarray], edges: np.ndarray
) -> None:
    """Draw bias (first panel) and scatter (second panel) of every predictor in bins of true or of predicted mass."""
    names = style.in_order(residuals)
    for name, place in zip(names, places(edges, names), strict=True):
        # masses of other predictors outside the bins are counted in the outermost bins
        by = mass if by_truth else np.clip(mass + residuals[name], edges[0], np.nextafter(edges[-1], 0))
        look, lead = predictor(name), name == "network"
        sizes = {"ms": 5, "elinewidth": 1.3, "zorder": 4} if lead else {"ms": 3.5, "elinewidth": 0.8, "zorder": 3}
        statistics = binned(by, residuals[name], edges)
        for axes, (value, error) in zip(panels, (statistics[:2], statistics[2:]), strict=True):
            axes.errorbar(place, value, error, fmt=look.marker, color=look.colour, label=look.label, **sizes)


def places(edges: np.ndarray, names: Collection[str]) -> np.ndarray:
    """Return the position of each predictor's marker in each bin of mass, (name, bin).

    The markers are side by side in the middle of a bin. The distance between them doesn't grow with the width of the
    bin, since a larger distance would look like a trend with mass within the bin.
    """
    apart = min(APART, SHARE * BIN_DEX / len(names))
    shift = apart * (np.arange(len(names)) - (len(names) - 1) / 2)
    return np.asarray(0.5 * (edges[:-1] + edges[1:]) + shift[:, None])


def mass_bins(mass: np.ndarray) -> np.ndarray:
    """Return the edges of bins of 0.25 dex that hold all masses. A bin with few clusters is joined to a neighbour."""
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
    """Return four numbers in dex for the residuals in each bin of mass, (4, bin).

    They are the mean, the error of the mean, the scatter s, and the error s / sqrt(2 n - 2) of the scatter, where n is
    the number of clusters. All except the mean are NaN in a bin with one cluster. All are NaN in an empty bin.
    """
    columns = []
    for low, high in itertools.pairwise(edges):
        inside = residual[(mass >= low) & (mass < high)]
        n = len(inside)
        scatter = np.std(inside, ddof=1) if n > 1 else np.nan
        mean = inside.mean() if n else np.nan
        columns.append([mean, scatter / np.sqrt(max(n, 1)), scatter, scatter / np.sqrt(max(2 * n - 2, 1))])
    return np.array(columns).T


def mark_bins(axes: Axes, edges: np.ndarray) -> None:
    """Shade every other bin of mass."""
    for low, high in itertools.islice(itertools.pairwise(edges), 0, None, 2):
        axes.axvspan(low, high, color=style.LIGHT_GREY, alpha=0.3, lw=0)
    axes.set_xlim(edges[0], edges[-1])
    axes.xaxis.set_major_locator(MultipleLocator(0.5))
    axes.xaxis.set_minor_locator(MultipleLocator(BIN_DEX))


def print_numbers(axes: Axes, mass: np.ndarray, edges: np.ndarray) -> None:
    """Print the number of clusters above each bin."""
    write = partial(axes.text, transform=axes.get_xaxis_transform(), ha="center", va="bottom", fontsize=style.small())
    for index, n in enumerate(np.histogram(mass, edges)[0]):
        write(0.5 * (edges[index] + edges[index + 1]), 1.01, f"{n}" if index else f"n = {n}")


@styled
def weighting(predictions: Sequence[Data], rows: Sequence[Mapping[str, str]]) -> Figure:
    """Return a figure of residuals and sigma for pairs of experiments (as in Figs. 5 and 8 of the paper).

    The experiments of a pair have the same test clusters, and differ in the weights of the training clusters. Each of
    `predictions` is the content of a `predictions.nc`. The entry of `rows` at the same place holds the name of the
    `experiment` and its `weighting`. In each pair the experiment without weights comes first.
    """
    if not rows or len(rows) % 2 or len(rows) != len(predictions):
        raise InputError("no pair of experiments that differ in weighting alone.")
    tables = [subset(one, "test", require=["mu", "sigma_calibrated"]) for one in predictions]
    names = [f"{row['experiment']} (weighting: {row['weighting'].replace('_', ' ')})" for row in rows]
    pairs = len(rows) // 2
    figure = new_figure(style.TWO_COLUMNS_IN, 0.2 + 2.9 * pairs)
    for part, start in zip(figure.subfigures(pairs, 1, squeeze=False)[:, 0], range(0, len(rows), 2), strict=True):
        plain, weighted = tables[start : start + 2]
        if not np.array_equal(plain["cluster"].values, weighted["cluster"].values):
            raise InputError(
                f"{name_of(predictions[start + 1])}: holds other test clusters than {name_of(predictions[start])}."
            )
        draw_pair(part.subplots(1, 3, width_ratios=[1.5, 1, 1]), (plain, weighted), names[start : start + 2])
        part.suptitle(f"Training with and without weights, the same {plain.sizes['cluster']} test clusters")
        style.common_legend(part, 2)
    return figure


def draw_pair(panels: np.ndarray, tables: Sequence[xr.Dataset], names: Sequence[str]) -> None:
    """Draw a pair of experiments: bias in bins of true mass, and the distributions of residuals and of sigma."""
    truth = tables[0]["log10_m500c"].values
    residuals = [(table["mu"] - table["log10_m500c"]).values for table in tables]
    sigmas = [table["sigma_calibrated"].values for table in tables]
    edges = mass_bins(truth)
    mark_bins(panels[0], edges)
    print_numbers(panels[0], truth, edges)
    panels[0].axhline(0, color=style.BLACK, lw=0.7)
    for residual, name, (colour, marker), place in zip(residuals, names, PAIR, places(edges, names), strict=True):
        mean, error, _, _ = binned(truth, residual, edges)
        panels[0].errorbar(place, mean, error, fmt=marker, color=colour, elinewidth=1.0, label=name)
    panels[0].set(xlabel=TRUE_MASS, ylabel="mean " + RESIDUAL)
    draw_distributions(panels[1], residuals, [f"bias {signed(r.mean())}, scatter {r.std():.3f}" for r in residuals])
    panels[1].axvline(0, color=style.GREY, lw=0.7, ls=":")
    panels[1].set(xlabel=RESIDUAL, ylabel="test clusters")
    draw_distributions(panels[2], sigmas, [f"mean {sigma.mean():.3f}" for sigma in sigmas])
    panels[2].set_xlabel(SIGMA)


def draw_distributions(axes: Axes, values: Sequence[np.ndarray], texts: Sequence[str]) -> None:
    """Draw histograms of both experiments in the same bins, and print each of `texts` in its experiment's colour."""
    low, high = np.min(values), np.max(values)
    edges = np.linspace(low, max(high, low + 1e-3), HISTOGRAM_BINS + 1)
    for number, (each, text, (colour, _), fill) in enumerate(zip(values, texts, PAIR, (0.25, 0.0), strict=True)):
        axes.hist(each, bins=edges.tolist(), color=colour, alpha=fill)
        axes.hist(each, bins=edges.tolist(), histtype="step", color=colour, lw=1.1)
        write = partial(axes.text, transform=axes.transAxes, ha="center", fontsize=style.small())
        write(0.5, 1.02 + 0.07 * number, text, color=colour)
