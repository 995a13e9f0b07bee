"""Style, labels and small drawing functions that all figures share."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator

TWO_COLUMNS_IN = 7.1
#: more points than this are drawn as an image inside the SVG, which keeps the file below about 200 kB
RASTERISE_ABOVE = 300
#: resolution of images inside an SVG or PDF, dots per inch
RASTER_DPI = 200

# colours of Okabe and Ito (2008), which colour-blind readers can distinguish
BLACK = "#000000"
ORANGE = "#E69F00"
SKY_BLUE = "#56B4E9"
GREEN = "#009E73"
BLUE = "#0072B2"
VERMILION = "#D55E00"
PURPLE = "#CC79A7"
GREY = "#7F7F7F"
LIGHT_GREY = "#D0D0D0"
# two colours of Tol (2021) that differ from those above
WINE = "#882255"
OLIVE = "#999933"

LOOK = {
    "font.family": ["DejaVu Sans"],
    "mathtext.fontset": "dejavusans",
    **dict.fromkeys(("font.size", "axes.labelsize", "axes.titlesize"), 8.0),
    **dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize"), 7.0),
    "figure.titlesize": 9.0,
    "legend.frameon": False,
    "legend.handlelength": 1.5,
    "lines.linewidth": 1.0,
    "lines.markersize": 4.0,
    **dict.fromkeys(("axes.linewidth", "xtick.major.width", "ytick.major.width"), 0.6),
    **dict.fromkeys(("xtick.minor.width", "ytick.minor.width"), 0.4),
    **dict.fromkeys(("xtick.direction", "ytick.direction"), "in"),
    **dict.fromkeys(("xtick.top", "ytick.right", "xtick.minor.visible", "ytick.minor.visible"), True),
    "image.cmap": "viridis",
    "text.hinting": "no_hinting",  # texts have the same width, and figures the same layout, at any resolution
    "svg.fonttype": "path",
    "pdf.fonttype": 42,  # text in a PDF can be searched and edited
    "svg.hashsalt": "clustermass",
}

TRUE_MASS = r"true $\log_{10}(M_{500c}/M_\odot)$"
PREDICTED_MASS = r"predicted $\log_{10}(M_{500c}/M_\odot)$"
MASS = r"$\log_{10}(M_{500c}/M_\odot)$"
SIGMA = r"predicted $\sigma$ [dex]"
RESIDUAL = r"$\log_{10} M_\mathrm{pred} - \log_{10} M_\mathrm{true}$ [dex]"


class Predictor(NamedTuple):
    """Label, colour and marker of a predictor of masses, and whether an observer could use this predictor."""

    label: str
    colour: str
    marker: str
    observable: bool = True


#: predictors in the order of legends; luminosities and temperatures are the true ones of the simulation
PREDICTORS = {
    "network": Predictor("network ensemble", BLUE, "o"),
    "boosted_trees": Predictor("boosted trees on hand-made features", GREEN, "P"),
    "ridge_features": Predictor("ridge regression on hand-made features", SKY_BLUE, "D"),
    "count_rate_recalibrated": Predictor("count rate, recalibrated", PURPLE, "s"),
    "count_rate_efeds": Predictor("count rate, eFEDS relation", BLACK, "X"),
    "prior": Predictor("redshift only", GREY, "*"),
    "luminosity_temperature": Predictor("true luminosity and temperature", OLIVE, "d", False),
    "luminosity_recalibrated": Predictor("true luminosity, recalibrated", ORANGE, "^", False),
    "luminosity_published": Predictor("true luminosity, Chiu et al. 2022", VERMILION, "v", False),
    "luminosity_selected": Predictor("true luminosity, Chiu, with selection", WINE, "<", False),
}


def predictor(name: str) -> Predictor:
    """Return label, colour and marker of a predictor. An unknown predictor is grey, and its label is its name."""
    return PREDICTORS.get(name, Predictor(name.replace("_", " "), GREY, "h"))


def in_order(names: Iterable[str]) -> list[str]:
    """Return the names of predictors in the order of `PREDICTORS`. All other names follow in alphabetical order."""
    order = list(PREDICTORS)
    return sorted(names, key=lambda name: (order.index(name) if name in order else len(order), name))


def small() -> float:
    """Return the font size in points of numbers and notes inside panels; legends have the same size."""
    return float(rcParams["legend.fontsize"])


def note(axes: Axes, text: str, corner: str = "upper left", **options: Any) -> None:
    """Print `text` in a corner of a panel ("upper left", "lower right", ...), behind the data."""
    vertical, horizontal = corner.split()
    place = {"ha": horizontal, "va": "top" if vertical == "upper" else "bottom", "transform": axes.transAxes}
    x, y = 0.96 if horizontal == "right" else 0.04, 0.96 if vertical == "upper" else 0.04
    axes.text(x, y, text, **{**place, "fontsize": small(), "linespacing": 1.3, "zorder": 0.5, **options})


def nice_ticks(low: float, high: float, number: int) -> list[float]:
    """Return round values between `low` and `high` for ticks: about `number` of them, or fewer."""
    return [
        float(tick) for tick in MaxNLocator(number, steps=[1, 2, 5, 10]).tick_values(low, high) if low <= tick <= high
    ]


def draw_equality(axes: Axes, limits: tuple[float, float], ticks: int | None = None) -> None:
    """Draw the line of equal masses.

    Both axes get `limits` and the same scale. If `ticks` is given, both axes get about this number of ticks.
    """
    axes.plot(limits, limits, color=BLACK, lw=0.8, label="equality")
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    if ticks:
        axes.xaxis.set_major_locator(MaxNLocator(ticks))
        axes.yaxis.set_major_locator(MaxNLocator(ticks))


def common_legend(figure: Figure | SubFigure, columns: int) -> None:
    """Draw a legend below all panels of a figure (or of a part of it), with each label once, in `columns` columns."""
    entries = {
        label: handle for axes in figure.axes for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=columns)


def percent(dex: float) -> float:
    """Return a scatter `dex` in percent of the mass, 100 ln(10) `dex` (0.188 dex = 43 %)."""
    return 100.0 * float(np.log(10.0)) * dex


def signed(value: float, digits: int = 3) -> str:
    """Return a number as text with its sign, which is a plus or a typographic minus."""
    return f"{value:+.{digits}f}".replace("-", "−")
