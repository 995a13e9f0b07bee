"""Predicted against true mass, with residuals and uncertainties, as Fig. 4 of Krippendorf et al. (2023)."""

from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy import stats

from clustermass.figures import style
from clustermass.figures.style import PREDICTED_MASS, RESIDUAL, SIGMA, TRUE_MASS, percent, read_subset, signed


@style.saved
def plot_predictions(predictions: Path) -> Figure:
    """Draw predicted against true mass for train and test, and the test set's residuals and uncertainties."""
    train, test = (read_subset(predictions, split, require=["mu", "sigma_calibrated"]) for split in ("train", "test"))
    low, high = np.percentile(np.concatenate([part["sigma_calibrated"].values for part in (train, test)]), [1, 99])
    norm = Normalize(low, max(high, low + 1e-3))
    masses = np.concatenate([part[name].values for part in (train, test) for name in ("log10_m500c", "mu")])
    limits = float(masses.min()) - 0.05, float(masses.max()) + 0.05
    figure = style.new_figure(style.TWO_COLUMNS_IN, 3.0)
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=[2.25, 1])[0]
    panels = left.subplots(1, 2, sharey=True)
    for axes, subset, title in zip(panels, (train, test), ("train set", "test set"), strict=True):
        points = draw_masses(axes, subset, norm, limits)
        axes.set_title(title)
    panels[0].set_ylabel(PREDICTED_MASS)
    left.colorbar(points, ax=panels, location="bottom", label=SIGMA, aspect=40, extend="both", pad=0.03)
    upper, lower = right.subplots(2, 1)
    draw_residuals(upper, (test["mu"] - test["log10_m500c"]).values)
    draw_sigmas(lower, test["sigma_calibrated"].values)
    return figure


def draw_masses(axes: Axes, subset: xr.Dataset, norm: Normalize, limits: tuple[float, float]) -> PathCollection:
    """Scatter predicted against true mass, coloured by sigma, with the line of equality, and print the scatter."""
    # the surest predictions lie on top, as in the paper
    ordered = subset.isel(cluster=np.argsort(-subset["sigma_calibrated"].values, kind="stable"))
    true, mu, sigma = (ordered[name].values for name in ("log10_m500c", "mu", "sigma_calibrated"))
    rasterised = true.size > style.RASTERISE_ABOVE
    points = axes.scatter(true, mu, c=sigma, norm=norm, cmap="viridis", s=5, lw=0, rasterized=rasterised)
    axes.plot(limits, limits, color=style.BLACK, lw=0.8)
    axes.set(xlim=limits, ylim=limits, xlabel=TRUE_MASS, aspect="equal")
    residual = mu - true
    scatter = f"scatter {residual.std():.3f} dex ({percent(residual.std()):.0f} %)"
    style.note(axes, f"n = {residual.size}\n{scatter}\nbias {signed(residual.mean())} dex")
    return points


def draw_residuals(axes: Axes, residual: np.ndarray) -> None:
    """Draw a histogram of the residuals in dex with the Gaussian of the same mean and standard deviation."""
    mean, std = float(residual.mean()), float(residual.std())
    edges = mean + max(4 * std, 0.01) * np.linspace(-1, 1, 33)
    # what lies beyond four standard deviations is counted in the outermost bins, not dropped
    axes.hist(np.clip(residual, edges[0], edges[-1]), bins=edges.tolist(), color=style.SKY_BLUE)
    grid = np.linspace(edges[0], edges[-1], 200)
    gaussian = residual.size * (edges[1] - edges[0]) * stats.norm.pdf(grid, mean, max(std, 1e-3))
    axes.plot(grid, gaussian, color=style.BLACK, lw=0.9)
    axes.axvline(0, color=style.GREY, lw=0.7, ls=":")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set(xlabel=RESIDUAL, ylabel="test clusters", title=f"scatter {std:.3f} dex ({percent(std):.0f} %)")


def draw_sigmas(axes: Axes, sigma: np.ndarray) -> None:
    """Draw a histogram of the predicted standard deviations with their mean."""
    axes.hist(sigma, bins=30, color=style.SKY_BLUE)
    axes.axvline(sigma.mean(), color=style.VERMILION, lw=1.2)
    axes.set(xlabel=SIGMA, ylabel="test clusters", title=f"mean $\\sigma$ {sigma.mean():.3f} dex")
