"""Masses of an observed field against redshift, other estimates and published masses (Fig. 6 of the paper)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
import xarray as xr
from astropy.coordinates import SkyCoord
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from clustermass.baselines.scaling_relations import count_rate_relation
from clustermass.errors import InputError
from clustermass.figures import style
from clustermass.figures.style import MASS, signed
from clustermass.io.files import read_json, reading
from clustermass.io.fits import opened_fits
from clustermass.io.netcdf import read_netcdf
from clustermass.io.products import is_simulated

if TYPE_CHECKING:
    from clustermass.config.models import CountRateRelation

COLUMNS = ("RA", "DEC", "Z", "LOGM500", "LOGM500_ERR", "LOGM500_REF")
FLAGS = ("FLAG_RANGE", "FLAG_OOD", "FLAG_EDGE")
#: masses in `comparison.json` besides the network's -> axis label; for published masses it is the paper's name
OTHERS = {
    "published": "published",
    "luminosity": "luminosity, Chiu et al. 2022",
    "count_rate": "count rate, eFEDS relation",
}
#: approximate number of clusters in a bin of redshift
BIN_CLUSTERS = 40
MAX_BINS = 8


@style.saved
def plot_observed(masses: Path, images: Sequence[Path], relation: CountRateRelation) -> Figure:
    """Draw the masses of `masses.fits` against masses from the count rates by `relation`, and against redshift.

    Published masses, if there are any, are drawn against redshift, too. Count rates are those in the files `images`. If
    no cluster has a mass, because redshifts or exposures are missing, the figure says so.
    """
    table = read_masses(masses)
    if not table.sizes["cluster"]:
        figure = style.new_figure(style.TWO_COLUMNS_IN, 0.6)
        figure.suptitle(f"none of {table.attrs['without_mass']} clusters has a mass: no redshift, or no exposure")
        return figure
    table["rate"] = "cluster", count_rates(table, masses, images)
    figure = style.new_figure(style.TWO_COLUMNS_IN, 3.4)
    left, right = figure.subplots(1, 2)
    low, high = np.percentile(table["LOGM500_ERR"].values, [1, 99])
    norm = Normalize(low, max(high, low + 0.02))
    draw_against_rate(left, table, relation, norm)
    redshift, published = table["Z"].values, table["LOGM500_REF"].values
    points = draw_points(right, redshift, table, np.ones(redshift.size, dtype=bool), norm)
    has = np.isfinite(published)
    if has.any():
        label = f"published mass, n = {has.sum()}"
        right.plot(redshift[has], published[has], "x", color=style.GREY, ms=3.5, zorder=1, label=label)
    right.set(xlabel="redshift", ylabel=MASS, xlim=(0, None))
    figure.colorbar(points, ax=[left, right], label="uncertainty of the mass [dex]", extend="both", pad=0.01)
    simulated, more = table.attrs["simulated"], table.attrs["without_mass"]
    kind = "simulated field, not an observation" if simulated else "observed field"
    hidden = f" ({more} more without redshift)" if more else ""
    colour = style.VERMILION if simulated else style.BLACK
    figure.suptitle(f"{kind}: n = {table.sizes['cluster']}{hidden}", color=colour)
    style.common_legend(figure, 4)
    return figure


def read_masses(path: Path) -> xr.Dataset:
    """Return the clusters of `masses.fits` that have a mass.

    The variables are `COLUMNS`, in the units of the file, and `flagged` (whether one of `FLAGS` is set), (cluster,)
    each. Attributes are `without_mass`, the number of clusters without a mass, and `simulated`, True for a simulated
    field.
    """
    with reading(path, "mass catalogue"), opened_fits(path) as hdus:
        data, header = hdus[1].data, hdus[1].header
        values = {name: ("cluster", np.asarray(data[name], dtype=float)) for name in COLUMNS}
        flagged = np.any([np.asarray(data[name], dtype=bool) for name in FLAGS], axis=0)
    table = xr.Dataset({**values, "flagged": ("cluster", flagged)})
    has_mass = np.isfinite(table["LOGM500"].values)
    return table.isel(cluster=has_mass).assign_attrs(without_mass=(~has_mass).sum(), simulated=is_simulated(header))


def count_rates(table: xr.Dataset, path: Path, images: Sequence[Path]) -> np.ndarray:
    """Return the fitted count rate (cluster,), count/s, of each cluster, from the detection within 1 arcsec of it."""
    detections = [read_netcdf(file, require=["ra", "dec", "ml_rate"]) for file in images]
    ra, dec, rate = (np.concatenate([d[name].values for d in detections]) for name in ("ra", "dec", "ml_rate"))
    clusters = SkyCoord(table["RA"].values, table["DEC"].values, unit="deg")
    index, separation, _ = clusters.match_to_catalog_sky(SkyCoord(ra, dec, unit="deg"))
    lost = int(np.count_nonzero(separation > 1 * u.arcsec))
    if lost:
        raise InputError(
            f"{path}: {lost} cluster(s) aren't among the detections of {len(images)} image file(s). Delete the "
            "catalogue and run again."
        )
    return np.asarray(rate[index], dtype=float)


def draw_against_rate(axes: Axes, table: xr.Dataset, relation: CountRateRelation, norm: Normalize) -> None:
    """Draw the network's masses against those from the count rate by `relation`, for clusters with a count rate."""
    mass, rate = table["LOGM500"].values, table["rate"].values
    measured = np.isfinite(rate) & (rate > 0)
    by_rate = count_rate_relation(table["Z"].values[measured], relation).log10_mass(rate[measured])
    draw_points(axes, by_rate, table, measured, norm)
    values = np.concatenate([mass, by_rate])
    style.draw_equality(axes, (float(values.min()) - 0.08, float(values.max()) + 0.08), 5)
    difference = mass[measured] - by_rate
    numbers = " no count rates in the catalogue"
    if measured.any():
        numbers = f"\nmean {signed(difference.mean())} dex\nscatter {difference.std():.3f} dex"
    style.note(axes, f"n = {difference.size} with a count rate\nnetwork − relation:{numbers}")
    axes.set(xlabel=MASS + ", count-rate relation", ylabel=MASS + ", network")


def draw_points(axes: Axes, x: np.ndarray, table: xr.Dataset, shown: np.ndarray, norm: Normalize) -> PathCollection:
    """Draw the masses of the clusters `shown` against `x`, coloured by uncertainty, with rings around flagged ones."""
    mass, error, flagged = (table[name].values[shown] for name in ("LOGM500", "LOGM500_ERR", "flagged"))
    rasterised = x.size > style.RASTERISE_ABOVE
    points = axes.scatter(x, mass, c=error, norm=norm, cmap="viridis", s=9, lw=0, zorder=3, rasterized=rasterised)
    if flagged.any():
        ring = partial(axes.plot, mfc="none", mec=style.VERMILION, mew=0.7, ms=5.0, zorder=4)
        ring(x[flagged], mass[flagged], "o", label=f"flagged, n = {table['flagged'].values.sum()}")
    return points


@style.saved
def plot_published_masses(comparison: Path) -> Figure:
    """Draw the network's masses against the other masses in `comparison.json`, and the differences against redshift."""
    with reading(comparison, "comparison"):
        content = read_json(comparison, "comparison")
        numbers, paper, n = content["comparisons"], content["published"], content["n"]["network"]
        # None becomes NaN
        clusters = {key: np.array(content["clusters"][key], dtype=float) for key in ("redshift", "network", *OTHERS)}
    shown = [name for name in OTHERS if f"network_minus_{name}" in numbers]
    figure = style.new_figure(style.TWO_COLUMNS_IN, 5.1)
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
        upper.set_title(title, fontsize=7, loc="left")
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
    """Return two texts on a difference of masses: number, mean and scatter, and the slopes with mass and redshift."""
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
    """Return median redshift, median difference and its error 1.253 sigma / sqrt(n) in equally populated bins."""
    bins = int(np.clip(redshift.size // BIN_CLUSTERS, 1, MAX_BINS))
    parts = np.array_split(np.argsort(redshift, kind="stable"), bins)
    place, median = (np.array([np.median(values[p]) for p in parts]) for values in (redshift, difference))
    return place, median, np.array([1.2533 * difference[p].std() / np.sqrt(p.size) for p in parts])


def limits_of(columns: list[np.ndarray]) -> tuple[float, float]:
    """Return limits of an axis around the central 99.6 % of all values, with a margin."""
    low, high = np.nanpercentile(np.concatenate(columns), [0.2, 99.8])
    return float(low) - 0.1, float(high) + 0.1
