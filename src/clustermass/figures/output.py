"""Functions that create figures and write them to files.

The same data give files with the same bytes, because figures depend neither on the time, nor on random ids, nor on the
settings in the user's matplotlibrc.
"""

from __future__ import annotations

import functools
import inspect
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.style import available, context

from clustermass import limits
from clustermass.checked import Count, checked
from clustermass.errors import InputError
from clustermass.figures.style import LOOK, RASTER_DPI
from clustermass.io.files import atomic, reason
from clustermass.io.provenance import provenance

#: kinds of files that a figure is written to
KINDS = ("svg", "png", "pdf")
#: resolution of figures in notebooks, and of PNG files unless it is given; dots per inch
DPI = 150
#: LaTeX isn't needed for any figure, and could read other files
WITHOUT_LATEX = {"text.usetex": False}


class StyledFigure(Figure):
    """A figure that is always drawn with the Matplotlib settings with which it was created. Notebooks show it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._settings = {name: value for name, value in matplotlib.rcParams.items() if name != "backend"}
        super().__init__(*args, **kwargs)

    def draw(self, renderer: RendererBase) -> None:
        """Draw the figure with the stored settings, which some ticks need because they are created only now."""
        with matplotlib.rc_context(self._settings):
            super().draw(renderer)

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        self.savefig(stream, format="png", dpi=DPI)
        return stream.getvalue()


def new_figure(width_in: float, height_in: float, layout: str | None = "constrained") -> Figure:
    """Return an empty figure of this size in inches, without use of pyplot."""
    return StyledFigure(figsize=(width_in, height_in), layout=layout)


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Return the function `draw`, extended so that it draws in our style and can write the figure to files.

    The extended function has further keywords. `svg`, `png` and `pdf` are paths of files to write. `dpi` is the
    resolution of the PNG. `style` is the name or path of a Matplotlib style sheet, which is applied on top of ours; its
    `text.usetex` is ignored.
    Every file states the name of the function, its settings, and the hashes of input files. All arguments that are a
    `Path` count as input files. The extended function raises InputError if an argument isn't what its annotation says.
    """

    @functools.wraps(draw)
    def drawn(*args: Any, dpi: int = DPI, style: str | Path | None = None, **kwargs: Any) -> Figure:
        files = _checked_files(dpi, style, **{kind: kwargs.pop(kind) for kind in KINDS if kind in kwargs})
        with context([LOOK, *([style] if style else []), WITHOUT_LATEX], after_reset=True):
            figure = checked(draw)(*args, **kwargs)
            if files:
                arguments = inspect.signature(draw).bind(*args, **kwargs).arguments
                # after the drawing, since that raises an error for missing inputs
                save(figure, files, dpi, describe(draw.__name__, {**arguments, "dpi": dpi, "style": style}))
        return figure

    return drawn


@checked
def _checked_files(
    dpi: Count, style: str | Path | None, svg: Path | None = None, png: Path | None = None, pdf: Path | None = None
) -> dict[str, Path]:
    if style and str(style) not in available and not Path(style).expanduser().is_file():
        raise InputError(f"style: {style} is neither a file nor one of Matplotlib's styles: {', '.join(available)}.")
    if style and str(style) not in available:
        sheet = Path(style).expanduser()
        limits.STYLE_BYTES.check(sheet.stat().st_size, style)
        try:
            matplotlib.rc_params_from_file(sheet, use_default_template=False)
        except (OSError, ValueError) as error:
            raise InputError(f"style: {style} can't be read ({reason(error)}). Save it as a text in UTF-8.") from error
    return {kind: Path(path) for kind, path in (("svg", svg), ("png", png), ("pdf", pdf)) if path}


def describe(name: str, arguments: Mapping[str, Any]) -> str:
    """Return the provenance of the figure `name` as JSON.

    Arguments that are a `Path` or a list of them count as input files, and all others as settings. Data in memory are
    left out.
    """
    inputs, settings = list[Path](), dict[str, Any]()
    for key, value in arguments.items():
        paths = value if isinstance(value, list | tuple) else [value]
        if paths and all(isinstance(path, Path) for path in paths):
            inputs += paths
        elif value is not None and not hasattr(value, "dtypes") and not hasattr(value, "colnames"):
            settings[key] = value
    return json.dumps(provenance(f"plot_{name}", settings, inputs), sort_keys=True)


def save(figure: Figure, files: Mapping[str, Path], dpi: int, description: str) -> None:
    """Write a figure to `files`, a dict from the kind (svg, png, pdf) to the path.

    The metadata of the files hold `description`, but no date.
    """
    metadata = {
        "svg": {"Date": None, "Description": description},
        "png": {"Description": description},
        "pdf": {"CreationDate": None, "Subject": description},
    }
    # the layout takes longer than the drawing, so it is computed once for all files; one pass can leave labels cut
    for _ in range(2):
        figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for kind, path in files.items():
        with atomic(path) as temporary:
            figure.savefig(temporary, format=kind, dpi=dpi if kind == "png" else RASTER_DPI, metadata=metadata[kind])
