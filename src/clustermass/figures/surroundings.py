"""What lies in a cluster's image box: other detections of the catalogue, haloes of the simulation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from clustermass.baselines.halo_truth import realization_of
from clustermass.catalogues.tables import read_table
from clustermass.errors import InputError
from clustermass.images.geometry import SKY_PIXEL_ARCSEC, project

DETECTION_COLUMNS = ("ID_SRC", "RA", "DEC", "EXT_LIKE", "ML_CTS")
HALO_COLUMNS = ("HALO_ID", "RA", "DEC", "R500_ARCMIN")

Table = Mapping[str, np.ndarray]


class Files(NamedTuple):
    """Files of one realization; a sky of published images has no catalogue."""

    images: Path
    truth: Path
    catalogue: Path | None


class Places(NamedTuple):
    """Sources in a box, (source,) each.

    Attributes
    ----------
    x, y
        Offsets from its centre to the West and the North, arcsec.
    number
        ID_SRC or HALO_ID.
    value
        A column of the table.
    """

    x: np.ndarray
    y: np.ndarray
    number: np.ndarray
    value: np.ndarray


def files_of(images: Sequence[Path], truth: Sequence[Path], catalogues: Sequence[Path]) -> dict[str, Files]:
    """Files by the realization's label; each list in the same order, `catalogues` perhaps empty."""
    known: Sequence[Path | None] = catalogues or [None for _ in images]
    together = zip(images, truth, known, strict=True)
    return {realization_of(path): Files(path, haloes, catalogue) for path, haloes, catalogue in together}


def read_columns(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Numbers of a catalogue or truth table, (row,) each; a blank one is NaN.

    Raises
    ------
    InputError
        The file is missing or damaged, or lacks a column.
    """
    table = read_table(path)
    missing = [name for name in names if name not in table.colnames]
    if missing:
        raise InputError(f"{path}: lacks the column(s) {', '.join(missing)}. Delete it and run again.")
    return {name: _plain(np.ma.asarray(table[name])) for name in names}


def _plain(column: np.ma.MaskedArray) -> np.ndarray:
    """Return a column as a plain array; numbers of sources stay integers, for a float can't hold all 64 bits."""
    return np.ma.filled(column.astype(float), np.nan) if column.dtype.kind == "f" else np.asarray(column.data)


def inside(table: Table, number: str, value: str, centre: tuple[float, float], half: float) -> Places:
    """Rows of a table within a square box, in the projection of the images.

    Parameters
    ----------
    table
        Holds RA and DEC in deg, and the columns `number` and `value`.
    centre
        RA and DEC of the box, deg.
    half
        Half of its side, arcsec.
    """
    # the box is far smaller than the sky: most rows need no projection
    near = np.abs(table["DEC"] - centre[1]) <= 2 * half / 3600
    x, y = (SKY_PIXEL_ARCSEC * offset for offset in project(table["RA"][near], table["DEC"][near], *centre))
    rows = (np.abs(x) <= half) & (np.abs(y) <= half)
    return Places(x[rows], y[rows], table[number][near][rows], table[value][near][rows])


def brightest_neighbour(catalogue: Path, id_src: np.ndarray, half: float) -> np.ndarray:
    """Return the counts of the brightest other detection in each cluster's box over its own, (cluster,).

    Parameters
    ----------
    catalogue
        `catalogue.fits` of the clusters' realization.
    id_src
        Of the clusters, (cluster,).
    half
        Half of the box' side, arcsec.

    Returns
    -------
    ratio
        float64; 0 = no other detection of known counts, NaN = its own counts aren't known.
    """
    table = read_columns(catalogue, DETECTION_COLUMNS)
    row = {number: place for place, number in enumerate(table["ID_SRC"].tolist())}
    missing = [number for number in id_src.tolist() if number not in row]
    if missing:
        raise InputError(f"{catalogue}: lacks detection {missing[0]}, though there are images of it. Run again.")
    ratio = np.full(id_src.size, np.nan)
    for place, number in enumerate(id_src.tolist()):
        own = row[number]
        found = inside(table, "ID_SRC", "ML_CTS", (table["RA"][own], table["DEC"][own]), half)
        others = found.value[(found.number != number) & np.isfinite(found.value)]
        if table["ML_CTS"][own] > 0:
            ratio[place] = others.max(initial=0.0) / table["ML_CTS"][own]
    return ratio
