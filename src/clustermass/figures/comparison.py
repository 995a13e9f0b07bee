"""Comparison of a run's experiments: scatter, and scatter divided by that of count rate and of ridge regression."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import blended_transform_factory

from clustermass.errors import InputError
from clustermass.figures import style
from clustermass.report.summary import compared

#: key figure -> label of its panel, and digits of its numbers
PANELS = {
    "scatter_dex": ("scatter [dex]", 4),
    "over_count_rate": ("scatter ÷ count rate's", 3),
    "over_ridge": ("scatter ÷ ridge regression's", 3),
}
#: height of an experiment's heading, in lines
HEADING = 0.75
INCHES = 0.34  # per line
#: share of a panel's width in which numbers are printed
NUMBERS = 0.47
#: distance from the middle of a line, above it for the values of all clusters and below it for those of isolated ones
APART = 0.22

#: a row of `compared`: an experiment on one test sample
Row = Mapping[str, Any]


@style.saved
def plot_comparison(metrics: Sequence[Path], rows: Sequence[Row]) -> Figure:
    """Draw scatter and ratios of each experiment on each test sample, with 68 % intervals and printed numbers.

    `metrics` are files metrics.json; their `rows` are described in `report.summary.compared`.
    """
    if not rows:
        raise InputError("no experiment to compare: name one under experiments.")
    lines = compared(metrics, rows)
    # an experiment's first line lies below its heading
    first = [not n or row["experiment"] != lines[n - 1]["experiment"] for n, row in enumerate(lines)]
    places = np.arange(len(lines)) + 0.5 + HEADING * np.cumsum(first)
    height = places[-1] + 0.5
    figure = style.new_figure(style.TWO_COLUMNS_IN, 0.85 + INCHES * height)
    panels = figure.subplots(1, len(PANELS), sharey=True)
    for axes, (key, (label, digits)) in zip(panels, PANELS.items(), strict=True):
        draw_panel(axes, key, digits, places, lines)
        axes.set_xlabel(label)
    panels[0].set_ylim(height, 0)
    panels[0].set_yticks(places, [f"{row['sky'] or 'own test set'}\nn = {row['n_test']}" for row in lines])
    for n in np.flatnonzero(first):
        draw_heading(panels, places[n] - 0.5 - HEADING, lines[n])
    figure.legend(handles=legend(lines), loc="outside upper center", ncols=4)
    return figure


def values_of(row: Row, key: str) -> Iterator[tuple[float, float, Sequence[float]]]:
    """Yield vertical shift, value and 68 % interval of a key figure, first of all clusters, then of isolated ones."""
    for shift, figures in ((-APART, row), (APART, row["isolated"])):
        if figures is not None and figures[key] is not None:
            yield shift, figures[key], figures[f"{key}_ci68"] or [figures[key]] * 2


def draw_panel(axes: Axes, key: str, digits: int, places: np.ndarray, lines: Sequence[Row]) -> None:
    """Draw the panel of the key figure `key`, with markers, intervals and printed numbers.

    On each line, the value of all clusters is drawn above that of isolated clusters. An arrow replaces the marker of a
    value that is outside the panel.
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
            axes.text(0.98, y, text, transform=axes.get_yaxis_transform(), ha="right", va="center", fontsize=6.5)
    if key != "scatter_dex":
        axes.axvline(1, color=style.BLACK, lw=0.7, zorder=0)
    low, high = ends
    axes.set_xlim(low, high + (high - low) * NUMBERS / (1 - NUMBERS))
    axes.set_xticks([tick for tick in MaxNLocator(3).tick_values(low, high) if low <= tick <= high])
    axes.tick_params(axis="y", which="both", length=0)
    axes.tick_params(axis="x", which="minor", length=0)


def limits(lines: Sequence[Row], key: str) -> tuple[float, float]:
    """Return limits of a panel that contain all intervals and, for ratios, also 1.

    Intervals of controls are left out, unless there are only controls.
    """
    shown = [row for row in lines if row["control"] == "none"] or lines
    ends = [] if key == "scatter_dex" else [1.0]
    for _, value, interval in (measured for row in shown for measured in values_of(row, key)):
        ends += value, *interval
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    margin = 0.08 * (high - low) or 0.05
    return low - margin, high + margin


def look(control: bool, other_sky: bool) -> dict[str, Any]:
    """Return options of a marker: grey for controls, a diamond for a sky other than the training sky."""
    marker, size = ("D", 3.5) if other_sky else ("o", 4)
    return {"color": style.GREY if control else style.BLUE, "marker": marker, "ms": size}


def draw_heading(panels: Sequence[Axes], top: float, row: Row) -> None:
    """Draw a grey band above an experiment's lines, with its name and its numbers of networks, epochs and clusters."""
    for axes in panels:
        left = 0.0 if axes is panels[0] else -0.02
        width = 1.0 - left if axes is panels[-1] else 1.2  # over the gap to the next panel, which is drawn later
        band = Rectangle((left, top), width, HEADING, color="#E4E4E4", lw=0, zorder=3)
        band.set(transform=axes.get_yaxis_transform(), clip_on=False, in_layout=False)
        axes.add_patch(band)
    networks = "1 network" if row["n_members"] == 1 else f"{row['n_members']} networks"
    training = f"{networks}, {row['epochs']} epochs, {row['n_train']} training clusters"
    if row["control"] != "none":
        training = f"control ({row['control'].replace('_', ' ')}): {training}"
    sides = ((panels[0], 0.02, "left", row["experiment"], "bold"), (panels[-1], 0.98, "right", training, "normal"))
    for axes, place, side, text, weight in sides:
        across = blended_transform_factory(axes.transAxes, panels[-1].transData)
        # on the last panel, so that no other band covers it
        words = panels[-1].text(place, top + HEADING / 2, text, transform=across, ha=side, va="center", weight=weight)
        words.set(fontsize=7, in_layout=False, zorder=4)


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
