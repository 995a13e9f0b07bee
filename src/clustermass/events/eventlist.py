"""A list of photons in memory, whatever file it came from."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustermass.arrays import FloatArray

#: number of eROSITA telescope modules
MODULES = 7


@dataclass(frozen=True, eq=False)
class EventList:
    """Photons in the order of their file; every column has shape (events,).

    Attributes
    ----------
    ra, dec
        Position in deg, float64, 0 <= ra < 360.
    pi_ev
        Energy in eV, float32.
    tm_nr
        Telescope module, uint8.
    pat_typ
        Number of pixels of the pattern, int16; only 1 to 4 are valid.
    flag
        Bits of the eSASS column FLAG, uint32 (in the files they are a signed int32).
    time
        Time in s, float64.
    dialect
        'esass', 'sixte_events', 'sixte_calibrated' or 'clustermass'.
    name
        The file or files, for messages.
    gti
        Good time intervals of each telescope module, (intervals, 2) START and STOP in s; key 0 = every module without
        intervals of its own.
    x, y
        The file's own sky pixels of 0.05", float64, where it has them, in the SIN projection about `sky_reference`.
    sky_reference
        Right ascension and declination in deg of sky pixel (0, 0).
    rawx, rawy
        Detector pixel, int16, where the file has it.
    src_id
        Truth label of simulated photons, int32: SRC_ID of a halo, or an AGN or background (0 and below).
    exposure_s
        Exposure of each module in s that the header states, used only where there are no `gti`.
    simulated
        The photons are no observation: SIXTE's, or our own with SIMULATE in the header.
    """

    ra: FloatArray
    dec: FloatArray
    pi_ev: NDArray[np.float32]
    tm_nr: NDArray[np.uint8]
    pat_typ: NDArray[np.int16]
    flag: NDArray[np.uint32]
    time: FloatArray
    dialect: str
    name: str
    gti: Mapping[int, FloatArray]
    x: FloatArray | None = None
    y: FloatArray | None = None
    sky_reference: tuple[float, float] | None = None
    rawx: NDArray[np.int16] | None = None
    rawy: NDArray[np.int16] | None = None
    src_id: NDArray[np.int32] | None = None
    exposure_s: float | None = None
    simulated: bool = False

    def __len__(self) -> int:
        """Return the number of photons."""
        return int(self.ra.size)

    def take(self, rows: NDArray[Any] | slice) -> "EventList":
        """Return the photons at `rows` (booleans, numbers or a slice), with the same time intervals."""
        columns: dict[str, Any] = {name: column[rows] for name, column in self.columns().items()}
        return replace(self, **columns)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the columns that this list has, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
