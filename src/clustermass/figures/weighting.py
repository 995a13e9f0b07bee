"""Experiments with evenly weighted training masses, and without (Krippendorf et al. 2023, Figs. 5 and 8)."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clustermass.errors import InputError
from clustermass.figures import style
from clustermass.figures.bias import binned, mark_bins, mass_bins
from clustermass.figures.style import RESIDUAL, SIGMA, TRUE_MASS, read_subset, signed

#: colour, marker and shift in units of a bin's width
LOOKS = ((style.BLUE, "o", -0.15), (style.VERMILION, "D", 0.15))
#: bins of the distributions
BINS = 32


class Row(TypedDict):
    """An experiment's name, and how its training clusters were weighted."""

    experiment: str
    weighting: str


@style.saved
def plot_weighting(predictions: Sequence[Path], rows: Sequence[Row]) -> Figure:
    """Draw residuals and sigma of pairs of experiments on the same test clusters; unweighted ones come first."""
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
        panels = block.subplots(1, 3, width_ratios=[1.5, 1, 1])
        draw_pair(panels, (plain, weighted), names[start : start + 2])
        block.suptitle(f"the same test clusters, n = {plain.sizes['cluster']}")
        block.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def draw_pair(panels: np.ndarray, tables: Sequence[xr.Dataset], names: Sequence[str]) -> None:
    """Draw bias in bins of true mass, and distributions of residual and sigma, of the two experiments of a pair."""
    truth = tables[0]["log10_m500c"].values
    residuals = [(table["mu"] - table["log10_m500c"]).values for table in tables]
    sigmas = [table["sigma_calibrated"].values for table in tables]
    edges = mass_bins(truth)
    mark_bins(panels[0], truth, edges, TRUE_MASS)
    panels[0].axhline(0, color=style.BLACK, lw=0.7)
    for residual, name, (colour, marker, shift) in zip(residuals, names, LOOKS, strict=True):
        mean, error, _, _ = binned(truth, residual, edges)
        places = 0.5 * (edges[:-1] + edges[1:]) + shift * np.diff(edges)
        panels[0].errorbar(places, mean, error, fmt=marker, color=colour, elinewidth=1.0, label=name)
    panels[0].set_ylabel("mean " + RESIDUAL)
    draw_distributions(panels[1], residuals, [f"bias {signed(r.mean())}, scatter {r.std():.3f}" for r in residuals])
    panels[1].axvline(0, color=style.GREY, lw=0.7, ls=":")
    panels[1].set(xlabel=RESIDUAL, ylabel="test clusters")
    draw_distributions(panels[2], sigmas, [f"mean {sigma.mean():.3f}" for sigma in sigmas])
    panels[2].set(xlabel=SIGMA)


def draw_distributions(axes: Axes, values: Sequence[np.ndarray], texts: Sequence[str]) -> None:
    """Draw the histograms of both experiments in common bins, and above them a text on each, in its colour."""
    low, high = np.min(values), np.max(values)
    edges = np.linspace(low, max(high, low + 1e-3), BINS + 1)
    for number, (each, text, (colour, _, _)) in enumerate(zip(values, texts, LOOKS, strict=True)):
        axes.hist(each, bins=edges.tolist(), histtype="step", color=colour, lw=1.1)
        axes.text(0.5, 1.02 + 0.07 * number, text, transform=axes.transAxes, ha="center", color=colour, fontsize=7)
