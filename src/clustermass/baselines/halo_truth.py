"""Simulated haloes of the clusters: their luminosity and temperature, and which have a bright neighbour."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from clustermass.arrays import FloatArray, unit_vectors
from clustermass.catalogues.tables import read_table
from clustermass.errors import InputError

COLUMNS = ("HALO_ID", "RA", "DEC", "Z")
#: columns that a user's own simulation may lack
OPTIONAL = ("L500", "KT", "COUNTS")
#: (separation in arcsec, counts over one's own) of a neighbour that spoils isolation
CROWDED = ((180.0, 0.3), (300.0, 1.5))


@dataclass(frozen=True)
class HaloTruth:
    """Haloes of all realizations, (halo,) each, in the order of the files.

    Attributes
    ----------
    row
        Row of each (realization, HALO_ID). Realizations may share haloes: HALO_ID alone names none.
    redshift
        float64.
    l500
        L(0.5-2 keV rest frame, < R500) in erg/s, float64; NaN = unknown.
    kt
        Temperature in keV, float64; NaN = unknown.
    isolated
        1 = no other halo of the realization has more than 0.3 (1.5) times the halo's photons within 3' (5'), 0 = one
        has, -1 = photons unknown; int8.
    """

    row: Mapping[tuple[str, int], int]
    redshift: FloatArray
    l500: FloatArray
    kt: FloatArray
    isolated: NDArray[np.int8]

    def rows(self, realization: NDArray[np.str_], halo_id: NDArray[np.int64]) -> NDArray[np.intp]:
        """Row of each halo; InputError if no file holds one."""
        keys = list(zip(realization.tolist(), halo_id.tolist(), strict=True))
        missing = [key for key in keys if key not in self.row]
        if missing:
            raise InputError(
                f"truth.fits: {len(missing)} labelled clusters have a halo that no truth table holds (HALO_ID "
                f"{missing[0][1]} of realization {missing[0][0]} is one). Images and truth come from different runs: "
                "delete the sky's folder."
            )
        return np.array([self.row[key] for key in keys], dtype=np.intp)


def read_truth(paths: Mapping[str, Path]) -> HaloTruth:
    """Read the `TRUTH` tables of a sky's realizations.

    Parameters
    ----------
    paths
        `truth.fits` by the realization's label.

    Raises
    ------
    InputError
        A file or column is missing, or two rows of one file have the same HALO_ID.
    """
    tables = {realization: _columns(path) for realization, path in paths.items()}
    row: dict[tuple[str, int], int] = {}
    for realization, table in tables.items():
        start = len(row)
        for number, halo_id in enumerate(table["HALO_ID"].tolist()):
            if row.setdefault((realization, int(halo_id)), start + number) != start + number:
                raise InputError(
                    f"{paths[realization]}: HALO_ID {halo_id} stands in more than one row. "
                    "A halo's number must be unique in its realization."
                )
    redshift, l500, kt = (
        np.concatenate([table[name] for table in tables.values()]).astype(float) for name in ("Z", "L500", "KT")
    )
    isolated = np.concatenate([_isolated(table) for table in tables.values()])
    return HaloTruth(row, redshift, l500, kt, isolated)


def realization_of(images: Path) -> str:
    """Label of the realization of an `images.nc`, without reading the images; InputError if it is damaged."""
    try:
        with xr.open_dataset(images, engine="netcdf4") as dataset:
            return str(dataset["realization"].values[0])
    except (OSError, ValueError, RuntimeError, KeyError, IndexError) as error:
        raise InputError(f"{images}: no readable file of images ({error!r}). Delete it and run again.") from error


def _columns(path: Path) -> dict[str, NDArray[Any]]:
    """Columns of one file; an optional one that is absent is all NaN."""
    table = read_table(path)
    missing = [name for name in COLUMNS if name not in table.colnames]
    if missing:
        raise InputError(f"{path}: the table TRUTH lacks the column(s) {', '.join(missing)}. Delete it and run again.")
    columns = {name: np.asarray(table[name]) for name in COLUMNS}
    for name in OPTIONAL:
        values = table[name] if name in table.colnames else np.full(len(table), np.nan)
        columns[name] = np.ma.filled(np.ma.asarray(values, dtype=float), np.nan)
    return columns


def _isolated(table: Mapping[str, NDArray[Any]]) -> NDArray[np.int8]:
    counts = table["COUNTS"]
    known = counts >= 0  # -1 = unknown, NaN = no such column
    alone = is_isolated(table["RA"], table["DEC"], np.where(known, counts, 0))
    return np.where(known, alone, -1).astype(np.int8)


def is_isolated(
    ra: FloatArray, dec: FloatArray, counts: FloatArray, crowded: Sequence[tuple[float, float]] = CROWDED
) -> NDArray[np.bool_]:
    """Whether no neighbour is as bright and near as in `crowded`.

    Parameters
    ----------
    ra, dec
        Degrees, (halo,).
    counts
        Photons drawn from each halo, (halo,).
    crowded
        Pairs of a radius in arcsec and how many times a halo's own counts a neighbour within it may have.
    """
    tree = cKDTree(unit_vectors(ra, dec))
    isolated = np.ones(len(ra), dtype=bool)
    for radius_arcsec, factor in crowded:
        first, second = tree.query_pairs(2 * np.sin(np.radians(radius_arcsec / 3600) / 2), output_type="ndarray").T
        for own, other in ((first, second), (second, first)):
            isolated[own[counts[other] > factor * counts[own]]] = False
    return isolated
