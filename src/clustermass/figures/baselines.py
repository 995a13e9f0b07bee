"""Scatter of every predictor on the same test clusters, and the network's scatter relative to each."""

import json
from pathlib import Path
from typing import TypedDict

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from clustermass.errors import InputError
from clustermass.figures import style
from clustermass.figures.style import in_order, percent, predictor
from clustermass.io.files import reading


class Scatter(TypedDict, total=False):
    """Scatter of a predictor's residuals on the test set, and its 68 % interval, dex."""

    scatter_dex: float
    scatter_dex_ci68: list[float] | None


class Ratio(TypedDict):
    """The network's scatter over a baseline's, and its 68 % interval; None for too few clusters."""

    value: float | None
    ci68: list[float] | None


class Metrics(TypedDict):
    """The part of `metrics.json` that is drawn."""

    n_train: int
    n_test: int
    test: Scatter
    baselines: dict[str, Scatter]
    ratios: dict[str, Ratio]


@style.saved
def plot_baselines(metrics: Path) -> Figure:
    """Draw the scatter of network and baselines, and the ratio of the network's to each, from `metrics.json`."""
    content = read_metrics(metrics)
    rows = {"network": content["test"], **content["baselines"]}
    names = in_order(rows)[::-1]
    figure = style.new_figure(style.TWO_COLUMNS_IN, 1.1 + 0.26 * len(names))
    scatter, ratio = figure.subplots(1, 2, sharey=True, width_ratios=[1.4, 1])
    draw_scatters(scatter, names, rows)
    draw_ratios(ratio, names, content["ratios"])
    scatter.set_yticks(range(len(names)), [predictor(name).label for name in names])
    for axes in (scatter, ratio):
        axes.tick_params(axis="y", which="both", length=0)
    scatter.set_ylim(-0.6, len(names) - 0.4)
    figure.suptitle(f"the same {content['n_test']} test clusters for all; bars: 68 % intervals")
    return figure


def read_metrics(path: Path) -> Metrics:
    """Read `metrics.json`; InputError if it lacks a block or has too few test clusters for a scatter."""
    with reading(path, "metrics"):
        content: Metrics = json.loads(path.read_text(encoding="utf-8"))
    missing = [key for key in ("n_test", "test", "baselines", "ratios") if key not in content]
    if missing:
        raise InputError(f"{path}: lacks {', '.join(missing)}. Delete it and run again.")
    # the evaluation gives no scatter of fewer than three clusters
    if content["test"]["scatter_dex"] is None:
        raise InputError(
            f"{path}: {content['n_test']} test cluster(s) are too few to compare predictors. Enlarge the sample."
        )
    return content


def draw_scatters(axes: Axes, names: list[str], rows: dict[str, Scatter]) -> None:
    """Draw one dot a predictor: its scatter in dex (percent of the mass on the upper axis)."""
    for place, name in enumerate(names):
        draw_dot(axes, place, name, rows[name]["scatter_dex"], rows[name].get("scatter_dex_ci68"))
    axes.axvline(rows["network"]["scatter_dex"], color=style.BLUE, lw=0.7, ls=":", zorder=0)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    leave_room(axes, 0.14)
    axes.set_xlabel("scatter [dex]")
    axes.tick_params(which="both", top=False)
    scale = percent(1.0)
    upper = axes.secondary_xaxis("top", functions=(lambda x: scale * np.asarray(x), lambda y: np.asarray(y) / scale))
    upper.set_xlabel("scatter [% of the mass]")


def draw_ratios(axes: Axes, names: list[str], ratios: dict[str, Ratio]) -> None:
    """Draw one dot a baseline: the network's scatter divided by the baseline's, from paired resampling."""
    for place, name in enumerate(names):
        ratio = ratios.get(f"network_over_{name}")
        if ratio is not None and ratio["value"] is not None:
            draw_dot(axes, place, name, ratio["value"], ratio.get("ci68"))
    axes.axvline(1, color=style.BLACK, lw=0.7, zorder=0)
    leave_room(axes, 0.24)
    axes.set_xlabel("scatter of network ÷ of this")


def leave_room(axes: Axes, fraction: float) -> None:
    """Widen a panel to the right by a fraction of its width, for the column of numbers."""
    low, high = axes.get_xlim()
    axes.set_xlim(low, high + fraction * (high - low))


def draw_dot(axes: Axes, place: int, name: str, value: float, interval: list[float] | None) -> None:
    """Draw a predictor's mark at `value`, its interval if there is one, and the number at the right edge."""
    look = predictor(name)
    axes.plot(interval or [value, value], [place, place], color=look.colour, lw=1.3, solid_capstyle="butt")
    axes.plot([value], [place], look.marker, color=look.colour, ms=5)
    axes.text(0.98, place, f"{value:.3f}", transform=axes.get_yaxis_transform(), ha="right", va="center", fontsize=7)
