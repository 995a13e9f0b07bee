"""What the figure of an observed field reads: its mass catalogue, and the count rates behind it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits

from clustermass.datasets import read_netcdf
from clustermass.errors import InputError

COLUMNS = ("RA", "DEC", "Z", "LOGM500", "LOGM500_ERR", "LOGM500_REF")
FLAGS = ("FLAG_RANGE", "FLAG_OOD", "FLAG_EDGE")


@dataclass(frozen=True)
class MassTable:
    """The clusters of a catalogue that have a mass.

    Attributes
    ----------
    ra, dec
        Degrees, (cluster,).
    redshift
        (cluster,).
    mass, error, reference
        log10(M500c / Msun), its standard error in dex, and a published mass (NaN = none), (cluster,).
    flagged
        Whether any of `FLAGS` is set, (cluster,).
    without_mass
        Rows of the catalogue that have none, for want of a redshift.
    simulated
        Whether the header says that the field is no observation.
    """

    ra: np.ndarray
    dec: np.ndarray
    redshift: np.ndarray
    mass: np.ndarray
    error: np.ndarray
    reference: np.ndarray
    flagged: np.ndarray
    without_mass: int
    simulated: bool


def read_masses(path: Path) -> MassTable:
    """Read `masses.fits`.

    Raises
    ------
    InputError
        The file is missing or damaged, lacks a column, or no cluster in it has a mass.
    """
    try:
        with fits.open(path, memmap=False) as hdus:
            data, header = hdus[1].data, hdus[1].header
            missing = [name for name in (*COLUMNS, *FLAGS) if name not in data.names]
            if missing:
                raise InputError(f"{path}: lacks the column(s) {', '.join(missing)}. Delete it and run again.")
            values = [np.asarray(data[name], dtype=float) for name in COLUMNS]
            flagged = np.any([np.asarray(data[name], dtype=bool) for name in FLAGS], axis=0)
    except (OSError, IndexError) as fault:
        raise InputError(f"{path}: no readable mass catalogue ({fault}). Delete it and run again.") from fault
    known = np.isfinite(values[COLUMNS.index("LOGM500")])
    if not known.any():
        raise InputError(
            f"{path}: none of {known.size} clusters has a mass; nothing can be drawn. Check the field's selection and "
            "that its catalogue has redshifts."
        )
    ra, dec, redshift, mass, error, reference, flags = (column[known] for column in (*values, flagged))
    simulated = bool(header.get("SIMULATED", False))
    return MassTable(ra, dec, redshift, mass, error, reference, flags, int((~known).sum()), simulated)


def count_rates(table: MassTable, path: Path, images: Sequence[Path]) -> np.ndarray:
    """Fitted count rate of every cluster, count/s, (cluster,): that of the detection at its place.

    Parameters
    ----------
    table
        Of `read_masses`.
    path
        Where it was read, for messages.
    images
        `images.nc` of every realization of the field.

    Raises
    ------
    InputError
        A cluster has no detection within 1 arcsec.
    """
    detections = [read_netcdf(file, require=["ra", "dec", "ml_rate"]) for file in images]
    ra, dec, rate = (np.concatenate([d[name].values for d in detections]) for name in ("ra", "dec", "ml_rate"))
    places = SkyCoord(ra, dec, unit="deg")
    index, separation, _ = SkyCoord(table.ra, table.dec, unit="deg").match_to_catalog_sky(places)
    lost = int(np.count_nonzero(separation > 1 * u.arcsec))
    if lost:
        raise InputError(
            f"{path}: {lost} cluster(s) aren't among the detections of {len(images)} image file(s). Delete the "
            "catalogue and run again."
        )
    return np.asarray(rate[index], dtype=float)
