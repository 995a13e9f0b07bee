"""Are the uncertainties right: coverage, probability integral transform and z-scores, whole and in bins."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from scipy import stats

from clustermass.errors import InputError
from clustermass.figures import style
from clustermass.figures.labels import read_subset, signed

LEVELS = np.linspace(0.01, 0.99, 99)
PIT_BINS = 10
#: nominal coverage and its colour, by key of metrics.json
COVERAGES = {"coverage68": (0.6827, style.BLUE), "coverage95": (0.95, style.ORANGE)}


class Bins(NamedTuple):
    """A row of bins of metrics.json: its key, the label of the axis and how an edge is written."""

    key: str
    label: str
    edge: str


BINS = (
    Bins("by_predicted_mass_bin", r"predicted $\log_{10} M_{500c}/M_\odot$", "{:.1f}"),
    Bins("by_redshift_bin", "redshift", "{:g}"),
    Bins("by_counts_bin", "fitted counts", "{:.0f}"),
)


@style.styled
def plot_calibration(predictions: Path, metrics: Path, svg: Path, png: Path, dpi: int) -> None:
    """Draw coverage, probability integral transform and z-scores of the test set, and coverage in bins.

    Parameters
    ----------
    predictions, metrics
        `predictions.nc` and `metrics.json`.
    svg, png
        Files to write.
    dpi
        Resolution of the PNG, dots per inch.

    Raises
    ------
    InputError
        A file is missing or damaged, or the test set is empty.
    """
    test = read_subset(predictions, "test", require=["mu", "sigma", "sigma_calibrated", "pit"])
    bins = read_bins(metrics)
    residual = (test["log10_m500c"] - test["mu"]).values
    z_score, raw = residual / test["sigma_calibrated"].values, residual / test["sigma"].values
    figure = style.new_figure(style.TWO_COLUMNS_IN, 4.9)
    upper, lower = figure.subplots(2, 3, height_ratios=[1.15, 1])
    draw_coverage(upper[0], z_score, raw, conformal(test))
    draw_pit(upper[1], test["pit"].values)
    draw_z_scores(upper[2], z_score)
    for axes, of in zip(lower, BINS, strict=True):
        draw_bins(axes, bins[of.key], of)
        axes.set_ylim(lowest_end(bins) - 0.12, 1.02)
    lower[0].set_ylabel("fraction of true masses inside")
    figure.suptitle(f"test set, n = {z_score.size}")
    style.save(figure, svg, png, dpi)


def read_bins(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Read the bins of the block `calibration` of metrics.json."""
    try:
        block = json.loads(Path(path).read_text(encoding="utf-8"))["calibration"]
        return {of.key: block[of.key] for of in BINS}
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: no readable metrics ({error!r}). Delete it and run again.") from error


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


def draw_coverage(axes: Axes, z_score: np.ndarray, raw: np.ndarray, intervals: Mapping[float, float]) -> None:
    """Empirical against nominal coverage, with the binomial band of a perfect prediction."""
    low, high = binomial_band(z_score.size, LEVELS, 0.95)
    axes.fill_between(LEVELS, low, high, color=style.LIGHT_GREY, alpha=0.6, lw=0, label="perfect, 95 % band")
    axes.plot([0, 1], [0, 1], color=style.BLACK, lw=0.6)
    if not np.allclose(raw, z_score):
        axes.plot(LEVELS, coverage(raw, LEVELS), color=style.SKY_BLUE, ls="--", label=r"$\sigma$ as predicted")
        calibrated = r"$\sigma$ recalibrated"
    else:
        calibrated = r"ensemble's $\sigma$"
    axes.plot(LEVELS, coverage(z_score, LEVELS), color=style.BLUE, lw=1.4, label=calibrated)
    if intervals:
        axes.plot(list(intervals), list(intervals.values()), "D", color=style.VERMILION, ms=3.5, label="conformal")
    inside = coverage(z_score, np.array([0.68, 0.95]))
    style.note(axes, f"68 % holds {100 * inside[0]:.1f} %\n95 % holds {100 * inside[1]:.1f} %")
    axes.legend(loc="lower right")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="nominal coverage", ylabel="fraction of true masses inside")


def draw_pit(axes: Axes, values: np.ndarray) -> None:
    """Histogram of the predicted cumulative probability at the true mass; flat when the uncertainties are right."""
    n = values.size
    low, high = binomial_band(n, np.array(1 / PIT_BINS), 0.95)
    axes.axhspan(float(low) * PIT_BINS, float(high) * PIT_BINS, color=style.LIGHT_GREY, alpha=0.6, lw=0)
    axes.axhline(1, color=style.BLACK, lw=0.6)
    axes.hist(
        values,
        bins=np.linspace(0, 1, PIT_BINS + 1).tolist(),
        weights=np.full(n, PIT_BINS / n),
        histtype="step",
        color=style.BLUE,
    )
    style.note(axes, "grey: 95 % range if flat", corner="lower left")
    axes.set(xlim=(0, 1), xlabel="probability integral transform", ylabel="density")
    axes.set_ylim(bottom=0)


def draw_z_scores(axes: Axes, z_score: np.ndarray) -> None:
    """Histogram of (true - predicted) / sigma with the unit Gaussian."""
    edges = np.linspace(-4, 4, 25)
    width = edges[1] - edges[0]
    # z-scores beyond four are counted in the outermost bins, not dropped
    axes.hist(
        np.clip(z_score, -4, 4),
        bins=edges.tolist(),
        weights=np.full(z_score.size, 1 / (z_score.size * width)),
        color=style.SKY_BLUE,
    )
    grid = np.linspace(-4, 4, 200)
    axes.plot(grid, stats.norm.pdf(grid), color=style.BLACK, lw=0.9)
    axes.set_ylim(0, 1.35 * axes.get_ylim()[1])
    style.note(axes, f"mean {signed(z_score.mean(), 2)}\nstd {z_score.std():.2f}")
    style.note(axes, "line: unit\nGaussian", corner="upper right")
    axes.set(xlim=(-4, 4), xlabel=r"z-score, (true $-$ predicted) / $\sigma$", ylabel="density")


def draw_bins(axes: Axes, rows: Sequence[Mapping[str, Any]], of: Bins) -> None:
    """Coverage of the 68 % and 95 % intervals in each bin, with binomial errors, and how many clusters are in it."""
    for shift, (key, (nominal, colour)) in zip((-0.1, 0.1), COVERAGES.items(), strict=True):
        axes.axhline(nominal, color=colour, lw=0.7, ls=":")
        for place, row in enumerate(rows):
            if row[key] is not None:
                axes.plot([place + shift] * 2, row[f"{key}_ci68"], color=colour, lw=1.3, solid_capstyle="butt")
                axes.plot([place + shift], [row[key]], "o", color=colour, ms=3.5)
    for place, row in enumerate(rows):
        axes.text(place, 0.04, str(row["n"]), transform=axes.get_xaxis_transform(), ha="center", fontsize=7)
    # the outermost bins are open: ticks stand where one bin ends and the next begins
    axes.set_xticks(np.arange(1, len(rows)) - 0.5, [of.edge.format(row["low"]) for row in rows[1:]])
    axes.tick_params(axis="x", which="minor", bottom=False, top=False)
    axes.set(xlim=(-0.5, len(rows) - 0.5), xlabel=of.label)


def lowest_end(bins: Mapping[str, Sequence[Mapping[str, Any]]]) -> float:
    """Lowest end of any interval of coverage that is drawn, 0.5 at most."""
    rows = [row for of in bins.values() for row in of]
    return min([0.5, *(row[f"{key}_ci68"][0] for key in COVERAGES for row in rows if row[key] is not None)])
