"""All experiments of a run side by side: scatter, and its ratio to the count rate's and to the ridge regression's."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import blended_transform_factory

from clustermass.errors import InputError
from clustermass.figures import style
from clustermass.report.key_figures import compared

#: key figure -> label of its panel
PANELS = {
    "scatter_dex": "scatter [dex]",
    "over_count_rate": "scatter ÷ count rate's",
    "over_ridge": "scatter ÷ ridge regression's",
}
BAND = "#E4E4E4"
HEADING, SAMPLE = 0.75, 1.0  # heights of a line
INCHES = 0.34  # per unit of height
#: share of a panel's width that is left to the numbers
NUMBERS = 0.47
#: how far all clusters stand above the middle of their line, and isolated ones below
APART = 0.22


class Line(NamedTuple):
    """A line of the figure: where its middle is, counted downwards, and the row of the comparison it belongs to."""

    place: float
    row: Mapping[str, Any]


@style.styled
def plot_comparison(metrics: Sequence[Path], rows: Sequence[Mapping[str, Any]], svg: Path, png: Path, dpi: int) -> None:
    """Draw a line for each experiment and test sample, with 68 % intervals and numbers.

    Parameters
    ----------
    metrics
        `metrics.json` of each row.
    rows
        `experiment`, `sky`, `epochs` and `control` of each, see `key_figures.compared`.
    svg, png
        Files to write.
    dpi
        Resolution of the PNG, dots per inch.

    Raises
    ------
    InputError
        There is no row, or a file is missing, is no JSON or lacks a block.
    """
    if not rows:
        raise InputError("no experiment to compare: name one under experiments.")
    headings, samples, height = arrange(compared(metrics, rows))
    figure = style.new_figure(style.TWO_COLUMNS_IN, 0.85 + INCHES * height)
    panels = figure.subplots(1, len(PANELS), sharey=True)
    for axes, (key, label) in zip(panels, PANELS.items(), strict=True):
        draw_panel(axes, key, samples)
        axes.set_xlabel(label)
    panels[0].set_ylim(height, 0)
    panels[0].set_yticks([line.place for line in samples], [sample_of(line.row) for line in samples])
    for heading in headings:
        draw_heading(panels, heading)
    figure.legend(handles=legend(samples), loc="outside upper center", ncols=4)
    style.save(figure, svg, png, dpi)


def arrange(rows: Sequence[Mapping[str, Any]]) -> tuple[list[Line], list[Line], float]:
    """Lines of the headings, one an experiment, and of the samples below each; and the height of them all."""
    headings, samples, top = [], [], 0.0
    for _, group in groupby(rows, key=lambda row: row["experiment"]):
        of_experiment = list(group)
        headings.append(Line(top + HEADING / 2, of_experiment[0]))
        top += HEADING
        samples += [Line(top + (number + 0.5) * SAMPLE, row) for number, row in enumerate(of_experiment)]
        top += SAMPLE * len(of_experiment)
    return headings, samples, top


def sample_of(row: Mapping[str, Any]) -> str:
    """Name and size of a row's test sample."""
    return f"{row['sky'] or 'own test set'}\nn = {row['n_test']}"


def heading_of(row: Mapping[str, Any]) -> str:
    """How a row's experiment was trained, in a few words."""
    networks = "1 network" if row["n_members"] == 1 else f"{row['n_members']} networks"
    words = f"{networks}, {row['epochs']} epochs, {row['n_train']} training clusters"
    return words if row["control"] == "none" else f"control ({row['control'].replace('_', ' ')}): {words}"


def draw_panel(axes: Axes, key: str, samples: Sequence[Line]) -> None:
    """Draw one key figure of every line: all clusters above, isolated ones below."""
    low, high = reach([line.row for line in samples], key)
    for line in samples:
        marks = look(line.row)
        draw_value(axes, line.place - APART, line.row, key, marks, (low, high))
        if line.row["isolated"] is not None:
            draw_value(axes, line.place + APART, line.row["isolated"], key, {**marks, "mfc": "white"}, (low, high))
    if key != "scatter_dex":
        axes.axvline(1, color=style.BLACK, lw=0.7, zorder=0)
    axes.set_xlim(low, high + (high - low) * NUMBERS / (1 - NUMBERS))
    axes.set_xticks([tick for tick in MaxNLocator(3).tick_values(low, high) if low <= tick <= high])
    axes.tick_params(axis="y", which="both", length=0)
    axes.tick_params(axis="x", which="minor", length=0)


def reach(rows: Sequence[Mapping[str, Any]], key: str) -> tuple[float, float]:
    """Limits that hold all intervals of a key figure, and a ratio of 1; of controls only if there is nothing else."""
    shown = [row for row in rows if row["control"] == "none"] or list(rows)
    parts = [part for row in shown for part in (row, row["isolated"]) if part is not None and part[key] is not None]
    ends = [] if key == "scatter_dex" else [1.0]
    for part in parts:
        ends += [part[key], *(part[f"{key}_ci68"] or [])]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    margin = 0.08 * (high - low) or 0.05
    return low - margin, high + margin


def look(row: Mapping[str, Any]) -> dict[str, Any]:
    """Marker and colour of a row: controls are grey, further skies diamonds."""
    colour = style.BLUE if row["control"] == "none" else style.GREY
    return {"color": colour, "marker": "o" if row["sky"] is None else "D", "ms": 4 if row["sky"] is None else 3.5}


def draw_value(
    axes: Axes,
    place: float,
    row: Mapping[str, Any],
    key: str,
    marks: Mapping[str, Any],
    limits: tuple[float, float],
) -> None:
    """Draw a value with its interval, an arrow where it lies beyond the limits, and the number at the right edge."""
    value = row[key]
    if value is None:
        return
    low, high = row[f"{key}_ci68"] or (value, value)
    inside = min(max(value, limits[0]), limits[1])
    if inside == value:
        axes.plot([max(low, limits[0]), min(high, limits[1])], [place, place], color=marks["color"], lw=1.2)
        axes.plot([value], [place], **marks)
    else:
        axes.plot([inside], [place], **{**marks, "marker": ">" if value > inside else "<"})
    digits = 4 if key == "scatter_dex" else 3
    where: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "ha": "right", "va": "center", "fontsize": 6.5}
    axes.text(0.98, place, f"{value:.{digits}f} ± {(high - low) / 2:.{digits}f}", **where)


def draw_heading(panels: Sequence[Axes], heading: Line) -> None:
    """Draw the grey band above an experiment's lines, with its name and training."""
    for axes in panels:
        where: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "clip_on": False, "in_layout": False}
        left = 0.0 if axes is panels[0] else -0.02
        width = 1.0 - left if axes is panels[-1] else 1.2  # over the gap to the next panel, which is drawn later
        corner = (left, heading.place - HEADING / 2)
        axes.add_patch(Rectangle(corner, width, HEADING, color=BAND, lw=0, zorder=3, **where))
    words: dict[str, Any] = {"va": "center", "fontsize": 7, "in_layout": False, "zorder": 4}
    for axes, place, text, weight in (
        (panels[0], 0.02, heading.row["experiment"], "bold"),
        (panels[-1], 0.98, heading_of(heading.row), "normal"),
    ):
        across = blended_transform_factory(axes.transAxes, panels[-1].transData)
        side = "left" if place < 0.5 else "right"
        # on the last panel, lest another band cover it
        panels[-1].text(place, heading.place, text, transform=across, ha=side, weight=weight, **words)


def legend(samples: Sequence[Line]) -> list[Line2D]:
    """Return the marks that are drawn, with their meaning."""
    rows = [line.row for line in samples]
    marks = [
        ("all test clusters", look({"control": "none", "sky": None}), True),
        ("of another sky", look({"control": "none", "sky": "other"}), any(row["sky"] for row in rows)),
        ("isolated ones alone", {"marker": "o", "color": style.BLUE, "mfc": "white"}, any(r["isolated"] for r in rows)),
        ("control", look({"control": "any", "sky": None}), any(row["control"] != "none" for row in rows)),
    ]
    return [Line2D([], [], ls="", label=label, **mark) for label, mark, drawn in marks if drawn]
