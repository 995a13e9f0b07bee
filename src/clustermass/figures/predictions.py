"""Predicted against true mass, with residuals and uncertainties, as Fig. 4 of Krippendorf et al. (2023)."""

from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import Normalize
from matplotlib.ticker import MaxNLocator
from scipy import stats

from clustermass.figures import style
from clustermass.figures.labels import PREDICTED_MASS, RESIDUAL, SIGMA, TRUE_MASS, percent, read_subset, scatter_text


@style.styled
def plot_predictions(predictions: Path, svg: Path, png: Path, dpi: int) -> None:
    """Draw predicted against true mass for train and test, and the test set's residuals and uncertainties.

    Parameters
    ----------
    predictions
        `predictions.nc`, whose sigma is calibrated.
    svg, png
        Files to write.
    dpi
        Resolution of the PNG, dots per inch.

    Raises
    ------
    InputError
        The train or the test set is empty.
    """
    subsets = {
        split: read_subset(predictions, split, require=["mu", "sigma_calibrated"]) for split in ("train", "test")
    }
    together = xr.concat(subsets.values(), dim="cluster", data_vars="minimal", coords="minimal", compat="override")
    low, high = np.percentile(together["sigma_calibrated"], [1, 99])
    norm = Normalize(low, max(high, low + 1e-3))
    limits = mass_limits(together)
    figure = style.new_figure(style.TWO_COLUMNS_IN, 3.0)
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=[2.25, 1])[0]
    panels = left.subplots(1, 2, sharey=True)
    for axes, (split, subset) in zip(panels, subsets.items(), strict=True):
        points = draw_masses(axes, subset, norm, limits)
        axes.set_title(f"{split} set")
    panels[0].set_ylabel(PREDICTED_MASS)
    left.colorbar(points, ax=panels, location="bottom", label=SIGMA, aspect=40, extend="both", pad=0.03)
    upper, lower = right.subplots(2, 1)
    draw_residuals(upper, subsets["test"])
    draw_sigmas(lower, subsets["test"])
    style.save(figure, svg, png, dpi)


def mass_limits(dataset: xr.Dataset) -> tuple[float, float]:
    """Limits, equal for both axes, that hold every true and predicted mass."""
    values = np.concatenate([dataset["log10_m500c"].values, dataset["mu"].values])
    return float(values.min()) - 0.05, float(values.max()) + 0.05


def draw_masses(axes: Axes, subset: xr.Dataset, norm: Normalize, limits: tuple[float, float]) -> PathCollection:
    """Scatter predicted against true mass, coloured by sigma, with the line of equality."""
    true, mu = subset["log10_m500c"].values, subset["mu"].values
    # the surest predictions lie on top, as in the paper
    order = np.argsort(-subset["sigma_calibrated"].values, kind="stable")
    points = axes.scatter(
        true[order],
        mu[order],
        c=subset["sigma_calibrated"].values[order],
        norm=norm,
        cmap="viridis",
        s=5,
        lw=0,
        rasterized=true.size > style.RASTERISE_ABOVE,
    )
    axes.plot(limits, limits, color=style.BLACK, lw=0.8)
    axes.set(xlim=limits, ylim=limits, xlabel=TRUE_MASS, aspect="equal")
    style.note(axes, scatter_text(mu - true))
    return points


def draw_residuals(axes: Axes, subset: xr.Dataset) -> None:
    """Histogram of the residuals in dex with the Gaussian of the same mean and standard deviation."""
    residual = (subset["mu"] - subset["log10_m500c"]).values
    mean, std = float(residual.mean()), float(residual.std())
    edges = mean + max(4 * std, 0.01) * np.linspace(-1, 1, 33)
    # what lies beyond four standard deviations is counted in the outermost bins, not dropped
    axes.hist(np.clip(residual, edges[0], edges[-1]), bins=edges.tolist(), color=style.SKY_BLUE)
    grid = np.linspace(edges[0], edges[-1], 200)
    axes.plot(
        grid,
        residual.size * (edges[1] - edges[0]) * stats.norm.pdf(grid, mean, max(std, 1e-3)),
        color=style.BLACK,
        lw=0.9,
    )
    axes.axvline(0, color=style.GREY, lw=0.7, ls=":")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set(xlabel=RESIDUAL, ylabel="test clusters", title=f"scatter {std:.3f} dex ({percent(std):.0f} %)")


def draw_sigmas(axes: Axes, subset: xr.Dataset) -> None:
    """Histogram of the predicted standard deviations with their mean."""
    sigma = subset["sigma_calibrated"].values
    axes.hist(sigma, bins=30, color=style.SKY_BLUE)
    axes.axvline(sigma.mean(), color=style.VERMILION, lw=1.2)
    axes.set(xlabel=SIGMA, ylabel="test clusters", title=f"mean $\\sigma$ {sigma.mean():.3f} dex")
