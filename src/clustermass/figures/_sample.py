"""The sample in mass and redshift, and a cluster in all energy bands: Figs. 2 and 1 of Krippendorf et al. (2023)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from astropy.table import Table
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm, PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from clustermass.errors import InputError
from clustermass.figures import style
from clustermass.figures.inputs import Data, dataset, name_of
from clustermass.figures.output import new_figure, styled
from clustermass.figures.style import MASS
from clustermass.io.files import reading
from clustermass.io.fits import opened_fits

#: number of bins of mass, and of redshift
BINS = 40
#: number of energy bands in a row of panels
COLUMNS = 5
#: drawn pixels are this many times as wide as stored ones: 24", as in the paper's images
COARSER = 2
#: colours of the density of haloes, light enough for the clusters on top of it
GREYS = LinearSegmentedColormap.from_list("greys", ["#F4F4F4", "#9A9A9A"])


@styled
def sample(truth: Sequence[Table | str | Path], ensemble: Data) -> Figure:
    """Return a figure of mass and redshift of the simulated haloes and of the selected clusters, with histograms.

    Each of `truth` is a table with the columns `Z` and `LOG10_M500C` (`truth.fits`). `ensemble` has `redshift` and
    `log10_m500c` of the selected clusters, (cluster,) each (`ensemble.nc`).
    """
    halo_z, halo_mass = read_haloes(truth)
    selected = dataset(ensemble, require=["redshift", "log10_m500c"])
    z, mass = selected["redshift"].values, selected["log10_m500c"].values
    if z.size == 0:
        raise InputError(f"{name_of(ensemble)}: no cluster in it; the sample can't be drawn. Widen the selection.")
    figure = new_figure(5.4, 4.6)
    panels = figure.subplots(2, 2, sharex="col", sharey="row", width_ratios=[3.2, 1], height_ratios=[1, 3.2])
    (top, corner), (plane, right) = panels
    corner.remove()
    z_edges = np.linspace(0, 1.02 * max(halo_z.max(), z.max()), BINS + 1)
    mass_edges = np.linspace(min(halo_mass.min(), mass.min()), max(halo_mass.max(), mass.max()) + 0.05, BINS + 1)
    density = np.ma.masked_equal(np.histogram2d(halo_z, halo_mass, bins=(z_edges, mass_edges))[0].T, 0)
    grey = plane.pcolormesh(z_edges, mass_edges, density, norm=LogNorm(), cmap=GREYS, rasterized=True)
    plane.scatter(z, mass, s=5, c=style.BLUE, lw=0, rasterized=z.size > style.RASTERISE_ABOVE)
    plane.set(xlabel="redshift", ylabel="true " + MASS, xlim=z_edges[[0, -1]], ylim=mass_edges[[0, -1]])
    for hist, ours, all_haloes, edges in (
        (partial(top.hist, orientation="vertical"), z, halo_z, z_edges),
        (partial(right.hist, orientation="horizontal"), mass, halo_mass, mass_edges),
    ):
        histogram = partial(hist, bins=edges.tolist(), log=True)
        histogram(all_haloes, color=style.LIGHT_GREY, label=f"simulated haloes, n = {all_haloes.size:,}")
        histogram(ours, histtype="step", color=style.BLUE, lw=1.2, label=f"selected clusters, n = {ours.size:,}")
    top.set_ylabel("number")
    right.set_xlabel("number")
    bar = partial(figure.colorbar, location="bottom", aspect=50, shrink=0.75, anchor=(0, 0.5))
    bar(grey, ax=[plane, right], label="simulated haloes in a cell")
    figure.legend(*top.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    figure.suptitle("Which simulated haloes are found: massive and nearby ones")
    return figure


def read_haloes(truth: Sequence[Table | str | Path]) -> tuple[np.ndarray, np.ndarray]:
    """Return redshift and log10(M500c / Msun) of all haloes, (halo,) each; InputError without haloes."""
    columns = [np.empty((2, 0))]
    for one in truth:
        with reading(name_of(one), "table TRUTH"), halo_table(one) as table:
            columns.append(np.array([table[name] for name in ("Z", "LOG10_M500C")], dtype=float))
    redshift, mass = np.concatenate(columns, axis=1)
    if redshift.size == 0:
        raise InputError(f"{len(truth)} truth file(s) without a single halo; the sample can't be drawn.")
    return redshift, mass


@contextmanager
def halo_table(truth: Table | str | Path) -> Iterator[Any]:
    """Yield a table of haloes, which is in memory or is read from a file."""
    if isinstance(truth, str | Path):
        with opened_fits(Path(truth)) as hdus:
            yield hdus["TRUTH"].data
    else:
        yield truth


@styled
def energy_bands(images: Sequence[Data], split: Data | None = None, half_width_arcsec: float | None = None) -> Figure:
    """Return a figure of one bright cluster in every energy band.

    The cluster is that of `brightest_cluster`. Each of `images` is the content of a realization's `images.nc`. It holds
    `counts` (cluster, band, y, x), `band_bounds` (band, edge) in keV, and four variables of shape (cluster,): `ml_cts`,
    `covered_fraction`, `redshift` and, if masses are known, `log10_m500c`. `split` is the content of `splits/{sky}.nc`.
    If it is given, only test clusters are considered. `half_width_arcsec` is half the side of the box that the networks
    see. If it is given, this box is drawn.
    """
    cluster = brightest_cluster(images, split)
    pixels, half_width = pixels_of(cluster, COARSER)
    rows = -(-len(pixels) // COLUMNS)
    figure = new_figure(style.TWO_COLUMNS_IN, 0.95 + 1.27 * rows)
    panels = figure.subplots(rows, COLUMNS, sharex=True, sharey=True, squeeze=False)
    norm = PowerNorm(0.5, vmin=0, vmax=max(1.0, float(pixels.max())))
    extent = half_width * np.array([-1, 1, -1, 1])
    seen = half_width_arcsec if half_width_arcsec and half_width_arcsec < half_width else None
    for axes, band, (low, high) in zip(panels.flat, pixels, cluster["band_bounds"].values, strict=False):
        drawn = axes.imshow(band, origin="lower", extent=extent, norm=norm, cmap="inferno")
        axes.set_title(f"{low:.3f}–{high:.3f} keV", fontsize=style.small(), pad=3)
        place = {"transform": axes.transAxes, "ha": "right", "va": "bottom", "fontsize": style.small()}
        axes.text(0.95, 0.05, f"{round(band.sum())} photons", color="w", **place)
        if seen:
            axes.add_patch(Rectangle((-seen, -seen), 2 * seen, 2 * seen, fill=False, ec="w", lw=0.7, ls="--"))
        axes.tick_params(color="w", which="both")
        axes.set(xticks=[-400, 0, 400], yticks=[-400, 0, 400])
        axes.minorticks_off()
    for axes in panels.flat[len(pixels) :]:
        axes.set_visible(False)
    draw_compass(panels[0, 0])
    pixel, smoothed = 2 * half_width / pixels.shape[-1], "smoothed " * ("image" in cluster)
    label = f'{smoothed}photons per {pixel:.0f}" × {pixel:.0f}" pixel'
    figure.colorbar(drawn, ax=panels, label=label, aspect=30, pad=0.01, ticks=MaxNLocator(8, integer=True))
    figure.suptitle(describe(cluster, float(pixels.sum()), seen))
    figure.supxlabel("offset to the West [arcsec]", fontsize=rcParams["axes.labelsize"])
    figure.supylabel("offset to the North [arcsec]", fontsize=rcParams["axes.labelsize"])
    return figure


def describe(cluster: xr.Dataset, photons: float, seen: float | None) -> str:
    """Return a title for the figure of a cluster.

    It states the cluster's id, redshift and number of photons, and also its mass if the mass is known. `seen` is half
    the side of the box that the networks see, in arcsec. If `seen` is given, the title also states the size of the box.
    """
    words = [f"cluster {cluster['cluster'].item()}"]
    if "log10_m500c" in cluster and np.isfinite(cluster["log10_m500c"]):
        words.append(rf"true $\log_{{10}}(M_{{500c}}/M_\odot) = {float(cluster['log10_m500c']):.2f}$")
    words += [rf"$z = {float(cluster['redshift']):.3f}$", f"{round(photons)} photons"]
    return ", ".join(words) + (f"\ndashed: the {seen / 30:.1f}' box that the networks see" if seen else "")


def brightest_cluster(images: Sequence[Data], split: Data | None) -> xr.Dataset:
    """Return the cluster with the largest ML_CTS among those with a redshift and a fully exposed box.

    If `split` is given, only clusters of the test set with a mass are considered. Of clusters with equal counts, the
    first one is returned: in the order of the files' names, and then in the order in the file. Files are read one at a
    time, so that memory holds only one realization. InputError if there is no such cluster.
    """
    test, needed = None, ["band_bounds", "redshift", "ml_cts", "covered_fraction"]
    if split is not None:
        subsets = dataset(split, require=["split"])["split"]
        test = subsets["cluster"].values[subsets.values.astype(str) == "test"].astype(str)
        needed.append("log10_m500c")
    best = None
    for one in sorted(images, key=name_of):
        data = dataset(one, needed)
        if "image" not in data and "counts" not in data:
            raise InputError(f"{name_of(one)}: lacks the variable counts. Delete it and run again.")
        usable = (data["covered_fraction"].values > 0.99) & np.isfinite(data["redshift"].values)
        if test is not None:
            usable &= np.isin(data["cluster"].values.astype(str), test) & np.isfinite(data["log10_m500c"].values)
        if usable.any():
            candidate = data.isel(cluster=int(np.argmax(np.where(usable, data["ml_cts"].values, -np.inf))))
            if best is None or float(candidate["ml_cts"]) > float(best["ml_cts"]):
                best = candidate.copy(deep=True)
    if best is None:
        kind = "cluster with" if split is None else "test cluster with a mass,"
        raise InputError(
            f"no {kind} a redshift and a fully exposed box in the {len(images)} image file(s). Enlarge the sky or add "
            "realizations."
        )
    return best


def pixels_of(cluster: xr.Dataset, coarser: int = 1) -> tuple[np.ndarray, float]:
    """Return a cluster's image (band, y, x), and half the side of the image in arcsec.

    The image holds counts, or smoothed counts if the file has no raw ones. Images of counts are rebinned to pixels that
    are `coarser` times as wide, if the number of pixels along a side is a multiple of `coarser`.
    """
    pixels = cluster["image" if "image" in cluster else "counts"].values.astype(float)
    bands, side = pixels.shape[:2]
    if side % coarser == 0 and "image" not in cluster:
        pixels = pixels.reshape(bands, side // coarser, coarser, side // coarser, coarser).sum(axis=(2, 4))
    return pixels, 0.5 * side * float(cluster["x"][1] - cluster["x"][0])


def draw_compass(axes: Axes) -> None:
    """Draw arrows to North and East in the upper left corner of a panel."""
    x, y = 0.27, 0.71
    arrow = {"arrowstyle": "-|>", "color": "w", "lw": 0.7, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 5}
    for dx, dy, name in ((0.0, 0.13, "N"), (-0.13, 0.0, "E")):
        axes.annotate("", (x + dx, y + dy), (x, y), xycoords="axes fraction", arrowprops=arrow)
        place = x + 1.42 * dx, y + 1.42 * dy
        axes.text(*place, name, transform=axes.transAxes, color="w", fontsize=style.small(), ha="center", va="center")
