"""Scatter against the number of training clusters, of experiments that differ in nothing else."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from clustermass.errors import InputError
from clustermass.figures import style
from clustermass.figures.baselines import read_metrics
from clustermass.figures.labels import predictor

#: what is drawn, the network and the baselines that learn from the same training clusters
PREDICTORS = ("network", "boosted_trees", "ridge_features", "count_rate_recalibrated")
#: predictors of one size stand this share of the curve's width beside each other
APART = 0.012


class Point(NamedTuple):
    """An experiment on one test sample: its training clusters and its metrics of that sample."""

    n_train: int
    metrics: Mapping[str, Any]


@style.styled
def plot_learning_curve(
    metrics: Sequence[Path], rows: Sequence[Mapping[str, Any]], svg: Path, png: Path, dpi: int
) -> None:
    """Draw the scatter of network and baselines against the number of training clusters, a panel a test sample.

    Parameters
    ----------
    metrics
        `metrics.json` of each row.
    rows
        `family` (a name for experiments that differ in the training clusters alone), `experiment` and `sky` (None = the
        test set of the sky that it learns from; this row comes first of its experiment).
    svg, png
        Files to write.
    dpi
        Resolution of the PNG, dots per inch.

    Raises
    ------
    InputError
        No family has two sizes on one test sample, or a file is missing, is no JSON or has too few test clusters.
    """
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
        axes.set_title(f"{family}: {sky or 'own test set'}, n = {points[0].metrics['n_test']}", loc="left")
    for axes in panels[len(curves) :]:
        axes.set_visible(False)
    for axes in panels[::columns]:
        axes.set_ylabel("scatter [dex]")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    style.save(figure, svg, png, dpi)


def curves_of(metrics: Sequence[Path], rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str | None], list[Point]]:
    """Points by family and test sample, sorted by training clusters; without what has a single size."""
    curves: dict[tuple[str, str | None], list[Point]] = {}
    trained: dict[str, int] = {}
    for row, path in zip(rows, metrics, strict=True):
        content = read_metrics(path)
        trained.setdefault(row["experiment"], content["n_train"])
        point = Point(trained[row["experiment"]], content)
        curves.setdefault((row["family"], row["sky"]), []).append(point)
    several = {key: points for key, points in curves.items() if len({point.n_train for point in points}) > 1}
    return {key: sorted(points, key=lambda point: point.n_train) for key, points in several.items()}


def draw_sample(axes: Axes, points: Sequence[Point]) -> None:
    """Draw the curves of all predictors on one test sample."""
    for place, name in enumerate(PREDICTORS):
        blocks = [{"network": point.metrics["test"], **point.metrics["baselines"]}.get(name) for point in points]
        known = [block for block in blocks if block]
        if len(known) == len(points):
            draw_curve(axes, points, known, name, place - (len(PREDICTORS) - 1) / 2)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(far_apart([point.n_train for point in points])))
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.margins(x=0.1)
    axes.set_xlabel("training clusters")


def draw_curve(
    axes: Axes, points: Sequence[Point], blocks: Sequence[Mapping[str, Any]], name: str, place: float
) -> None:
    """Draw the scatter of one predictor at each size, with its 68 % interval, a little to the side of it."""
    size = np.array([point.n_train for point in points], dtype=float)
    value = np.array([block["scatter_dex"] for block in blocks])
    interval = np.array([block.get("scatter_dex_ci68") or [np.nan, np.nan] for block in blocks])
    marks: dict[str, Any] = (
        {"ms": 5, "lw": 1.5, "zorder": 4} if name == "network" else {"ms": 3.5, "lw": 0.8, "zorder": 3}
    )
    known = predictor(name)
    aside = size * (size[-1] / size[0]) ** (APART * place)
    # an interval of resampled groups need not hold the value
    error = np.maximum((interval - value[:, None]) * (-1, 1), 0).T
    axes.errorbar(
        aside, value, error, color=known.colour, marker=known.marker, elinewidth=marks["lw"], label=known.label, **marks
    )


def far_apart(sizes: Sequence[int]) -> list[int]:
    """Sizes from the largest down, without those within a quarter of the next: their labels would overlap."""
    kept: list[int] = []
    for size in sorted(sizes, reverse=True):
        if not kept or size <= kept[-1] / 1.25:
            kept.append(size)
    return kept
