"""Test clusters on whose masses an ensemble's members differ most and least: Fig. 7 of Krippendorf et al. (2023)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Rectangle
from scipy.ndimage import gaussian_filter

from clustermass.arrays import generator
from clustermass.catalogues.formats import read_table
from clustermass.checked import Count, NotNegative
from clustermass.dataset.sample import realization_of
from clustermass.dataset.split import read_split
from clustermass.errors import InputError
from clustermass.figures import style
from clustermass.figures._sample import pixels_of
from clustermass.figures.inputs import subset
from clustermass.figures.output import new_figure, styled
from clustermass.images.geometry import SKY_PIXEL_ARCSEC, project
from clustermass.io.files import reading
from clustermass.io.netcdf import read_netcdf

SPREAD = "spread of the members [dex]"
#: width of the Gaussian by which images are smoothed for display, in pixels
SMOOTH = 1.0
#: number of bins, with equal numbers of clusters, whose medians are drawn against counts
BINS = 6
#: clusters without another detection in the box are drawn as if one had this share of their counts
NONE_AT = 0.02
DETECTION_COLUMNS = ("ID_SRC", "RA", "DEC", "EXT_LIKE", "ML_CTS")
HALO_COLUMNS = ("HALO_ID", "RA", "DEC", "R500_ARCMIN")

#: markers of detections and of haloes
POINT: dict[str, Any] = {"marker": "s", "ls": "", "mec": style.ORANGE, "mfc": "none", "mew": 1.0, "ms": 5}
EXTENDED: dict[str, Any] = {"marker": "D", "ls": "", "mec": style.VERMILION, "mfc": "none", "mew": 1.2, "ms": 8}
HALO: dict[str, Any] = {"marker": "+", "ls": "", "mec": style.BLUE, "mew": 1.2, "ms": 6}

#: columns of a catalogue or truth table, (row,) each
Columns = dict[str, np.ndarray]
#: images, truth and catalogue of a realization; a sky of published images has no catalogue
Files = tuple[Path, Path, Path | None]


@styled
def spread(
    ensemble: Path,
    predictions: Path,
    split: Path,
    images: Sequence[Path],
    truth: Sequence[Path],
    half_width_arcsec: float,
    bootstrap: Count,
    seed: NotNegative,
    catalogues: Sequence[Path] = (),
) -> Figure:
    """Return a figure that shows for which test clusters the members' predictions differ.

    The spread of a cluster is the difference between the largest and the smallest log10 mass that the members predict.
    The upper panels show images of the two test clusters with the largest and with the smallest spread. The lower panel
    shows the spread of all test clusters, against the counts of the brightest neighbour divided by the cluster's
    counts. Without catalogues, it shows the spread against the cluster's counts.

    All data are files of a run. `images`, `truth` and `catalogues` (if any) each hold one file for each realization, in
    the same order. `half_width_arcsec` is half the side of the networks' input images. The errors of medians are
    computed from `bootstrap` resamplings of the groups in `split`.
    """
    table = spreads(ensemble, predictions, split)
    given: Sequence[Path | None] = catalogues or [None] * len(images)
    files = {realization_of(paths[0]): paths for paths in zip(images, truth, given, strict=True)}
    order = np.argsort(table["spread"].values, kind="stable")
    figure = new_figure(style.TWO_COLUMNS_IN, 6.7)
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=[2, 1])[:, 0]
    panels = upper.subplots(1, 2, sharey=True)
    for axes, index, name in zip(panels, (order[-1], order[0]), ("most", "least"), strict=True):
        row = table.isel(cluster=int(index))
        draw_extreme(axes, row, files[str(row["realization"].item())], half_width_arcsec, name)
    panels[0].set_ylabel("offset to the North [arcsec]")
    upper.legend(handles=marks(bool(catalogues)), loc="outside lower center", ncols=3)
    ratio = neighbours(table, {label: catalogue for label, (_, _, catalogue) in files.items()}, half_width_arcsec)
    measured = np.isfinite(ratio)
    axes = lower.subplots()
    if measured.any():
        draw_neighbours(axes, table.isel(cluster=measured), ratio[measured], bootstrap, seed)
        side = f"{half_width_arcsec / 30:.1f}'"
        axes.set_xlabel(f"counts of the brightest other detection in the box of {side} × {side} ÷ own counts")
    else:
        draw_trend(axes, table)
    if table["spread"].values.max() > 0:  # a single network has no spread
        axes.set_yscale("log")
    axes.set_ylabel(SPREAD)
    figure.suptitle("Do the networks disagree where another bright source is near?")
    return figure


def spreads(ensemble: Path, predictions: Path, split: Path) -> xr.Dataset:
    """Return the predictions of the test clusters, with six more variables of shape (cluster,).

    `lowest` and `highest` are the smallest and the largest log10(M500c / Msun) that the members predict, and `spread`
    is their difference. The others are `realization`, `halo_id` and `group` of the cluster.
    """
    members = subset(ensemble, "test", require=["member_mu"])
    predicted = subset(predictions, "test", require=["mu", "sigma_calibrated"])
    if not np.array_equal(members["cluster"].values, predicted["cluster"].values):
        raise InputError(f"{predictions}: holds other test clusters than {ensemble}. Delete both and run again.")
    mu = members["member_mu"].transpose("member", "cluster").values
    columns = {"lowest": mu.min(axis=0), "highest": mu.max(axis=0), "spread": np.ptp(mu, axis=0)}
    columns |= {name: members[name].values for name in ("realization", "halo_id")}
    columns["group"] = read_split(split, members["cluster"].values)["group"].values
    return predicted.assign({name: ("cluster", values) for name, values in columns.items()})


def sources(cluster: xr.Dataset, half: float, truth: Path, catalogue: Path | None) -> tuple[Columns | None, Columns]:
    """Return the detections and the haloes in the box around a cluster of `images.nc`.

    The detections are None if there is no `catalogue`. `half` is half the side of the box in arcsec.
    """
    box = (float(cluster["ra"]), float(cluster["dec"])), half
    detections = in_box(read_columns(catalogue, DETECTION_COLUMNS), *box) if catalogue else None
    return detections, in_box(read_columns(truth, HALO_COLUMNS), *box)


def read_columns(path: Path, names: Sequence[str]) -> Columns:
    """Return a dict from `names` to the columns of a catalogue or of a truth table; blank numbers become NaN."""
    table = read_table(path)
    with reading(path, "columns"):
        columns = {name: np.ma.asarray(table[name]) for name in names}
    # ids stay integers: a float can't hold all 64 bits
    return {
        name: np.ma.filled(column.astype(float), np.nan) if column.dtype.kind == "f" else np.asarray(column.data)
        for name, column in columns.items()
    }


def in_box(table: Columns, centre: tuple[float, float], half: float) -> Columns:
    """Return the rows of a table that lie in a square box, with the further columns `x` and `y`.

    The centre of the box is `centre` (RA and DEC in deg), and its side is 2 x `half` (arcsec). `x` and `y` are the
    offsets from the centre to the West and to the North, in the projection of the images, in arcsec.
    """
    # a first cut in declination, so that most rows of the sky needn't be projected
    near = np.abs(table["DEC"] - centre[1]) <= 2 * half / 3600
    x, y = (SKY_PIXEL_ARCSEC * offset for offset in project(table["RA"][near], table["DEC"][near], *centre))
    rows = (np.abs(x) <= half) & (np.abs(y) <= half)
    return {"x": x[rows], "y": y[rows], **{name: column[near][rows] for name, column in table.items()}}


def neighbours(table: xr.Dataset, catalogues: Mapping[str, Path | None], half: float) -> np.ndarray:
    """Return, for each cluster, the counts of its brightest neighbour divided by its own counts, (cluster,).

    `brightest_neighbour` says what a neighbour is. `catalogues` maps the name of each realization to its catalogue.
    The ratio is NaN in realizations without a catalogue.
    """
    realization = table["realization"].values.astype(str)
    number = np.array([int(name.rpartition("_")[2]) for name in table["cluster"].values.astype(str).tolist()])
    ratio = np.full(number.size, np.nan)
    for label, catalogue in catalogues.items():
        rows = realization == label
        if catalogue and rows.any():
            ratio[rows] = brightest_neighbour(catalogue, number[rows], half)
    return ratio


def brightest_neighbour(catalogue: Path, id_src: np.ndarray, half: float) -> np.ndarray:
    """Return, for each cluster, the counts of its brightest neighbour divided by its own counts, (cluster,).

    A neighbour is another detection in the cluster's box. `id_src` holds the clusters' `ID_SRC` in the catalogue, and
    `half` is half the side of the box in arcsec. The ratio is 0 if no neighbour has counts, and NaN if the cluster has
    no counts. InputError if the catalogue lacks a cluster.
    """
    table = read_columns(catalogue, DETECTION_COLUMNS)
    rows = {number: row for row, number in enumerate(table["ID_SRC"].tolist())}
    ratio = np.full(id_src.size, np.nan)
    for index, number in enumerate(id_src.tolist()):
        if number not in rows:
            raise InputError(f"{catalogue}: lacks detection {number}, though there are images of it. Run again.")
        ra, dec, own = (table[name][rows[number]] for name in ("RA", "DEC", "ML_CTS"))
        box = in_box(table, (ra, dec), half)
        others = box["ML_CTS"][(box["ID_SRC"] != number) & np.isfinite(box["ML_CTS"])]
        if own > 0:
            ratio[index] = others.max(initial=0.0) / own
    return ratio


def draw_extreme(axes: Axes, row: xr.Dataset, files: Files, half_seen: float, name: str) -> None:
    """Draw the smoothed image of a cluster, summed over all bands, with marks of sources.

    `row` is the cluster's entry in the result of `spreads`. `half_seen` is half the side of the networks' input images
    in arcsec. `name` is "most" or "least": the title says whether this is the cluster on which the members differ most
    or least.
    """
    images, truth, catalogue = files
    cluster = read_netcdf(images, ["band_bounds", "ra", "dec"]).sel(cluster=row["cluster"].item())
    pixels, half = pixels_of(cluster)
    image = gaussian_filter(pixels.sum(axis=0), SMOOTH)
    extent = (-half, half, -half, half)
    axes.imshow(image, origin="lower", extent=extent, norm=PowerNorm(0.5, 0, max(image.max(), 1e-9)), cmap="Greys")
    draw_marks(axes, *sources(cluster, half, truth, catalogue), int(row["halo_id"]), half_seen)
    axes.set(xlim=(-half, half), ylim=(-half, half), xlabel="offset to the West [arcsec]")
    values = {str(name): variable.values.item() for name, variable in row.variables.items() if variable.size == 1}
    axes.set_title(
        rf"differ {name}: by {values['spread']:.3f} dex ($\sigma$ = {values['sigma_calibrated']:.3f})" + "\n"
        rf"cluster {values['cluster']}, $z = {values['redshift']:.3f}$" + "\n"
        rf"members' $\log_{{10}} M$ {values['lowest']:.3f} to {values['highest']:.3f}, true {values['log10_m500c']:.3f}"
    )


def draw_marks(axes: Axes, detections: Columns | None, haloes: Columns, halo_id: int, seen: float) -> None:
    """Draw marks of detections and haloes, a circle with radius R500c, and the box that the networks see.

    The circle is that of the halo `halo_id`. The box has the side 2 x `seen` (arcsec).
    """
    if detections is not None:
        extended = detections["EXT_LIKE"] > 0
        for chosen, look in ((~extended, POINT), (extended, EXTENDED)):
            axes.plot(detections["x"][chosen], detections["y"][chosen], **look)
    axes.plot(haloes["x"], haloes["y"], **HALO)
    own = (haloes["HALO_ID"] == halo_id) & np.isfinite(haloes["R500_ARCMIN"])
    for x, y, radius in zip(*(haloes[name][own] for name in ("x", "y", "R500_ARCMIN")), strict=True):
        axes.add_patch(Circle((x, y), 60 * radius, fill=False, ec=style.BLUE, lw=1.2))
    axes.add_patch(Rectangle((-seen, -seen), 2 * seen, 2 * seen, fill=False, ec=style.BLACK, lw=1.0, ls="--"))


def marks(detected: bool) -> list[Line2D]:
    """Return the entries of the legend. Detections are among them if `detected` is true."""
    circle: dict[str, Any] = {"marker": "o", "ls": "", "mec": style.BLUE, "mfc": "none", "mew": 1.2, "ms": 9}
    looks: list[tuple[str, dict[str, Any]]] = [
        *([("detected point source", POINT), ("detected extended source", EXTENDED)] if detected else []),
        ("simulated halo", HALO),
        ("$R_{500c}$ of the cluster", circle),
        ("seen by the networks", {"color": style.BLACK, "ls": "--"}),
    ]
    return [Line2D([], [], label=label, **look) for label, look in looks]


def draw_neighbours(axes: Axes, table: xr.Dataset, ratio: np.ndarray, bootstrap: int, seed: int) -> None:
    """Draw the spread against `ratio`, the result of `neighbours`, with medians for ratios below and above 1."""
    spread, group = table["spread"].values, table["group"].values.astype(str)
    axes.set_xscale("log")
    draw_points(axes, np.maximum(ratio, NONE_AT), spread)
    start, end = NONE_AT / 1.3, max(float(ratio.max()) * 1.5, 3.0)
    sides = ((ratio < 1, "none brighter", (start, 1)), (ratio >= 1, "a brighter one", (1, end)))
    for (chosen, name, ends), dashes in zip(sides, ("-", "--"), strict=True):
        if chosen.any():
            median = float(np.median(spread[chosen]))
            error = median_error(spread[chosen], group[chosen], bootstrap, generator(seed, "spread", name))
            plus_minus = f" ± {error:.4f}" if np.isfinite(error) else ""
            label = f"{name}: n = {chosen.sum()}, median {median:.4f}{plus_minus} dex"
            axes.plot(ends, [median, median], dashes, color=style.VERMILION, lw=1.8, zorder=4, label=label)
    axes.axvline(1, color=style.BLACK, lw=0.7, ls=":")
    axes.set_xlim(start, end)
    # the paper discusses the few largest spreads, which medians don't show
    largest = np.argsort(-spread, kind="stable")[: max(1, spread.size // 50)]
    few = f"{np.sum(ratio[largest] >= 1)} of the {largest.size} largest have a brighter one"
    axes.legend(loc="lower right", title=few, title_fontsize=style.small(), alignment="left")


def median_error(values: np.ndarray, group: np.ndarray, resamplings: int, rng: np.random.Generator) -> float:
    """Return the error of the median of `values` (cluster,), from a bootstrap of whole groups.

    The error is NaN if there is a single group.
    """
    names, row = np.unique(group, return_inverse=True)
    if names.size == 1:
        return np.nan
    order = np.argsort(values, kind="stable")
    draws = rng.multinomial(names.size, np.full(names.size, 1 / names.size), size=resamplings)
    return float(np.std([np.median(np.repeat(values[order], times[row[order]])) for times in draws]))


def draw_trend(axes: Axes, table: xr.Dataset) -> None:
    """Draw the spread against fitted counts, or against redshift if counts are missing.

    Medians in equally populated bins are drawn, too.
    """
    by_counts = np.isfinite(table["ml_cts"].values).all()
    spread, place = table["spread"].values, table["ml_cts" if by_counts else "redshift"].values
    axes.set_xscale("log")
    draw_points(axes, place, spread)
    bins = [rows for rows in np.array_split(np.argsort(place, kind="stable"), BINS) if rows.size]
    middle, median = ([float(np.median(values[rows])) for rows in bins] for values in (place, spread))
    axes.plot(middle, median, "o-", color=style.VERMILION, ms=4, zorder=4)
    numbers = f"n = {spread.size}, median {np.median(spread):.4f} dex"
    axes.set_title(f"{numbers}; medians of {len(bins)} equal parts", fontsize=7)
    axes.set_xlabel("fitted counts" if by_counts else "redshift")


def draw_points(axes: Axes, x: np.ndarray, spread: np.ndarray) -> None:
    """Draw the members' spread (dex) of each cluster as a point at `x`."""
    axes.plot(x, spread, ".", color=style.BLUE, ms=3.5, mew=0, alpha=0.6, rasterized=x.size > style.RASTERISE_ABOVE)
