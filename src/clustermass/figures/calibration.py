"""Are the uncertainties right: coverage, probability integral transform and z-scores of the test set."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from scipy import stats

from clustermass.figures import style
from clustermass.figures.values import read_subset, signed

LEVELS = np.linspace(0.01, 0.99, 99)
PIT_BINS = 10


@style.styled
def plot_calibration(ensemble: Path, svg: Path, png: Path, dpi: int) -> None:
    """Draw coverage, probability integral transform and z-scores of the test set, each with what chance allows.

    Parameters
    ----------
    ensemble
        `ensemble.nc`.
    svg, png
        Files to write.
    dpi
        Resolution of the PNG, dots per inch.

    Raises
    ------
    InputError
        The test set is empty.
    """
    test = read_subset(ensemble, "test", require=["mu", "sigma"])
    z_score = ((test["log10_m500c"] - test["mu"]) / test["sigma"]).values
    figure = style.new_figure(style.TWO_COLUMNS_IN, 2.75)
    coverage_axes, pit_axes, z_axes = figure.subplots(1, 3)
    draw_coverage(coverage_axes, z_score)
    draw_pit(pit_axes, z_score)
    draw_z_scores(z_axes, z_score)
    figure.suptitle(f"test set, n = {z_score.size}")
    style.save(figure, svg, png, dpi)


def coverage(z_score: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Fraction of clusters whose true mass lies inside the central Gaussian interval of each level, (level,)."""
    half_widths = stats.norm.ppf(0.5 * (1 + levels))
    return np.asarray(np.mean(np.abs(z_score)[:, None] <= half_widths, axis=0))


def binomial_band(n: int, probability: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Central interval, at `level`, of the fraction of `n` clusters that fall in with `probability`."""
    low, high = stats.binom.interval(level, n, probability)
    return np.asarray(low) / n, np.asarray(high) / n


def draw_coverage(axes: Axes, z_score: np.ndarray) -> None:
    """Empirical against nominal coverage, with the binomial bands of a perfect prediction."""
    for level, shade in ((0.95, 0.45), (0.68, 0.9)):
        low, high = binomial_band(z_score.size, LEVELS, level)
        axes.fill_between(
            LEVELS, low, high, color=style.LIGHT_GREY, alpha=shade, lw=0, label=f"perfect, {100 * level:.0f} % band"
        )
    axes.plot([0, 1], [0, 1], color=style.BLACK, lw=0.6)
    axes.plot(LEVELS, coverage(z_score, LEVELS), color=style.BLUE, lw=1.4, label="network ensemble")
    inside = coverage(z_score, np.array([0.68, 0.95]))
    style.note(axes, f"68 % interval holds {100 * inside[0]:.0f} %\n95 % interval holds {100 * inside[1]:.0f} %")
    axes.legend(loc="lower right")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="nominal coverage", ylabel="fraction of true masses inside")


def draw_pit(axes: Axes, z_score: np.ndarray) -> None:
    """Histogram of the predicted cumulative probability at the true mass; flat when the uncertainties are right."""
    n = z_score.size
    low, high = binomial_band(n, np.array(1 / PIT_BINS), 0.95)
    axes.axhspan(float(low) * PIT_BINS, float(high) * PIT_BINS, color=style.LIGHT_GREY, alpha=0.6, lw=0)
    axes.axhline(1, color=style.BLACK, lw=0.6)
    weights = np.full(n, PIT_BINS / n)
    axes.hist(
        stats.norm.cdf(z_score),
        bins=np.linspace(0, 1, PIT_BINS + 1).tolist(),
        weights=weights,
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
