"""Write event lists and truth labels of simulated and users' skies, piece by piece."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from clustermass.events.eventlist import EventList
from clustermass.io.files import atomic
from clustermass.io.products import ANGLE_STEP, EVENTS, LABELS, gti_hdu, primary_hdu, table_hdu


def write_events(
    pieces: Iterable[EventList],
    path: str | Path,
    provenance: Mapping[str, Any] | None = None,
    centre: Sequence[float] = (),
    header: Mapping[str, Any] | None = None,
) -> None:
    """Write `events.fits`: EVENTS by eSASS names, GTIn of each module, CREATOR 'clustermass'.

    Positions are kept to 1e-6 deg (0.004"), as eSASS keeps them. FLAG is written as 0: the events that it marked were
    dropped when the list was selected, and SIXTE's would be taken for corrupt events. Truth labels are left to
    `write_labels`.

    Parameters
    ----------
    pieces
        Selected photons, at least one piece of them; the metadata of the whole list are those of the first.
    path
        Final name; written atomically.
    provenance
        What `clustermass.io.provenance.provenance` returns; HISTORY of the primary header.
    centre
        RA_CEN and DEC_CEN in deg.
    header
        Further cards of EVENTS: keyword -> value, or (value, comment).
    """
    coming = iter(pieces)
    first = next(coming)
    cards: dict[str, Any] = {"SIMULATE": (first.simulated, "T: no observation")}
    if first.exposure_s is not None:
        cards["EXPOSURE"] = (first.exposure_s, "[s] of each telescope module")
    for key, value in zip(("RA_CEN", "DEC_CEN"), centre, strict=False):
        cards[key] = (float(value), "[deg] centre of the field")
    table = table_hdu("EVENTS", EVENTS, header=cards | dict(header or {}))
    intervals = [gti_hdu(module, times) for module, times in sorted(first.gti.items())]
    _write(path, primary_hdu(provenance), table, map(_row_columns, chain([first], coming)), intervals)


def write_labels(
    pieces: Iterable[NDArray[np.int32]],
    path: str | Path,
    provenance: Mapping[str, Any] | None = None,
    header: Mapping[str, Any] | None = None,
) -> None:
    """Write `labels.fits`: SRC_ID of each photon, row by row of the event list; no rows without pieces.

    Parameters are those of `write_events`.
    """
    table = table_hdu("LABELS", LABELS, header=header)
    _write(path, primary_hdu(provenance), table, ({"SRC_ID": piece} for piece in pieces))


def _row_columns(events: EventList) -> dict[str, NDArray[Any]]:
    """Return the columns of EVENTS as they are stored."""
    return {
        "TIME": events.time,
        "RA": np.rint(events.ra * round(1 / ANGLE_STEP)),
        "DEC": np.rint(events.dec * round(1 / ANGLE_STEP)),
        "PI": events.pi_ev,
        "TM_NR": events.tm_nr,
        "PAT_TYP": events.pat_typ,
        "FLAG": np.zeros(len(events), dtype=np.int32),
    }


def _write(
    path: str | Path, primary: Any, table: Any, rows: Iterable[Mapping[str, NDArray[Any]]], further: Iterable[Any] = ()
) -> None:
    """Write a file atomically: `rows`, column by column of each piece, under the header of the empty `table`."""
    layout = table.columns.dtype.newbyteorder(">")
    with atomic(path) as temporary:
        fits.HDUList([primary]).writeto(temporary, overwrite=True, output_verify="exception")
        with temporary.open("r+b") as stream:
            begin = stream.seek(0, 2)
            stream.write(table.header.tostring().encode("ascii"))
            for columns in rows:
                packed = np.empty(len(next(iter(columns.values()))), dtype=layout)
                for name, values in columns.items():
                    packed[name] = values
                stream.write(packed.data)
                table.header["NAXIS2"] += packed.size
            stream.write(bytes(-table.header["NAXIS2"] * layout.itemsize % 2880))
            stream.seek(begin)
            stream.write(table.header.tostring().encode("ascii"))
        with fits.open(temporary, mode="append", memmap=False) as hdus:
            for hdu in further:
                hdus.append(hdu)
