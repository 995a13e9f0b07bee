"""Where the members of the ensemble disagree most and least, after Fig. 7 of Krippendorf et al. (2023)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

from clustermass.dataset.split import groups_of
from clustermass.errors import InputError
from clustermass.figures import style
from clustermass.figures.labels import read_subset
from clustermass.figures.surroundings import (
    DETECTION_COLUMNS,
    HALO_COLUMNS,
    Files,
    Places,
    brightest_neighbour,
    files_of,
    inside,
    read_columns,
)
from clustermass.io.netcdf import read_netcdf
from clustermass.rng import generator

SPREAD = r"$\mu_\mathrm{max} - \mu_\mathrm{min}$ [dex]"
MASS = r"\log_{10}(M_{500c}/M_\odot)"
#: photons a pixel at which a single band is clipped for display, as in the paper, and all bands together
CLIP, CLIP_ALL = 1, 4
#: the medians against counts stand for so many bins of equal numbers
BINS = 6
#: the page, tops of the two clusters' blocks, side of their large panel, where their bands begin: inches
PAGE_IN, TOPS_IN, LARGE_IN, BANDS_IN = (style.TWO_COLUMNS_IN, 8.0), (7.95, 5.15), 2.05, 2.75
#: where clusters without any other detection in the box are drawn, in units of the cluster's counts
NONE_AT = 0.02


class Extreme(NamedTuple):
    """A cluster at an end of the spreads, with what lies in its box.

    Attributes
    ----------
    facts
        Its row of `spreads`.
    pixels
        (band, y, x), photons a pixel; or the image itself where it came smoothed.
    bands
        Edges of the bands, keV, (band, 2).
    half
        Half of the box' side, arcsec.
    detections
        In the box, with EXT_LIKE; None where the sky has no catalogue.
    haloes
        In the box, with R500 in arcmin, NaN = not known.
    """

    facts: xr.Dataset
    pixels: np.ndarray
    bands: np.ndarray
    half: float
    detections: Places | None
    haloes: Places


@style.styled
def plot_spread(
    ensemble: Path,
    predictions: Path,
    split: Path,
    images: Sequence[Path],
    truth: Sequence[Path],
    svg: Path,
    png: Path,
    half_width_arcsec: float,
    bootstrap: int,
    seed: int,
    dpi: int,
    catalogues: Sequence[Path] = (),
) -> None:
    """Draw the test clusters of largest and smallest spread, and all spreads against what else is in the box.

    Parameters
    ----------
    ensemble, predictions, split
        `ensemble.nc`, `predictions.nc` (whose sigma is calibrated) and the sky's split, whose groups are resampled.
    images, truth
        `images.nc` and `truth.fits` of every realization, in the same order.
    svg, png
        Files to write.
    half_width_arcsec
        Half of the side of the box that the networks see.
    bootstrap, seed
        Resamplings behind the errors of the medians, and root of their random numbers.
    dpi
        Resolution of the PNG, dots per inch.
    catalogues
        `catalogue.fits` of every realization, in the same order; a sky of published images has none.

    Raises
    ------
    InputError
        The test set is empty, or a file is missing, damaged or of another run.
    """
    table = spreads(ensemble, predictions, split)
    files = files_of(images, truth, catalogues)
    order = np.argsort(table["spread"].values, kind="stable")
    # laid out by hand: so many panels in one another, a solver doesn't place the same twice to the last bit
    figure = Figure(figsize=PAGE_IN)
    for top, row, name in zip(TOPS_IN, (order[-1], order[0]), ("largest", "smallest"), strict=True):
        facts = table.isel(cluster=int(row))
        of = read_extreme(facts, files[str(facts["realization"].item())])
        draw_extreme(figure, top, of, half_width_arcsec, name)
    ratio = neighbours(table, files, half_width_arcsec)
    draw_all(figure, table, ratio, [half_width_arcsec, bootstrap, seed])
    style.save(figure, svg, png, dpi)


def spreads(ensemble: Path, predictions: Path, split: Path) -> xr.Dataset:
    """Read the test clusters' calibrated predictions, `lowest` and `highest` of the members, `spread` and `group`."""
    members = read_subset(ensemble, "test", require=["member_mu"])
    predicted = read_subset(predictions, "test", require=["mu", "sigma_calibrated"])
    if not np.array_equal(members["cluster"].values, predicted["cluster"].values):
        raise InputError(f"{predictions}: holds other test clusters than {ensemble}. Delete both and run again.")
    mu = members["member_mu"].transpose("member", "cluster").values
    columns = {"lowest": mu.min(axis=0), "highest": mu.max(axis=0), "spread": np.ptp(mu, axis=0)}
    columns |= {name: members[name].values for name in ("realization", "halo_id")}
    columns["group"] = groups_of(members["cluster"].values.astype(str), split)
    return predicted.assign({name: ("cluster", values) for name, values in columns.items()})


def read_extreme(facts: xr.Dataset, files: Files) -> Extreme:
    """Read image and surroundings of one cluster."""
    cluster = read_netcdf(files.images, ["band_bounds", "ra", "dec"]).sel(cluster=facts["cluster"].item())
    pixels = cluster["image" if "image" in cluster else "counts"].values.astype(float)
    half = 0.5 * pixels.shape[-1] * float(cluster["x"][1] - cluster["x"][0])
    box = (float(cluster["ra"]), float(cluster["dec"])), half
    found = None
    if files.catalogue:
        found = inside(read_columns(files.catalogue, DETECTION_COLUMNS), "ID_SRC", "EXT_LIKE", *box)
    haloes = inside(read_columns(files.truth, HALO_COLUMNS), "HALO_ID", "R500_ARCMIN", *box)
    return Extreme(facts, pixels, cluster["band_bounds"].values, half, found, haloes)


def neighbours(table: xr.Dataset, files: Mapping[str, Files], half: float) -> np.ndarray:
    """Return `brightest_neighbour` of every cluster, (cluster,), NaN where there is no catalogue."""
    realization = table["realization"].values.astype(str)
    number = np.array([int(name.rpartition("_")[2]) for name in table["cluster"].values.astype(str).tolist()])
    ratio = np.full(number.size, np.nan)
    for label in np.unique(realization).tolist():
        catalogue, rows = files[label].catalogue, realization == label
        if catalogue:
            ratio[rows] = brightest_neighbour(catalogue, number[rows], half)
    return ratio


def add_axes(figure: Figure, x: float, y: float, width: float, height: float) -> Axes:
    """Add a panel whose lower left corner and size are given in inches."""
    across, up = PAGE_IN
    return figure.add_axes((x / across, y / up, width / across, height / up))


def draw_extreme(figure: Figure, top: float, of: Extreme, seen: float, name: str) -> None:
    """Draw one cluster below `top` (inches): all bands together with all that is marked, and each band alone."""
    facts = {key: float(of.facts[key]) for key in ("spread", "lowest", "highest", "mu", "sigma_calibrated", "redshift")}
    title = (
        rf"{name} spread, {facts['spread']:.3f} dex: cluster {of.facts['cluster'].item()}, "
        rf"true ${MASS} = {float(of.facts['log10_m500c']):.3f}$, $z = {facts['redshift']:.3f}$" + "\n"
        rf"$\mu_\mathrm{{min}} = {facts['lowest']:.3f}$, $\mu_\mathrm{{max}} = {facts['highest']:.3f}$, "
        rf"ensemble ${facts['mu']:.3f} \pm {facts['sigma_calibrated']:.3f}$, "
        f"{round(float(of.pixels.sum()))} photons in the box"
    )
    figure.text(0.5, top / PAGE_IN[1], title, ha="center", va="top")
    below = top - 0.42
    whole = add_axes(figure, 0.5, below - LARGE_IN, LARGE_IN, LARGE_IN)
    draw_pixels(whole, of.pixels.sum(axis=0), of.half, CLIP_ALL)
    draw_marks(whole, of, seen)
    rows = -(-len(of.pixels) // 5)
    side = min(0.8, (1.77 - 0.17 * (rows - 1)) / rows)
    for number, (band, (low, high)) in enumerate(zip(of.pixels, of.bands, strict=True)):
        row, column = divmod(number, 5)
        axes = add_axes(figure, BANDS_IN + 0.87 * column, below - 0.12 - side - (side + 0.17) * row, side, side)
        draw_pixels(axes, band, of.half, CLIP)
        axes.set_title(f"{low:.2f}–{high:.2f} keV", fontsize=6.5, pad=2)
        axes.tick_params(labelbottom=False, labelleft=False)
    place = (BANDS_IN + 2.14) / PAGE_IN[0], (below - LARGE_IN - 0.27) / PAGE_IN[1]
    frame: dict[str, Any] = {"facecolor": style.GREY, "frameon": True, "borderaxespad": 0}
    figure.legend(*whole.get_legend_handles_labels(), loc="lower center", bbox_to_anchor=place, ncols=3, **frame)


def draw_pixels(axes: Axes, pixels: np.ndarray, half: float, clip: float) -> None:
    """Draw pixels (y, x), clipped, in a box of arcsec."""
    look: dict[str, Any] = {"vmin": 0, "vmax": clip, "cmap": "inferno", "interpolation": "none"}
    axes.imshow(pixels, origin="lower", extent=(-half, half, -half, half), **look)
    ticks = 200 * np.round(half / 300) * np.array([-1, 0, 1])
    axes.set_xticks(ticks)
    axes.set_yticks(ticks)
    axes.minorticks_off()
    axes.tick_params(color="w", labelsize=6)


def draw_marks(axes: Axes, of: Extreme, seen: float) -> None:
    """Mark detections, haloes and their R500, and the part of the box that the networks see."""
    if of.detections is not None:
        extended = of.detections.value > 0
        look: dict[str, Any] = {"ls": "", "mfc": "none", "mew": 0.7}
        for chosen, marker, size, label in (
            (~extended, "s", 3.5, "point source"),
            (extended, "D", 7, "extended source"),
        ):
            x, y = of.detections.x[chosen], of.detections.y[chosen]
            axes.plot(x, y, **look, marker=marker, ms=size, mec=style.SKY_BLUE, label=f"detected {label}")
    axes.plot(of.haloes.x, of.haloes.y, "+", color=style.GREEN, ms=5, mew=0.9, label="simulated halo")
    for x, y, number, radius in zip(*of.haloes, strict=True):
        own = number == int(of.facts["halo_id"])
        if own and np.isfinite(radius):
            circle = Circle((x, y), 60 * radius, fill=False, ec="w", lw=0.9, label="its $R_{500c}$")
            axes.add_patch(circle)
    corner, side = (-seen, -seen), 2 * seen
    axes.add_patch(Rectangle(corner, side, side, fill=False, ec="w", lw=0.7, ls=":", label="seen by the networks"))
    axes.set(xlim=(-of.half, of.half), ylim=(-of.half, of.half))
    axes.set_xlabel("to the West [arcsec]", fontsize=7, labelpad=1)
    axes.set_ylabel("to the North [arcsec]", fontsize=7, labelpad=1)


def draw_all(figure: Figure, table: xr.Dataset, ratio: np.ndarray, settings: Sequence[float]) -> None:
    """Draw every spread against the brightest neighbour and against counts, as far as they are known."""
    half, bootstrap, seed = settings
    spread, group = table["spread"].values, table["group"].values.astype(str)
    left, right = (add_axes(figure, x, 0.5, 3.15, 1.4) for x in (0.5, 3.85))
    right.sharey(left)
    known = np.isfinite(ratio)
    if known.any():
        draw_neighbours(left, spread[known], ratio[known], group[known], int(bootstrap), int(seed))
        side = f"{half / 30:.1f}'"
        left.set_xlabel(f"counts of the brightest other detection\nin the box of {side} × {side} / own counts")
    counts = table["ml_cts"].values
    place, label = (counts, "fitted counts") if np.isfinite(counts).all() else (table["redshift"].values, "redshift")
    draw_trend(right, place, spread)
    right.set_xlabel(label)
    if spread.max() > 0:  # a single network has no spread
        left.set_yscale("log")
    left.set_visible(bool(known.any()))
    if known.any():
        left.set_ylabel(SPREAD)
        right.tick_params(labelleft=False)
    else:
        right.set_ylabel(SPREAD)


def draw_neighbours(
    axes: Axes, spread: np.ndarray, ratio: np.ndarray, group: np.ndarray, bootstrap: int, seed: int
) -> None:
    """Scatter the spreads against the brightest neighbour, with medians with and without a brighter one."""
    axes.set_xscale("log")
    draw_points(axes, np.maximum(ratio, NONE_AT), spread)
    end = max(float(ratio.max()) * 1.5, 3.0)
    # the median says nothing of the few largest ones, of which the paper speaks
    extreme = np.argsort(-spread, kind="stable")[: max(1, spread.size // 50)]
    lines = []
    for chosen, name, ends in (
        (ratio < 1, "none brighter", (NONE_AT / 1.3, 1)),
        (ratio >= 1, "a brighter one", (1, end)),
    ):
        if chosen.any():
            median = float(np.median(spread[chosen]))
            error = median_error(spread[chosen], group[chosen], bootstrap, generator(seed, "spread", name))
            axes.plot(ends, [median, median], color=style.VERMILION, lw=1.6, zorder=4)
            told = f" ± {error:.4f}" if np.isfinite(error) else ""
            lines.append(f"{name}: n = {chosen.sum()}, median {median:.4f}{told} dex")
    axes.axvline(1, color=style.BLACK, lw=0.7, ls="--")
    axes.set_xlim(NONE_AT / 1.3, end)
    axes.set_title("\n".join(lines), fontsize=7)
    style.note(axes, f"{np.sum(ratio[extreme] >= 1)} of the {extreme.size} largest\nhave a brighter one", "lower right")


def median_error(values: np.ndarray, group: np.ndarray, resamplings: int, rng: np.random.Generator) -> float:
    """Bootstrap error of the median of `values` (cluster,), groups (cluster,) drawn whole; NaN of one group."""
    _, row = np.unique(group, return_inverse=True)
    if row.max() == 0:
        return np.nan
    order = np.argsort(values, kind="stable")
    groups = int(row.max()) + 1
    medians = np.empty(resamplings)
    for number in range(resamplings):
        times = rng.multinomial(groups, np.full(groups, 1 / groups))[row[order]]
        medians[number] = np.median(np.repeat(values[order], times))
    return float(medians.std())


def draw_trend(axes: Axes, place: np.ndarray, spread: np.ndarray) -> None:
    """Scatter the spreads against a positive quantity, with the medians of bins of equal numbers."""
    axes.set_xscale("log")
    draw_points(axes, place, spread)
    bins = [rows for rows in np.array_split(np.argsort(place, kind="stable"), BINS) if rows.size]
    middle, median = ([float(np.median(values[rows])) for rows in bins] for values in (place, spread))
    axes.plot(middle, median, "o-", color=style.VERMILION, ms=4, zorder=4)
    axes.set_title(
        f"n = {spread.size}, median {np.median(spread):.4f} dex; medians of {len(bins)} equal parts", fontsize=7
    )


def draw_points(axes: Axes, x: np.ndarray, spread: np.ndarray) -> None:
    """Scatter all spreads."""
    axes.plot(x, spread, ".", color=style.BLUE, ms=2.2, mew=0, alpha=0.7, rasterized=x.size > style.RASTERISE_ABOVE)
