"""One look for every figure, and the same bytes from the same data: no clock, no random ids, no user's matplotlibrc."""

import functools
import inspect
import json
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clustermass.io.files import atomic
from clustermass.io.provenance import provenance

P = ParamSpec("P")

TWO_COLUMNS_IN = 7.1
#: a scatter of more points than this is drawn as pixels inside the SVG, which keeps the file below about 200 kB
RASTERISE_ABOVE = 300
#: resolution of the pixels inside an SVG
RASTER_DPI = 200

# Okabe and Ito (2008): eight colours that colour-blind readers can tell apart
BLACK = "#000000"
ORANGE = "#E69F00"
SKY_BLUE = "#56B4E9"
GREEN = "#009E73"
BLUE = "#0072B2"
VERMILION = "#D55E00"
PURPLE = "#CC79A7"
GREY = "#7F7F7F"
LIGHT_GREY = "#D0D0D0"

LOOK: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "mathtext.fontset": "dejavusans",
    "font.size": 8.0,
    "axes.labelsize": 8.0,
    "axes.titlesize": 8.0,
    "figure.titlesize": 9.0,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "legend.fontsize": 7.0,
    "legend.frameon": False,
    "legend.handlelength": 1.5,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.0,
    "lines.markersize": 4.0,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.minor.visible": True,
    "ytick.minor.visible": True,
    "image.cmap": "viridis",
    "svg.fonttype": "path",
    "svg.hashsalt": "clustermass",
}
_SESSION_KEYS = ("backend", "backend_fallback", "interactive", "toolbar", "savefig.directory", "docstring.hardcopy")


#: arguments of plotting functions that are files to write; other paths are inputs, and all else shapes the figure
OUTPUTS = ("svg", "png", "pdf")
#: name and arguments of the plotting function that is at work
_AT_WORK: ContextVar[tuple[str, Mapping[str, Any]] | None] = ContextVar("_AT_WORK", default=None)


def styled(plot: Callable[P, None]) -> Callable[P, None]:
    """Decorate a plotting function: it runs in the house style, untouched by user settings.

    What it saves tells in its metadata the function's name, its settings and the hashes of the files that it read.
    """
    signature = inspect.signature(plot)

    @functools.wraps(plot)
    def plot_in_style(*args: P.args, **kwargs: P.kwargs) -> None:
        defaults = {key: value for key, value in matplotlib.rcParamsDefault.items() if key not in _SESSION_KEYS}
        before = _AT_WORK.set((plot.__name__, signature.bind(*args, **kwargs).arguments))
        try:
            with matplotlib.rc_context({**defaults, **LOOK}):
                plot(*args, **kwargs)
        finally:
            _AT_WORK.reset(before)

    return plot_in_style


def made_by() -> str | None:
    """Provenance of the figure being drawn as JSON; None outside a `styled` function."""
    at_work = _AT_WORK.get()
    if at_work is None:
        return None
    name, arguments = at_work
    files: list[Path] = []
    settings = {}
    for key, value in arguments.items():
        paths = [value] if isinstance(value, Path) else value
        if isinstance(paths, list | tuple) and paths and all(isinstance(path, Path) for path in paths):
            files += paths if key not in OUTPUTS else []
        else:
            settings[key] = value
    return json.dumps(provenance(name, settings, files), sort_keys=True)


def new_figure(width_in: float, height_in: float) -> Figure:
    """Return an empty figure that is laid out by constraints and lives outside pyplot's global state.

    Parameters
    ----------
    width_in, height_in
        Size on paper, inches.
    """
    return Figure(figsize=(width_in, height_in), layout="constrained")


def save(figure: Figure, svg: Path, png: Path, dpi: int) -> None:
    """Write `figure` as SVG and as PNG, both atomically and without a date.

    Parameters
    ----------
    figure
        Must be saved inside a `styled` function, which fixes the ids of the SVG.
    svg, png
        Final names.
    dpi
        Resolution of the PNG, dots per inch.
    """
    made = made_by()
    with atomic(svg) as temporary:
        figure.savefig(temporary, format="svg", dpi=RASTER_DPI, metadata={"Date": None, "Description": made})
    save_png(figure, png, dpi)


def save_png(figure: Figure, png: Path, dpi: int) -> None:
    """Write `figure` as PNG, atomically; its provenance is the text chunk Description."""
    made = made_by()
    with atomic(png) as temporary:
        figure.savefig(temporary, format="png", dpi=dpi, metadata={"Description": made} if made else None)


def note(axes: Axes, text: str, corner: str = "upper left", **options: Any) -> None:
    """Print `text` in a corner of a panel ("upper left", "lower right", ...), below the data that lie there."""
    vertical, horizontal = corner.split()
    look = {
        "fontsize": 7,
        "linespacing": 1.3,
        "zorder": 0.5,
        **options,
    }
    axes.text(
        0.96 if horizontal == "right" else 0.04,
        0.96 if vertical == "upper" else 0.04,
        text,
        transform=axes.transAxes,
        ha=horizontal,
        va="top" if vertical == "upper" else "bottom",
        **look,
    )
