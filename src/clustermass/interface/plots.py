"""Figures of a posterior and of images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy.ndimage import gaussian_filter
from scipy.stats import norm

from clustermass.config.resolve import default_config
from clustermass.figures import style
from clustermass.figures.output import new_figure, styled

if TYPE_CHECKING:
    from clustermass.interface.posterior import Posterior

#: largest number of images in a figure, and images in a row
MOST, COLUMNS = 12, 4
#: standard deviation of the Gaussian by which images are smoothed
SMOOTH_ARCSEC = 18.0


@styled
def posterior_figure(posterior: Posterior, truth: float | None = None) -> Figure:
    """Return a figure of a posterior's density, median and central 68 %, and of the density of each network.

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
def images_figure(images: xr.Dataset, clusters: list[str] | None = None) -> Figure:
    """Return a figure of smoothed images of clusters, with the box that the default networks see.

    `clusters` are values of the coordinate `cluster`. By default, the figure shows the 12 clusters with the most counts
    in the box. Colours show the square root of the counts. The colour scale of each image ends at the brightest pixel
    in the box.
    """
    seen = default_config()["preprocessing"]["central"]["half_width_arcsec"]
    inner = images["counts"].sel(x=slice(-seen, seen), y=slice(-seen, seen)).sum(("band", "y", "x"))
    brightest = np.argsort(-inner.values, kind="stable")[:MOST]
    shown = images.isel(cluster=brightest) if clusters is None else images.sel(cluster=clusters)
    x, number = shown["x"].values / 60, shown.sizes["cluster"]
    rows, columns = -(-number // COLUMNS), min(number, COLUMNS)
    side = style.TWO_COLUMNS_IN / COLUMNS
    figure = new_figure(columns * side + 0.3, rows * (side + 0.1) + 0.2)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    step = x[1] - x[0]
    edges = x[0] - step / 2, x[-1] + step / 2
    half, inside = seen / 60, np.abs(x) < seen / 60
    for axes, name in zip(panels.flat, shown["cluster"].values.tolist(), strict=False):
        counts = shown["counts"].sel(cluster=name).sum("band").values.astype(float)
        smooth = np.sqrt(gaussian_filter(counts, SMOOTH_ARCSEC / 60 / step))
        brightest_inside = smooth[np.ix_(inside, inside)].max()
        axes.imshow(smooth, origin="lower", extent=(*edges, *edges), cmap="magma", vmax=brightest_inside)
        axes.add_patch(Rectangle((-half, -half), 2 * half, 2 * half, fill=False, ec="white", lw=0.6, ls="--"))
        axes.set_title(name, fontsize=6.5)
    for axes in panels.flat[number:]:
        axes.set_visible(False)
    figure.supxlabel("arcmin to the West", fontsize=8)
    figure.supylabel("arcmin to the North", fontsize=8)
    return figure
