"""Matches of the detections in a simulated field to haloes, by the sources that their photons come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from clustermass.arrays import BoolArray, FloatArray, IdArray, IntArray
from clustermass.detect.stamps import offsets, relative_ra
from clustermass.io.log import LOGGER

if TYPE_CHECKING:
    from clustermass.config.sky_models import Detection

#: columns by name
Columns: TypeAlias = dict[str, NDArray[Any]]


def match_by_shares(
    detections: Mapping[str, NDArray[Any]],
    shares: Mapping[str, NDArray[Any]],
    labels: IdArray,
    in_band: BoolArray,
    sources: Mapping[str, NDArray[Any]],
    parameters: Detection,
) -> tuple[BoolArray, Columns]:
    """Return which detections are kept, bool (detection,), and the columns of the table of matches to haloes.

    SHARE is the probability that a photon belongs to a detection. The rules are:

    - A detection belongs to the source whose photons have the largest sum of SHARE.
    - The detection matches if this source is a halo, and if the detection's fitted counts inside the cut radius are at
      most match_counts_factor times the halo's photons plus match_counts_offset.
    - If several detections match a halo, only the most likely one is kept.

    `detections` and `shares` are results of `detect.detect.detect`. `labels` holds the source of each photon of the
    event list (halo > 0, AGN < 0, background 0), and `in_band` whether the photon's energy is in the band of the source
    detection, (event,) each. `sources` has the columns SRC_ID, RA and DEC (deg) of all haloes and AGN. `parameters` is
    the config block `detection`.

    The columns of the matches have the shape (match,). They are ID_SRC and SRC_ID (int32), SEPARATION (arcsec) and
    PURITY (float32). ID_SRC counts only the kept detections. PURITY is the number of the halo's photons inside the cut
    radius, divided by the fitted counts inside it, and at most 1.
    """
    owner, purity = _owners(detections["FITTED"], shares, labels)
    photons = np.bincount(np.maximum(labels[in_band], 0), minlength=int(max(owner.max(initial=0), 0)) + 1)
    limit = parameters["match_counts_factor"] * photons[np.maximum(owner, 0)] + parameters["match_counts_offset"]
    halo, kept = _matched_halo(owner, detections["FITTED"] <= limit, sources["SRC_ID"])
    extended, matched = detections["EXT"][kept] > 0.0, halo[kept] >= 0
    LOGGER.info(
        "%d detections left out as parts of a halo that a more likely one matches; %d extended (%d of them a halo, the "
        "others spurious), %d point-like (%d of them a halo)",
        np.count_nonzero(~kept),
        *(np.count_nonzero(kind) for kind in (extended, extended & matched, ~extended, ~extended & matched)),
    )
    return kept, _matches(
        {name: values[kept] for name, values in detections.items()}, halo[kept], purity[kept], sources
    )


def _owners(fitted: FloatArray, shares: Mapping[str, NDArray[Any]], labels: IdArray) -> tuple[IntArray, FloatArray]:
    """Return the label of each detection's source (0 = only background), and the purity of each detection."""
    detection, label = shares["ID_SRC"].astype(np.int64) - 1, labels[shares["EVENT"]].astype(np.int64)
    used = np.flatnonzero(label != 0)
    used = used[np.lexsort((label[used], detection[used]))]
    detection, label, weight = detection[used], label[used], shares["SHARE"][used]
    start = np.flatnonzero(np.diff(detection, prepend=-1).astype(bool) | np.diff(label, prepend=0).astype(bool))
    photons = np.diff(start, append=len(label))
    total = np.add.reduceat(weight, start) if len(start) else np.zeros(0)
    detection, label = detection[start], label[start]
    order = np.lexsort((label, total, detection))
    last = order[np.flatnonzero(np.diff(detection[order], append=-1))]  # the label with the largest total
    src_id, purity = np.zeros(len(fitted), np.int64), np.zeros(len(fitted))
    src_id[detection[last]] = label[last]
    purity[detection[last]] = np.minimum(photons[last] / np.maximum(fitted[detection[last]], 1e-9), 1.0)
    return src_id, purity


def _matched_halo(owner: IntArray, plausible: BoolArray, src_id: NDArray[np.integer]) -> tuple[IntArray, BoolArray]:
    """Return the halo of each detection, as the row in `src_id` (-1 = none), and whether the detection is kept."""
    halo = np.full(len(owner), -1, dtype=np.int64)
    order = np.argsort(src_id, kind="stable")
    good = np.flatnonzero((owner > 0) & plausible & np.isin(owner, src_id))
    halo[good] = order[np.searchsorted(src_id[order], owner[good])]
    best = np.zeros(len(halo), dtype=bool)
    best[np.unique(halo, return_index=True)[1]] = True  # the first is the most likely
    return halo, best | (halo < 0)


def _matches(
    detections: Mapping[str, NDArray[Any]], halo: IntArray, purity: FloatArray, sources: Mapping[str, NDArray[Any]]
) -> Columns:
    """Return the columns of the matches. `halo` is the row of each detection's halo in `sources` (-1 = none)."""
    rows = np.flatnonzero(halo >= 0)
    ra, dec, zero = (detections[name][rows] for name in ("RA_SHIFTED", "DEC", "RA_ZERO"))
    x, y = offsets(ra, dec, relative_ra(sources["RA"][halo[rows]], zero), sources["DEC"][halo[rows]])
    return {
        "ID_SRC": (rows + 1).astype(np.int32),
        "SRC_ID": sources["SRC_ID"][halo[rows]].astype(np.int32),
        "SEPARATION": np.hypot(x, y).astype(np.float32),
        "PURITY": purity[rows].astype(np.float32),
    }
