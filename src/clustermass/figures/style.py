"""Functions that all figures use: style, writing to files, labels, and reading of prediction files.

The same data give files with the same bytes. Therefore no time, no random ids and no settings of the user's
matplotlibrc enter a figure.
"""

import functools
import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.style import context
from matplotlib.ticker import MaxNLocator

from clustermass.errors import InputError
from clustermass.io.files import atomic
from clustermass.io.netcdf import check_finite, read_netcdf
from clustermass.io.provenance import provenance

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
    "svg.fonttype": "path",
    "svg.hashsalt": "clustermass",
}

TRUE_MASS = r"true $\log_{10}(M_{500c}/M_\odot)$"
PREDICTED_MASS = r"predicted $\log_{10}(M_{500c}/M_\odot)$"
MASS = r"$\log_{10}(M_{500c}/M_\odot)$"
SIGMA = r"predicted $\sigma$ [dex]"
RESIDUAL = r"$\log_{10} M_\mathrm{pred} - \log_{10} M_\mathrm{true}$ [dex]"


class Predictor(NamedTuple):
    """Label, colour and marker of a predictor of masses."""

    label: str
    colour: str
    marker: str


#: predictors in the order of figures; luminosities and temperatures are the true ones of the simulation
PREDICTORS = {
    "network": Predictor("network ensemble", BLUE, "o"),
    "boosted_trees": Predictor("boosted trees on hand-made features", GREEN, "P"),
    "ridge_features": Predictor("ridge regression on hand-made features", SKY_BLUE, "D"),
    "luminosity_temperature": Predictor("true luminosity and temperature", GREY, "d"),
    "luminosity_recalibrated": Predictor("true luminosity, recalibrated", ORANGE, "^"),
    "luminosity_published": Predictor("true luminosity, Chiu et al. 2022", VERMILION, "v"),
    "luminosity_selected": Predictor("true luminosity, Chiu, with selection", VERMILION, "<"),
    "count_rate_recalibrated": Predictor("count rate, recalibrated", PURPLE, "s"),
    "count_rate_efeds": Predictor("count rate, eFEDS relation", BLACK, "X"),
    "prior": Predictor("redshift only", LIGHT_GREY, "*"),
}


def predictor(name: str) -> Predictor:
    """Return label, colour and marker of a predictor; an unknown predictor has its name as label, and is grey."""
    return PREDICTORS.get(name, Predictor(name.replace("_", " "), GREY, "h"))


def in_order(names: Iterable[str]) -> list[str]:
    """Return names of predictors in the order of `PREDICTORS`, followed by all others in alphabetical order."""
    order = list(PREDICTORS)
    return sorted(names, key=lambda name: (order.index(name) if name in order else len(order), name))


def saved(draw: Callable[..., Figure]) -> Callable[..., None]:
    """Decorate a function that returns a figure, so that it writes the figure to files instead.

    The decorated function has further keywords: the paths `svg`, `png` and `pdf`, and `dpi`, the resolution of the PNG.
    Every file states the function's name, its settings, and the hashes of the input files among its arguments.
    InputError names an input file that is missing, damaged or of another run, or that holds nothing to draw.
    """

    @functools.wraps(draw)
    def draw_and_save(*args: Any, dpi: int, **kwargs: Any) -> None:
        files: dict[str, Path] = {kind: kwargs.pop(kind) for kind in ("svg", "png", "pdf") if kind in kwargs}
        inputs, settings = list[Path](), {"dpi": dpi}
        for key, value in inspect.signature(draw).bind(*args, **kwargs).arguments.items():
            paths = [value] if isinstance(value, Path) else value
            if isinstance(paths, list | tuple) and paths and all(isinstance(path, Path) for path in paths):
                inputs += paths
            else:
                settings[key] = value
        with context(LOOK, after_reset=True):
            figure = draw(*args, **kwargs)
            # after the drawing, since that raises an error for missing inputs
            description = json.dumps(provenance(draw.__name__, settings, inputs), sort_keys=True)
            save(figure, files, dpi, description)

    return draw_and_save


def save(figure: Figure, files: Mapping[str, Path], dpi: int, description: str) -> None:
    """Write a figure to `files`, by kind (svg, png, pdf), with `description` as metadata and without a date."""
    metadata = {
        "svg": {"Date": None, "Description": description},
        "png": {"Description": description},
        "pdf": {"CreationDate": None, "Subject": description},
    }
    for kind, path in files.items():
        with atomic(path) as temporary:
            figure.savefig(temporary, format=kind, dpi=dpi if kind == "png" else RASTER_DPI, metadata=metadata[kind])


def new_figure(width_in: float, height_in: float) -> Figure:
    """Return an empty figure of this size in inches, with matplotlib's constrained layout, without use of pyplot."""
    return Figure(figsize=(width_in, height_in), layout="constrained")


def note(axes: Axes, text: str, corner: str = "upper left", **options: Any) -> None:
    """Print `text` in a corner of a panel ("upper left", "lower right", ...), behind the data."""
    vertical, horizontal = corner.split()
    place = {"ha": horizontal, "va": "top" if vertical == "upper" else "bottom", "transform": axes.transAxes}
    x, y = 0.96 if horizontal == "right" else 0.04, 0.96 if vertical == "upper" else 0.04
    axes.text(x, y, text, **{**place, "fontsize": 7, "linespacing": 1.3, "zorder": 0.5, **options})


def draw_equality(axes: Axes, limits: tuple[float, float], ticks: int | None = None) -> None:
    """Draw the line of equal masses; both axes get `limits`, the same scale and, if given, about `ticks` ticks."""
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


def read_subset(path: Path, split: str, require: Iterable[str] = ()) -> xr.Dataset:
    """Return the clusters of a subset (train, val or test) in a file `ensemble.nc` or `predictions.nc`.

    InputError if the subset is empty, or if a mass or a variable in `require` is missing or isn't finite.
    """
    names = ["log10_m500c", *require]
    dataset = read_netcdf(path, require=["split", *names])
    chosen = dataset.isel(cluster=np.flatnonzero(dataset["split"].values.astype(str) == split))
    if chosen.sizes["cluster"] == 0:
        raise InputError(f"{path}: no cluster of the {split} set; the figure can't be drawn. Enlarge the sample.")
    check_finite(chosen, names, path)
    return chosen


def percent(dex: float) -> float:
    """Return a scatter `dex` in percent of the mass, 100 ln(10) `dex` (0.188 dex = 43 %)."""
    return 100.0 * float(np.log(10.0)) * dex


def signed(value: float, digits: int = 3) -> str:
    """Return a number as text with its sign, which is a plus or a typographic minus."""
    return f"{value:+.{digits}f}".replace("-", "−")
