"""Which detection of a user's own simulation belongs to which halo: by the photons' labels, else by position."""

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from clustermass.cosmology import FloatArray
from clustermass.progress import LOGGER
from clustermass.sphere import unit_vectors

#: a detection is a halo's only if the halo's photons make up this share of the fitted counts
MIN_PURITY = 0.2
#: a label, not of a halo, with less than this share of its photons at a detection is a background. SIXTE labels the
#: particle background -1, but the diffuse sky with a number like any source's
MIN_CONCENTRATION = 0.1
_NAMES, _TYPES = ("ID_SRC", "SRC_ID", "SEPARATION", "PURITY"), ("i4", "i4", "f4", "f4")


def match_by_photons(
    detections: Table, truth: Table, photons: tuple[FloatArray, FloatArray, NDArray[np.int32]], radius_arcsec: float
) -> Table:
    """Match detections to the haloes that most of their photons come from.

    A photon belongs to the nearest detection within the radius. The source with most of a detection's photons, AGN
    among them but no background, owns it; if that is a halo with at least `MIN_PURITY` of the fitted counts, the two
    match. A halo that owns several detections goes with the one that has most of its photons.

    Parameters
    ----------
    detections
        `ID_SRC`, `RA`, `DEC` (deg), `ML_CTS` (NaN = unknown).
    truth
        `SRC_ID`, `RA`, `DEC` (deg).
    photons
        RA, DEC (deg) and label of the photons in the band of ML_CTS, (photons,) each.
    radius_arcsec
        In arcsec.

    Returns
    -------
    Table
        `ID_SRC`, `SRC_ID`, `SEPARATION` (arcsec), `PURITY`, sorted by ID_SRC. PURITY is the halo's share of ML_CTS, or
        of all photons within the radius where those are fewer (a source larger than the radius) or ML_CTS is unknown.
    """
    ra, dec, label = photons
    here, there = _directions(detections), _directions(truth)
    owner = np.asarray(cKDTree(here).query(unit_vectors(ra, dec), distance_upper_bound=_chord(radius_arcsec))[1])
    near = owner < len(here)
    found, number = np.unique(np.stack([owner[near], label[near]]), axis=1, return_counts=True)
    fitted = np.asarray(detections["ML_CTS"], dtype=float)
    total = np.bincount(owner[near], minlength=len(here)).astype(float)
    total = np.where(fitted > 0, np.minimum(fitted, total), total)
    labels, whole = np.unique(label, return_counts=True)
    diffuse = number < MIN_CONCENTRATION * whole[np.searchsorted(labels, found[1])]
    halo_rows = {int(src_id): row for row, src_id in enumerate(truth["SRC_ID"])}
    taken: dict[int, tuple[int, int, float, float]] = {}
    seen: set[int] = set()
    for place in np.lexsort((found[1], found[0], -number)).tolist():
        row, src_id = int(found[0, place]), int(found[1, place])
        if row in seen or (diffuse[place] and src_id not in halo_rows):
            continue
        seen.add(row)
        purity = min(1.0, number[place] / total[row])
        if src_id in halo_rows and src_id not in taken and purity >= MIN_PURITY:
            separation = _arcsec(np.linalg.norm(here[row] - there[halo_rows[src_id]]))
            taken[src_id] = (int(detections["ID_SRC"][row]), src_id, separation, purity)
    LOGGER.info(
        "matches: %d of %d detections belong to one of %d haloes, by the labels of the photons within %g arcsec",
        len(taken), len(detections), len(truth), radius_arcsec,
    )  # fmt: skip
    return Table(rows=sorted(taken.values()) or None, names=_NAMES, dtype=_TYPES)


def match_by_position(detections: Table, truth: Table, radius_arcsec: float) -> Table:
    """Match detections to haloes by position, the brightest haloes first, each with the nearest detection left.

    Parameters
    ----------
    detections
        `ID_SRC`, `RA`, `DEC` (deg).
    truth
        `SRC_ID`, `RA`, `DEC` (deg); `FLUX`, `L500`, `LOG10_M500C` and `Z` where known.
    radius_arcsec
        Largest separation in arcsec.

    Returns
    -------
    Table
        As of `match_by_photons`; each detection and halo at most once, PURITY NaN.
    """
    here, there = _directions(detections), _directions(truth)
    near = cKDTree(here).query_ball_tree(cKDTree(there), _chord(radius_arcsec))
    pairs = np.array([(row, halo) for row, haloes in enumerate(near) for halo in haloes], dtype=int).reshape(-1, 2)
    lengths = np.linalg.norm(here[pairs[:, 0]] - there[pairs[:, 1]], axis=1)
    # ids break ties, so that the order of the tables doesn't matter
    id_src, src_id = np.asarray(detections["ID_SRC"])[pairs[:, 0]], np.asarray(truth["SRC_ID"])[pairs[:, 1]]
    taken: dict[int, tuple[int, int, float, float]] = {}
    used: set[int] = set()
    for pair in np.lexsort((src_id, id_src, lengths, -_brightness(truth)[pairs[:, 1]])).tolist():
        detection, halo = int(id_src[pair]), int(src_id[pair])
        if detection not in taken and halo not in used:
            taken[detection] = (detection, halo, _arcsec(lengths[pair]), np.nan)
            used.add(halo)
    LOGGER.info(
        "matches: %d of %d detections belong to one of %d haloes within %g arcsec, by position; PURITY is not known",
        len(taken), len(detections), len(truth), radius_arcsec,
    )  # fmt: skip
    return Table(rows=sorted(taken.values()) or None, names=_NAMES, dtype=_TYPES)


def _brightness(truth: Table) -> FloatArray:
    """Measure to rank haloes by: FLUX, else L500 / z^2, else M500c^1.5 / z^2 (L goes about so); 0 = nothing known."""
    known = {name: np.asarray(truth[name], dtype=float) for name in truth.colnames if name not in ("SRC_ID", "HALO_ID")}
    if "FLUX" in known and np.isfinite(known["FLUX"]).all():
        return known["FLUX"]
    if "L500" in known and np.isfinite(known["L500"]).all():
        return np.asarray(known["L500"] / known["Z"] ** 2, dtype=float)
    if "LOG10_M500C" in known:
        return np.asarray(10 ** (1.5 * (known["LOG10_M500C"] - 14)) / known["Z"] ** 2, dtype=float)
    return np.zeros(len(truth))


def _directions(table: Table) -> FloatArray:
    return unit_vectors(np.asarray(table["RA"], dtype=float), np.asarray(table["DEC"], dtype=float))


def _chord(arcsec: float) -> float:
    return float(2 * np.sin(np.radians(arcsec / 3600) / 2))


def _arcsec(chord: np.floating) -> float:
    return float(np.degrees(2 * np.arcsin(chord / 2)) * 3600)
