"""Writing event lists in our own dialect."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from clustermass.catalogues.tables import add_history
from clustermass.datasets import write_fits
from clustermass.events.eventlist import EventList, FloatArray


def write_events(
    events: EventList, path: str | Path, provenance: Mapping[str, Any], centre: Sequence[float] = ()
) -> None:
    """Write an event list in our own dialect: EVENTS by eSASS names, GTIn of each module, CREATOR 'clustermass'.

    Positions are kept to 1e-6 deg (0.004"), as eSASS keeps them. FLAG is written as 0: what it marked was judged when
    the list was selected, and SIXTE's would be taken for corrupt events. Truth labels are left to `write_labels`.

    Parameters
    ----------
    events
        Selected photons.
    path
        Final name; written atomically.
    provenance
        What `clustermass.provenance.provenance` returns; HISTORY of the primary header.
    centre
        RA_CEN and DEC_CEN in deg.
    """
    primary = fits.PrimaryHDU()
    table = fits.BinTableHDU.from_columns(_fits_columns(events), name="EVENTS")
    # set by hand: astropy can't write scaled columns of whole numbers
    for number in (2, 3):
        table.header.set(f"TSCAL{number}", 1e-6, after=f"TFORM{number}")
        table.header.set(f"TZERO{number}", 0.0, after=f"TSCAL{number}")
    for hdu in (primary, table):
        hdu.header["CREATOR"] = "clustermass"
        for key, value in zip(("RA_CEN", "DEC_CEN"), centre, strict=False):
            hdu.header[key] = (float(value), "[deg] centre of the field")
    table.header["HIERARCH SIMULATED"] = (events.simulated, "T: no observation")
    if events.exposure_s is not None:
        table.header["EXPOSURE"] = (events.exposure_s, "[s] of each telescope module")
    add_history(primary, provenance)
    tables = [_gti_table(module, intervals) for module, intervals in sorted(events.gti.items())]
    write_fits(fits.HDUList([primary, table, *tables]), path)


def write_labels(src_id: NDArray[np.int32] | None, path: str | Path, provenance: Mapping[str, Any]) -> None:
    """Write the truth labels of photons, row by row of their event list: table LABELS, SRC_ID; no rows for None."""
    labels = np.zeros(0, dtype=np.int32) if src_id is None else src_id
    primary = fits.PrimaryHDU()
    add_history(primary, provenance)
    table = fits.BinTableHDU.from_columns([fits.Column("SRC_ID", "J", array=labels)], name="LABELS")
    write_fits(fits.HDUList([primary, table]), path)


def _fits_columns(events: EventList) -> list[Any]:
    return [
        fits.Column("TIME", "D", unit="s", array=events.time),
        fits.Column("RA", "J", unit="deg", array=_raw(events.ra)),
        fits.Column("DEC", "J", unit="deg", array=_raw(events.dec)),
        fits.Column("PI", "E", unit="eV", array=events.pi_ev),
        fits.Column("TM_NR", "B", array=events.tm_nr),
        fits.Column("PAT_TYP", "I", array=events.pat_typ),
        fits.Column("FLAG", "J", array=np.zeros(len(events), dtype=np.int32)),
    ]


def _raw(degrees: FloatArray) -> NDArray[np.int32]:
    return np.rint(degrees * 1e6).astype(np.int32)


def _gti_table(module: int, intervals: FloatArray) -> Any:
    columns = [
        fits.Column(name, "D", unit="s", array=values)
        for name, values in zip(("START", "STOP"), intervals.T, strict=True)
    ]
    return fits.BinTableHDU.from_columns(columns, name=f"GTI{module or ''}")
