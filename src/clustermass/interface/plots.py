"""Figures of a posterior and of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy.ndimage import gaussian_filter
from scipy.stats import norm

from clustermass.apply.find import find_cluster
from clustermass.config.resolve import default_config
from clustermass.errors import InputError
from clustermass.figures import style
from clustermass.figures.output import new_figure, styled
from clustermass.interface.inputs import name_of

if TYPE_CHECKING:
    from clustermass.interface.posterior import Posterior

#: largest number of images in a figure, and images in a row
MOST, COLUMNS = 12, 4
#: standard deviation of the Gaussian by which images are smoothed
SMOOTH_ARCSEC = 18.0


@styled
def posterior_figure(posterior: Posterior, truth: float | None = None) -> Figure:
    """Return a figure of a posterior: its density, median and central 68 %, and the density that each network predicts.

    `truth` is a log10 mass to mark.
    """
    low, median, high = posterior.quantile([0.16, 0.5, 0.84])
    lowest, highest = posterior.quantile([1e-4, 1 - 1e-4])
    mass = np.linspace(lowest, highest, 400)
    figure = new_figure(style.TWO_COLUMNS_IN / 2, 2.6)
    axes = figure.subplots()
    networks = axes.plot(mass, norm.pdf(mass[:, None], posterior.mu, posterior.sigma), color=style.GREY, lw=0.4)
    networks[0].set_label("each network")
    axes.plot(mass, posterior.pdf(mass), color=style.BLUE, lw=1.5, label="posterior")
    inner = np.linspace(low, high, 100)
    axes.fill_between(inner, posterior.pdf(inner), color=style.SKY_BLUE, alpha=0.4, lw=0, label="central 68 %")
    axes.axvline(median, color=style.BLUE, ls="--", label="median")
    if truth is not None:
        axes.axvline(truth, color=style.VERMILION, label="truth")
    axes.set(xlabel=style.MASS, ylabel=r"probability density [dex$^{-1}$]", xlim=(mass[0], mass[-1]), ylim=(0, None))
    errors = rf"^{{+{high - median:.2f}}}_{{-{median - low:.2f}}}$"
    msun = rf"{10 ** (low - 14):.2g} to {10 ** (high - 14):.2g} $\times 10^{{14}}\,M_\odot$"
    axes.set_title(rf"{posterior.name}: ${median:.2f}{errors}" + f"\n68 %: {msun}")
    axes.legend(loc="upper left")
    return figure


@styled
def images_figure(images: xr.Dataset, clusters: str | int | Sequence[str | int] | None = None) -> Figure:
    """Return a figure of smoothed images of clusters, with the box that the default networks see.

    `images` is a Dataset from `images_of`. `clusters` is an id, a name, a part of a name, or a list of these.
    `ImagesAccessor.plot` describes the default. Colours show the square root of the counts. The colour scale of each
    image ends at the brightest pixel in the box. InputError if no cluster or several clusters fit a name, if the list
    is empty, or if `images` is another Dataset.
    """
    if not {"counts", "cluster", "id_src"} <= set(images.variables):
        raise InputError("images: no Dataset from images_of; only that one has the method clustermass.plot.")
    seen = default_config()["preprocessing"]["central"]["half_width_arcsec"]
    shown = images.isel(cluster=_brightest(images, seen) if clusters is None else _named(images, clusters))
    x, number = shown["x"].values / 60, shown.sizes["cluster"]
    rows, columns = -(-number // COLUMNS), min(number, COLUMNS)
    side = style.TWO_COLUMNS_IN / COLUMNS
    figure = new_figure(columns * side + 0.3, rows * (side + 0.1) + 0.2)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    step = x[1] - x[0]
    edges = x[0] - step / 2, x[-1] + step / 2
    half, inside = seen / 60, np.abs(x) < seen / 60
    counts = shown["counts"].sum("band").values.astype(float)
    for axes, image, name in zip(panels.flat, counts, shown["cluster"].values.tolist(), strict=False):
        smooth = np.sqrt(gaussian_filter(image, SMOOTH_ARCSEC / 60 / step))
        brightest_inside = smooth[np.ix_(inside, inside)].max()
        axes.imshow(smooth, origin="lower", extent=(*edges, *edges), cmap="magma", vmax=brightest_inside)
        axes.add_patch(Rectangle((-half, -half), 2 * half, 2 * half, fill=False, ec="white", lw=0.6, ls="--"))
        axes.set_title(name, fontsize=6.5)
    for axes in panels.flat[number:]:
        axes.set_visible(False)
    figure.supxlabel("offset to the West [arcmin]", fontsize=8)
    figure.supylabel("offset to the North [arcmin]", fontsize=8)
    return figure


def _brightest(images: xr.Dataset, seen: float) -> list[int]:
    """Return the rows with the largest ML_CTS or, if unknown, with most photons up to `seen` arcsec in x and y."""
    counts = images["ml_cts"] if "ml_cts" in images else xr.DataArray(np.nan)
    if not np.isfinite(counts).any():
        counts = images["counts"].sel(x=slice(-seen, seen), y=slice(-seen, seen)).sum(("band", "y", "x"))
    return np.argsort(-counts.values.astype(float), kind="stable")[:MOST].tolist()  # NaN comes last


def _named(images: xr.Dataset, clusters: str | int | Sequence[str | int]) -> list[int]:
    """Return the rows of the clusters with these ids, names or parts of names; InputError if there are none."""
    known = {"NAME": images["cluster"].values.astype(str), "ID_SRC": images["id_src"].values.astype(str)}
    columns = {name: values.tolist() for name, values in known.items()}
    rows = [find_cluster(columns, name_of(one), "images") for one in np.ravel(clusters).tolist()]
    if not rows:
        raise InputError("clusters: the list is empty. Give at least one id or name, or None for the brightest ones.")
    return rows
