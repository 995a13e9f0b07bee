"""Scatter against the number of training clusters, of experiments that differ in nothing else."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from clustermass.errors import InputError
from clustermass.figures import style
from clustermass.figures.baselines import Metrics, Scatter, read_metrics
from clustermass.figures.style import predictor

#: predictors that are drawn: the network and the baselines that are fitted to the same training clusters
PREDICTORS = ("network", "boosted_trees", "ridge_features", "count_rate_recalibrated")
#: predictors at the same number of clusters are drawn apart by this share of the curve's width
APART = 0.012


class Row(TypedDict):
    """An experiment on one test sample."""

    family: str  # of experiments that differ in the training clusters alone
    experiment: str
    sky: str | None  # None = the test set of the sky that it was trained on; this row comes first of its experiment


#: number of training clusters of an experiment, and its metrics on one test sample
Point = tuple[int, Metrics]


@style.saved
def plot_learning_curve(metrics: Sequence[Path], rows: Sequence[Row]) -> Figure:
    """Draw the scatter of network and baselines against the number of training clusters, a panel a test sample."""
    curves = curves_of(metrics, rows)
    if not curves:
        raise InputError(
            "no learning curve: it needs two experiments that differ in nothing but train_clusters (and members)."
        )
    columns = min(len(curves), 2)
    lines = -(-len(curves) // columns)
    figure = style.new_figure(style.TWO_COLUMNS_IN, 0.6 + 2.5 * lines)
    panels = figure.subplots(lines, columns, squeeze=False, sharey=True).ravel()
    for axes, ((family, sky), points) in zip(panels, curves.items(), strict=False):
        draw_sample(axes, points)
        axes.set_title(f"{family}: {sky or 'own test set'}, n = {points[0][1]['n_test']}", loc="left")
    for axes in panels[len(curves) :]:
        axes.set_visible(False)
    for axes in panels[::columns]:
        axes.set_ylabel("scatter [dex]")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def curves_of(metrics: Sequence[Path], rows: Sequence[Row]) -> dict[tuple[str, str | None], list[Point]]:
    """Points by family and test sample, sorted by training clusters; without curves of a single size."""
    curves: dict[tuple[str, str | None], list[Point]] = {}
    trained: dict[str, int] = {}
    for row, path in zip(rows, metrics, strict=True):
        content = read_metrics(path)
        n_train = trained.setdefault(row["experiment"], content["n_train"])
        curves.setdefault((row["family"], row["sky"]), []).append((n_train, content))
    several = {key: points for key, points in curves.items() if len({n_train for n_train, _ in points}) > 1}
    return {key: sorted(points, key=lambda point: point[0]) for key, points in several.items()}


def draw_sample(axes: Axes, points: Sequence[Point]) -> None:
    """Draw the curves of all predictors on one test sample."""
    sizes = [n_train for n_train, _ in points]
    for place, name in enumerate(PREDICTORS):
        rows = [{"network": metrics["test"], **metrics["baselines"]} for _, metrics in points]
        if all(name in row for row in rows):
            draw_curve(axes, sizes, [row[name] for row in rows], name, place - (len(PREDICTORS) - 1) / 2)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(far_apart(sizes)))
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.margins(x=0.1)
    axes.set_xlabel("training clusters")


def draw_curve(axes: Axes, sizes: Sequence[int], rows: Sequence[Scatter], name: str, place: float) -> None:
    """Draw the scatter of one predictor at each size, with its 68 % interval, a little to the side of it."""
    size = np.array(sizes, dtype=float)
    value = np.array([row["scatter_dex"] for row in rows])
    interval = np.array([row.get("scatter_dex_ci68") or [np.nan, np.nan] for row in rows])
    # an interval of resampled groups need not hold the value
    error = np.maximum((interval - value[:, None]) * (-1, 1), 0).T
    look = predictor(name)
    width, marker_size, layer = (1.5, 5, 4) if name == "network" else (0.8, 3.5, 3)
    axes.errorbar(
        size * (size[-1] / size[0]) ** (APART * place), value, error, color=look.colour, marker=look.marker,
        label=look.label, elinewidth=width, lw=width, ms=marker_size, zorder=layer,
    )  # fmt: skip


def far_apart(sizes: Sequence[int]) -> list[int]:
    """Sizes from the largest down, without those within a quarter of the next: their labels would overlap."""
    kept: list[int] = []
    for size in sorted(sizes, reverse=True):
        if not kept or size <= kept[-1] / 1.25:
            kept.append(size)
    return kept
