"""Merge detections of the same source."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clustermass.arrays import BoolArray, FloatArray, neighbours

if TYPE_CHECKING:
    from clustermass.config.sky_models import Detection


def most_likely(ra: FloatArray, dec: FloatArray, extended: BoolArray, parameters: Detection) -> BoolArray:
    """Return whether each detection is kept, bool (detection,): of two near detections, only the more likely is kept.

    The detections, at `ra` and `dec` in deg, must be sorted by decreasing likelihood. Two detections are near if they
    are at most `merge_point_arcsec` apart. Two extended detections are also near if they are at most
    `merge_extended_arcsec` apart.
    """
    radii = parameters["merge_point_arcsec"], parameters["merge_extended_arcsec"]
    close, wide = (np.stack(neighbours(ra, dec, ra, dec, radius), axis=1) for radius in radii)
    wide = wide[extended[wide[:, 0]] & extended[wide[:, 1]]]
    pairs = np.unique(np.concatenate([close, wide]), axis=0)
    kept = np.ones(len(ra), dtype=bool)
    for better, worse in pairs[pairs[:, 0] < pairs[:, 1]].tolist():  # sorted, so that `better` is settled by now
        if kept[better]:
            kept[worse] = False
    return kept
