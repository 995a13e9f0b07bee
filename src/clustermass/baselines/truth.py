"""The simulated haloes behind the clusters: true luminosities for two baselines, and who has a bright neighbour."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from clustermass.catalogues.tables import read_table
from clustermass.cosmology import FloatArray
from clustermass.errors import InputError

COLUMNS = ("HALO_ID", "RA", "DEC")
#: columns that a user's own simulation may lack
OPTIONAL = ("L500", "COUNTS")
#: (separation in arcsec, counts over one's own) of a neighbour that spoils isolation
CROWDED = ((180.0, 0.3), (300.0, 1.5))


@dataclass(frozen=True)
class Truth:
    """Haloes of all realizations, one row each, sorted by `halo_id`.

    Attributes
    ----------
    halo_id
        Unique over the realizations, int64.
    l500
        L(0.5-2 keV rest frame, < R500) in erg/s, float64; NaN = the simulation doesn't tell.
    isolated
        1 = no other halo of the realization has more than 0.3 (1.5) times the halo's photons within 3' (5'), 0 = one
        has, -1 = the simulation doesn't tell the photons; int8.
    """

    halo_id: NDArray[np.int64]
    l500: FloatArray
    isolated: NDArray[np.int8]

    def rows(self, halo_id: NDArray[np.int64]) -> NDArray[np.intp]:
        """Row of each halo; InputError names one that no file holds."""
        found = np.searchsorted(self.halo_id, halo_id).clip(max=len(self.halo_id) - 1)
        missing = np.flatnonzero(self.halo_id[found] != halo_id)
        if missing.size:
            raise InputError(
                f"truth.fits: {missing.size} labelled clusters have a halo that no truth table holds (HALO_ID "
                f"{halo_id[missing[0]]} is one). Images and truth come from different runs: delete the sky's folder."
            )
        return np.asarray(found, dtype=np.intp)


def read_truth(paths: Sequence[Path]) -> Truth:
    """Read the `TRUTH` tables of a sky's realizations.

    Raises
    ------
    InputError
        A file or column is missing, or two rows have the same HALO_ID.
    """
    tables = [_columns(path) for path in paths]
    halo_id = np.concatenate([table["HALO_ID"] for table in tables]).astype(np.int64)
    order = np.argsort(halo_id, kind="stable")
    repeated = np.flatnonzero(np.diff(halo_id[order]) == 0)
    if repeated.size:
        raise InputError(
            f"truth.fits: HALO_ID {halo_id[order][repeated[0]]} stands in more than one row. "
            "A halo's number must be unique over all realizations."
        )
    l500 = np.concatenate([table["L500"] for table in tables])
    isolated = np.concatenate([_isolated(table) for table in tables])
    return Truth(halo_id[order], l500[order], isolated[order])


def _columns(path: Path) -> dict[str, NDArray[Any]]:
    """Columns of one file; an optional one that is absent is all NaN."""
    table = read_table(path)
    missing = [name for name in COLUMNS if name not in table.colnames]
    if missing:
        raise InputError(f"{path}: the table TRUTH lacks the column(s) {', '.join(missing)}. Delete it and run again.")
    unknown = np.full(len(table), np.nan)
    optional = {
        name: np.ma.filled(np.ma.asarray(table[name], dtype=float), np.nan) if name in table.colnames else unknown
        for name in OPTIONAL
    }
    return {name: np.asarray(table[name]) for name in COLUMNS} | {
        name: np.asarray(values, dtype=float) for name, values in optional.items()
    }


def _isolated(table: Mapping[str, NDArray[Any]]) -> NDArray[np.int8]:
    counts = table["COUNTS"]
    alone = is_isolated(table["RA"], table["DEC"], np.nan_to_num(counts))
    return np.where(np.isfinite(counts), alone, -1).astype(np.int8)


def is_isolated(ra: FloatArray, dec: FloatArray, counts: FloatArray) -> NDArray[np.bool_]:
    """Whether no neighbour is bright and near in the sense of `CROWDED`.

    Parameters
    ----------
    ra, dec
        Degrees, (halo,).
    counts
        Photons drawn from each halo, (halo,).
    """
    lon, lat = np.radians(ra), np.radians(dec)
    tree = cKDTree(np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1))
    isolated = np.ones(len(ra), dtype=bool)
    for radius_arcsec, factor in CROWDED:
        first, second = tree.query_pairs(2 * np.sin(np.radians(radius_arcsec / 3600) / 2), output_type="ndarray").T
        for own, other in ((first, second), (second, first)):
            isolated[own[counts[other] > factor * counts[own]]] = False
    return isolated
