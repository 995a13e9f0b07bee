"""Masses of an observed field against count-rate relation and redshift, after Fig. 6 of Krippendorf et al. (2023)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from clustermass.baselines.scaling_relations import predict_count_rate_efeds
from clustermass.errors import InputError
from clustermass.figures import style
from clustermass.figures.labels import MASS, signed
from clustermass.io.netcdf import read_netcdf
from clustermass.io.products import is_simulated

COLUMNS = ("RA", "DEC", "Z", "LOGM500", "LOGM500_ERR", "LOGM500_REF")
FLAGS = ("FLAG_RANGE", "FLAG_OOD", "FLAG_EDGE")


@dataclass(frozen=True)
class MassTable:
    """The clusters of a catalogue that have a mass.

    Attributes
    ----------
    ra, dec
        Degrees, (cluster,).
    redshift
        (cluster,).
    mass, error, reference
        log10(M500c / Msun), its standard error in dex, and a published mass (NaN = none), (cluster,).
    flagged
        Whether any of `FLAGS` is set, (cluster,).
    without_mass
        Rows of the catalogue that have none, for want of a redshift.
    simulated
        Whether the header says that the field is no observation.
    """

    ra: np.ndarray
    dec: np.ndarray
    redshift: np.ndarray
    mass: np.ndarray
    error: np.ndarray
    reference: np.ndarray
    flagged: np.ndarray
    without_mass: int
    simulated: bool


def read_masses(path: Path) -> MassTable:
    """Read `masses.fits`.

    Raises
    ------
    InputError
        The file is missing or damaged, lacks a column, or no cluster in it has a mass.
    """
    try:
        with fits.open(path, memmap=False) as hdus:
            data, header = hdus[1].data, hdus[1].header
            missing = [name for name in (*COLUMNS, *FLAGS) if name not in data.names]
            if missing:
                raise InputError(f"{path}: lacks the column(s) {', '.join(missing)}. Delete it and run again.")
            values = [np.asarray(data[name], dtype=float) for name in COLUMNS]
            flagged = np.any([np.asarray(data[name], dtype=bool) for name in FLAGS], axis=0)
    except (OSError, IndexError) as fault:
        raise InputError(f"{path}: no readable mass catalogue ({fault}). Delete it and run again.") from fault
    known = np.isfinite(values[COLUMNS.index("LOGM500")])
    if not known.any():
        raise InputError(
            f"{path}: none of {known.size} clusters has a mass; nothing can be drawn. Check the field's selection and "
            "that its catalogue has redshifts."
        )
    ra, dec, redshift, mass, error, reference, flags = (column[known] for column in (*values, flagged))
    simulated = is_simulated(header)
    return MassTable(ra, dec, redshift, mass, error, reference, flags, int((~known).sum()), simulated)


def count_rates(table: MassTable, path: Path, images: Sequence[Path]) -> np.ndarray:
    """Fitted count rate of every cluster, count/s, (cluster,): that of the detection at its place.

    Parameters
    ----------
    table
        Of `read_masses`.
    path
        Where it was read, for messages.
    images
        `images.nc` of every realization of the field.

    Raises
    ------
    InputError
        A cluster has no detection within 1 arcsec.
    """
    detections = [read_netcdf(file, require=["ra", "dec", "ml_rate"]) for file in images]
    ra, dec, rate = (np.concatenate([d[name].values for d in detections]) for name in ("ra", "dec", "ml_rate"))
    places = SkyCoord(ra, dec, unit="deg")
    index, separation, _ = SkyCoord(table.ra, table.dec, unit="deg").match_to_catalog_sky(places)
    lost = int(np.count_nonzero(separation > 1 * u.arcsec))
    if lost:
        raise InputError(
            f"{path}: {lost} cluster(s) aren't among the detections of {len(images)} image file(s). Delete the "
            "catalogue and run again."
        )
    return np.asarray(rate[index], dtype=float)


@style.styled
def plot_observed(
    masses: Path, images: Sequence[Path], relation: Mapping[str, Any], svg: Path, png: Path, dpi: int
) -> None:
    """Draw the masses of a catalogue against those of the count-rate relation, and against redshift.

    Parameters
    ----------
    masses
        `masses.fits`.
    images
        `images.nc` of every realization of the field: the count rates, found by position.
    relation
        `baselines.count_rate_efeds` of the configuration.
    svg, png
        Files to write.
    dpi
        Resolution of the PNG, dots per inch.

    Raises
    ------
    InputError
        The catalogue holds no mass, lacks a column, or has a cluster that isn't in `images`.
    """
    table = read_masses(masses)
    rate = count_rates(table, masses, images)
    figure = style.new_figure(style.TWO_COLUMNS_IN, 3.4)
    left, right = figure.subplots(1, 2)
    low, high = np.percentile(table.error, [1, 99])
    norm = Normalize(low, max(high, low + 0.02))
    draw_against_rate(left, table, rate, relation, norm)
    points = draw_against_redshift(right, table, norm)
    figure.colorbar(points, ax=[left, right], label="uncertainty of the mass [dex]", extend="both", pad=0.01)
    label_figure(figure, table)
    style.save(figure, svg, png, dpi)


def draw_against_rate(
    axes: Axes, table: MassTable, rate: np.ndarray, relation: Mapping[str, Any], norm: Normalize
) -> None:
    """Scatter the network's masses against those of the relation, for the clusters with a count rate (count/s)."""
    measured = np.isfinite(rate) & (rate > 0)
    by_rate = predict_count_rate_efeds(rate[measured], table.redshift[measured], relation)
    draw_points(axes, by_rate, table, measured, norm)
    values = np.concatenate([table.mass, by_rate])
    limits = (float(values.min()) - 0.08, float(values.max()) + 0.08)
    axes.plot(limits, limits, color=style.BLACK, lw=0.8, label="equality")
    difference = table.mass[measured] - by_rate
    numbers = f"\nmean {signed(difference.mean())} dex\nscatter {difference.std():.3f} dex" if measured.any() else ""
    style.note(
        axes,
        f"n = {difference.size} with a count rate\nnetwork − relation:{numbers or ' no count rates in the catalogue'}",
    )
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    axes.set(xlabel=MASS + ", count-rate relation", ylabel=MASS + ", network")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5))


def draw_against_redshift(axes: Axes, table: MassTable, norm: Normalize) -> PathCollection:
    """Scatter the masses against redshift, with the published masses where there are any."""
    points = draw_points(axes, table.redshift, table, np.ones(table.mass.size, dtype=bool), norm)
    known = np.isfinite(table.reference)
    if known.any():
        label = f"published mass, n = {known.sum()}"
        axes.plot(table.redshift[known], table.reference[known], "x", color=style.GREY, ms=3.5, zorder=1, label=label)
    axes.set(xlabel="redshift", ylabel=MASS)
    axes.set_xlim(left=0)
    return points


def draw_points(axes: Axes, x: np.ndarray, table: MassTable, shown: np.ndarray, norm: Normalize) -> PathCollection:
    """Scatter the masses of the clusters `shown` against `x`, coloured by uncertainty, flagged ones ringed."""
    mass, flagged = table.mass[shown], table.flagged[shown]
    points = axes.scatter(
        x,
        mass,
        c=table.error[shown],
        norm=norm,
        cmap="viridis",
        s=9,
        lw=0,
        zorder=3,
        rasterized=x.size > style.RASTERISE_ABOVE,
    )
    if flagged.any():
        ring: dict[str, Any] = {"mfc": "none", "mec": style.VERMILION, "mew": 0.7, "ms": 5.0, "zorder": 4}
        axes.plot(x[flagged], mass[flagged], "o", label=f"flagged, n = {table.flagged.sum()}", **ring)
    return points


def label_figure(figure: Figure, table: MassTable) -> None:
    """Write above the panels whether the field is simulated, and below them what the marks mean."""
    kind = "simulated field, not an observation" if table.simulated else "observed field"
    hidden = f" ({table.without_mass} more without redshift)" if table.without_mass else ""
    figure.suptitle(f"{kind}: n = {table.mass.size}{hidden}", color=style.VERMILION if table.simulated else style.BLACK)
    found = [axes.get_legend_handles_labels() for axes in figure.axes]
    handles = {label: handle for pair in found for handle, label in zip(*pair, strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4)
