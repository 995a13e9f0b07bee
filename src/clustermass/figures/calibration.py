"""Are the uncertainties right: coverage, probability integral transform and z-scores, whole and in bins."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from clustermass.figures import style
from clustermass.figures.style import read_subset, signed
from clustermass.io.files import reading

LEVELS = np.linspace(0.01, 0.99, 99)
PIT_BINS = 10
#: nominal coverage and its colour, by key of metrics.json
COVERAGES = {"coverage68": (0.6827, style.BLUE), "coverage95": (0.95, style.ORANGE)}
#: label of the axis and format of a bin's edge, by key of metrics.json
BINNED_BY = {
    "by_predicted_mass_bin": (r"predicted $\log_{10} M_{500c}/M_\odot$", "{:.1f}"),
    "by_redshift_bin": ("redshift", "{:g}"),
    "by_counts_bin": ("fitted counts", "{:.0f}"),
}


class Bin(NamedTuple):
    """A bin of clusters."""

    low: float | None  # None for the first bin, which is open
    n: int
    #: share of true masses inside, and the ends of its 68 % interval, by key of `COVERAGES`; empty for n = 0
    coverage: dict[str, tuple[float, float, float]]


@style.saved
def plot_calibration(predictions: Path, metrics: Path) -> Figure:
    """Draw coverage, probability integral transform and z-scores of the test set, and coverage in bins."""
    test = read_subset(predictions, "test", require=["mu", "sigma", "sigma_calibrated", "pit"])
    binned = read_bins(metrics)
    residual = (test["log10_m500c"] - test["mu"]).values
    z_score, raw = residual / test["sigma_calibrated"].values, residual / test["sigma"].values
    figure = style.new_figure(style.TWO_COLUMNS_IN, 4.9)
    upper, lower = figure.subplots(2, 3, height_ratios=[1.15, 1])
    draw_coverage(upper[0], z_score, raw, conformal(test))
    draw_pit(upper[1], test["pit"].values)
    draw_z_scores(upper[2], z_score)
    lowest = min([0.5, *(c[1] for bins in binned.values() for one in bins for c in one.coverage.values())])
    for axes, (key, (label, edge)) in zip(lower, BINNED_BY.items(), strict=True):
        draw_bins(axes, binned[key], edge)
        axes.set(xlabel=label, ylim=(lowest - 0.12, 1.02))
    lower[0].set_ylabel("fraction of true masses inside")
    figure.suptitle(f"test set, n = {z_score.size}")
    return figure


def read_bins(path: Path) -> dict[str, list[Bin]]:
    """Read the bins of the block `calibration` of metrics.json."""
    with reading(path, "metrics"):
        block = json.loads(path.read_text(encoding="utf-8"))["calibration"]
        return {
            key: [
                Bin(row["low"], row["n"], {c: (row[c], *row[f"{c}_ci68"]) for c in COVERAGES if row[c] is not None})
                for row in block[key]
            ]
            for key in BINNED_BY
        }


def conformal(test: xr.Dataset) -> dict[float, float]:
    """Return nominal level -> share of true masses inside, of the conformal intervals that are finite."""
    low, truth, high = (test[name].values for name in ("conformal_low", "log10_m500c", "conformal_high"))
    shares = ((low <= truth) & (truth <= high)).mean(axis=1)
    finite = np.isfinite(low).all(axis=1)
    return dict(zip((test["level"].values[finite] / 100).tolist(), shares[finite].tolist(), strict=True))


def coverage(z_score: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Fraction of clusters whose true mass lies inside the central Gaussian interval of each level, (level,)."""
    half_widths = stats.norm.ppf(0.5 * (1 + levels))
    return np.asarray(np.mean(np.abs(z_score)[:, None] <= half_widths, axis=0))


def binomial_band(n: int, probability: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Central interval, at `level`, of the fraction of `n` clusters that fall in with `probability`."""
    low, high = stats.binom.interval(level, n, probability)
    return np.asarray(low) / n, np.asarray(high) / n


def draw_coverage(axes: Axes, z_score: np.ndarray, raw: np.ndarray, intervals: dict[float, float]) -> None:
    """Draw empirical against nominal coverage, with the binomial band of a perfect prediction."""
    low, high = binomial_band(z_score.size, LEVELS, 0.95)
    axes.fill_between(LEVELS, low, high, color=style.LIGHT_GREY, alpha=0.6, lw=0, label="perfect, 95 % band")
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
    """Draw a histogram of the predicted cumulative probability at the true mass; flat if uncertainties are right."""
    n = values.size
    low, high = binomial_band(n, np.array(1 / PIT_BINS), 0.95)
    axes.axhspan(float(low) * PIT_BINS, float(high) * PIT_BINS, color=style.LIGHT_GREY, alpha=0.6, lw=0)
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


def draw_bins(axes: Axes, bins: list[Bin], edge: str) -> None:
    """Draw the coverage of both intervals in each bin, with binomial errors, and print the number of clusters."""
    for shift, (key, (nominal, colour)) in zip((-0.1, 0.1), COVERAGES.items(), strict=True):
        axes.axhline(nominal, color=colour, lw=0.7, ls=":")
        for place, (share, *interval) in ((p, b.coverage[key]) for p, b in enumerate(bins) if key in b.coverage):
            axes.plot([place + shift] * 2, interval, color=colour, lw=1.3, solid_capstyle="butt")
            axes.plot([place + shift], [share], "o", color=colour, ms=3.5)
    for place, one in enumerate(bins):
        axes.text(place, 0.04, str(one.n), transform=axes.get_xaxis_transform(), ha="center", fontsize=7)
    # the outermost bins are open: ticks stand where one bin ends and the next begins
    axes.set_xticks(np.arange(1, len(bins)) - 0.5, [edge.format(one.low) for one in bins[1:]])
    axes.tick_params(axis="x", which="minor", bottom=False, top=False)
    axes.set_xlim(-0.5, len(bins) - 0.5)
