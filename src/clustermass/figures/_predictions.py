"""Predicted against true masses (Fig. 4 of Krippendorf et al. 2023), and calibration of the uncertainties."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy import stats

from clustermass.figures import style
from clustermass.figures.inputs import Block, Data, block, dataset, name_of, subset
from clustermass.figures.output import new_figure, styled
from clustermass.figures.style import PREDICTED_MASS, RESIDUAL, SIGMA, TRUE_MASS, percent, signed
from clustermass.io.files import reading

LEVELS = np.linspace(0.01, 0.99, 99)
PIT_BINS = 10
#: dict from the key of a coverage in metrics.json to its nominal value, colour, marker and label
COVERAGES = {
    "coverage68": (0.6827, style.BLUE, "o", "68 % interval"),
    "coverage95": (0.95, style.ORANGE, "s", "95 % interval"),
}
#: dict from the key of binned scores in metrics.json to the axis label and the format of a bin's edge
BINNED_BY = {
    "by_predicted_mass_bin": (PREDICTED_MASS, "{:.1f}"),
    "by_redshift_bin": ("redshift", "{:g}"),
    "by_counts_bin": ("fitted counts", "{:.0f}"),
}


@styled
def predictions(predictions: Data) -> Figure:
    """Return a figure of predicted against true masses in test and training set, and of residuals in the test set.

    `predictions` is the content of a `predictions.nc`. It holds `split`, `log10_m500c`, `mu` and `sigma_calibrated`,
    (cluster,) each, for the clusters of all subsets. Masses are log10(M500c / Msun), sigma is in dex.
    """
    test, train = (subset(predictions, split, require=["mu", "sigma_calibrated"]) for split in ("test", "train"))
    masses = np.concatenate([part[name].values for part in (train, test) for name in ("log10_m500c", "mu")])
    limits = float(masses.min()) - 0.05, float(masses.max()) + 0.05
    figure = new_figure(style.TWO_COLUMNS_IN, 2.5)
    left, middle, right = figure.subplots(1, 3)
    low, high = np.percentile(test["sigma_calibrated"].values, [1, 99])
    look = {"c": test["sigma_calibrated"], "norm": Normalize(low, max(high, low + 1e-3)), "cmap": "viridis", "s": 6}
    draw_masses(left, test, limits, **look)
    left.set(title="test set: never seen in training", ylabel=PREDICTED_MASS)
    bar = left.inset_axes((0.47, 0.2, 0.47, 0.04))
    figure.colorbar(left.collections[0], cax=bar, orientation="horizontal", label=SIGMA, ticks=MaxNLocator(3))
    bar.minorticks_off()
    draw_masses(middle, train, limits, color=style.BLUE, alpha=0.25, s=3)
    middle.set(title="training set")
    middle.legend(loc="lower right")
    draw_residuals(right, (test["mu"] - test["log10_m500c"]).values, test["sigma_calibrated"].values)
    return figure


def draw_masses(axes: Axes, subset: xr.Dataset, limits: tuple[float, float], **look: Any) -> None:
    """Draw predicted against true mass, and print scatter and bias.

    A line marks equal masses. Two dashed lines run above and below it, at a vertical distance of the mean predicted
    sigma. `limits` are the limits of both axes, and `look` are options of the markers.
    """
    true, mu = subset["log10_m500c"].values, subset["mu"].values
    sigma = float(subset["sigma_calibrated"].mean())
    axes.scatter(true, mu, lw=0, rasterized=true.size > style.RASTERISE_ABOVE, **look)
    style.draw_equality(axes, limits, 5)
    for side, label in ((-1, None), (1, r"± mean predicted $\sigma$")):
        axes.plot(limits, np.add(limits, side * sigma), color=style.BLACK, lw=0.7, ls="--", label=label)
    residual = mu - true
    scatter = f"scatter {residual.std():.3f} dex ({percent(residual.std()):.0f} %)"
    style.note(axes, f"n = {residual.size}\n{scatter}\nbias {signed(residual.mean())} dex")
    axes.set_xlabel(TRUE_MASS)


def draw_residuals(axes: Axes, residual: np.ndarray, sigma: np.ndarray) -> None:
    """Draw a histogram of the residuals in dex, and the distribution that is expected from the predicted sigmas."""
    reach = max(4 * float(residual.std()), 0.01)
    edges = float(residual.mean()) + reach * np.linspace(-1, 1, 33)
    # residuals beyond four standard deviations are counted in the outermost bins, not dropped
    axes.hist(
        np.clip(residual, edges[0], edges[-1]),
        bins=edges.tolist(),
        color=style.SKY_BLUE,
        label=f"scatter {residual.std():.3f} dex",
    )
    promised = stats.norm.cdf(edges[:, None] / np.maximum(sigma, 1e-3)).sum(axis=1)
    label = f"expected from $\\sigma$\n(mean {sigma.mean():.3f} dex)"
    axes.stairs(np.diff(promised), edges.tolist(), color=style.BLACK, lw=1.0, label=label)
    axes.axvline(0, color=style.GREY, lw=0.7, ls=":")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_ylim(0, 1.45 * axes.get_ylim()[1])
    axes.legend(loc="upper left")
    axes.set(xlabel=RESIDUAL, ylabel="test clusters", title="residuals of the test set")


@styled
def calibration(predictions: Data, metrics: Block) -> Figure:
    """Return a figure about the uncertainties of the test clusters' masses: coverage, PITs and z-scores.

    The figure shows how well the uncertainties are calibrated. Its lower row shows the coverage in bins. `predictions`
    and `metrics` are the contents of `predictions.nc` and `metrics.json`.
    """
    test = subset(predictions, "test", require=["mu", "sigma", "sigma_calibrated", "pit"])
    binned = read_bins(metrics)
    validation = int((dataset(predictions)["split"].values.astype(str) == "val").sum())
    residual = (test["log10_m500c"] - test["mu"]).values
    z_score, raw = residual / test["sigma_calibrated"].values, residual / test["sigma"].values
    figure = new_figure(style.TWO_COLUMNS_IN, 5.2)
    upper, lower = figure.subplots(2, 3, height_ratios=[1.15, 1])
    draw_coverage(upper[0], z_score, raw, conformal(test), validation)
    draw_pit(upper[1], test["pit"].values)
    draw_z_scores(upper[2], z_score)
    lowest = min(0.5, *(np.nanmin(shares, initial=1) for _, _, shares in binned.values()))
    for axes, (key, (label, edge)) in zip(lower, BINNED_BY.items(), strict=True):
        inner_edges, number, shares = binned[key]
        draw_bins(axes, [edge.format(one) for one in inner_edges], number, shares)
        axes.set(xlabel=label, ylim=(lowest - 0.12, 1.02))
    for axes in (upper[0], lower[0]):
        axes.set_ylabel("share of true masses inside")
    entries = lower[0].get_legend_handles_labels()
    title = "lower row, with numbers of clusters in the bins"
    figure.legend(*entries, loc="outside lower center", ncols=4, title=title, title_fontsize=style.small())
    figure.suptitle(f"Are the uncertainties right? Test set, n = {z_score.size}")
    return figure


def read_bins(metrics: Block) -> dict[str, tuple[list[float], list[int], np.ndarray]]:
    """Return a dict from each key of `BINNED_BY` to the inner edges, numbers of clusters and coverages of its bins.

    All are read from metrics.json. The outermost bins have no outer edge. The coverages are an array (interval, bin,
    3), with the intervals in the order of `COVERAGES`. The three numbers are the share of true masses inside the
    interval, and the lower and upper error limit (68 %) of this share. They are NaN in an empty bin.
    """
    binned = {}
    with reading(name_of(metrics), "metrics"):
        bins = block(metrics, "metrics")["calibration"]
        for key in BINNED_BY:
            rows = bins[key]
            shares = [[(row[c], *(row[f"{c}_ci68"] or (None, None))) for row in rows] for c in COVERAGES]
            edges, number = [row["low"] for row in rows[1:]], [row["n"] for row in rows]
            binned[key] = edges, number, np.array(shares, dtype=float)
    return binned


def conformal(test: xr.Dataset) -> dict[float, float]:
    """Return a dict from levels of conformal intervals, such as 0.68, to the share of true masses inside the intervals.

    Levels at which an interval isn't finite are left out.
    """
    low, truth, high = (test[name].values for name in ("conformal_low", "log10_m500c", "conformal_high"))
    shares = ((low <= truth) & (truth <= high)).mean(axis=1)
    finite = np.isfinite(low).all(axis=1)
    return dict(zip((test["level"].values[finite] / 100).tolist(), shares[finite].tolist(), strict=True))


def conformal_error(level: np.ndarray, validation: int, test: int) -> np.ndarray:
    """Return the standard error of the measured share of true masses inside conformal intervals, (level,).

    `level` holds the nominal shares. The numbers of clusters in two sets contribute to the error: `validation` clusters
    determine the intervals, and the share is measured with `test` clusters.
    """
    return np.asarray(np.sqrt(level * (1 - level) * (1 / (validation + 2) + 1 / test)))


def coverage(z_score: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return the share of clusters whose true mass is inside the Gaussian interval of each of `levels`, (level,).

    A level is the probability of an interval that is centred on the predicted mass. `z_score` is (true - predicted) /
    sigma, (cluster,).
    """
    half_widths = stats.norm.ppf(0.5 * (1 + levels))
    return np.asarray(np.mean(np.abs(z_score)[:, None] <= half_widths, axis=0))


def binomial_band(n: int, probability: np.ndarray | float) -> np.ndarray:
    """Return the ends of the interval in which a measured share lies with a probability of 95 %, shape (2, ...).

    The share is measured with `n` clusters, and its expectation is `probability`, a number or an array of the shape
    (...).
    """
    return np.asarray(stats.binom.interval(0.95, n, probability)) / n


def draw_coverage(
    axes: Axes, z_score: np.ndarray, raw: np.ndarray, intervals: dict[float, float], validation: int
) -> None:
    """Draw the measured against the nominal coverage, with the 95 % range of a perfect prediction.

    `z_score` holds residuals divided by the recalibrated sigma, and `raw` residuals divided by sigma as predicted. Both
    have the shape (cluster,). `intervals` is the result of `conformal`. `validation` is the number of validation
    clusters.
    """
    band = binomial_band(z_score.size, LEVELS)
    axes.fill_between(LEVELS, *band, color=style.LIGHT_GREY, alpha=0.6, lw=0, label=r"perfect $\sigma$: 95 % range")
    axes.plot([0, 1], [0, 1], color=style.BLACK, lw=0.6)
    recalibrated = not np.allclose(raw, z_score)
    if recalibrated:
        axes.plot(LEVELS, coverage(raw, LEVELS), color=style.SKY_BLUE, ls="--", label=r"$\sigma$ as predicted")
    label = r"$\sigma$ recalibrated" if recalibrated else r"ensemble's $\sigma$"
    axes.plot(LEVELS, coverage(z_score, LEVELS), color=style.BLUE, lw=1.4, label=label)
    inside = coverage(z_score, np.array([0.68, 0.95]))
    text = f"68 % holds {100 * inside[0]:.1f} %\n95 % holds {100 * inside[1]:.1f} %"
    if intervals:
        level, share = np.array([*intervals]), np.array([*intervals.values()])
        error = conformal_error(level, validation, z_score.size)
        draw = partial(axes.errorbar, fmt="D", color=style.VERMILION, ms=3.5, elinewidth=1.2, zorder=4)
        draw(level, share, error, label="conformal, ± its error")
        text += f"\nconformal {100 * level[0]:.0f} %:\n{100 * share[0]:.1f} ± {100 * error[0]:.1f} %"
    style.note(axes, text)
    axes.legend(loc="lower right")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="nominal coverage", title="coverage: on the diagonal if right")


def draw_pit(axes: Axes, values: np.ndarray) -> None:
    """Draw a histogram of the PITs of the test clusters, which are in `values`, (cluster,).

    A PIT is the predicted probability that the mass is below the true one. If the uncertainties are right, the
    histogram is flat.
    """
    n = values.size
    band = PIT_BINS * binomial_band(n, 1 / PIT_BINS)
    axes.axhspan(*band, color=style.LIGHT_GREY, alpha=0.6, lw=0, label="95 % range if flat")
    axes.axhline(1, color=style.BLACK, lw=0.6)
    edges = np.linspace(0, 1, PIT_BINS + 1).tolist()
    axes.hist(values, edges, weights=np.full(n, PIT_BINS / n), histtype="step", color=style.BLUE, label="test set")
    axes.legend(loc="lower left")
    label = "P(mass < true mass), as predicted"
    axes.set(xlim=(0, 1), ylim=(0, None), xlabel=label, ylabel="density", title="PIT: flat if right")


def draw_z_scores(axes: Axes, z_score: np.ndarray) -> None:
    """Draw a histogram of (true - predicted) / sigma, and the standard normal distribution."""
    edges = np.linspace(-4, 4, 25)
    weights = np.full(z_score.size, 1 / (z_score.size * (edges[1] - edges[0])))
    # z-scores beyond four are counted in the outermost bins, not dropped
    axes.hist(np.clip(z_score, -4, 4), edges.tolist(), weights=weights, color=style.SKY_BLUE, label="test set")
    grid = np.linspace(-4, 4, 200)
    axes.plot(grid, stats.norm.pdf(grid), color=style.BLACK, lw=0.9, label="unit Gaussian")
    axes.set_ylim(0, 1.45 * axes.get_ylim()[1])
    style.note(axes, f"mean {signed(z_score.mean(), 2)}\nstd {z_score.std():.2f}")
    axes.legend(loc="upper right")
    axes.set(
        xlim=(-4, 4), xlabel=r"(true $-$ predicted) / $\sigma$", ylabel="density", title="z-scores: std 1 if right"
    )


def draw_bins(axes: Axes, edges: list[str], number: list[int], shares: np.ndarray) -> None:
    """Draw the coverage of the 68 % and 95 % intervals in each bin, with errors; print the numbers of clusters.

    `shares` are the coverages that `read_bins` returns.
    """
    bins = np.arange(len(number))
    for shift, (nominal, colour, marker, label), rows in zip((-0.1, 0.1), COVERAGES.values(), shares, strict=True):
        share, low, high = rows.T
        axes.axhline(nominal, color=colour, lw=0.9, ls=":", label=f"{label}: nominal")
        axes.vlines(bins + shift, low, high, color=colour, lw=1.3)
        axes.plot(bins + shift, share, marker, color=colour, ms=3.5, label=f"{label}: measured")
    for place, n in enumerate(number):
        axes.text(place, 0.04, str(n), transform=axes.get_xaxis_transform(), ha="center", fontsize=style.small())
    # ticks are at the edges between bins
    axes.set_xticks(bins[1:] - 0.5, edges)
    axes.tick_params(axis="x", which="minor", bottom=False, top=False)
    axes.set_xlim(-0.5, len(bins) - 0.5)
