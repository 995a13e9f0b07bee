"""Comparison of a run's experiments: their scatters, and ratios of these scatters to the scatters of two baselines.

The baselines are the relation between count rate and mass, and ridge regression.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from clustermass.errors import InputError
from clustermass.figures import style
from clustermass.figures.output import new_figure, styled
from clustermass.report.summary import compared

#: dict from each key figure to the label of its panel, and to the number of digits that are printed
PANELS = {
    "scatter_dex": ("scatter [dex]", 4),
    "over_count_rate": ("scatter ÷ that of the count rate", 3),
    "over_ridge": ("scatter ÷ that of ridge regression", 3),
}
#: height of an experiment's heading, in units of the height of a line
HEADING = 0.75
INCHES = 0.34  # per line
#: share of a panel's width in which numbers are printed
NUMBERS = 0.5
#: distance of markers from the middle of a line: above it for all clusters, below it for isolated clusters
APART = 0.22

#: a row of `compared`: an experiment on one test sample
Row = Mapping[str, Any]


@styled
def comparison(metrics: Sequence[Path], rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Return a figure of each experiment's scatter on each test sample, and of its ratios to the scatters of baselines.

    The values are drawn with 68 % intervals, and printed. `metrics` are files `metrics.json`. `rows` holds an entry for
    each of them, with the keys that `report.summary.compared` describes.
    """
    if not rows:
        raise InputError("no experiment to compare: name one under experiments.")
    lines = compared(metrics, rows)
    # an experiment's first line lies below its heading
    first = [not n or row["experiment"] != lines[n - 1]["experiment"] for n, row in enumerate(lines)]
    places = np.arange(len(lines)) + 0.5 + HEADING * np.cumsum(first)
    height = places[-1] + 0.5
    figure = new_figure(style.TWO_COLUMNS_IN, 1.15 + INCHES * height)
    panels = figure.subplots(1, len(PANELS), sharey=True)
    for axes, (key, (label, digits)) in zip(panels, PANELS.items(), strict=True):
        draw_panel(axes, key, digits, places, lines)
        axes.set_xlabel(label)
    panels[0].set_ylim(height, 0)
    panels[0].set_yticks(places, [f"{row['sky'] or 'own test set'}\nn = {row['n_test']}" for row in lines])
    for n in np.flatnonzero(first):
        draw_heading(panels, places[n] - 0.5 - HEADING, lines[n])
    figure.suptitle("Scatter of the masses by experiment: left is better (bars, ±: 68 % intervals)")
    figure.legend(handles=legend(lines), loc="outside lower center", ncols=4)
    return figure


def values_of(row: Row, key: str) -> Iterator[tuple[float, float, Sequence[float]]]:
    """Yield, for each marker of `row`, its vertical shift, the value that it shows, and this value's 68 % interval.

    `key`, a key of `PANELS`, chooses the value. The first marker is for all clusters, and the second for isolated
    clusters. Values that weren't measured are left out.
    """
    for shift, figures in ((-APART, row), (APART, row["isolated"])):
        if figures is not None and figures[key] is not None:
            yield shift, figures[key], figures[f"{key}_ci68"] or [figures[key]] * 2


def draw_panel(axes: Axes, key: str, digits: int, places: np.ndarray, lines: Sequence[Row]) -> None:
    """Draw the panel of `key`, a key of `PANELS`, with markers and 68 % intervals, and print the values.

    On each line, the value of all clusters is drawn above the value of isolated clusters. An arrow replaces the marker
    of a value that is outside the panel.
    """
    ends = limits(lines, key)
    for place, row in zip(places, lines, strict=True):
        for shift, value, interval in values_of(row, key):
            marks = look(row["control"] != "none", row["sky"] is not None) | ({"mfc": "white"} if shift > 0 else {})
            inside, y = float(np.clip(value, *ends)), place + shift
            if inside == value:
                axes.plot(np.clip(interval, *ends), [y, y], color=marks["color"], lw=1.2)
            else:
                marks["marker"] = ">" if value > inside else "<"
            axes.plot([inside], [y], **marks)
            text = f"{value:.{digits}f} ± {(interval[1] - interval[0]) / 2:.{digits}f}"
            axes.text(
                0.98, y, text, transform=axes.get_yaxis_transform(), ha="right", va="center", fontsize=style.small()
            )
    low, high = ends
    axes.set_xlim(low, high + (high - low) * NUMBERS / (1 - NUMBERS))
    ticks = style.nice_ticks(low, high, 3)
    ticks = ticks[:: (len(ticks) + 1) // 2 or 1]  # two labels have room
    if key != "scatter_dex":
        axes.axvline(1, color=style.BLACK, lw=0.7, zorder=0)
        across = axes.get_xaxis_transform()
        axes.text(1, 1.005, "equal", transform=across, ha="center", va="bottom", fontsize=style.small())
        # the line has a label, and no other label is close to it
        ticks = [*(tick for tick in ticks if abs(tick - 1) > (high - low) / 6), 1.0]
    axes.set_xticks(ticks)
    axes.tick_params(axis="y", which="both", length=0)
    axes.tick_params(axis="x", which="minor", length=0)


def limits(lines: Sequence[Row], key: str) -> tuple[float, float]:
    """Return the limits of a panel.

    The panel contains the values and intervals of all experiments that aren't controls and, for ratios, also 1. A
    control whose value is inside is shown with its whole interval. If all experiments are controls, the panel contains
    all values and intervals.
    """
    shown = [row for row in lines if row["control"] == "none"] or lines
    ends = [] if key == "scatter_dex" else [1.0]
    ends += [end for row in shown for _, value, interval in values_of(row, key) for end in (value, *interval)]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    margin = 0.08 * (high - low) or 0.05
    # whole bars of controls whose values are inside
    inside = [i for row in lines for _, value, i in values_of(row, key) if low - margin <= value <= high + margin]
    low, high = (f([end, *(e for interval in inside for e in interval)]) for f, end in ((min, low), (max, high)))
    return low - margin, high + margin


def look(control: bool, other_sky: bool) -> dict[str, Any]:
    """Return the options of a marker, which is grey for controls, and a diamond for test samples of another sky."""
    marker, size = ("D", 3.5) if other_sky else ("o", 4)
    return {"color": style.GREY if control else style.BLUE, "marker": marker, "ms": size}


def draw_heading(panels: Sequence[Axes], top: float, row: Row) -> None:
    """Draw the heading of an experiment: its name, and the numbers of its networks, epochs and training clusters."""
    networks = "1 network" if row["n_members"] == 1 else f"{row['n_members']} networks"
    training = f"{networks}, {row['epochs']} epochs, {row['n_train']} clusters"
    control = "" if row["control"] == "none" else f"control: {row['control'].replace('_', ' ')}"
    texts = (row["experiment"], training, control)
    for axes, text, weight in zip(panels, texts, ("bold", "normal", "normal"), strict=True):
        axes.axhline(top, color=style.GREY, lw=0.6)
        across = axes.get_yaxis_transform()
        words = axes.text(0.02, top + HEADING / 2, text, transform=across, va="center", weight=weight, zorder=4)
        words.set(fontsize=style.small(), in_layout=False, bbox={"color": "white", "pad": 0.5})


def legend(lines: Sequence[Row]) -> list[Line2D]:
    """Return the legend's entries for the kinds of markers that are drawn."""
    isolated = any(shift > 0 for row in lines for key in PANELS for shift, _, _ in values_of(row, key))
    marks = [
        ("all test clusters", look(False, False), True),
        ("of another sky", look(False, True), any(row["sky"] is not None for row in lines)),
        ("isolated clusters only", {"marker": "o", "color": style.BLUE, "mfc": "white"}, isolated),
        ("control", look(True, False), any(row["control"] != "none" for row in lines)),
    ]
    return [Line2D([], [], ls="", label=label, **mark) for label, mark, drawn in marks if drawn]
