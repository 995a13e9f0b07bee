"""Conversion of a user's columns to our units. A unit of another physical kind is ignored with a warning."""

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from astropy import units
from astropy.coordinates import Angle
from astropy.table import MaskedColumn
from astropy.units import UnitBase

from clustermass.catalogues.plain import EMPTY, number
from clustermass.errors import InputError
from clustermass.io.log import LOGGER
from clustermass.io.products import CATALOGUE, TRUTH

if TYPE_CHECKING:
    from clustermass.catalogues.tables import CheckedTable

#: our name of a column of numbers -> its unit; None = a bare number
_OURS = {one.name: one.unit for one in (*TRUTH, *CATALOGUE) if one.format != "A"} | {"M500C": "Msun"}
#: our name of a coordinate -> the unit of angles such as 08:26:26.5 in it
_OF_ANGLES = {"RA": "hourangle", "DEC": "deg"}
_ANGLE = re.compile(r"[+-]?\d+(\s*:\s*|\s+)\d[\d\s:.,]*")
_COUNTED = (units.count, units.photon, units.pixel)
#: spellings of units that astropy doesn't know -> spellings that it knows
_WORDS = {"cts": "ct", "counts": "ct", "sec": "s", "ksec": "ks", "seconds": "s", "hours": "h", "degrees": "deg"}
_WORDS |= {"arcmins": "arcmin", "arcminutes": "arcmin", "arcsecs": "arcsec", "arcseconds": "arcsec"}


def in_our_units(table: "CheckedTable") -> "CheckedTable":
    """Return the table after converting columns of numbers, which may be written as texts, to our units.

    If a unit isn't of the same physical kind as ours, it is ignored with a warning. For example, eSASS's catprep states
    arcsec for EXT_LIKE. InputError if RA or DEC holds angles such as 08:26:26.5 and states a unit other than hours (RA)
    or deg (DEC).
    """
    converted, changed, left = table.table.copy(copy_data=False), [], []
    for ours, theirs in table.names.items():
        unit = table.table[theirs].unit
        if ours not in _OURS or unit is None or not _holds_numbers(table, ours):
            continue
        factor = _factor(unit, ours)
        if factor is None:
            left.append(f"{theirs} [{unit}]")
        elif factor != 1:
            values = table.numbers(ours)
            converted[theirs] = MaskedColumn(values * factor, mask=np.isnan(values), unit=_OURS[ours])
            changed.append(f"{theirs} from {unit} to {_OURS[ours] or 'a bare number'}")
    if changed:
        LOGGER.info("%s: converted: %s", table.path, ", ".join(changed))
    if left:
        text = "%s: units that aren't of their column's kind, not heeded: %s; the numbers are taken to be in our units"
        LOGGER.warning(text, table.path, ", ".join(left))
    return replace(table, table=converted)


def _holds_numbers(table: "CheckedTable", ours: str) -> bool:
    """Return whether a column holds only numbers, as numbers or as texts. Empty cells count as numbers.

    InputError if a column of coordinates holds angles such as 08:26:26.5, but states a unit in which they can't be.
    """
    values = np.ma.asarray(table.table[table.names[ours]])
    if values.dtype.kind not in "SUO" or values.ndim != 1:
        return values.dtype.kind in "iuf"
    others = [text for text in table.texts(ours) if text.lower() not in EMPTY and np.isnan(number(text))]
    angles = [text for text in others if _ANGLE.fullmatch(text)]
    if angles and ours in _OF_ANGLES:
        unit = table.table[table.names[ours]].unit
        factor = _factor(unit, ours)
        if factor is not None and not np.isclose(factor, units.Unit(_OF_ANGLES[ours]).to("deg")):
            raise InputError(
                f"{table.path}: column {table.names[ours]} holds angles such as {angles[0]}, which are read in "
                f"{_OF_ANGLES[ours]}, but its unit is {unit}. Correct the unit, or write numbers in deg."
            )
    return not others


def _factor(unit: object, ours: str) -> float | None:
    """Return the factor from a user's unit to the unit of our column `ours`, or None if their kinds differ."""
    if isinstance(unit, units.UnrecognizedUnit):
        text = re.sub("[a-z]+", lambda word: _WORDS.get(word[0], word[0]), str(unit).lower())
        unit = units.Unit(text, parse_strict="silent")
    if not isinstance(unit, UnitBase) or isinstance(unit, units.UnrecognizedUnit):
        return None
    if ours == "RA" and unit.physical_type == "time":  # FITS has no other unit for hours of RA
        unit = unit / units.hour * units.hourangle
    try:
        return float(_without_counts(unit).to(_without_counts(units.Unit(_OURS[ours] or ""))))
    except units.UnitConversionError:
        return None


def _without_counts(unit: UnitBase) -> UnitBase:
    """Return a unit after removing counts, photons and pixels, because only some tables state them."""
    parts = [(base, power) for base, power in zip(unit.bases, unit.powers, strict=True) if base not in _COUNTED]
    return units.CompositeUnit(unit.scale, [base for base, _ in parts], [power for _, power in parts])


def angle(text: str, unit: str) -> float:
    """Return the angle in a text, in deg, or NaN if there is no angle.

    The text is a number of degrees, or an angle such as 08:26:26.5 or 08h26m26.5s, whose `unit` is hourangle or deg.
    A comma is a decimal point.
    """
    text = text.replace(",", ".")
    if (degrees := number(text)) == degrees:
        return degrees
    try:
        return float(Angle(text, unit=unit).deg)
    except (ValueError, TypeError, units.UnitsError):
        return np.nan
