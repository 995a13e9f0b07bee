"""Share out the photons of a field among the sources that were detected in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clustermass.arrays import neighbours
from clustermass.detect.detect import Columns
from clustermass.detect.stamps import (
    REACH_ARCSEC,
    RadialProfile,
    build_stamps,
    build_templates,
    index_events,
    relative_ra,
    source_counts,
)

if TYPE_CHECKING:
    from clustermass.config.sky_models import Detection


def share_photons(
    events: Columns, catalogue: Columns, psf: RadialProfile, parameters: Detection
) -> tuple[Columns, Columns]:
    """Return what `blind.detect` lacks of the result of `detect.detect`: further columns, and the table of the photons.

    A photon belongs to a source with a certain probability. It is the number of counts that are expected from this
    source in the photon's pixel, divided by the number expected from this source, its neighbours and the background.
    `events` has the columns ra, dec (deg), pi_ev (eV) and src_id, (photon,). `catalogue` has the columns that
    `blind.detect` returns. `psf` and `parameters` are those of the detection.

    The further columns, (source,), are FITTED, the fitted counts inside the cut radius, and RA_SHIFTED, which is RA
    minus RA_ZERO [deg]. The columns of the photons are ID_SRC, EVENT (row in `events`, int32) and SHARE (float64).
    """
    ra, dec, counts = catalogue["RA"], catalogue["DEC"], catalogue["ML_CTS"].astype(float)
    zero = float(ra[0]) if len(ra) else 0.0
    templates, shifted = build_templates(psf, parameters), relative_ra(ra, zero)
    index = index_events(events, zero, parameters["e_min_ev"], parameters["e_max_ev"])
    stamps, every = build_stamps(index, shifted, dec, templates), np.arange(len(ra))
    model = np.abs(templates.core_radius - catalogue["EXT"][:, None]).argmin(axis=1)
    pairs = neighbours(ra, dec, ra, dec, parameters["cut_radius_arcsec"] + REACH_ARCSEC)
    own, together = (
        source_counts(stamps, templates, stamp, shifted[source], dec[source], model[source], counts[source])
        for stamp, source in ((every, every), pairs)
    )
    level = catalogue["ML_BKG"].astype(float) * (templates.pixel_arcsec / 60.0) ** 2
    share = own / (together + level[stamps.owner])
    fitted = np.bincount(stamps.owner, share * stamps.counts, len(ra))
    columns = {"FITTED": fitted, "RA_SHIFTED": shifted, "RA_ZERO": np.full(len(ra), zero)}
    event = index.row[stamps.photon_event].astype(np.int32)
    return columns, {
        "ID_SRC": stamps.owner[stamps.photon_entry] + 1,
        "EVENT": event,
        "SHARE": share[stamps.photon_entry],
    }
