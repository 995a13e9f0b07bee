"""All experiments of a run: scatter, and its ratio to the count rate's and to the ridge regression's."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

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
BAND = "#E4E4E4"
HEADING, SAMPLE = 0.75, 1.0  # heights of a line
INCHES = 0.34  # per unit of height
#: share of a panel's width that is left to the numbers
NUMBERS = 0.47
#: distance of the values of all clusters above the middle of their line, and of isolated ones below
APART = 0.22


class Value(NamedTuple):
    """A key figure and the ends of its 68 % interval."""

    value: float
    low: float
    high: float


class Sample(NamedTuple):
    """A line of the figure: an experiment on one test sample."""

    place: float  # its middle, counted downwards
    name: str  # of the sample, with its size
    control: bool
    other_sky: bool  # than the one that the experiment was trained on
    values: dict[str, Value]  # measured key figures of all clusters
    isolated: dict[str, Value]  # and of the isolated ones


#: middle of the band above the lines of an experiment, the experiment's name and how it was trained
Heading = tuple[float, str, str]


@style.saved
def plot_comparison(metrics: Sequence[Path], rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw a line for each experiment and test sample (`report.summary.compared`), with 68 % intervals and numbers."""
    if not rows:
        raise InputError("no experiment to compare: name one under experiments.")
    headings, samples, height = arrange(compared(metrics, rows))
    figure = style.new_figure(style.TWO_COLUMNS_IN, 0.85 + INCHES * height)
    panels = figure.subplots(1, len(PANELS), sharey=True)
    for axes, (key, (label, digits)) in zip(panels, PANELS.items(), strict=True):
        draw_panel(axes, key, digits, samples)
        axes.set_xlabel(label)
    panels[0].set_ylim(height, 0)
    panels[0].set_yticks([sample.place for sample in samples], [sample.name for sample in samples])
    for heading in headings:
        draw_heading(panels, *heading)
    figure.legend(handles=legend(samples), loc="outside upper center", ncols=4)
    return figure


def arrange(rows: Sequence[Mapping[str, Any]]) -> tuple[list[Heading], list[Sample], float]:
    """Headings, one an experiment, the samples below each, and the height of them all."""
    headings, samples, top = [], [], 0.0
    for name, group in groupby(rows, key=lambda row: row["experiment"]):
        of_experiment = list(group)
        headings.append((top + HEADING / 2, name, training_of(of_experiment[0])))
        top += HEADING
        for number, row in enumerate(of_experiment):
            label = f"{row['sky'] or 'own test set'}\nn = {row['n_test']}"
            kind = row["control"] != "none", row["sky"] is not None
            place = top + (number + 0.5) * SAMPLE
            samples.append(Sample(place, label, *kind, values_of(row), values_of(row["isolated"])))
        top += SAMPLE * len(of_experiment)
    return headings, samples, top


def training_of(row: Mapping[str, Any]) -> str:
    """Describe how a row's experiment was trained."""
    networks = "1 network" if row["n_members"] == 1 else f"{row['n_members']} networks"
    words = f"{networks}, {row['epochs']} epochs, {row['n_train']} training clusters"
    return words if row["control"] == "none" else f"control ({row['control'].replace('_', ' ')}): {words}"


def values_of(row: Mapping[str, Any] | None) -> dict[str, Value]:
    """Key figures that are drawn, without those that weren't measured."""
    if row is None:
        return {}
    measured = {key: row[key] for key in PANELS if row[key] is not None}
    return {key: Value(value, *(row[f"{key}_ci68"] or (value, value))) for key, value in measured.items()}


def draw_panel(axes: Axes, key: str, digits: int, samples: Sequence[Sample]) -> None:
    """Draw one key figure of every line: all clusters above, isolated ones below."""
    low, high = limits(samples, key)
    for sample in samples:
        marks = look(sample.control, sample.other_sky)
        sides = ((sample.values, -APART, marks), (sample.isolated, APART, {**marks, "mfc": "white"}))
        for values, shift, drawn in sides:
            if key in values:
                draw_value(axes, sample.place + shift, values[key], digits, drawn, (low, high))
    if key != "scatter_dex":
        axes.axvline(1, color=style.BLACK, lw=0.7, zorder=0)
    axes.set_xlim(low, high + (high - low) * NUMBERS / (1 - NUMBERS))
    axes.set_xticks([tick for tick in MaxNLocator(3).tick_values(low, high) if low <= tick <= high])
    axes.tick_params(axis="y", which="both", length=0)
    axes.tick_params(axis="x", which="minor", length=0)


def limits(samples: Sequence[Sample], key: str) -> tuple[float, float]:
    """Limits that hold all intervals of a key figure, and a ratio of 1; of controls only if there is nothing else."""
    shown = [sample for sample in samples if not sample.control] or samples
    ends = [] if key == "scatter_dex" else [1.0]
    for values in (values for sample in shown for values in (sample.values, sample.isolated)):
        ends += values.get(key, ())
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    margin = 0.08 * (high - low) or 0.05
    return low - margin, high + margin


def look(control: bool, other_sky: bool) -> dict[str, Any]:
    """Marker and colour: controls are grey, further skies diamonds."""
    marker, size = ("D", 3.5) if other_sky else ("o", 4)
    return {"color": style.GREY if control else style.BLUE, "marker": marker, "ms": size}


def draw_value(
    axes: Axes, place: float, value: Value, digits: int, marks: dict[str, Any], ends: tuple[float, float]
) -> None:
    """Draw a value with its interval, an arrow where it lies beyond the limits, and the number at the right edge."""
    inside = float(np.clip(value.value, *ends))
    if inside == value.value:
        axes.plot(np.clip([value.low, value.high], *ends), [place, place], color=marks["color"], lw=1.2)
        axes.plot([inside], [place], **marks)
    else:
        axes.plot([inside], [place], **{**marks, "marker": ">" if value.value > inside else "<"})
    text = f"{value.value:.{digits}f} ± {(value.high - value.low) / 2:.{digits}f}"
    axes.text(0.98, place, text, transform=axes.get_yaxis_transform(), ha="right", va="center", fontsize=6.5)


def draw_heading(panels: Sequence[Axes], middle: float, name: str, training: str) -> None:
    """Draw the grey band above an experiment's lines, with its name and training."""
    for axes in panels:
        left = 0.0 if axes is panels[0] else -0.02
        width = 1.0 - left if axes is panels[-1] else 1.2  # over the gap to the next panel, which is drawn later
        corner = (left, middle - HEADING / 2)
        band = Rectangle(corner, width, HEADING, color=BAND, lw=0, zorder=3, transform=axes.get_yaxis_transform())
        band.set(clip_on=False, in_layout=False)
        axes.add_patch(band)
    sides = ((panels[0], 0.02, "left", name, "bold"), (panels[-1], 0.98, "right", training, "normal"))
    for axes, place, side, text, weight in sides:
        across = blended_transform_factory(axes.transAxes, panels[-1].transData)
        # on the last panel, so that no other band covers it
        words = panels[-1].text(place, middle, text, transform=across, ha=side, va="center", weight=weight)
        words.set(fontsize=7, in_layout=False, zorder=4)


def legend(samples: Sequence[Sample]) -> list[Line2D]:
    """Return the marks that are drawn, with their meaning."""
    hollow = {"marker": "o", "color": style.BLUE, "mfc": "white"}
    marks = [
        ("all test clusters", look(False, False), True),
        ("of another sky", look(False, True), any(sample.other_sky for sample in samples)),
        ("isolated clusters only", hollow, any(sample.isolated for sample in samples)),
        ("control", look(True, False), any(sample.control for sample in samples)),
    ]
    return [Line2D([], [], ls="", label=label, **mark) for label, mark, drawn in marks if drawn]
