"""From fits to a list of sources: merge duplicates, and find the source whose photons each detection is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clustermass.arrays import BoolArray, Float32Array, FloatArray, IntArray, Rows
from clustermass.detect.maximum_likelihood import Fit, model_counts
from clustermass.detect.stamps import EventIndex, Stamps, Templates, neighbours

if TYPE_CHECKING:
    from clustermass.config.sky_models import Detection


@dataclass(frozen=True)
class Detections(Rows):
    """Detections, each array (detection,); right ascension in deg relative to the event index's zero."""

    stamp: IntArray  #: in which it lies
    ra: FloatArray
    dec: FloatArray
    det_like: FloatArray
    ext_like: FloatArray  #: 0 for a point source
    extent: FloatArray  #: core radius, arcsec, 0 for a point source
    counts: FloatArray  #: of the source on the whole sky


@dataclass(frozen=True)
class Owners(Rows):
    """Sources whose photons detections are made of, each array (detection,)."""

    src_id: IntArray  #: halo (> 0) or AGN (< 0) with most of the fitted counts; 0 if there is only background
    purity: FloatArray  #: photons of that source inside the cut radius / fitted counts inside it, at most 1
    fitted: FloatArray  #: fitted counts of the detection inside the cut radius


def unique_positions(detections: Detections, parameters: Detection) -> BoolArray:
    """Return which detections stay when of two near ones only the more likely is kept.

    Near are two extended detections within `merge_extended_arcsec`, any two within `merge_point_arcsec`. The detections
    must be sorted by decreasing likelihood.
    """
    ra, dec, extended = detections.ra, detections.dec, detections.extent > 0.0
    close = _ordered_pairs(ra, dec, parameters["merge_point_arcsec"])
    wide = _ordered_pairs(ra, dec, parameters["merge_extended_arcsec"])
    wide = wide[extended[wide[:, 0]] & extended[wide[:, 1]]]
    pairs = np.unique(np.concatenate([close, wide]), axis=0)
    kept = np.ones(len(ra), dtype=bool)
    for better, worse in pairs.tolist():  # sorted, so that it is settled by then whether the better one stays
        if kept[better]:
            kept[worse] = False
    return kept


def _ordered_pairs(ra: FloatArray, dec: FloatArray, radius: float) -> IntArray:
    first, second = neighbours(ra, dec, ra, dec, radius)
    return np.stack([first, second], axis=1)[first < second]


def owners(
    detections: Detections, stamps: Stamps, index: EventIndex, fit: Fit, background: Float32Array, templates: Templates
) -> Owners:
    """Find the source that accounts for most of each detection's fitted counts; there is one detection a stamp at most.

    A photon in a pixel with expected counts s of the source and b of everything else belongs to the source with
    probability s / (s + b); summed over the photons this gives exactly the fitted counts. The source (of the photons'
    truth labels) with the largest sum is the owner of the detection.

    `fit` is the chosen one (point or extended) of each stamp, `background` the expected counts of everything else
    (entry,).
    """
    number = np.full(len(stamps.ra), -1, dtype=np.int64)
    number[detections.stamp] = np.arange(len(detections.stamp))
    source = model_counts(fit, stamps, templates).astype(np.float64)
    share = source / (source + background)
    fitted = np.bincount(stamps.owner, weights=share * stamps.counts, minlength=len(stamps.ra)).astype(np.float64)
    detection, label = number[stamps.owner[stamps.photon_entry]], index.src_id[stamps.photon_event].astype(np.int64)
    used = (detection >= 0) & (label != 0)
    detection, label, weight = detection[used], label[used], share[stamps.photon_entry[used]]
    order = np.lexsort((label, detection))
    detection, label, weight = detection[order], label[order], weight[order]
    start = np.flatnonzero(np.diff(detection, prepend=-1).astype(bool) | np.diff(label, prepend=0).astype(bool))
    photons = np.diff(start, append=len(label))
    total = np.add.reduceat(weight, start) if len(start) else np.zeros(0)
    detection, label, fitted = detection[start], label[start], fitted[detections.stamp]
    order = np.lexsort((label, total, detection))
    last = order[np.flatnonzero(np.diff(detection[order], append=-1))]  # the label with the largest total
    src_id, purity = np.zeros(len(fitted), np.int64), np.zeros(len(fitted))
    src_id[detection[last]] = label[last]
    purity[detection[last]] = np.minimum(photons[last] / np.maximum(fitted[detection[last]], 1e-9), 1.0)
    return Owners(src_id, purity, fitted)
