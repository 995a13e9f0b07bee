"""What flags and numbers of a cluster mean, in words."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from clustermass.apply.columns import COVERED_MIN
from clustermass.apply.masses import COVERED_LEAST
from clustermass.cards.field import FieldCards
from clustermass.ensemble.aggregate import RANGE_BITS
from clustermass.ensemble.ood_quantities import QUANTITIES

#: variable of RANGE_BITS -> its words, the beginning of its cards in the header, its column, its format
_RANGE = {
    "redshift": ("Redshift", "TRAINZ", "Z", ".2f"),
    "ml_cts": ("Counts", "TRAINC", "ML_CTS", ".0f"),
    "exposure_s": ("Exposure", "TRAINE", "EXPOSURE", ".0f"),
    "log10_m500c": ("Log10 mass", "TRAINM", "LOGM500", ".2f"),
}
#: a note names an extended neighbour in the networks' image if it has more than this share of the cluster's counts
_BRIGHT = 0.3


class Note(NamedTuple):
    """A sentence about a cluster. `warns` is True if it casts doubt on the mass."""

    warns: bool
    text: str


def notes(field: FieldCards, row: int) -> list[Note]:
    """Return a note about each flag and each bright neighbour of a cluster, or one note that there are none."""
    cells = field.row(row)
    found = [*_without_mass(field, row), *_out_of_range(field, row)]
    if cells["FLAG_EDGE"] and np.isfinite(cells["LOGM500"]):
        text = f"Edge of the field: {_percent(cells['COVERED_FRACTION'])} of what the networks see was exposed, less "
        found.append(text + f"than {_percent(COVERED_MIN)} (FLAG_EDGE). Its mass tends to be too low.")
    if cells["FLAG_OOD"]:
        text = f"Unlike the training clusters (FLAG_OOD): {_percent(cells['OOD_P'])} of clusters like those of the "
        text += "training are as rare or rarer (OOD_P). Most unusual, "
        found.append(f"{text}given all the rest: {QUANTITIES.get(str(cells['OOD_WHY']), str(cells['OOD_WHY']))}.")
    if cells["FLAG_NOCAT"]:
        text = "The input table lacks count rate, extent or background (FLAG_NOCAT): the mass comes from image and "
        found.append(text + "redshift alone, with a wider error.")
    noted = [Note(True, text) for text in [*found, *_bright_neighbours(field, row)]]
    calm = "No flag: inside the range of the training clusters and like them."
    return noted or [Note(False, calm)]


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


def _out_of_range(field: FieldCards, row: int) -> list[str]:
    cells, texts = field.row(row), list[str]()
    for bit, name in RANGE_BITS.items():
        if cells["FLAG_RANGE"] & bit:
            what, key, column, form = _RANGE[name]
            value = f" {cells[column]:{form}}" if column in field.columns else ""
            ends = [field.header.get(f"{key}{end}") for end in ("LO", "HI")]
            known = (
                f", {ends[0]:{form}} to {ends[1]:{form}}," if all(isinstance(end, float | int) for end in ends) else ""
            )
            texts.append(f"{what}{value} outside the range of the training clusters{known} (FLAG_RANGE, {bit}): "
                         "the mass is extrapolated.")  # fmt: skip
    return texts


def _bright_neighbours(field: FieldCards, row: int) -> list[str]:
    """Return a text for each bright (`_BRIGHT`) extended detection in the image that the networks see."""
    own, seen, texts = float(field.columns["ML_CTS"][row]), float(field.data["seen_arcsec"][row]), []
    for one in field.neighbours(row):
        if one.ext_like > 0 and max(abs(one.x), abs(one.y)) <= seen and one.counts > _BRIGHT * own:
            texts.append(
                f"Neighbour {one.separation:.0f}″ to the {one.direction}: another extended source in the networks' "
                f"image, of {one.counts:.0f} counts (this one: {own:.0f}). Masses of clusters with such neighbours are "
                "too high on average."
            )
    return texts


def mass_in_words(field: FieldCards, row: int) -> str:
    """Return the mass and its 68 % interval in 10^14 Msun, such as "1.6 (+0.6, −0.4)", or "" without a mass."""
    low, middle, high = (10 ** (float(field.columns[f"LOGM500_Q{q}"][row]) - 14) for q in (16, 50, 84))
    return f"{middle:.2f} (+{high - middle:.2f}, −{middle - low:.2f})" if np.isfinite(middle) else ""


def own_names(field: FieldCards, row: int) -> list[str]:
    """Return the id and the name of a cluster in the user's table, if the table has them."""
    names = [name for name in ("ID_CAT", "NAME_CAT") if name in field.columns]
    return [text for name in names if (text := str(field.columns[name][row]))]


def _percent(share: float) -> str:
    value = 100 * float(share)
    return f"{value:.1f} %" if value < 10 else f"{value:.0f} %"
