"""What flags and numbers of a cluster mean, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from clustermass.apply.columns import COVERED_MIN
from clustermass.apply.masses import COVERED_LEAST
from clustermass.cards.field import Distance, FieldCards, Neighbour
from clustermass.ensemble.aggregate import RANGE_BITS
from clustermass.ensemble.ood_quantities import QUANTITIES

#: variable of RANGE_BITS -> its words, the beginning of its cards in the header, its column, its decimals
_RANGE = {
    "redshift": ("Redshift", "TRAINZ", "Z", 2),
    "ml_cts": ("Counts", "TRAINC", "ML_CTS", 0),
    "exposure_s": ("Exposure", "TRAINE", "EXPOSURE", 0),
    "log10_m500c": ("Log10 mass", "TRAINM", "LOGM500", 2),
}
#: a note names a neighbour in the networks' image if it has more than this share of the cluster's counts
_BRIGHT = {"extended": 0.3, "point-like": 0.5}
#: masses scatter more if a neighbour has more than this times the cluster's counts (docs/reference/catalogue.md)
_BRIGHTER = 3.0
#: quantities that describe the networks' answer, not the cluster
_OF_NETWORKS = ("mass", "aleatoric", "epistemic")
#: quantities that are measured in the outer parts of an image
_OUTER = ("ring", "outskirts", "outer_soft", "outer_hard", "background")
#: quantity -> what may have made it unusual, if neither the catalogue nor the neighbours show a cause
_MAY_BE = {
    "redshift": "a wrong redshift, or one that is rare in training",
    "exposure": "a wrong exposure, or one that is rare in training",
    "core": "a point source (AGN) in the core, or an unusually bright or faint core",
    **dict.fromkeys(("core_soft", "core_hard"), "a point source (AGN) in the core, or gas of unusual temperature"),
    "ring": "a merger, or a source that isn't a detection of its own",
    **dict.fromkeys(
        ("outskirts", "neighbour", "outer_soft", "outer_hard"), "another source in the image, or an unusual background"
    ),
    "offset": "a merger, a position that isn't the cluster's centre, or unusually even light",
    "rate": "a blend, photons taken for a neighbour's, or a rate from another energy band or exposure",
    "extent": "an unusually compact or wide cluster, a blend, or an extent from other software",
    "background": "a bright source nearby, or a background from other software",
    **dict.fromkeys(_OF_NETWORKS, "an image unlike those in training, such as a blend"),
}
#: masses by count rate and by the networks disagree if they differ by more than this, in dex
_DISAGREE = 0.5
_CALM = "No flag: inside the range of the training clusters and like them."
_SCATTER = " Masses of clusters with so bright a neighbour scatter more."


class Note(NamedTuple):
    """A sentence about a cluster. `warns` is True if the sentence casts doubt on the cluster's mass."""

    warns: bool
    text: str


def notes(field: FieldCards, row: int) -> list[Note]:
    """Return notes about a cluster. The first ones explain its flags, or say that it has none.

    If the cluster has no flag, the first note also states its largest distance from the training clusters. Further
    notes are about bright neighbours, about an R500c that is larger than the image, and about a mass from the count
    rate that disagrees with the mass of the networks.
    """
    cells = field.row(row)
    found = [*_without_mass(field, row), *_out_of_range(field, row)]
    if cells["FLAG_EDGE"] and np.isfinite(cells["LOGM500"]):
        text = f"Edge of the field: {_percent(cells['COVERED_FRACTION'])} of what the networks see was exposed, less "
        found.append(text + f"than {_percent(COVERED_MIN)} (FLAG_EDGE). Its mass tends to be too low.")
    if cells["FLAG_OOD"]:
        text = f"Unlike the training clusters (FLAG_OOD): {_rank(field, float(cells['OOD_P']))}."
        found.append(f"{text} {cause_and_symptom(field, row)}")
    if cells["FLAG_NOCAT"]:
        text = "The input table lacks count rate, extent or background (FLAG_NOCAT): the mass comes from image and "
        found.append(text + "redshift alone, with a wider error.")
    largest = largest_distance(field, row)
    calm = f"{_CALM} Its largest distance: {largest}." if largest else _CALM
    flagged = [Note(True, text) for text in found] or [Note(False, calm)]
    flagged += [Note(True, text) for text in _disagreement(field, row)]
    return [*flagged, *_bright_notes(field, row), *(Note(False, text) for text in _large(field, row))]


def cause_and_symptom(field: FieldCards, row: int) -> str:
    """Return sentences with the possible causes of a flagged cluster's strangeness, and its most unusual quantity."""
    causes = _causes(field, row)
    return f"Possible cause{'s' * (len(causes) > 1)}: {'; '.join(causes)}. Most unusual: {_unusual(field, row)}."


def _unusual(field: FieldCards, row: int) -> str:
    """Return a text with a flagged cluster's most unusual quantity, and how far it is from what the others imply."""
    why = str(field.columns["OOD_WHY"][row])
    known = [one for one in field.distances(row) if one.quantity == why]
    return _distance(known[0]) if known else QUANTITIES.get(why, why or "unknown")


def largest_distance(field: FieldCards, row: int) -> str:
    """Return a text with a cluster's largest distance from the training clusters, or "" if none is known."""
    return "".join(map(_distance, field.distances(row)[:1]))


def _distance(one: Distance) -> str:
    side = "below" if one.given < 0 else "above"
    return f"{QUANTITIES[one.quantity]}, {abs(one.given):.1f} σ {side} what its other quantities imply"


def _causes(field: FieldCards, row: int) -> list[str]:
    """Return texts on possible causes of a flagged cluster's most unusual quantity.

    Causes that the cluster's numbers show come first. Without any, the text is the one in `_MAY_BE`.
    """
    why = str(field.columns["OOD_WHY"][row])
    found = [
        f"{_RANGE[name][0].lower()} {_side(field, row, name)} the range of the training clusters"
        for name in field.outside(row)
        if name != "log10_m500c"
    ]
    found += ["R500c larger than the image"] * bool(why in (*_OF_NETWORKS, *_OUTER) and _large(field, row))
    if why not in ("redshift", "exposure"):
        own = float(field.columns["ML_CTS"][row])
        found += [
            f"a bright neighbour, {one.kind}, with {one.counts / own:.1f} times the cluster's counts"
            for one in bright_neighbours(field, row)[:1]
        ]
    return found or [_MAY_BE.get(why, "unknown")]


def _disagreement(field: FieldCards, row: int) -> list[str]:
    """Return a text if the mass from the count rate and that of the networks differ by more than `_DISAGREE`."""
    excess = float(field.data["rate_mass"][row] - field.columns["LOGM500"][row])
    if not abs(excess) > _DISAGREE:
        return []
    side = "higher" if excess > 0 else "lower"
    return [f"The mass by count rate is {abs(excess):.1f} dex {side} than that of the networks: don't rely on either."]


def _rank(field: FieldCards, rarity: float) -> str:
    """Return a text that says how many validation clusters are as unusual as a cluster whose OOD_P is `rarity`."""
    number = field.header.get("NOOD")
    rarer = np.rint(rarity * (number + 1)) - 1 if isinstance(number, int) else np.nan
    if not rarer >= 0:
        return f"{_percent(rarity)} of validation clusters are as unusual (OOD_P)"
    are = f"{f'{rarer:.0f}' if rarer else 'none'} of {number} validation clusters {'are' if rarer > 1 else 'is'}"
    return f"{are} as unusual (OOD_P = {rarity:.4f})"


def _large(field: FieldCards, row: int) -> list[str]:
    """Return a text if R500c is larger than the image, so that the circle R500c can't be drawn in it."""
    radius, seen = 60 * float(field.columns["R500C_ARCMIN"][row]), float(field.data["seen_arcsec"][row])
    if not field.half_arcsec < radius < np.inf:
        return []
    return [f"R500c = {radius / 60:.0f}′ is larger than the image; the networks see only its inner {seen / 60:.1f}′."]


def _without_mass(field: FieldCards, row: int) -> list[str]:
    cells = field.row(row)
    if np.isfinite(cells["LOGM500"]):
        return []
    if cells["FLAG_NOZ"]:
        return ["No mass: the input table has no usable redshift of this cluster (FLAG_NOZ)."]
    if not cells["EXPOSURE"] > 0:
        return ["No mass: no exposure is known at this position."]
    covered = f"{_percent(cells['COVERED_FRACTION'])} of what the networks see was exposed"
    return [f"No mass: {covered}, less than {_percent(COVERED_LEAST)} (FLAG_EDGE)."]


def out_of_range(field: FieldCards, row: int) -> str:
    """Return the names of a cluster's quantities outside the training clusters' range, such as "redshift, counts"."""
    return ", ".join(_RANGE[name][0].lower() for name in field.outside(row))


def _out_of_range(field: FieldCards, row: int) -> list[str]:
    texts = []
    for name in RANGE_BITS.values():
        if name in field.outside(row):
            what, _, column, decimals = _RANGE[name]
            value, ends, known = float(field.columns[column][row]), _ends(field, name), ""
            if ends:
                decimals = _telling(value, ends, decimals)
                known = f", {ends[0]:.{decimals}f} to {ends[1]:.{decimals}f}"
            texts.append(f"{what} {value:.{decimals}f}, {_side(field, row, name)} the range of the training clusters"
                         f"{known} (FLAG_RANGE): the mass is extrapolated.")  # fmt: skip
    return texts


def _side(field: FieldCards, row: int, name: str) -> str:
    """Return the side of the training range on which a value lies: "below", "above", or "outside" if it is unknown."""
    ends = _ends(field, name)
    return ("below" if field.columns[_RANGE[name][2]][row] < ends[0] else "above") if ends else "outside"


def _ends(field: FieldCards, name: str) -> list[float]:
    """Return the lowest and highest value of a quantity in training, or an empty list if one isn't in the header."""
    stated = [field.header.get(f"{_RANGE[name][1]}{end}") for end in ("LO", "HI")]
    ends = [float(end) for end in stated if isinstance(end, float | int)]
    return ends if len(ends) == len(stated) else []


def _telling(value: float, ends: Sequence[float], least: int) -> int:
    """Return the number of decimals, from `least` to 6, at which a rounded value differs from both rounded `ends`."""
    tells = (digits for digits in range(least, 6) if round(value, digits) not in {round(end, digits) for end in ends})
    return next(tells, 6)


def bright_neighbours(field: FieldCards, row: int) -> list[Neighbour]:
    """Return the bright detections (see `_BRIGHT`) in the image that the networks see, the brightest first."""
    own, seen = float(field.columns["ML_CTS"][row]), float(field.data["seen_arcsec"][row])
    inside = (one for one in field.neighbours(row) if max(abs(one.x), abs(one.y)) <= seen)
    return sorted((one for one in inside if one.counts > _BRIGHT[one.kind] * own > 0), key=lambda one: -one.counts)


def _bright_notes(field: FieldCards, row: int) -> list[Note]:
    """Return a note for each bright neighbour.

    A note about a point-like neighbour is a warning only if the neighbour is very bright, or if the cluster has
    FLAG_OOD. Fainter point-like neighbours don't make bias or scatter of simulated clusters' masses larger.
    """
    own, radius = float(field.columns["ML_CTS"][row]), 60 * float(field.columns["R500C_ARCMIN"][row])
    found = []
    for one in bright_neighbours(field, row):
        place = "inside R500c" if one.separation <= radius else "in the networks' image"
        source = "another extended source" if one.ext_like > 0 else "a point-like source"
        text = f"Bright neighbour {one.separation:.0f}″ to the {one.direction}, {place}: {source} with "
        text += f"{one.counts / own:.1f} times the cluster's counts ({one.counts:.0f} against {own:.0f})."
        very = one.counts > _BRIGHTER * own
        warns = one.ext_like > 0 or very or bool(field.columns["FLAG_OOD"][row])
        if warns:
            text += f" Its photons can make the mass too high or too low.{_SCATTER if very else ''}"
        found.append(Note(warns, text))
    return found


class MassWords(NamedTuple):
    """Mass and 68 % interval in units of 10^power solar masses, such as "1.6 (+0.6, −0.4)"."""

    text: str
    power: int


def mass_in_words(field: FieldCards, row: int) -> MassWords | None:
    """Return a cluster's mass in words, in 10^14 solar masses or a smaller power of ten, or None if it has no mass."""
    quantiles = [float(field.columns[f"LOGM500_Q{q}"][row]) for q in (16, 50, 84)]
    if not np.isfinite(quantiles).all():
        return None
    power = min(14, int(np.floor(quantiles[1])))
    low, middle, high = (10 ** (one - power) for one in quantiles)
    return MassWords(f"{middle:.2f} (+{high - middle:.2f}, −{middle - low:.2f})", power)


def own_names(field: FieldCards, row: int) -> list[str]:
    """Return the id and the name of a cluster in the user's table, if the table has them."""
    names = [name for name in ("ID_CAT", "NAME_CAT") if name in field.columns]
    return [text for name in names if (text := str(field.columns[name][row]))]


def _percent(share: float) -> str:
    value = 100 * float(share)
    return f"{value:.1f} %" if value < 10 else f"{value:.0f} %"
