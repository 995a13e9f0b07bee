"""Masses of an observed field against published ones and against two published relations, and their trends."""

import json
from functools import partial
from pathlib import Path
from typing import TypedDict

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from clustermass.figures import style
from clustermass.figures.style import MASS, signed
from clustermass.io.files import reading

#: masses that the network's are compared with -> label of the axis; that of published masses is the paper's name
COLUMNS = {
    "published": "published",
    "luminosity": "luminosity, Chiu et al. 2022",
    "count_rate": "count rate, eFEDS relation",
}
#: clusters in a bin of redshift, about
_BIN_CLUSTERS = 40
_MAX_BINS = 8


class Fit(TypedDict):
    """Trends of a difference, per dex of mass and of 1 + z; None if there are too few clusters."""

    slope_mass: float | None
    slope_mass_error: float
    slope_redshift: float
    slope_redshift_error: float


class Comparison(TypedDict):
    """The network's masses minus others; mean and scatter are None for too few clusters."""

    n: int
    mean_dex: float | None
    mean_dex_error: float
    scatter_dex: float
    scatter_dex_error: float
    fit: Fit


class Content(TypedDict):
    """The part of `comparison.json` that is drawn."""

    published: str
    n: dict[str, int]
    comparisons: dict[str, Comparison]
    clusters: dict[str, list[float | None]]


@style.saved
def plot_published_masses(comparison: Path) -> Figure:
    """Draw the network's masses against those of `comparison.json`, and the differences against redshift."""
    content, clusters = read_comparison(comparison)
    shown = [name for name in COLUMNS if f"network_minus_{name}" in content["comparisons"]]
    figure = style.new_figure(style.TWO_COLUMNS_IN, 5.1)
    panels = figure.subplots(2, len(shown), squeeze=False, sharey="row")
    limits = _limits([clusters[name] for name in ("network", *shown)])
    differences = []
    for (upper, lower), name in zip(panels.T, shown, strict=True):
        columns = np.array([clusters[key] for key in ("network", name, "redshift")])
        mass, other, redshift = columns = columns[:, np.isfinite(columns).all(axis=0)]
        numbers = content["comparisons"][f"network_minus_{name}"]
        points = draw_masses(upper, columns, limits, numbers)
        upper.set_xlabel(f"{MASS},\n{content['published'] if name == 'published' else COLUMNS[name]}")
        draw_difference(lower, redshift, mass - other, numbers["fit"])
        differences.append(mass - other)
    low, high = _limits(differences)
    # room below for the printed trends
    panels[1, 0].set_ylim(low - 0.25 * (high - low), high)
    panels[0, 0].set_ylabel(MASS + ", network")
    panels[1, 0].set_ylabel("network − other [dex]")
    figure.colorbar(points, ax=panels, label="redshift", extend="max", pad=0.01, aspect=40)
    figure.suptitle(
        f"observed field: n = {content['n']['network']} with a mass\n"
        "agreement is not accuracy: published masses are themselves a function of count rate and redshift"
    )
    style.common_legend(figure, 2)
    return figure


def read_comparison(path: Path) -> tuple[Content, dict[str, np.ndarray]]:
    """Read `comparison.json`: everything in it, and its masses and redshifts, (cluster,) each, NaN = none."""
    with reading(path, "comparison"):
        content: Content = json.loads(path.read_text(encoding="utf-8"))
        names = ("redshift", "network", *COLUMNS)
        return content, {name: np.array(content["clusters"][name], dtype=float) for name in names}


def draw_masses(axes: Axes, points: np.ndarray, limits: tuple[float, float], numbers: Comparison) -> PathCollection:
    """Scatter the network's masses against the others, coloured by redshift: rows of `points` in this order."""
    mass, other, redshift = points
    look = partial(axes.scatter, s=7, lw=0, zorder=3, rasterized=mass.size > style.RASTERISE_ABOVE)
    drawn = look(other, mass, c=redshift, cmap="viridis", vmin=0.0, vmax=1.0)
    axes.plot(limits, limits, color=style.BLACK, lw=0.8, label="equality")
    title = f"n = {numbers['n']}"
    if numbers["mean_dex"] is not None:
        title += f"\nmean {signed(numbers['mean_dex'])} ± {numbers['mean_dex_error']:.3f} dex"
        title += f"\nscatter {numbers['scatter_dex']:.3f} ± {numbers['scatter_dex_error']:.3f} dex"
    axes.set_title(title, fontsize=7, loc="left")
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4))
    return drawn


def draw_difference(axes: Axes, redshift: np.ndarray, difference: np.ndarray, fit: Fit) -> None:
    """Scatter the differences against redshift, with medians in bins of equal numbers, and print the fitted trends."""
    rasterised = difference.size > style.RASTERISE_ABOVE
    axes.scatter(redshift, difference, color=style.LIGHT_GREY, s=5, lw=0, zorder=2, rasterized=rasterised)
    place, median, error = binned_medians(redshift, difference)
    axes.errorbar(
        place, median, error, fmt="o", color=style.BLUE, ms=3.5, elinewidth=1, zorder=4, label="median in bins"
    )
    axes.axhline(0, color=style.BLACK, lw=0.8)
    if fit["slope_mass"] is not None:
        mass = f"{signed(fit['slope_mass'], 2)} ± {fit['slope_mass_error']:.2f} per dex of mass"
        drift = f"{signed(fit['slope_redshift'], 2)} ± {fit['slope_redshift_error']:.2f} per dex of 1 + z"
        style.note(axes, f"{mass}\n{drift}", "lower left", zorder=5)
    axes.set(xlabel="redshift", xlim=(0, None))


def binned_medians(redshift: np.ndarray, difference: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Median redshift, median difference and its standard error (1.253 sigma / sqrt(n)) in bins of equal numbers."""
    bins = int(np.clip(redshift.size // _BIN_CLUSTERS, 1, _MAX_BINS))
    parts = np.array_split(np.argsort(redshift, kind="stable"), bins)
    place, median = (np.array([np.median(values[p]) for p in parts]) for values in (redshift, difference))
    return place, median, np.array([1.2533 * difference[p].std() / np.sqrt(p.size) for p in parts])


def _limits(columns: list[np.ndarray]) -> tuple[float, float]:
    low, high = np.nanpercentile(np.concatenate(columns), [0.2, 99.8])
    return float(low) - 0.1, float(high) + 0.1
