"""Bias and scatter in bins of true mass, network against baselines, after Fig. 5 of Krippendorf et al. (2023)."""

import itertools
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MultipleLocator

from clustermass.datasets import read_netcdf
from clustermass.errors import InputError
from clustermass.figures import style
from clustermass.figures.labels import RESIDUAL, TRUE_MASS, in_order, predictor
from clustermass.figures.values import read_subset
from clustermass.finite import check_finite

BIN_DEX = 0.25
#: bins with fewer clusters are joined with their smaller neighbour
MIN_IN_BIN = 8
#: far off wherever it has no say: it would squeeze all others; its numbers are in metrics.json
LEFT_OUT = ("prior",)


@style.styled
def plot_bias(ensemble: Path, baselines: Path, svg: Path, png: Path, dpi: int) -> None:
    """Draw mean residual and scatter of every predictor in bins of true mass, for the test set.

    Parameters
    ----------
    ensemble
        `ensemble.nc`.
    baselines
        `baselines.nc`, with the same test clusters.
    svg, png
        Files to write.
    dpi
        Resolution of the PNG, dots per inch.

    Raises
    ------
    InputError
        The test set is empty, or the two files hold different test clusters.
    """
    mass, residuals = residuals_of_test_set(ensemble, baselines)
    edges = mass_bins(mass)
    figure = style.new_figure(style.TWO_COLUMNS_IN, 3.6)
    panels = figure.subplots(1, 2)
    names = in_order([name for name in residuals if name not in LEFT_OUT])
    offsets = np.linspace(-0.36, 0.36, len(names)) if len(names) > 1 else np.zeros(1)
    for name, offset in zip(names, offsets, strict=True):
        statistics = binned(mass, residuals[name], edges)
        places = 0.5 * (edges[:-1] + edges[1:]) + offset * np.diff(edges)
        draw_predictor(panels, name, places, statistics)
    for axes in panels:
        mark_bins(axes, mass, edges)
    panels[0].axhline(0, color=style.BLACK, lw=0.7)
    panels[0].set_ylabel("mean " + RESIDUAL)
    panels[1].set_ylabel("scatter in the bin [dex]")
    panels[1].set_ylim(bottom=0)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    style.save(figure, svg, png, dpi)


def residuals_of_test_set(ensemble: Path, baselines: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Read true masses (cluster,) of the test set and residuals (cluster,) in dex by predictor, with "network"."""
    network = read_subset(ensemble, "test", require=["mu"])
    others = read_netcdf(baselines, require=["mu", "predictor"])
    check_finite(others, ["mu"], baselines)
    missing = ~np.isin(network["cluster"].values, others["cluster"].values)
    if missing.any():
        raise InputError(
            f"{baselines}: lacks {int(missing.sum())} test cluster(s) of {ensemble}, first "
            f"{network['cluster'].values[missing][0]}. Delete both and run again."
        )
    true = network["log10_m500c"].values
    mu = others["mu"].sel(cluster=network["cluster"].values)
    residuals = {str(name): mu.sel(predictor=name).values - true for name in mu["predictor"].values}
    return true, {"network": network["mu"].values - true, **residuals}


def mass_bins(mass: np.ndarray) -> np.ndarray:
    """Edges of bins of 0.25 dex that hold every mass, thin bins joined with their smaller neighbour."""
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
    """Mean, its standard error, scatter and its standard error (s / sqrt(2 n - 2)) of each bin, (4, bin), in dex.

    All but the mean are NaN, and so not drawn, where a bin holds one cluster.
    """
    columns = []
    for low, high in itertools.pairwise(edges):
        inside = residual[(mass >= low) & (mass < high)]
        n = len(inside)
        scatter = float(np.std(inside, ddof=1)) if n > 1 else np.nan
        columns.append([inside.mean(), scatter / np.sqrt(n), scatter, scatter / np.sqrt(max(2 * n - 2, 1))])
    return np.array(columns).T


def draw_predictor(panels: np.ndarray, name: str, places: np.ndarray, statistics: np.ndarray) -> None:
    """Draw one predictor's bias in the first panel and its scatter in the second."""
    look = predictor(name)
    lead = name == "network"
    for axes, (value, error) in zip(panels, (statistics[:2], statistics[2:]), strict=True):
        axes.errorbar(
            places,
            value,
            error,
            fmt=look.marker,
            color=look.colour,
            ms=5 if lead else 3.5,
            elinewidth=1.3 if lead else 0.8,
            label=look.label,
            zorder=4 if lead else 3,
        )


def mark_bins(axes: Axes, mass: np.ndarray, edges: np.ndarray) -> None:
    """Shade every other bin and write the number of clusters above each."""
    number = np.histogram(mass, edges)[0]
    for index, (low, high, n) in enumerate(zip(edges[:-1], edges[1:], number, strict=True)):
        if index % 2 == 0:
            axes.axvspan(low, high, color=style.LIGHT_GREY, alpha=0.3, lw=0)
        label = f"n = {n}" if index == 0 else f"{n}"
        axes.text(
            0.5 * (low + high), 1.01, label, transform=axes.get_xaxis_transform(), ha="center", va="bottom", fontsize=7
        )
    axes.set(xlim=edges[[0, -1]], xlabel=TRUE_MASS)
    axes.xaxis.set_major_locator(MultipleLocator(0.5))
    axes.xaxis.set_minor_locator(MultipleLocator(BIN_DEX))
