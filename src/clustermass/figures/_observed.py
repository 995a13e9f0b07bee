"""Masses of an observed field against redshift, other estimates and published masses (Fig. 6 of the paper)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from astropy.table import Table
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clustermass.baselines.scaling_relations import count_rate_relation
from clustermass.figures import style
from clustermass.figures.inputs import Block, block, name_of
from clustermass.figures.output import new_figure, styled
from clustermass.figures.style import MASS, signed
from clustermass.io.files import reading
from clustermass.io.fits import opened_fits
from clustermass.io.products import is_simulated

if TYPE_CHECKING:
    from clustermass.config.models import CountRateRelation

COLUMNS = ("RA", "DEC", "Z", "LOGM500", "LOGM500_ERR", "ML_RATE", "LOGM500_REF")
#: dict from each flag to its label and marker
FLAGS = {
    "FLAG_RANGE": ("outside the training range", "s"),
    "FLAG_OOD": ("out-of-distribution", "D"),
    "FLAG_EDGE": ("near the edge of the field", "^"),
    "FLAG_NOCAT": ("input of the networks missing", "o"),
}
#: dict from the other masses in `comparison.json` to axis labels; the label of published masses is the paper's name
OTHERS = {
    "published": "published",
    "luminosity": "luminosity, Chiu et al. 2022",
    "count_rate": "count rate, eFEDS relation",
}
#: approximate number of clusters in a bin of redshift
BIN_CLUSTERS = 40
MAX_BINS = 8


@styled
def observed(masses: Table | str | Path, relation: CountRateRelation) -> Figure:
    """Return a figure of a catalogue's masses: against redshift, against masses from count rates, and on the sky.

    `masses` is a mass catalogue (`masses.fits`). `relation` turns the catalogue's count rates into masses. Published
    masses, if there are any, are also drawn against redshift. If no cluster has a mass, because redshifts or exposures
    are missing, the figure says so.
    """
    table = read_masses(masses)
    if not table.sizes["cluster"]:
        figure = new_figure(style.TWO_COLUMNS_IN, 0.6)
        figure.suptitle(f"none of {table.attrs['without_mass']} clusters has a mass: no redshift, or no exposure")
        return figure
    figure = new_figure(style.TWO_COLUMNS_IN, 6.4)
    panels: dict[str, Axes] = figure.subplot_mosaic([["redshift", "rate"], ["sky", "sky"]], height_ratios=[1.25, 1])
    draw_against_redshift(panels["redshift"], table)
    draw_against_rate(panels["rate"], table, relation)
    draw_sky(panels["sky"], table)
    simulated, more = table.attrs["simulated"], table.attrs["without_mass"]
    kind = "simulated field, not an observation" if simulated else "observed field"
    hidden = f" ({more} more without)" if more else ""
    colour = style.VERMILION if simulated else style.BLACK
    figure.suptitle(f"{kind}: n = {table.sizes['cluster']} with a mass{hidden}", color=colour)
    style.common_legend(figure, 3)
    return figure


def read_masses(masses: Table | str | Path) -> xr.Dataset:
    """Return a data set of those clusters in a mass catalogue that have a mass.

    Its variables, each of shape (cluster,), are the columns `COLUMNS` in the units of the catalogue, and those flags of
    `FLAGS` that the catalogue has (True if the flag is set). The attribute `without_mass` is the number of clusters
    without a mass. The attribute `simulated` is True for a simulated field.
    """
    if isinstance(masses, str | Path):
        with reading(masses, "mass catalogue"), opened_fits(Path(masses)) as hdus:
            return read_masses(Table(hdus[1].data, meta=dict(hdus[1].header)))
    values: dict[str, np.ndarray] = {
        name: np.ma.filled(np.ma.asarray(masses[name], dtype=float), np.nan) for name in COLUMNS
    }
    flags = {name: np.asarray(masses[name], dtype=bool) for name in FLAGS if name in masses.colnames}
    table = xr.Dataset({name: ("cluster", column) for name, column in (values | flags).items()})
    has_mass = np.isfinite(table["LOGM500"].values)
    attributes = {"without_mass": (~has_mass).sum(), "simulated": is_simulated(masses.meta)}
    return table.isel(cluster=has_mass).assign_attrs(attributes)


def draw_against_redshift(axes: Axes, table: xr.Dataset) -> None:
    """Draw the masses against redshift, and published masses, too, if there are any."""
    redshift, published = table["Z"].values, table["LOGM500_REF"].values
    draw_points(axes, redshift, table)
    has = np.isfinite(published)
    if has.any():
        label = f"published mass, n = {has.sum()}"
        axes.plot(redshift[has], published[has], "x", color=style.PURPLE, ms=3.5, zorder=2, label=label)
    axes.set(xlabel="redshift", ylabel=MASS, xlim=(0, None))


def draw_against_rate(axes: Axes, table: xr.Dataset, relation: CountRateRelation) -> None:
    """Draw the network's masses against masses from count rates by `relation`, for clusters with a count rate."""
    rate = table["ML_RATE"].values
    measured = table.isel(cluster=np.isfinite(rate) & (rate > 0))
    mass = measured["LOGM500"].values
    by_rate = count_rate_relation(measured["Z"].values, relation).log10_mass(measured["ML_RATE"].values)
    draw_points(axes, by_rate, measured)
    values = np.concatenate([table["LOGM500"].values, by_rate])
    style.draw_equality(axes, (float(values.min()) - 0.2, float(values.max()) + 0.2), 5)
    numbers = " no count rates in the catalogue"
    if mass.size:
        numbers = f"\nmean {signed((mass - by_rate).mean())} dex\nscatter {(mass - by_rate).std():.3f} dex"
    style.note(axes, f"n = {mass.size} with a count rate\nnetwork − relation:{numbers}")
    axes.set(xlabel=MASS + ", count-rate relation", ylabel=MASS + ", network")


def draw_points(axes: Axes, x: np.ndarray, table: xr.Dataset) -> None:
    """Draw the masses with their errors against `x`."""
    mass, error, many = table["LOGM500"].values, table["LOGM500_ERR"].values, x.size > style.RASTERISE_ABOVE
    axes.vlines(x, mass - error, mass + error, color=style.GREY, lw=0.5, alpha=0.35, zorder=1, rasterized=many)
    label = r"mass, with its error $\sigma$"
    axes.plot(x, mass, ".", color=style.BLUE, ms=4, mew=0, zorder=3, rasterized=many, label=label)
    draw_flags(axes, x, mass, table)


def draw_flags(axes: Axes, x: np.ndarray, y: np.ndarray, table: xr.Dataset) -> None:
    """Mark flagged clusters at `x` and `y`, with a symbol for each flag."""
    mark = partial(axes.plot, ls="", mfc="none", mec=style.VERMILION, mew=0.9, ms=7, zorder=4)
    for name, (label, marker) in FLAGS.items():
        flagged = table[name].values if name in table else np.zeros(x.size, dtype=bool)
        if flagged.any():
            mark(x[flagged], y[flagged], marker=marker, label=f"{label}, n = {flagged.sum()}")


def draw_sky(axes: Axes, table: xr.Dataset) -> None:
    """Draw the clusters on the sky, coloured by mass, and mark flagged ones. East is left."""
    # a field across RA = 0 stays in one piece
    middle = np.degrees(np.angle(np.exp(1j * np.radians(table["RA"].values)).mean()))
    ra = middle + (table["RA"].values - middle + 180) % 360 - 180
    dec, mass = table["DEC"].values, table["LOGM500"].values
    many = ra.size > style.RASTERISE_ABOVE
    points = axes.scatter(ra, dec, c=mass, cmap="viridis_r", s=14, lw=0, zorder=3, rasterized=many)
    # beside the map, whatever the shape of the field
    axes.figure.colorbar(points, cax=axes.inset_axes((1.02, 0, 0.03, 1)), label=MASS)
    draw_flags(axes, ra, dec, table)
    axes.set(xlabel="RA [deg]", ylabel="DEC [deg]", aspect=1 / np.cos(np.radians(np.clip(dec.mean(), -85, 85))))
    axes.xaxis.set_major_formatter(lambda x, _: f"{x % 360:g}")
    axes.margins(0.03)
    axes.invert_xaxis()


@styled
def published_masses(comparison: Block) -> Figure:
    """Return a figure of the network's masses against other masses of the same clusters.

    A second row of panels shows the differences of the masses against redshift. `comparison` is the content of
    `comparison.json`.
    """
    with reading(name_of(comparison), "comparison"):
        content = block(comparison, "comparison")
        numbers, paper, n = content["comparisons"], content["published"], content["n"]["network"]
        # None becomes NaN
        clusters = {key: np.array(content["clusters"][key], dtype=float) for key in ("redshift", "network", *OTHERS)}
    shown = [name for name in OTHERS if f"network_minus_{name}" in numbers]
    figure = new_figure(style.TWO_COLUMNS_IN, 5.1)
    panels = figure.subplots(2, len(shown), squeeze=False, sharey="row")
    limits = limits_of([clusters[name] for name in ("network", *shown)])
    differences = []
    for (upper, lower), name in zip(panels.T, shown, strict=True):
        columns = np.array([clusters[key] for key in ("network", name, "redshift")])
        mass, other, redshift = columns[:, np.isfinite(columns).all(axis=0)]
        title, trends = describe(numbers[f"network_minus_{name}"])
        look = partial(upper.scatter, s=7, lw=0, zorder=3, rasterized=mass.size > style.RASTERISE_ABOVE)
        points = look(other, mass, c=redshift, cmap="viridis", vmin=0.0, vmax=1.0)
        style.draw_equality(upper, limits, 4)
        upper.set_title(title, fontsize=style.small(), loc="left")
        upper.set_xlabel(f"{MASS},\n{paper if name == 'published' else OTHERS[name]}")
        draw_difference(lower, redshift, mass - other, trends)
        differences.append(mass - other)
    low, high = limits_of(differences)
    # room below for the printed trends
    panels[1, 0].set_ylim(low - 0.25 * (high - low), high)
    panels[0, 0].set_ylabel(MASS + ", network")
    panels[1, 0].set_ylabel("network − other [dex]")
    figure.colorbar(points, ax=panels, label="redshift", extend="max", pad=0.01, aspect=40)
    figure.suptitle(
        f"observed field: n = {n} with a mass\n"
        "agreement is not accuracy: published masses are themselves a function of count rate and redshift"
    )
    style.common_legend(figure, 2)
    return figure


def describe(numbers: Mapping[str, Any]) -> tuple[str, str]:
    """Return two texts about the differences of masses in a block of `comparison.json`.

    The first text gives number, mean and scatter. The second one gives the slopes with mass and with redshift.
    """
    title, trends, fit = f"n = {numbers['n']}", "", numbers["fit"]
    if numbers["mean_dex"] is not None:
        title += f"\nmean {signed(numbers['mean_dex'])} ± {numbers['mean_dex_error']:.3f} dex"
        title += f"\nscatter {numbers['scatter_dex']:.3f} ± {numbers['scatter_dex_error']:.3f} dex"
    if fit["slope_mass"] is not None:
        trends = f"{signed(fit['slope_mass'], 2)} ± {fit['slope_mass_error']:.2f} per dex of mass\n"
        trends += f"{signed(fit['slope_redshift'], 2)} ± {fit['slope_redshift_error']:.2f} per dex of 1 + z"
    return title, trends


def draw_difference(axes: Axes, redshift: np.ndarray, difference: np.ndarray, trends: str) -> None:
    """Draw differences (dex) against redshift, with medians in equally populated bins, and print the text `trends`."""
    rasterised = difference.size > style.RASTERISE_ABOVE
    axes.scatter(redshift, difference, color=style.LIGHT_GREY, s=5, lw=0, zorder=2, rasterized=rasterised)
    draw = partial(axes.errorbar, fmt="o", color=style.BLUE, ms=3.5, elinewidth=1, zorder=4)
    draw(*binned_medians(redshift, difference), label="median in bins")
    axes.axhline(0, color=style.BLACK, lw=0.8)
    style.note(axes, trends, "lower left", zorder=5)
    axes.set(xlabel="redshift", xlim=(0, None))


def binned_medians(redshift: np.ndarray, difference: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return median redshift, median difference and error of this median in equally populated bins, (bin,) each.

    The error is 1.253 sigma / sqrt(n), where sigma is the standard deviation of the n differences in a bin.
    """
    bins = int(np.clip(redshift.size // BIN_CLUSTERS, 1, MAX_BINS))
    parts = np.array_split(np.argsort(redshift, kind="stable"), bins)
    place, median = (np.array([np.median(values[p]) for p in parts]) for values in (redshift, difference))
    return place, median, np.array([1.2533 * difference[p].std() / np.sqrt(p.size) for p in parts])


def limits_of(columns: list[np.ndarray]) -> tuple[float, float]:
    """Return limits of an axis that contain the central 99.6 % of all values, and a margin."""
    low, high = np.nanpercentile(np.concatenate(columns), [0.2, 99.8])
    return float(low) - 0.1, float(high) + 0.1
