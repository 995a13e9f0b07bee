"""Why a cluster has its mass: the shares of its photons and measurements, in words and as a picture."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.style import context

from clustermass.cards.show import STEP
from clustermass.ensemble.explain import Explanation, explain
from clustermass.errors import InputError
from clustermass.figures import output, style
from clustermass.io.provenance import provenance

if TYPE_CHECKING:
    from clustermass.arrays import FloatArray
    from clustermass.cards.field import FieldCards
    from clustermass.ensemble.ensemble import Ensemble

#: radii between the rings, in R500c
RINGS = (0.25, 0.5, 1.0)
#: an integral's error above this many dex is a line of its own
_REST_DEX = 0.005


class Why(NamedTuple):
    """The explanation of a cluster's mass, and what is needed to show it."""

    name: str
    explanation: Explanation
    terms: list[tuple[str, float]]  #: words and share in dex, in the order of the sum
    bands: FloatArray  #: share of each energy band of the image in dex, (band,)
    energies: FloatArray  #: centres of the bands in keV, (band,)
    offsets: tuple[FloatArray, FloatArray]  #: of the pixels in arcsec: to the West, and to the North
    r500_arcsec: float


def why(field: FieldCards, row: int, ensemble: Ensemble) -> Why:
    """Return the explanation of the mass of the cluster in a row of `field` by the networks of `ensemble`.

    InputError if the cluster has no mass, if the file of cards lacks the networks' images, or if the masses of the
    field are from another ensemble.
    """
    name, cells = str(field.columns["NAME"][row]), field.row(row)
    if not np.isfinite(cells["LOGM500"]):
        raise InputError(f"{name}: has no mass that could be explained.")
    if "network_image" not in field.data:
        raise InputError(f"{field.path}: the file .cards.nc beside it lacks the networks' images. Make both anew.")
    if (made_by := field.header.get("ENSHASH")) != ensemble.digest():
        raise InputError(
            f"{field.path}: its masses are from another ensemble ({str(made_by)[:12]}). Name that one by --ensemble "
            "(in Python: ensemble=)."
        )
    x, y = (field.data[f"network_{axis}"].astype(float) for axis in ("x", "y"))
    half = float(field.data["seen_arcsec"][row])
    if not field.circle:  # images that are scaled to one redshift have pixels of another size on the sky
        x, y = (axis * half / (np.abs(axis).max() + np.abs(axis[1] - axis[0]) / 2) for axis in (x, y))
    radius = np.hypot(y[:, None], x)
    seen = radius <= half if field.circle else np.ones(radius.shape, dtype=bool)
    image = field.data["network_image"][row]
    found = explain(ensemble, image, float(cells["Z"]), field.measurements(row), seen)
    r500 = 60.0 * float(cells["R500C_ARCMIN"])
    edges = np.array([0.0, *RINGS, np.inf]) * r500
    edges[-1] = max(2.0 * radius.max(), 1.01 * edges[-2])
    shares = found.rings(radius, edges).tolist()
    words = [
        f"within {RINGS[0]:g}",
        *(f"at {low:g}–{high:g}" for low, high in pairwise(RINGS)),
        f"beyond {RINGS[-1]:g}",
    ]
    seen_rings = int(np.count_nonzero(edges[:-1] < radius[seen].max()))
    terms = [*found.side.items()]
    terms += [(f"image {where} R500c", share) for where, share in zip(words, shares, strict=True)][:seen_rings]
    if abs(found.rest) > _REST_DEX:
        terms.append(("error of the integration", found.rest))
    energies = field.data["network_band"].astype(float)
    return Why(name, found, terms, found.image.sum(axis=(1, 2)), energies, (x, y), r500)


def text_of(made: Why) -> str:
    """Return the sum as lines of text."""
    found = made.explanation
    lines = [
        f"  why        {found.blank:.3f}  mass of a cluster whose measurements are the means of the training clusters,",
        "                     and whose image is background only",
        *(f"            {_signed(share, 3)}  {words}" for words, share in made.terms),
        f"           = {found.mass:.3f}  log10(M500c/Msun)",
    ]
    return "\n".join(lines)


def _signed(share: float, digits: int) -> str:
    return f"{round(share, digits) + 0.0:+.{digits}f}".replace("-", "−")


def draw_why(made: Why) -> Figure:
    """Return a figure: the share of each pixel and of each band, and the sum of all shares."""
    figure = output.new_figure(style.TWO_COLUMNS_IN, 4.4)
    ((left, right),) = figure.subfigures(1, 2, squeeze=False, width_ratios=(1, 1.35))
    (upper,), (lower,) = left.subfigures(2, 1, squeeze=False, height_ratios=(2.2, 1))
    _draw_map(upper.add_subplot(), made)
    _draw_bands(lower.add_subplot(), made)
    _draw_sum(right.add_subplot(), made)
    figure.suptitle(
        f"{made.name}: shares of its photons and measurements in its mass".replace("$", r"\$"), x=0.01, ha="left"
    )
    return figure


def _draw_map(axes: Axes, made: Why) -> None:
    shares = made.explanation.image.sum(axis=0)
    x, y = made.offsets
    edge = abs(float(x[1] - x[0])) / 2
    most = float(np.abs(shares).max()) or 1.0
    extent = (float(x[0]) - edge, float(x[-1]) + edge, float(y[0]) - edge, float(y[-1]) + edge)
    drawn = axes.imshow(shares, cmap="RdBu_r", vmin=-most, vmax=most, origin="lower", extent=extent)
    if made.r500_arcsec < np.sqrt(2) * extent[1]:
        axes.add_patch(Circle((0, 0), made.r500_arcsec, fill=False, ec=style.BLACK, ls="--", lw=0.8))
    axes.set(xlim=extent[:2], ylim=extent[2:], xlabel="offset to the West [arcsec]")
    axes.set_ylabel("offset to the North [arcsec]")
    axes.figure.colorbar(drawn, ax=axes, label="share of the pixel [dex]")


def _draw_bands(axes: Axes, made: Why) -> None:
    axes.bar(range(len(made.bands)), made.bands, color=_colours(made.bands), width=0.7)
    axes.axhline(0, color=style.BLACK, lw=0.6)
    axes.set_xticks(range(len(made.bands)), [f"{energy:.2g}" for energy in made.energies])
    axes.minorticks_off()
    axes.tick_params(axis="x", length=0)
    axes.set(xlabel="energy band [keV]", ylabel="share [dex]")


def _draw_sum(axes: Axes, made: Why) -> None:
    found, shares = made.explanation, np.array([share for _, share in made.terms])
    ends = found.blank + np.cumsum(shares)
    places = np.arange(len(shares)) + 1
    axes.barh(places, shares, left=ends - shares, color=_colours(shares), height=0.6)
    axes.vlines([found.blank, *ends], [0, *places], [*places, len(shares) + 1], color=style.GREY, lw=0.6)
    axes.plot([found.blank, found.mass], [0, len(shares) + 1], "o", color=style.BLACK)
    for place, share, end in zip(places, shares, ends, strict=True):
        place_of_text = max(end, end - share), place
        look: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": style.small()}
        axes.annotate(_signed(share, 2), place_of_text, (3, 0), **look)
    names = ["mean measurements,\nbackground only", *(words for words, _ in made.terms), "predicted"]
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    low, high = min(found.blank, ends.min()), max(found.blank, ends.max())
    axes.set_xlim(low - 0.05 * (high - low), high + 0.2 * (high - low))
    axes.minorticks_off()
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel=style.MASS, title="orange raises the mass, blue lowers it")


def _colours(shares: FloatArray) -> list[str]:
    return [style.VERMILION if share > 0 else style.BLUE for share in shares]


def save_why(made: Why, masses: Path, path: Path, dpi: int) -> None:
    """Write the figure of an explanation to `path`, whose ending (.png, .svg or .pdf) chooses the format."""
    with context(style.LOOK, after_reset=True):
        description = json.dumps(
            provenance(STEP, {"cluster": made.name, "dpi": dpi, "why": True}, [masses]), sort_keys=True
        )
        output.save(draw_why(made), {path.suffix[1:]: path}, dpi, description)
