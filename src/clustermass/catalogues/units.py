"""Conversion of a user's columns to our units. A unit of another physical kind is ignored with a warning."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from astropy import units
from astropy.coordinates import Angle
from astropy.table import MaskedColumn, Table
from astropy.units import UnitBase

from clustermass.catalogues.plain import number
from clustermass.io.log import LOGGER
from clustermass.io.products import CATALOGUE, TRUTH

#: our name of a column -> its unit; None = a bare number or a text
_OURS = {one.name: one.unit for one in (*TRUTH, *CATALOGUE)} | {"M500C": "Msun"}
_COUNTED = (units.count, units.photon, units.pixel)
#: spellings of units that astropy doesn't know -> spellings that it knows
_WORDS = {"cts": "ct", "counts": "ct", "sec": "s", "ksec": "ks", "seconds": "s", "hours": "h", "degrees": "deg"}
_WORDS |= {"arcmins": "arcmin", "arcminutes": "arcmin", "arcsecs": "arcsec", "arcseconds": "arcsec"}


def in_our_units(table: Table, path: Path, names: Mapping[str, str]) -> Table:
    """Return the table after converting columns of numbers to our units.

    `names` maps our names to the table's columns. If a unit isn't of the same physical kind as ours, it is ignored with
    a warning. For example, eSASS's catprep states arcsec for EXT_LIKE.
    """
    converted, changed, left = table.copy(copy_data=False), [], []
    for ours, theirs in names.items():
        column = table[theirs]
        if ours not in _OURS or column.unit is None or np.ma.asarray(column).dtype.kind not in "iuf":
            continue
        factor = _factor(column.unit, ours)
        if factor is None:
            left.append(f"{theirs} [{column.unit}]")
        elif factor != 1:
            values = np.ma.asarray(column).astype(np.float64)
            mask = np.ma.getmaskarray(values)
            converted[theirs] = MaskedColumn(np.ma.getdata(values) * factor, mask=mask, unit=_OURS[ours])
            changed.append(f"{theirs} from {column.unit} to {_OURS[ours] or 'a bare number'}")
    if changed:
        LOGGER.info("%s: converted: %s", path, ", ".join(changed))
    if left:
        text = "%s: units that aren't of their column's kind, not heeded: %s; the numbers are taken to be in our units"
        LOGGER.warning(text, path, ", ".join(left))
    return converted


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
    """
    if (degrees := number(text)) == degrees:
        return degrees
    try:
        return float(Angle(text.replace(",", "."), unit=unit).deg)
    except (ValueError, TypeError, units.UnitsError):
        return np.nan
