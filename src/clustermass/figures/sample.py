"""The sample in mass and redshift, and a cluster in all energy bands: Figs. 2 and 1 of Krippendorf et al. (2023)."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from clustermass.errors import InputError
from clustermass.figures import style
from clustermass.figures.style import MASS
from clustermass.io.files import reading
from clustermass.io.fits import opened_fits
from clustermass.io.netcdf import read_netcdf

#: number of bins of mass, and of redshift
BINS = 40
#: number of energy bands in a row of panels
COLUMNS = 5
#: drawn pixels are this many times as wide as stored ones: 24", as in the paper's images
COARSER = 2


@style.saved
def plot_sample(truth: Sequence[Path], ensemble: Path) -> Figure:
    """Draw mass and redshift of the haloes in the files `truth` and of the clusters in `ensemble`, with histograms."""
    halo_z, halo_mass = read_haloes(truth)
    selected = read_netcdf(ensemble, require=["redshift", "log10_m500c"])
    z, mass = selected["redshift"].values, selected["log10_m500c"].values
    if z.size == 0:
        raise InputError(f"{ensemble}: no cluster in it; the sample can't be drawn. Widen the selection.")
    figure = style.new_figure(5.2, 4.2)
    panels = figure.subplots(2, 2, sharex="col", sharey="row", width_ratios=[3.2, 1], height_ratios=[1, 3.2])
    (top, corner), (plane, right) = panels
    corner.remove()
    z_edges = np.linspace(0, 1.02 * max(halo_z.max(), z.max()), BINS + 1)
    mass_edges = np.linspace(min(halo_mass.min(), mass.min()), max(halo_mass.max(), mass.max()) + 0.05, BINS + 1)
    density = np.ma.masked_equal(np.histogram2d(halo_z, halo_mass, bins=(z_edges, mass_edges))[0].T, 0)
    grey = plane.pcolormesh(z_edges, mass_edges, density, norm=LogNorm(), cmap="Greys", rasterized=True)
    plane.scatter(z, mass, s=3, c=style.BLUE, alpha=0.5, lw=0, rasterized=z.size > style.RASTERISE_ABOVE)
    plane.set(xlabel="redshift", ylabel=MASS, xlim=z_edges[[0, -1]], ylim=mass_edges[[0, -1]])
    for hist, ours, all_haloes, edges in (
        (partial(top.hist, orientation="vertical"), z, halo_z, z_edges),
        (partial(right.hist, orientation="horizontal"), mass, halo_mass, mass_edges),
    ):
        histogram = partial(hist, bins=edges.tolist(), log=True)
        histogram(all_haloes, color=style.LIGHT_GREY, label=f"haloes that send photons, n = {all_haloes.size:,}")
        histogram(ours, histtype="step", color=style.BLUE, lw=1.2, label=f"selected clusters, n = {ours.size:,}")
    top.set_ylabel("number")
    right.set_xlabel("number")
    bar = partial(figure.colorbar, location="bottom", aspect=50, shrink=0.75, anchor=(0, 0.5))
    bar(grey, ax=[plane, right], label="all haloes per cell")
    figure.legend(*top.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def read_haloes(truth: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Return redshift and log10(M500c / Msun) of all haloes in the files, (halo,) each; InputError if there is none."""
    columns = [np.empty((2, 0))]
    for path in truth:
        with reading(path, "table TRUTH"), opened_fits(path) as hdus:
            columns.append(np.array([hdus["TRUTH"].data[name] for name in ("Z", "LOG10_M500C")], dtype=float))
    redshift, mass = np.concatenate(columns, axis=1)
    if redshift.size == 0:
        raise InputError(f"{len(truth)} truth file(s) without a single halo; the sample can't be drawn.")
    return redshift, mass


@style.saved
def plot_energy_bands(images: Sequence[Path], split: Path) -> Figure:
    """Draw every energy band of the test cluster that has the most fitted counts and a fully exposed box."""
    cluster = brightest_test_cluster(images, split)
    pixels, half_width = pixels_of(cluster, COARSER)
    rows = -(-len(pixels) // COLUMNS)
    figure = style.new_figure(style.TWO_COLUMNS_IN, 0.75 + 1.24 * rows)
    panels = figure.subplots(rows, COLUMNS, sharex=True, sharey=True, squeeze=False)
    norm = PowerNorm(0.5, vmin=0, vmax=max(1.0, float(pixels.max())))
    extent = half_width * np.array([-1, 1, -1, 1])
    for axes, band, (low, high) in zip(panels.flat, pixels, cluster["band_bounds"].values, strict=False):
        drawn = axes.imshow(band, origin="lower", extent=extent, norm=norm, cmap="inferno")
        axes.set_title(f"{low:.3f}–{high:.3f} keV", fontsize=7.5, pad=3)
        text = f"{round(band.sum())} photons"
        axes.text(0.95, 0.05, text, transform=axes.transAxes, ha="right", va="bottom", color="w", fontsize=7)
        axes.tick_params(color="w", which="both")
        axes.set(xticks=[-400, 0, 400], yticks=[-400, 0, 400])
        axes.minorticks_off()
    for axes in panels.flat[len(pixels) :]:
        axes.set_visible(False)
    draw_compass(panels[0, 0])
    pixel, smoothed = 2 * half_width / pixels.shape[-1], "smoothed " * ("image" in cluster)
    label = f'{smoothed}photons per {pixel:.0f}" × {pixel:.0f}" pixel'
    figure.colorbar(drawn, ax=panels, label=label, aspect=30, pad=0.01, ticks=MaxNLocator(8, integer=True))
    figure.suptitle(
        f"test cluster {cluster['cluster'].item()}: "
        rf"$\log_{{10}}(M_{{500c}}/M_\odot) = {float(cluster['log10_m500c']):.2f}$, "
        rf"$z = {float(cluster['redshift']):.3f}$, {round(float(pixels.sum()))} photons in the box"
    )
    figure.supxlabel("offset to the West [arcsec]", fontsize=8)
    figure.supylabel("offset to the North [arcsec]", fontsize=8)
    return figure


def brightest_test_cluster(images: Sequence[Path], split: Path) -> xr.Dataset:
    """Return the test cluster with the most fitted counts that has a mass, a redshift and a fully exposed box.

    Files are read one at a time, so that memory holds one realization only. Of clusters with equal counts the one whose
    id sorts first is returned. InputError if there is no such cluster.
    """
    subsets = read_netcdf(split, require=["split"])["split"]
    test = subsets["cluster"].values[subsets.values.astype(str) == "test"].astype(str)
    best = None
    for path in sorted(images):
        dataset = read_netcdf(path, ["band_bounds", "redshift", "ml_cts", "log10_m500c", "covered_fraction"])
        if "image" not in dataset and "counts" not in dataset:
            raise InputError(f"{path}: lacks the variable counts. Delete it and run again.")
        usable = np.isin(dataset["cluster"].values.astype(str), test) & (dataset["covered_fraction"].values > 0.99)
        usable &= np.isfinite(dataset["log10_m500c"].values) & np.isfinite(dataset["redshift"].values)
        if usable.any():
            candidate = dataset.isel(cluster=int(np.argmax(np.where(usable, dataset["ml_cts"].values, -np.inf))))
            if best is None or float(candidate["ml_cts"]) > float(best["ml_cts"]):
                best = candidate.copy(deep=True)
    if best is None:
        raise InputError(
            f"{split}: no test cluster with a mass, a redshift and a fully exposed box in the {len(images)} image "
            "file(s). Enlarge the sky or add realizations."
        )
    return best


def pixels_of(cluster: xr.Dataset, coarser: int = 1) -> tuple[np.ndarray, float]:
    """Return a cluster's image (band, y, x), and half the side of the image in arcsec.

    The image holds counts, or smoothed counts if the file has only these. Pixels of counts become `coarser` times as
    wide if the number of pixels along a side is a multiple of `coarser`.
    """
    pixels = cluster["image" if "image" in cluster else "counts"].values.astype(float)
    bands, side = pixels.shape[:2]
    if side % coarser == 0 and "image" not in cluster:
        pixels = pixels.reshape(bands, side // coarser, coarser, side // coarser, coarser).sum(axis=(2, 4))
    return pixels, 0.5 * side * float(cluster["x"][1] - cluster["x"][0])


def draw_compass(axes: Axes) -> None:
    """Draw arrows to North and East in the upper left corner of a panel."""
    x, y = 0.32, 0.64
    arrow = {"arrowstyle": "-|>", "color": "w", "lw": 0.7, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 5}
    for dx, dy, name in ((0.0, 0.17, "N"), (-0.17, 0.0, "E")):
        axes.annotate("", (x + dx, y + dy), (x, y), xycoords="axes fraction", arrowprops=arrow)
        place = x + 1.42 * dx, y + 1.42 * dy
        axes.text(*place, name, transform=axes.transAxes, color="w", fontsize=7, ha="center", va="center")
