"""Predicted against true masses (Fig. 4 of Krippendorf et al. 2023), and calibration of the uncertainties."""

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
from clustermass.io.files import read_json, reading

LEVELS = np.linspace(0.01, 0.99, 99)
PIT_BINS = 10
#: key of a coverage in metrics.json -> nominal coverage and colour
COVERAGES = {"coverage68": (0.6827, style.BLUE), "coverage95": (0.95, style.ORANGE)}
#: key of binned scores in metrics.json -> axis label and format of a bin's edge
BINNED_BY = {
    "by_predicted_mass_bin": (r"predicted $\log_{10} M_{500c}/M_\odot$", "{:.1f}"),
    "by_redshift_bin": ("redshift", "{:g}"),
    "by_counts_bin": ("fitted counts", "{:.0f}"),
}


@style.saved
def plot_predictions(predictions: Path) -> Figure:
    """Draw predicted against true mass of training and test set, and the test set's residuals and sigmas."""
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
    sigma = test["sigma_calibrated"].values
    lower.hist(sigma, bins=30, color=style.SKY_BLUE)
    lower.axvline(sigma.mean(), color=style.VERMILION, lw=1.2)
    lower.set(xlabel=SIGMA, ylabel="test clusters", title=f"mean $\\sigma$ {sigma.mean():.3f} dex")
    return figure


def draw_masses(axes: Axes, subset: xr.Dataset, norm: Normalize, limits: tuple[float, float]) -> PathCollection:
    """Draw predicted against true mass, coloured by sigma, with the line of equality; print scatter and bias."""
    # predictions with the smallest sigma are drawn on top, as in the paper
    ordered = subset.isel(cluster=np.argsort(-subset["sigma_calibrated"].values, kind="stable"))
    true, mu, sigma = (ordered[name].values for name in ("log10_m500c", "mu", "sigma_calibrated"))
    rasterised = true.size > style.RASTERISE_ABOVE
    points = axes.scatter(true, mu, c=sigma, norm=norm, cmap="viridis", s=5, lw=0, rasterized=rasterised)
    style.draw_equality(axes, limits)
    axes.set_xlabel(TRUE_MASS)
    residual = mu - true
    scatter = f"scatter {residual.std():.3f} dex ({percent(residual.std()):.0f} %)"
    style.note(axes, f"n = {residual.size}\n{scatter}\nbias {signed(residual.mean())} dex")
    return points


def draw_residuals(axes: Axes, residual: np.ndarray) -> None:
    """Draw a histogram of the residuals in dex with the Gaussian of the same mean and standard deviation."""
    mean, std = float(residual.mean()), float(residual.std())
    edges = mean + max(4 * std, 0.01) * np.linspace(-1, 1, 33)
    # residuals beyond four standard deviations are counted in the outermost bins, not dropped
    axes.hist(np.clip(residual, edges[0], edges[-1]), bins=edges.tolist(), color=style.SKY_BLUE)
    grid = np.linspace(edges[0], edges[-1], 200)
    gaussian = residual.size * (edges[1] - edges[0]) * stats.norm.pdf(grid, mean, max(std, 1e-3))
    axes.plot(grid, gaussian, color=style.BLACK, lw=0.9)
    axes.axvline(0, color=style.GREY, lw=0.7, ls=":")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set(xlabel=RESIDUAL, ylabel="test clusters", title=f"scatter {std:.3f} dex ({percent(std):.0f} %)")


@style.saved
def plot_calibration(predictions: Path, metrics: Path) -> Figure:
    """Draw coverage, probability integral transform and z-scores of the test set; below, coverage in bins."""
    test = read_subset(predictions, "test", require=["mu", "sigma", "sigma_calibrated", "pit"])
    binned = read_bins(metrics)
    residual = (test["log10_m500c"] - test["mu"]).values
    z_score, raw = residual / test["sigma_calibrated"].values, residual / test["sigma"].values
    figure = style.new_figure(style.TWO_COLUMNS_IN, 4.9)
    upper, lower = figure.subplots(2, 3, height_ratios=[1.15, 1])
    draw_coverage(upper[0], z_score, raw, conformal(test))
    draw_pit(upper[1], test["pit"].values)
    draw_z_scores(upper[2], z_score)
    lowest = min(0.5, *(np.nanmin(shares, initial=1) for _, _, shares in binned.values()))
    for axes, (key, (label, edge)) in zip(lower, BINNED_BY.items(), strict=True):
        inner_edges, number, shares = binned[key]
        draw_bins(axes, [edge.format(one) for one in inner_edges], number, shares)
        axes.set(xlabel=label, ylim=(lowest - 0.12, 1.02))
    lower[0].set_ylabel("fraction of true masses inside")
    figure.suptitle(f"test set, n = {z_score.size}")
    return figure


def read_bins(path: Path) -> dict[str, tuple[list[float], list[int], np.ndarray]]:
    """Return inner edges, numbers of clusters and coverages of the bins in metrics.json, by key of `BINNED_BY`.

    Coverages are (interval, bin, 3): for each interval of `COVERAGES` the share of true masses inside, and the ends of
    this share's own 68 % interval; NaN for an empty bin. The outermost bins have no outer edge.
    """
    binned = {}
    with reading(path, "metrics"):
        block = read_json(path, "metrics")["calibration"]
        for key in BINNED_BY:
            rows = block[key]
            shares = [[(row[c], *(row[f"{c}_ci68"] or (None, None))) for row in rows] for c in COVERAGES]
            edges, number = [row["low"] for row in rows[1:]], [row["n"] for row in rows]
            binned[key] = edges, number, np.array(shares, dtype=float)
    return binned


def conformal(test: xr.Dataset) -> dict[float, float]:
    """Return the share of true masses inside the conformal intervals, by level; levels without intervals are absent."""
    low, truth, high = (test[name].values for name in ("conformal_low", "log10_m500c", "conformal_high"))
    shares = ((low <= truth) & (truth <= high)).mean(axis=1)
    finite = np.isfinite(low).all(axis=1)
    return dict(zip((test["level"].values[finite] / 100).tolist(), shares[finite].tolist(), strict=True))


def coverage(z_score: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return the share of clusters whose true mass is inside the central Gaussian interval of each level, (level,)."""
    half_widths = stats.norm.ppf(0.5 * (1 + levels))
    return np.asarray(np.mean(np.abs(z_score)[:, None] <= half_widths, axis=0))


def binomial_band(n: int, probability: np.ndarray | float) -> np.ndarray:
    """Return the 95 % interval (2, ...) of the covered share of `n` clusters, if each is covered with `probability`."""
    return np.asarray(stats.binom.interval(0.95, n, probability)) / n


def draw_coverage(axes: Axes, z_score: np.ndarray, raw: np.ndarray, intervals: dict[float, float]) -> None:
    """Draw the measured against the nominal coverage, with the 95 % range of a perfect prediction."""
    band = binomial_band(z_score.size, LEVELS)
    axes.fill_between(LEVELS, *band, color=style.LIGHT_GREY, alpha=0.6, lw=0, label="perfect, 95 % band")
    axes.plot([0, 1], [0, 1], color=style.BLACK, lw=0.6)
    recalibrated = not np.allclose(raw, z_score)
    if recalibrated:
        axes.plot(LEVELS, coverage(raw, LEVELS), color=style.SKY_BLUE, ls="--", label=r"$\sigma$ as predicted")
    label = r"$\sigma$ recalibrated" if recalibrated else r"ensemble's $\sigma$"
    axes.plot(LEVELS, coverage(z_score, LEVELS), color=style.BLUE, lw=1.4, label=label)
    if intervals:
        axes.plot(list(intervals), list(intervals.values()), "D", color=style.VERMILION, ms=3.5, label="conformal")
    inside = coverage(z_score, np.array([0.68, 0.95]))
    style.note(axes, f"68 % holds {100 * inside[0]:.1f} %\n95 % holds {100 * inside[1]:.1f} %")
    axes.legend(loc="lower right")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="nominal coverage", ylabel="fraction of true masses inside")


def draw_pit(axes: Axes, values: np.ndarray) -> None:
    """Draw a histogram of predicted cumulative probabilities at the true masses; flat if uncertainties are right."""
    n = values.size
    axes.axhspan(*PIT_BINS * binomial_band(n, 1 / PIT_BINS), color=style.LIGHT_GREY, alpha=0.6, lw=0)
    axes.axhline(1, color=style.BLACK, lw=0.6)
    edges = np.linspace(0, 1, PIT_BINS + 1).tolist()
    axes.hist(values, bins=edges, weights=np.full(n, PIT_BINS / n), histtype="step", color=style.BLUE)
    style.note(axes, "grey: 95 % range if flat", corner="lower left")
    axes.set(xlim=(0, 1), ylim=(0, None), xlabel="probability integral transform", ylabel="density")


def draw_z_scores(axes: Axes, z_score: np.ndarray) -> None:
    """Draw a histogram of (true - predicted) / sigma with the unit Gaussian."""
    edges = np.linspace(-4, 4, 25)
    weights = np.full(z_score.size, 1 / (z_score.size * (edges[1] - edges[0])))
    # z-scores beyond four are counted in the outermost bins, not dropped
    axes.hist(np.clip(z_score, -4, 4), bins=edges.tolist(), weights=weights, color=style.SKY_BLUE)
    grid = np.linspace(-4, 4, 200)
    axes.plot(grid, stats.norm.pdf(grid), color=style.BLACK, lw=0.9)
    axes.set_ylim(0, 1.35 * axes.get_ylim()[1])
    style.note(axes, f"mean {signed(z_score.mean(), 2)}\nstd {z_score.std():.2f}")
    style.note(axes, "line: unit\nGaussian", corner="upper right")
    axes.set(xlim=(-4, 4), xlabel=r"z-score, (true $-$ predicted) / $\sigma$", ylabel="density")


def draw_bins(axes: Axes, edges: list[str], number: list[int], shares: np.ndarray) -> None:
    """Draw the coverage of the 68 % and 95 % intervals in each bin, with errors, and print numbers of clusters."""
    bins = np.arange(len(number))
    for shift, (nominal, colour), rows in zip((-0.1, 0.1), COVERAGES.values(), shares, strict=True):
        share, low, high = rows.T
        axes.axhline(nominal, color=colour, lw=0.7, ls=":")
        axes.vlines(bins + shift, low, high, color=colour, lw=1.3)
        axes.plot(bins + shift, share, "o", color=colour, ms=3.5)
    for place, n in enumerate(number):
        axes.text(place, 0.04, str(n), transform=axes.get_xaxis_transform(), ha="center", fontsize=7)
    # ticks are at the edges between bins
    axes.set_xticks(bins[1:] - 0.5, edges)
    axes.tick_params(axis="x", which="minor", bottom=False, top=False)
    axes.set_xlim(-0.5, len(bins) - 0.5)
