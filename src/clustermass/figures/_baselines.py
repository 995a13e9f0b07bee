"""Scatter of the network and of the baselines: on one test set, and against the number of training clusters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from clustermass.errors import InputError
from clustermass.figures import style
from clustermass.figures.inputs import Block, block, name_of
from clustermass.figures.output import new_figure, styled
from clustermass.figures.style import percent, predictor
from clustermass.io.files import reading

#: predictors in the learning curve: the network, and the baselines that are fitted to its training clusters
TRAINED = ("network", "boosted_trees", "ridge_features", "count_rate_recalibrated")
#: dict from the heading of a group of predictors to whether an observer could use them
GROUPS = {"an observer can:": True, "needs the simulation's truth:": False}
#: markers of neighbouring predictors are shifted sideways by this share of the curve's width, to be seen side by side
APART = 0.012

#: a value and the ends of its 68 % interval; None = too few clusters
Value = tuple[float | None, Sequence[float] | None]


class Metrics(NamedTuple):
    """The numbers of `metrics.json` that are drawn."""

    n_train: int
    n_test: int
    scatter: dict[str, Value]  # dex, of the network and each baseline on the test set
    ratios: dict[str, Value]  # the network's scatter divided by that of each baseline


@styled
def baselines(metrics: Block) -> Figure:
    """Return a figure of the scatters of network and baselines, and of their ratios (network / baseline).

    `metrics` is the content of `metrics.json`.
    """
    content = read_metrics(metrics)
    lines = in_groups(content.scatter)
    figure = new_figure(style.TWO_COLUMNS_IN, 1.15 + 0.25 * len(lines))
    scatter, ratio = figure.subplots(1, 2, sharey=True, width_ratios=[1.4, 1])
    scatter.axvline(content.scatter["network"][0], color=style.BLUE, lw=0.7, ls=":", zorder=0)
    draw_values(scatter, lines, content.scatter, 0.5)
    scatter.set_xlabel("scatter [dex]")
    scatter.tick_params(which="both", top=False)
    scale = percent(1.0)
    upper = scatter.secondary_xaxis("top", functions=(lambda x: scale * np.asarray(x), lambda y: np.asarray(y) / scale))
    upper.set_xlabel("scatter [% of the mass]; left is better")
    ratio.axvline(1, color=style.BLACK, lw=0.7, zorder=0)
    draw_values(ratio, lines, content.ratios, 0.75)
    ratio.set(xlabel="scatter of the network ÷ of this")
    ratio.set_title("below 1: the network is better")
    scatter.set_yticks(range(len(lines)), [line if line in GROUPS else predictor(line).label for line in lines])
    for line, label in zip(lines, scatter.get_yticklabels(), strict=True):
        label.set_fontweight("bold" if line in (*GROUPS, "network") else "normal")
    for axes in (scatter, ratio):
        axes.tick_params(axis="y", which="both", length=0)
        axes.tick_params(axis="x", which="minor", length=0)
    scatter.set_ylim(len(lines) - 0.4, -0.6)
    figure.suptitle(f"Masses of the same {content.n_test} test clusters by each method (bars, ±: 68 % intervals)")
    return figure


def read_metrics(metrics: Block) -> Metrics:
    """Return the numbers of `metrics.json` that are drawn; InputError if it lacks a block or the network's scatter."""
    with reading(name_of(metrics), "metrics"):
        content = block(metrics, "metrics")
        rows = {"network": content["test"], **content["baselines"]}
        scatter = {name: (row["scatter_dex"], row.get("scatter_dex_ci68")) for name, row in rows.items()}
        ratios = {
            name.removeprefix("network_over_"): (row["value"], row.get("ci68"))
            for name, row in content["ratios"].items()
        }
        n_train, n_test = content["n_train"], content["n_test"]
    # the evaluation gives no scatter of fewer than three clusters
    if scatter["network"][0] is None:
        few = f"{n_test} test cluster(s) are too few to compare predictors. Enlarge the sample."
        raise InputError(f"{name_of(metrics)}: {few}")
    return Metrics(n_train, n_test, scatter, ratios)


def in_groups(scatter: Mapping[str, Value]) -> list[str]:
    """Return the labels of the figure's rows: for each group, its heading and its predictors by increasing scatter."""
    lines: list[str] = []
    for heading, observable in GROUPS.items():
        names = [name for name in scatter if predictor(name).observable is observable]
        lines += [heading, *sorted(names, key=lambda name: (scatter[name][0] or np.inf, name))] if names else []
    return lines


def draw_values(axes: Axes, lines: Sequence[str], values: Mapping[str, Value], room: float) -> None:
    """Draw and print the value and the 68 % interval of each predictor in `lines`, from top to bottom.

    The numbers are printed at the right edge of the panel. To make room for the numbers, the panel is widened by `room`
    times its width.
    """
    for place, name in enumerate(lines):
        value, interval = values.get(name, (None, None))
        if value is not None:
            look = predictor(name)
            axes.plot(interval or [value, value], [place, place], color=look.colour, lw=1.3, solid_capstyle="butt")
            axes.plot([value], [place], look.marker, color=look.colour, ms=5)
            text = f"{value:.3f}" + (f" ± {(interval[1] - interval[0]) / 2:.3f}" if interval else "")
            across = axes.get_yaxis_transform()
            axes.text(0.98, place, text, transform=across, ha="right", va="center", fontsize=style.small())
    low, high = axes.get_xlim()
    axes.set_xticks(style.nice_ticks(low, high, 4))
    axes.set_xlim(low, high + room * (high - low))


@styled
def learning_curve(metrics: Sequence[Block], rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Return a figure of the scatter against the number of training clusters.

    A family consists of experiments that differ only in their training clusters. There is a panel for each test sample
    of each family.

    `metrics` and `rows` have an entry for each experiment and test sample. The entry of `metrics` is the content of a
    `metrics.json`. The entry of `rows` holds the names of the `experiment`, its `family`, and the `sky` of the test
    sample. `sky` is None for the test set of the training sky; this entry comes first among the entries of an
    experiment.
    """
    curves: dict[tuple[str | None, str | None], list[Metrics]] = {}
    trained: dict[str | None, int] = {}
    for row, content in zip(rows, map(read_metrics, metrics), strict=True):
        n_train = trained.setdefault(row["experiment"], content.n_train)
        curves.setdefault((row["family"], row["sky"]), []).append(content._replace(n_train=n_train))
    curves = {key: points for key, points in curves.items() if len({point.n_train for point in points}) > 1}
    if not curves:
        raise InputError(
            "no learning curve: it needs two experiments that differ only in train_clusters (and members)."
        )
    columns = min(len(curves), 2)
    lines = -(-len(curves) // columns)
    figure = new_figure(style.TWO_COLUMNS_IN, 0.6 + 2.5 * lines)
    panels = figure.subplots(lines, columns, squeeze=False, sharey=True).ravel()
    for axes, ((family, sky), points) in zip(panels, curves.items(), strict=False):
        points.sort(key=lambda point: point.n_train)
        draw_curves(axes, points)
        sample = f"sky {sky}" if sky else "test set of the training sky"
        axes.set_title(f"{family}: {sample}, n = {points[0].n_test}", loc="left")
    for axes in panels[len(curves) :]:
        axes.set_visible(False)
    for axes in panels[::columns]:
        axes.set_ylabel("scatter [dex]; lower is better")
    style.common_legend(figure, 2)
    return figure


def draw_curves(axes: Axes, points: Sequence[Metrics]) -> None:
    """Draw the learning curve of each predictor that has a scatter at every number of training clusters."""
    sizes = [point.n_train for point in points]
    for place, name in enumerate(TRAINED):
        if all(name in point.scatter for point in points):
            draw_curve(axes, sizes, [point.scatter[name] for point in points], name, place - (len(TRAINED) - 1) / 2)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(far_apart(sizes)))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.margins(x=0.1)
    axes.set_xlabel("training clusters")


def draw_curve(axes: Axes, sizes: Sequence[int], values: Sequence[Value], name: str, place: float) -> None:
    """Draw a predictor's scatter, with 68 % intervals, against the sizes of training sets.

    The markers are shifted sideways by `place` times `APART`, so that predictors don't hide each other.
    """
    size = np.array(sizes, dtype=float)
    value = np.array([value for value, _ in values], dtype=float)
    interval = np.array([interval or [np.nan, np.nan] for _, interval in values])
    # the value may lie outside the bootstrap interval
    error = np.maximum((interval - value[:, None]) * (-1, 1), 0).T
    look = predictor(name)
    width, marker_size, layer = (1.5, 5, 4) if name == "network" else (0.8, 3.5, 3)
    axes.errorbar(
        size * (size[-1] / size[0]) ** (APART * place), value, error, color=look.colour, marker=look.marker,
        label=look.label, elinewidth=width, lw=width, ms=marker_size, zorder=layer,
    )  # fmt: skip


def far_apart(sizes: Sequence[int]) -> list[int]:
    """Return some of `sizes`, in decreasing order and at least a factor of 1.25 apart, so that labels don't overlap."""
    kept: list[int] = []
    for size in sorted(sizes, reverse=True):
        if not kept or size <= kept[-1] / 1.25:
            kept.append(size)
    return kept
