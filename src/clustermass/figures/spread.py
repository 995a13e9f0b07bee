"""Test clusters on which the members of the ensemble differ most and least, as Fig. 7 of Krippendorf et al. (2023)."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

from clustermass.arrays import generator
from clustermass.catalogues.formats import read_table
from clustermass.dataset.sample import realization_of
from clustermass.dataset.split import read_split
from clustermass.errors import InputError
from clustermass.figures import style
from clustermass.figures.sample import pixels_of
from clustermass.figures.style import read_subset
from clustermass.images.geometry import SKY_PIXEL_ARCSEC, project
from clustermass.io.files import reading
from clustermass.io.netcdf import read_netcdf

SPREAD = r"$\mu_\mathrm{max} - \mu_\mathrm{min}$ [dex]"
MASS = r"\log_{10}(M_{500c}/M_\odot)"
#: photons in a pixel at which the display of a single band (as in the paper) and of all bands together is clipped
CLIP, CLIP_ALL = 1, 4
#: number of bins, with equal numbers of clusters, whose medians are drawn against counts
BINS = 6
#: size of the page, tops of the two clusters' blocks, side of a large panel, left end of the bands; in inches
PAGE_IN, TOPS_IN, LARGE_IN, BANDS_IN = (style.TWO_COLUMNS_IN, 8.0), (7.95, 5.15), 2.05, 2.75
#: clusters without another detection in the box are drawn as if one had this share of their counts
NONE_AT = 0.02
DETECTION_COLUMNS = ("ID_SRC", "RA", "DEC", "EXT_LIKE", "ML_CTS")
HALO_COLUMNS = ("HALO_ID", "RA", "DEC", "R500_ARCMIN")

#: columns of a catalogue or truth table, (row,) each
Columns = dict[str, np.ndarray]
#: images, truth and catalogue of a realization; a sky of published images has no catalogue
Files = tuple[Path, Path, Path | None]


@style.saved
def plot_spread(
    ensemble: Path,
    predictions: Path,
    split: Path,
    images: Sequence[Path],
    truth: Sequence[Path],
    half_width_arcsec: float,
    bootstrap: int,
    seed: int,
    catalogues: Sequence[Path] = (),
) -> Figure:
    """Draw images of the test clusters of largest and smallest spread, and the spread of all test clusters.

    The spread is the difference between the largest and the smallest mass that the members predict. It is drawn against
    the counts of the brightest neighbour, divided by the cluster's own, and against the cluster's own counts. `images`,
    `truth` and `catalogues` (if any) have one file for each realization, in the same order. `half_width_arcsec` is half
    the side of the networks' input images. Errors of medians are from `bootstrap` resamplings of the groups in `split`.
    """
    table = spreads(ensemble, predictions, split)
    given: Sequence[Path | None] = catalogues or [None] * len(images)
    files = {realization_of(paths[0]): paths for paths in zip(images, truth, given, strict=True)}
    order = np.argsort(table["spread"].values, kind="stable")
    # fixed positions: with so many panels, an automatic layout isn't reproducible to the last bit
    figure = Figure(figsize=PAGE_IN)
    for top, index, name in zip(TOPS_IN, (order[-1], order[0]), ("largest", "smallest"), strict=True):
        row = table.isel(cluster=int(index))
        draw_extreme(figure, top, row, files[str(row["realization"].item())], half_width_arcsec, name)
    ratio = neighbours(table, {label: catalogue for label, (_, _, catalogue) in files.items()}, half_width_arcsec)
    left, right = (add_axes(figure, x, 0.5, 3.15, 1.4) for x in (0.5, 3.85))
    right.sharey(left)
    measured = np.isfinite(ratio)
    shown = bool(measured.any())
    left.set_visible(shown)
    if shown:
        draw_neighbours(left, table.isel(cluster=measured), ratio[measured], bootstrap, seed)
        side = f"{half_width_arcsec / 30:.1f}'"
        left.set_xlabel(f"counts of the brightest other detection\nin the box of {side} × {side} / own counts")
    draw_trend(right, table)
    if table["spread"].values.max() > 0:  # a single network has no spread
        left.set_yscale("log")
    (left if shown else right).set_ylabel(SPREAD)
    right.tick_params(labelleft=not shown)
    return figure


def spreads(ensemble: Path, predictions: Path, split: Path) -> xr.Dataset:
    """Return predictions of test clusters, with the members' `lowest` and `highest` mu, the `spread` and `group`."""
    members = read_subset(ensemble, "test", require=["member_mu"])
    predicted = read_subset(predictions, "test", require=["mu", "sigma_calibrated"])
    if not np.array_equal(members["cluster"].values, predicted["cluster"].values):
        raise InputError(f"{predictions}: holds other test clusters than {ensemble}. Delete both and run again.")
    mu = members["member_mu"].transpose("member", "cluster").values
    columns = {"lowest": mu.min(axis=0), "highest": mu.max(axis=0), "spread": np.ptp(mu, axis=0)}
    columns |= {name: members[name].values for name in ("realization", "halo_id")}
    columns["group"] = read_split(split, members["cluster"].values)["group"].values
    return predicted.assign({name: ("cluster", values) for name, values in columns.items()})


def sources(cluster: xr.Dataset, half: float, truth: Path, catalogue: Path | None) -> tuple[Columns | None, Columns]:
    """Return the detections (None without a catalogue) and the haloes in the box around a cluster of `images.nc`."""
    box = (float(cluster["ra"]), float(cluster["dec"])), half
    detections = in_box(read_columns(catalogue, DETECTION_COLUMNS), *box) if catalogue else None
    return detections, in_box(read_columns(truth, HALO_COLUMNS), *box)


def read_columns(path: Path, names: Sequence[str]) -> Columns:
    """Return columns of a catalogue or of a truth table by name; a blank number becomes NaN."""
    table = read_table(path)
    with reading(path, "columns"):
        columns = {name: np.ma.asarray(table[name]) for name in names}
    # ids stay integers: a float can't hold all 64 bits
    return {
        name: np.ma.filled(column.astype(float), np.nan) if column.dtype.kind == "f" else np.asarray(column.data)
        for name, column in columns.items()
    }


def in_box(table: Columns, centre: tuple[float, float], half: float) -> Columns:
    """Return the rows of a table in the square box with side 2 x `half` (arcsec) about `centre` (RA, DEC in deg).

    Columns `x` and `y` are added: offsets from the centre to the West and North, in the images' projection, in arcsec.
    """
    # a first cut in declination, so that most rows of the sky needn't be projected
    near = np.abs(table["DEC"] - centre[1]) <= 2 * half / 3600
    x, y = (SKY_PIXEL_ARCSEC * offset for offset in project(table["RA"][near], table["DEC"][near], *centre))
    rows = (np.abs(x) <= half) & (np.abs(y) <= half)
    return {"x": x[rows], "y": y[rows], **{name: column[near][rows] for name, column in table.items()}}


def neighbours(table: xr.Dataset, catalogues: Mapping[str, Path | None], half: float) -> np.ndarray:
    """Return `brightest_neighbour` of every cluster, (cluster,); NaN if the cluster's realization has no catalogue."""
    realization = table["realization"].values.astype(str)
    number = np.array([int(name.rpartition("_")[2]) for name in table["cluster"].values.astype(str).tolist()])
    ratio = np.full(number.size, np.nan)
    for label, catalogue in catalogues.items():
        rows = realization == label
        if catalogue and rows.any():
            ratio[rows] = brightest_neighbour(catalogue, number[rows], half)
    return ratio


def brightest_neighbour(catalogue: Path, id_src: np.ndarray, half: float) -> np.ndarray:
    """Return the counts of the brightest other detection in a cluster's box divided by the cluster's own, (cluster,).

    `id_src` are the clusters' numbers in the catalogue, `half` is half the side of the box in arcsec. The ratio is 0
    if no other detection has counts, and NaN if the cluster has none. InputError if the catalogue lacks a cluster.
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


def add_axes(figure: Figure, x: float, y: float, width: float, height: float) -> Axes:
    """Add a panel with this lower left corner and size, in inches, and return it."""
    across, up = PAGE_IN
    return figure.add_axes((x / across, y / up, width / across, height / up))


def draw_extreme(figure: Figure, top: float, row: xr.Dataset, files: Files, half_seen: float, name: str) -> None:
    """Draw a cluster below `top` (inches): all bands together with marks of sources, and each band alone.

    `row` is the cluster's entry of `spreads`, `half_seen` half the side of the networks' input images in arcsec, and
    `name` ("largest" or "smallest") begins the title.
    """
    images, truth, catalogue = files
    cluster = read_netcdf(images, ["band_bounds", "ra", "dec"]).sel(cluster=row["cluster"].item())
    pixels, half = pixels_of(cluster)
    values = {str(name): variable.values.item() for name, variable in row.variables.items() if variable.size == 1}
    title = (
        rf"{name} spread, {values['spread']:.3f} dex: cluster {values['cluster']}, "
        rf"true ${MASS} = {values['log10_m500c']:.3f}$, $z = {values['redshift']:.3f}$" + "\n"
        rf"$\mu_\mathrm{{min}} = {values['lowest']:.3f}$, $\mu_\mathrm{{max}} = {values['highest']:.3f}$, "
        rf"ensemble ${values['mu']:.3f} \pm {values['sigma_calibrated']:.3f}$, "
        f"{round(float(pixels.sum()))} photons in the box"
    )
    figure.text(0.5, top / PAGE_IN[1], title, ha="center", va="top")
    below = top - 0.42
    whole = add_axes(figure, 0.5, below - LARGE_IN, LARGE_IN, LARGE_IN)
    draw_pixels(whole, pixels.sum(axis=0), half, CLIP_ALL)
    draw_marks(whole, *sources(cluster, half, truth, catalogue), int(row["halo_id"]), half_seen)
    whole.set(xlim=(-half, half), ylim=(-half, half))
    lines = -(-len(pixels) // 5)
    side = min(0.8, (1.77 - 0.17 * (lines - 1)) / lines)
    for number, (band, (low, high)) in enumerate(zip(pixels, cluster["band_bounds"].values, strict=True)):
        line, column = divmod(number, 5)
        axes = add_axes(figure, BANDS_IN + 0.87 * column, below - 0.12 - side - (side + 0.17) * line, side, side)
        draw_pixels(axes, band, half, CLIP)
        axes.set_title(f"{low:.2f}–{high:.2f} keV", fontsize=6.5, pad=2)
        axes.tick_params(labelbottom=False, labelleft=False)
    place = (BANDS_IN + 2.14) / PAGE_IN[0], (below - LARGE_IN - 0.27) / PAGE_IN[1]
    legend = partial(figure.legend, facecolor=style.GREY, frameon=True, borderaxespad=0)
    legend(*whole.get_legend_handles_labels(), loc="lower center", bbox_to_anchor=place, ncols=3)


def draw_pixels(axes: Axes, pixels: np.ndarray, half: float, clip: float) -> None:
    """Draw an image (y, x) of side 2 x `half` arcsec; pixels above `clip` photons have the same colour."""
    box = (-half, half, -half, half)
    axes.imshow(pixels, origin="lower", extent=box, vmin=0, vmax=clip, cmap="inferno", interpolation="none")
    ticks = 200 * np.round(half / 300) * np.array([-1, 0, 1])
    axes.set(xticks=ticks, yticks=ticks)
    axes.minorticks_off()
    axes.tick_params(color="w", labelsize=6)


def draw_marks(axes: Axes, detections: Columns | None, haloes: Columns, halo_id: int, seen: float) -> None:
    """Mark detections, haloes, R500 of the halo `halo_id`, and the box of side 2 x `seen` that the networks see."""
    if detections is not None:
        extended = detections["EXT_LIKE"] > 0
        for chosen, marker, size, kind in ((~extended, "s", 3.5, "point"), (extended, "D", 7, "extended")):
            x, y = (detections[name][chosen] for name in "xy")
            label = f"detected {kind} source"
            axes.plot(x, y, marker, ms=size, mec=style.SKY_BLUE, mfc="none", mew=0.7, label=label)
    axes.plot(haloes["x"], haloes["y"], "+", color=style.GREEN, ms=5, mew=0.9, label="simulated halo")
    own = (haloes["HALO_ID"] == halo_id) & np.isfinite(haloes["R500_ARCMIN"])
    for x, y, radius in zip(*(haloes[name][own] for name in ("x", "y", "R500_ARCMIN")), strict=True):
        axes.add_patch(Circle((x, y), 60 * radius, fill=False, ec="w", lw=0.9, label="its $R_{500c}$"))
    corner, side = (-seen, -seen), 2 * seen
    axes.add_patch(Rectangle(corner, side, side, fill=False, ec="w", lw=0.7, ls=":", label="seen by the networks"))
    axes.set_xlabel("to the West [arcsec]", fontsize=7, labelpad=1)
    axes.set_ylabel("to the North [arcsec]", fontsize=7, labelpad=1)


def draw_neighbours(axes: Axes, table: xr.Dataset, ratio: np.ndarray, bootstrap: int, seed: int) -> None:
    """Draw spread against `ratio` (see `brightest_neighbour`), with the median spread below and above a ratio of 1."""
    spread, group = table["spread"].values, table["group"].values.astype(str)
    axes.set_xscale("log")
    draw_points(axes, np.maximum(ratio, NONE_AT), spread)
    start, end, lines = NONE_AT / 1.3, max(float(ratio.max()) * 1.5, 3.0), []
    sides = ((ratio < 1, "none brighter", (start, 1)), (ratio >= 1, "a brighter one", (1, end)))
    for chosen, name, ends in sides:
        if chosen.any():
            median = float(np.median(spread[chosen]))
            error = median_error(spread[chosen], group[chosen], bootstrap, generator(seed, "spread", name))
            axes.plot(ends, [median, median], color=style.VERMILION, lw=1.6, zorder=4)
            plus_minus = f" ± {error:.4f}" if np.isfinite(error) else ""
            lines.append(f"{name}: n = {chosen.sum()}, median {median:.4f}{plus_minus} dex")
    axes.axvline(1, color=style.BLACK, lw=0.7, ls="--")
    axes.set_xlim(start, end)
    axes.set_title("\n".join(lines), fontsize=7)
    # the paper discusses the few largest spreads, which medians don't show
    largest = np.argsort(-spread, kind="stable")[: max(1, spread.size // 50)]
    style.note(axes, f"{np.sum(ratio[largest] >= 1)} of the {largest.size} largest\nhave a brighter one", "lower right")


def median_error(values: np.ndarray, group: np.ndarray, resamplings: int, rng: np.random.Generator) -> float:
    """Return the error of the median of `values` (cluster,), by a bootstrap of whole groups; NaN for a single group."""
    names, row = np.unique(group, return_inverse=True)
    if names.size == 1:
        return np.nan
    order = np.argsort(values, kind="stable")
    draws = rng.multinomial(names.size, np.full(names.size, 1 / names.size), size=resamplings)
    return float(np.std([np.median(np.repeat(values[order], times[row[order]])) for times in draws]))


def draw_trend(axes: Axes, table: xr.Dataset) -> None:
    """Draw spread against fitted counts, or redshift if counts are missing, with medians in equally populated bins."""
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
    axes.plot(x, spread, ".", color=style.BLUE, ms=2.2, mew=0, alpha=0.7, rasterized=x.size > style.RASTERISE_ABOVE)
