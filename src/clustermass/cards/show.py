"""One cluster on the terminal and as a picture, and a list of a field's strangest clusters."""

import json
import shlex
import textwrap
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from matplotlib.style import context

from clustermass.cards.field import FieldCards
from clustermass.cards.image import pictures
from clustermass.cards.words import cause_and_symptom, largest_distance, mass_in_words, notes, out_of_range, own_names
from clustermass.ensemble.ood_quantities import QUANTITIES
from clustermass.ensemble.out_of_distribution import FALSE_ALARMS
from clustermass.errors import InputError
from clustermass.figures import output, style
from clustermass.io.program import program
from clustermass.io.provenance import provenance
from clustermass.report.records import read_record

#: step in the provenance of a card
STEP = "show"
#: width of texts in characters, and number of clusters in the list of the strangest
_WIDTH, _STRANGEST = 100, 5
#: unusual quantities in a picture; those beyond this many standard deviations have another colour
_QUANTITIES, _ODD = 6, 3.0
_ALONE = "compared only at the same redshift,\nexposure and core brightness"


def text_card(field: FieldCards, row: int) -> str:
    """Return a text of about ten lines with a cluster's mass, flags and other numbers."""
    cells = field.row(row)
    lines = [" · ".join([cells["NAME"], f"ID_SRC {cells['ID_SRC']}", *own_names(field, row), _redshift(cells["Z"])])]
    if mass := mass_in_words(field, row):
        lines += [
            f"  mass      M500c = {mass.text} × 10^{mass.power} Msun, median and 68 %",
            f"            log10(M500c/Msun) = {cells['LOGM500']:.3f} ± {cells['LOGM500_ERR']:.3f}, mean (parts: "
            f"networks {cells['LOGM500_ERR_ALEATORIC']:.3f}, between networks {cells['LOGM500_ERR_EPISTEMIC']:.3f}, "
            f"redshift {cells['LOGM500_ERR_Z']:.3f})",
        ]
    for one in field.other_masses(row):
        lines += [f"            log10(M500c/Msun) = {one.value:.2f} ± {one.error:.2f}, {one.source}"]
    lines += [
        f"  source    DET_LIKE {cells['DET_LIKE']:.0f}, EXT_LIKE {cells['EXT_LIKE']:.0f}, "
        f"{cells['ML_CTS']:.0f} counts, exposure {cells['EXPOSURE']:.0f} s, "
        f"RA {cells['RA']:.4f}, DEC {cells['DEC']:.4f} deg"
    ]
    if near := field.neighbours(row):
        first = near[0]
        where = f"{first.separation:.0f}″ to the {first.direction}"
        lines += [f"  nearest   {where}: {first.kind} detection, {first.counts:.0f} counts"]
    texts = (f"{'!' if note.warns else '·'} {note.text}" for note in notes(field, row))
    return "\n".join([*lines, *(_filled(text, "  ") for text in texts)])


def _filled(text: str, indent: str) -> str:
    """Return a text in lines of `_WIDTH` characters. The first one is indented by `indent`, the others by two more."""
    return textwrap.fill(text, width=_WIDTH, initial_indent=indent, subsequent_indent=f"{indent}  ")


def strangest(field: FieldCards) -> list[int]:
    """Return the rows of the few clusters that are most unlike the training clusters, the most unlike first."""
    rarity = field.columns["OOD_P"]
    distances = [field.distances(row) for row in range(len(field))]
    farthest = [abs(known[0].given) if known else 0.0 for known in distances]
    return [row for row in np.lexsort((-np.array(farthest), rarity))[:_STRANGEST].tolist() if np.isfinite(rarity[row])]


def list_of_strangest(field: FieldCards) -> str:
    """Return a text that lists the clusters that are most unlike the training clusters."""
    massive, flagged = np.isfinite(field.columns["LOGM500"]).sum(), np.count_nonzero(field.columns["FLAG_OOD"])
    lines = [
        f"{len(field)} clusters, {massive} with a mass. FLAG_OOD marks {flagged} as unlike the training clusters; "
        f"{FALSE_ALARMS * massive:.1f} are expected by chance. The most unlike:"
    ]
    for row in strangest(field):
        cells = field.row(row)
        numbers = f"z {cells['Z']:.3f}  log10 M500c {cells['LOGM500']:.2f}  OOD_P {cells['OOD_P']:.4f}"
        flags = [flag for flag in ("FLAG_OOD", "FLAG_RANGE", "FLAG_EDGE", "FLAG_NOCAT") if cells[flag]]
        flags = [f"{flag} ({out_of_range(field, row)})" if flag == "FLAG_RANGE" else flag for flag in flags]
        lines += [f"  {cells['NAME']}  {numbers}  {' '.join(flags) or 'no flag'}"]
        lines += [_filled(text, "    ") for text in [_strangeness(field, row)] if text]
    command = f"{program()} show NAME --field {shlex.quote(str(field.path))}"
    return "\n".join([*lines, f"Show one: {command} (an id or a part of the name will do)"])


def _strangeness(field: FieldCards, row: int) -> str:
    """Return what may have made a cluster unusual, and its most unusual quantity; without FLAG_OOD, only the latter."""
    if field.columns["FLAG_OOD"][row]:
        return cause_and_symptom(field, row)
    largest = largest_distance(field, row)
    return f"Most unusual: {largest}." if largest else ""


def _redshift(value: float) -> str:
    return f"z = {value:.3f}" if np.isfinite(value) else "no redshift"


def draw_card(field: FieldCards, row: int) -> Figure:
    """Return a figure of a cluster: its image, the posterior of its mass, its unusual quantities, and its flags."""
    figure = output.new_figure(style.TWO_COLUMNS_IN, 4.7)
    # parts with separate layouts, so that the long labels of one part don't take space from the others
    ((left, right),) = figure.subfigures(1, 2, squeeze=False, width_ratios=(1, 1.05))
    (upper,), (lower,) = right.subfigures(2, 1, squeeze=False, height_ratios=(1, 1.15))
    _draw_image(left.add_subplot(), field, row)
    _draw_posterior(upper.add_subplot(), field, row)
    _draw_distances(lower.add_subplot(), field, row)
    cells = field.row(row)
    kind = "simulated cluster " if field.simulated else ""
    title = " · ".join([f"{kind}{cells['NAME']}", *own_names(field, row), _redshift(cells["Z"])])
    texts = [textwrap.fill(f"{'▲' if note.warns else '●'} {note.text}", 135) for note in notes(field, row)]
    # texts from tables aren't formulas
    figure.suptitle(title.replace("$", r"\$"), x=0.01, ha="left")
    figure.supxlabel("\n".join(texts).replace("$", r"\$"), fontsize=7, x=0.01, ha="left")
    return figure


def _draw_image(axes: Axes, field: FieldCards, row: int) -> None:
    half = field.half_arcsec
    # Matplotlib would draw each dash of a huge circle, outside the picture, too
    seen, r500 = np.clip([field.data["seen_arcsec"][row], 60 * field.columns["R500C_ARCMIN"][row]], -2 * half, 2 * half)
    image = pictures(field.data["colour_counts"], field.data["exposed"], field.pixel_arcsec, [row])[0]
    axes.imshow(image, extent=(-half, half, -half, half), interpolation="bilinear")
    axes.plot(0, 0, "k+", ms=11, mew=3)
    axes.plot(0, 0, "w+", ms=9, mew=1, label="cluster's position")
    for kind, marker in (("point-like", "s"), ("extended", "D")):
        near = [one for one in field.neighbours(row) if one.kind == kind]
        if near:
            places = [one.x for one in near], [one.y for one in near]
            axes.plot(*places, marker, mfc="none", mec="#FFD24D", ms=7, mew=1, label=f"other detection, {kind}")
    look: dict[str, Any] = {"fill": False, "lw": 1}
    box = Circle((0, 0), seen, ec="w", ls=":", label="seen by the networks", **look) if field.circle else None
    axes.add_patch(
        box or Rectangle((-seen, -seen), 2 * seen, 2 * seen, ec="w", ls=":", label="seen by the networks", **look)
    )
    if r500 < np.sqrt(2) * half:
        axes.add_patch(Circle((0, 0), r500, ec=style.SKY_BLUE, ls="--", label=r"$R_{500c}$", **look))
    if (field.data["exposed"][row] == 0).any():
        axes.add_patch(Rectangle((0, 0), 0, 0, fc="0.25", ec="0.5", hatch="////", lw=0, label="not exposed"))
    ends = -half, half
    axes.set(xlim=ends, ylim=ends, xlabel="offset to the West [arcsec]", ylabel="offset to the North [arcsec]")
    axes.minorticks_off()
    axes.tick_params(color="w")
    bands = field.data["colour_bounds"]
    names = ", ".join(
        f"{colour} {low:.4g}–{high:.4g}"
        for colour, (low, high) in zip(("orange", "white", "blue"), bands, strict=False)
    )
    axes.set_title(f"{names} keV", fontsize=7.5)
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14), "ncols": 2, "columnspacing": 1.0}
    title = "A bright spot without a mark isn't a detection."
    legend = axes.legend(title=title, frameon=True, facecolor="k", edgecolor="k", framealpha=1, labelcolor="w", **place)
    legend.get_title().set(color="w", fontsize=6.5)


def _draw_posterior(axes: Axes, field: FieldCards, row: int) -> None:
    curve, cells = field.curve(row, 301), field.row(row)
    if curve is None:
        _leave_blank(axes, "no mass")
        return
    words = mass_in_words(field, row)
    title = f"$M_{{500c}}$ = {words.text} × $10^{{{words.power}}}\\,M_\\odot$ (median, 68 %)" if words else ""
    axes.set(xlabel=style.MASS, yticks=[], title=title)
    mass, density = curve
    axes.plot(mass, density, color=style.BLUE, label="predicted probability")
    inside = (mass >= cells["LOGM500_Q16"]) & (mass <= cells["LOGM500_Q84"])
    axes.fill_between(mass, density, where=inside, color=style.BLUE, alpha=0.25, lw=0, label="68 %")
    axes.vlines(cells["LOGM500_Q50"], 0, density.max(), color=style.BLUE, lw=0.8, ls=":", label="median")
    for one in field.other_masses(row):
        colour, height = (style.VERMILION, 0.1) if one.source == "published" else (style.BLACK, 0.2)
        place, error = height * density.max(), np.nan_to_num(one.error)
        axes.errorbar(one.value, place, xerr=error, fmt="o", ms=4, color=colour, label=one.source)
    axes.set_ylim(0, 1.25 * density.max())
    axes.legend(loc="best")


def _draw_distances(axes: Axes, field: FieldCards, row: int) -> None:
    known = field.distances(row)[:_QUANTITIES][::-1]
    if not known:
        _leave_blank(axes, "not compared with the training clusters")
        return
    given, alone = (np.array([getattr(one, name) for one in known]) for name in ("given", "alone"))
    for odd, colour, label in ((True, style.VERMILION, f"beyond {_ODD:.0f}σ"), (False, style.BLUE, "")):
        here = np.flatnonzero((np.abs(given) > _ODD) == odd)
        axes.barh(here, given[here], color=colour, height=0.6, label=label if here.size else "")
    axes.plot(alone, range(len(known)), "o", mfc="w", mec=style.BLACK, ms=4, label=_ALONE)
    axes.set_yticks(range(len(known)), [textwrap.fill(QUANTITIES[one.quantity], 36) for one in known])
    axes.tick_params(axis="y", length=0, labelsize=6.2)
    axes.axvline(0, color=style.BLACK, lw=0.6)
    widest = max(5, 1.05 * np.abs([given, alone]).max())
    axes.set_xlim(-widest, widest)
    axes.set_xlabel("distance from training clusters, given all other quantities [σ]", loc="right")
    axes.minorticks_off()
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, columnspacing=1.0, borderaxespad=0.2)


def is_card(path: Path) -> bool:
    """Return whether a file is a picture that `save_card` wrote."""
    with suppress(InputError):
        record = read_record(path)
        return record is not None and record.step == STEP
    return False


def _leave_blank(axes: Axes, why: str) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, why, ha="center", color=style.GREY, transform=axes.transAxes)


def save_card(field: FieldCards, row: int, path: Path, dpi: int) -> None:
    """Write the figure of a cluster to `path`. The ending of `path` (.png, .svg or .pdf) chooses the format."""
    with context(style.LOOK, after_reset=True):
        settings = {"cluster": str(field.columns["NAME"][row]), "dpi": dpi}
        description = json.dumps(provenance(STEP, settings, [field.path]), sort_keys=True)
        output.save(draw_card(field, row), {path.suffix[1:]: path}, dpi, description)
