"""Masses of an observed field against count-rate relation and redshift, after Fig. 6 of Krippendorf et al. (2023)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np
import xarray as xr
from astropy.coordinates import SkyCoord
from astropy.io import fits
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from clustermass.baselines.scaling_relations import count_rate_relation
from clustermass.errors import InputError
from clustermass.figures import style
from clustermass.figures.style import MASS, signed
from clustermass.io.files import reading
from clustermass.io.netcdf import read_netcdf
from clustermass.io.products import is_simulated

if TYPE_CHECKING:
    from clustermass.config.models import CountRateRelation

COLUMNS = ("RA", "DEC", "Z", "LOGM500", "LOGM500_ERR", "LOGM500_REF")
FLAGS = ("FLAG_RANGE", "FLAG_OOD", "FLAG_EDGE")


@style.saved
def plot_observed(masses: Path, images: Sequence[Path], relation: CountRateRelation) -> Figure:
    """Draw the masses of `masses.fits` against those from the count rates in the images, and against redshift."""
    table = read_masses(masses)
    rate = count_rates(table, masses, images)
    figure = style.new_figure(style.TWO_COLUMNS_IN, 3.4)
    left, right = figure.subplots(1, 2)
    low, high = np.percentile(table["LOGM500_ERR"].values, [1, 99])
    norm = Normalize(low, max(high, low + 0.02))
    draw_against_rate(left, table, rate, relation, norm)
    points = draw_against_redshift(right, table, norm)
    figure.colorbar(points, ax=[left, right], label="uncertainty of the mass [dex]", extend="both", pad=0.01)
    simulated, more = table.attrs["simulated"], table.attrs["without_mass"]
    kind = "simulated field, not an observation" if simulated else "observed field"
    hidden = f" ({more} more without redshift)" if more else ""
    colour = style.VERMILION if simulated else style.BLACK
    figure.suptitle(f"{kind}: n = {table.sizes['cluster']}{hidden}", color=colour)
    style.common_legend(figure, 4)
    return figure


def read_masses(path: Path) -> xr.Dataset:
    """Read the clusters of `masses.fits` that have a mass.

    Returns `COLUMNS` and `flagged` (any of `FLAGS`), (cluster,), in the units of the file, with the attributes
    `without_mass` (number of clusters without a mass, for want of a redshift) and `simulated`.
    """
    with reading(path, "mass catalogue"):
        data, header = fits.getdata(path, 1, header=True, memmap=False)
        missing = [name for name in (*COLUMNS, *FLAGS) if name not in data.names]
    if missing:
        raise InputError(f"{path}: lacks the column(s) {', '.join(missing)}. Delete it and run again.")
    values = {name: ("cluster", np.asarray(data[name], dtype=float)) for name in COLUMNS}
    flagged = np.any([np.asarray(data[name], dtype=bool) for name in FLAGS], axis=0)
    table = xr.Dataset({**values, "flagged": ("cluster", flagged)})
    has_mass = np.isfinite(table["LOGM500"].values)
    if not has_mass.any():
        raise InputError(
            f"{path}: none of {has_mass.size} clusters has a mass; nothing can be drawn. Check the field's selection "
            "and that its catalogue has redshifts."
        )
    return table.isel(cluster=has_mass).assign_attrs(without_mass=(~has_mass).sum(), simulated=is_simulated(header))


def count_rates(table: xr.Dataset, path: Path, images: Sequence[Path]) -> np.ndarray:
    """Fitted count rate of every cluster of `path`, count/s, (cluster,), from the detection within 1 arcsec of it."""
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


def draw_against_rate(
    axes: Axes, table: xr.Dataset, rate: np.ndarray, relation: CountRateRelation, norm: Normalize
) -> None:
    """Scatter the network's masses against those of the relation, for the clusters with a count rate (count/s)."""
    measured = np.isfinite(rate) & (rate > 0)
    mass = table["LOGM500"].values
    by_rate = count_rate_relation(table["Z"].values[measured], relation).log10_mass(rate[measured])
    draw_points(axes, by_rate, table, measured, norm)
    values = np.concatenate([mass, by_rate])
    limits = (float(values.min()) - 0.08, float(values.max()) + 0.08)
    axes.plot(limits, limits, color=style.BLACK, lw=0.8, label="equality")
    difference = mass[measured] - by_rate
    numbers = " no count rates in the catalogue"
    if measured.any():
        numbers = f"\nmean {signed(difference.mean())} dex\nscatter {difference.std():.3f} dex"
    style.note(axes, f"n = {difference.size} with a count rate\nnetwork − relation:{numbers}")
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    axes.set(xlabel=MASS + ", count-rate relation", ylabel=MASS + ", network")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5))


def draw_against_redshift(axes: Axes, table: xr.Dataset, norm: Normalize) -> PathCollection:
    """Scatter the masses against redshift, with the published masses where there are any."""
    redshift, published = table["Z"].values, table["LOGM500_REF"].values
    points = draw_points(axes, redshift, table, np.ones(redshift.size, dtype=bool), norm)
    has = np.isfinite(published)
    if has.any():
        label = f"published mass, n = {has.sum()}"
        axes.plot(redshift[has], published[has], "x", color=style.GREY, ms=3.5, zorder=1, label=label)
    axes.set(xlabel="redshift", ylabel=MASS, xlim=(0, None))
    return points


def draw_points(axes: Axes, x: np.ndarray, table: xr.Dataset, shown: np.ndarray, norm: Normalize) -> PathCollection:
    """Scatter the masses of the clusters `shown` against `x`, coloured by uncertainty, flagged ones ringed."""
    mass, error, flagged = (table[name].values[shown] for name in ("LOGM500", "LOGM500_ERR", "flagged"))
    rasterised = x.size > style.RASTERISE_ABOVE
    points = axes.scatter(x, mass, c=error, norm=norm, cmap="viridis", s=9, lw=0, zorder=3, rasterized=rasterised)
    if flagged.any():
        label = f"flagged, n = {table['flagged'].values.sum()}"
        rings = axes.plot(x[flagged], mass[flagged], "o", mfc="none", mec=style.VERMILION, mew=0.7, ms=5.0, label=label)
        rings[0].set_zorder(4)
    return points
