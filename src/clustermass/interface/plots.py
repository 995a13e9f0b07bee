"""Figures of a posterior and of images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.style import context
from scipy.ndimage import gaussian_filter
from scipy.stats import norm

from clustermass.config.resolve import default_config
from clustermass.figures import style

if TYPE_CHECKING:
    from clustermass.interface.posterior import Posterior

#: largest number of images in a figure, and images in a row
MOST, COLUMNS = 12, 4
#: standard deviation of the Gaussian by which images are smoothed
SMOOTH_ARCSEC = 18.0


@context(style.LOOK, after_reset=True)
def posterior_figure(posterior: Posterior, truth: float | None = None) -> Figure:
    """Return the density of a posterior with its median and central 68 %, and that of each network."""
    low, median, high = posterior.quantile([0.16, 0.5, 0.84])
    lowest, highest = posterior.quantile([1e-4, 1 - 1e-4])
    mass = np.linspace(lowest, highest, 400)
    figure = Figure((style.TWO_COLUMNS_IN / 2, 2.6), layout="constrained")
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


@context(style.LOOK, after_reset=True)
def images_figure(images: xr.Dataset, clusters: list[str] | None = None) -> Figure:
    """Return smoothed images of clusters, by default of the brightest, and the box that the default networks see."""
    brightest = np.argsort(-images["counts"].sum(("band", "y", "x")).values, kind="stable")[:MOST]
    shown = images.isel(cluster=brightest) if clusters is None else images.sel(cluster=clusters)
    x, number = shown["x"].values / 60, shown.sizes["cluster"]
    rows, columns = -(-number // COLUMNS), min(number, COLUMNS)
    side = style.TWO_COLUMNS_IN / COLUMNS
    figure = Figure((columns * side + 0.3, rows * (side + 0.1) + 0.2), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    step = x[1] - x[0]
    edges = x[0] - step / 2, x[-1] + step / 2
    seen = default_config()["preprocessing"]["central"]["half_width_arcsec"] / 60
    for axes, name in zip(panels.flat, shown["cluster"].values.tolist(), strict=False):
        counts = shown["counts"].sel(cluster=name).sum("band").values.astype(float)
        smooth = np.sqrt(gaussian_filter(counts, SMOOTH_ARCSEC / 60 / step))
        axes.imshow(smooth, origin="lower", extent=(*edges, *edges), cmap="magma", interpolation="bilinear")
        axes.add_patch(Rectangle((-seen, -seen), 2 * seen, 2 * seen, fill=False, ec="white", lw=0.6, ls="--"))
        axes.set_title(name, fontsize=6.5)
    for axes in panels.flat[number:]:
        axes.set_visible(False)
    figure.supxlabel("arcmin to the West", fontsize=8)
    figure.supylabel("arcmin to the North", fontsize=8)
    return figure
