"""Measurements at 0.2-2.3 keV, computed from catalogues with measurements in several energy bands."""

import re
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import numpy as np
from astropy.table import MaskedColumn, Table

from clustermass.arrays import FloatArray
from clustermass.catalogues.tables import CheckedTable
from clustermass.catalogues.units import in_our_units
from clustermass.errors import InputError
from clustermass.io.log import LOGGER

#: number of a band, from 1 -> its edges in eV
Bands: TypeAlias = Mapping[int, tuple[float, float]]

_SOFT_EV = (200.0, 2300.0)
#: edges that differ by less than this count as equal
_ROUNDING_EV = 1.0
#: the bands may end this far below 2.3 keV: an upper edge of 2.2 keV loses less than 1 % of a cluster's counts
_MISSING_EV = 100.0
_SUMMED = ("ML_RATE", "ML_CTS", "ML_BKG")
#: the energy bands in the call of eSASS's ermldet, which the header records
_ERMLDET = re.compile(r'ermldet\b.*?\bEMIN="?([\d. ]+?)"? EMAX="?([\d. ]+?)"?(?= \w+=|$)')
#: column that marks the catalogue of hard sources of eRASS1 (Merloni et al. 2024), and the edges of its bands in eV
_ERASS1_HARD = ("UID_1B", (200, 600, 2300, 5000))


def in_soft_band(
    table: Table, path: Path, edges_ev: Sequence[float] | None = None, named: Collection[str] = ()
) -> Table:
    """Return the table with ML_RATE, ML_CTS, ML_BKG and ML_EXP at 0.2-2.3 keV, computed from numbered bands.

    The columns of band 1 have names such as ML_RATE_1. ML_RATE_0 belongs to all bands together. The edges of the bands
    are the first of these that is known:

    - `edges_ev`
    - the edges in the call of ermldet in the header
    - the published edges, if the table is eRASS1's catalogue of hard sources

    Rate, counts and background are summed over the bands that make up 0.2-2.3 keV. The exposure is the sum of counts
    divided by the sum of rates. If no bands make up 0.2-2.3 keV, or if the edges of several bands are unknown, rate,
    counts and background are masked, with a warning. A single band with unknown edges is assumed to be 0.2-2.3 keV.

    The table is returned unchanged if it has no numbered bands, if it has a column ML_RATE, or if ML_RATE is in `named`
    (the user then names a column for it). InputError if the table is ermldet's own list, which has a row for each band,
    or if `edges_ev` doesn't fit the number of bands.
    """
    upper = {name.upper(): name for name in table.colnames}
    if {"ID_BAND", "ID_INST", "ML_RATE"} <= set(upper) and np.unique(np.ma.asarray(table[upper["ID_BAND"]])).size > 1:
        raise InputError(f"{path}: has a row for each band and telescope, as ermldet writes it. Run catprep on it.")
    numbers = sorted(int(name[8:]) for name in upper if re.fullmatch(r"ML_RATE_[1-9]\d{0,3}", name))
    if not numbers or "ML_RATE" in upper or "ML_RATE" in named:
        return table
    bands = _bands(table, path, numbers, edges_ev)
    if not bands and len(numbers) == 1:
        return table
    chosen, soft = _that_make_soft(bands), table.copy(copy_data=False)
    if not chosen:
        _warn(path, numbers, bands)
        for one in _SUMMED:
            if any(name.startswith(f"{one}_") for name in upper):
                soft[one] = MaskedColumn(np.zeros(len(table)), mask=True)
        return soft
    measured, sums = {}, (*_SUMMED, "ML_EXP")
    columns = [{one: upper[name] for one in sums if (name := f"{one}_{band}") in upper} for band in chosen]
    in_bands = [in_our_units(CheckedTable(table, path, names)) for names in columns]
    for one in sums:
        if values := [band.numbers(one) for band in in_bands if one in band]:
            measured[one] = np.array(values)
            total = _mean_exposure(measured) if one == "ML_EXP" else measured[one].sum(axis=0)
            soft[one] = MaskedColumn(total, mask=np.isnan(total))
    listed = " + ".join(f"{bands[band][0] / 1000:g}-{bands[band][1] / 1000:g} keV" for band in chosen)
    text = "%s: measured in bands %s; ML_RATE, ML_CTS, ML_BKG are the sums of %s"
    LOGGER.info(text, path, ", ".join(map(str, numbers)), listed)
    return soft


def _bands(table: Table, path: Path, numbers: Sequence[int], edges_ev: Sequence[float] | None) -> Bands:
    """Return the edges of each band in eV, as a dict by the band's number. It is empty if the edges are unknown."""
    if edges_ev:
        if len(edges_ev) != len(numbers) + 1:
            raise InputError(
                f"{path}: has bands {', '.join(map(str, numbers))}, but catalogue_bands has {len(edges_ev)} edges. "
                f"Give {len(numbers) + 1}, in eV."
            )
        pairs = list(pairwise(edges_ev))
    elif calls := [*filter(None, map(_ERMLDET.match, re.split(r" ?TASK:", str(table.meta.get("SASSHIST", "")))))]:
        lower, upper = (re.findall(r"\d*\.?\d+", text) for text in calls[-1].groups())
        pairs = [(float(low), float(high)) for low, high in zip(lower, upper, strict=False)]
    else:
        mark, edges = _ERASS1_HARD
        pairs = list(pairwise(edges)) if mark in {name.upper() for name in table.colnames} else []
    return dict(zip(numbers, pairs, strict=True)) if len(pairs) == len(numbers) else {}


def _that_make_soft(bands: Bands) -> list[int]:
    """Return the numbers of the bands that make up 0.2-2.3 keV, sorted by energy; [] if there is a gap or overlap."""
    low, high = _SOFT_EV
    inside = [(edges, band) for band, edges in bands.items() if edges[0] < high and edges[1] <= high + _ROUNDING_EV]
    inside = sorted(one for one in inside if one[0][1] > low)
    ends = [low, *(edges[1] for edges, _ in inside)]
    joined = all(abs(edges[0] - end) <= _ROUNDING_EV for (edges, _), end in zip(inside, ends, strict=False))
    return [band for _, band in inside] if joined and ends[-1] >= high - _MISSING_EV - _ROUNDING_EV else []


def _mean_exposure(measured: Mapping[str, FloatArray]) -> FloatArray:
    """Return the exposure of the summed bands, (rows,): counts / rate or else the mean of the bands' exposures."""
    plain = measured["ML_EXP"].mean(axis=0)
    if not {"ML_RATE", "ML_CTS"} <= set(measured):
        return plain
    counts, rate = measured["ML_CTS"].sum(axis=0), measured["ML_RATE"].sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        by_counts = counts / rate
    lowest, highest = measured["ML_EXP"].min(axis=0), measured["ML_EXP"].max(axis=0)
    # where the quotient is outside the range of the bands' exposures, the rate has other units, or a number is missing
    return np.where((by_counts >= lowest) & (by_counts <= highest), by_counts, plain)


def _warn(path: Path, numbers: Sequence[int], bands: Bands) -> None:
    listed = ", ".join(f"{low / 1000:g}-{high / 1000:g}" for low, high in bands.values())
    what = f"its bands ({listed} keV) don't make 0.2-2.3 keV" if bands else "it doesn't say their energies"
    LOGGER.warning(
        "%s: measured in bands %s, but %s: count rate, counts and background count as unknown (FLAG_NOCAT). Name the "
        "edges of its bands in eV, such as catalogue_bands: [200, 600, 2300, 5000] (on the command line: "
        "--catalogue-bands 200,600,2300,5000; in Python: catalogue_bands=[200, 600, 2300, 5000])",
        path, ", ".join(map(str, numbers)), what,
    )  # fmt: skip
