"""Detect sources in an event list as eSASS does: a box search, then fits in the order of decreasing likelihood."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from clustermass.arrays import FloatArray, IntArray, Rows
from clustermass.detect.background import Exposure
from clustermass.detect.facet_image import FacetImage, facet_images
from clustermass.detect.fit_in_order import FacetFits
from clustermass.detect.merge import most_likely
from clustermass.detect.search import search
from clustermass.detect.stamps import REACH_ARCSEC, RadialProfile, Templates, build_templates
from clustermass.detect.wings import Wing, bright_clusters
from clustermass.io.log import LOGGER

if TYPE_CHECKING:
    from clustermass.config.sky_models import Detection

LOWEST_BACKGROUND = 0.01  # counts / arcmin^2, so that one photon on an empty background has a finite likelihood
BRIGHT_EXCESS = 300.0  # counts above the background in 9 arcmin^2 from which a place may be a bright cluster
CENTRE_ARCSEC = 30.0  # places nearer than this to the centre of a bright cluster belong to it
SLACK_ARCSEC = 10.0  # sources this far outside a facet are kept, lest two facets leave a source to each other

#: columns by name
Columns: TypeAlias = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class _Places(Rows):
    """Places in the plane of a facet, in arcsec. Each array has the shape (place,)."""

    x: FloatArray
    y: FloatArray
    exposure: FloatArray  #: s
    rate: FloatArray  #: background, counts / (arcmin^2 s)
    wing: IntArray  #: number of the profile of the bright cluster at this place, -1 if none is

    @property
    def level(self) -> FloatArray:
        """Background in counts / arcmin^2."""
        return np.maximum(self.rate * self.exposure, LOWEST_BACKGROUND)


@dataclass(frozen=True)
class _Detections(Rows):
    """Detections. Each array has the shape (detection,)."""

    ra: FloatArray  #: deg
    dec: FloatArray
    det_like: FloatArray
    ext_like: FloatArray  #: 0 for a point source
    extent: FloatArray  #: core radius, arcsec, 0 for a point source
    counts: FloatArray  #: counts of the source on the whole sky
    exposure: FloatArray  #: s
    level: FloatArray  #: background, counts / arcmin^2


def detect(photons: Columns, exposure_s: Exposure, psf: RadialProfile, parameters: Detection) -> Columns:
    """Return the columns of the catalogue of sources detected in an event list, from its photons alone.

    `photons` holds ra, dec (deg) and pi_ev (eV), (photon,), in any order. `exposure_s` gives the vignetting-corrected
    exposure [s] at (ra, dec) [deg], and `psf` the surface brightness [arcsec^-2] at a radius [arcsec], normalised to 1
    over the sky. `parameters` is the config block `detection`.

    The sky is divided into facets a few degrees wide (`facets.Facet`). In the image of each facet, `search` finds
    places with an excess of counts. Sources are fitted at these places in the order of decreasing likelihood, as
    `FacetFits.fit_in_order` describes, on a background estimated from the counts around each place. Before this, bright
    clusters are found in the same way, and their profiles are measured in rings (`wings.measure`). When other sources
    are fitted, these profiles are added to the background. Of detections that are close to each other, only the most
    likely is kept (`most_likely`). Unlike in eSASS, the positions of neighbours aren't fitted together.

    Returns the columns ID_SRC (int32, from 1, in the order of decreasing DET_LIKE), RA and DEC (float64, deg), and the
    float32 columns DET_LIKE, EXT_LIKE, EXT (arcsec), ML_RATE (counts/s), ML_CTS, ML_EXP (s) and ML_BKG
    (counts/arcmin^2), (detection,). A source is extended if EXT_LIKE is at least `ext_like_floor` and the DET_LIKE of
    its fit as a point source is at least `extent_point_like_min`. All others are point sources with EXT = EXT_LIKE = 0.
    InputError if the cut radius exceeds the stamps or the PSF is not normalised.
    """
    templates = build_templates(psf, parameters)
    used = (photons["pi_ev"] >= parameters["e_min_ev"]) & (photons["pi_ev"] <= parameters["e_max_ev"])
    ra, dec = photons["ra"][used], photons["dec"][used]
    reach = parameters["cut_radius_arcsec"] + REACH_ARCSEC
    margin = reach + parameters["background_radius_arcsec"] + parameters["background_cell_arcsec"]
    parts = [
        _of_facet(image, exposure_s, reach, templates, parameters)
        for image in facet_images(ra, dec, exposure_s, margin, parameters)
    ]
    found = _Detections.join(_Detections(*np.zeros((8, 0))), *parts)
    found = found[np.lexsort((found.ra, found.dec, -found.det_like))]
    single = found[most_likely(found.ra, found.dec, found.extent > 0.0, parameters)]
    extended = np.count_nonzero(single.extent > 0.0)
    LOGGER.info(
        "%d detections, of which %d are dropped near a more likely one; %d extended and %d point-like sources are left",
        len(found), len(found) - len(single), extended, len(single) - extended,
    )  # fmt: skip
    return _catalogue(single)


def _of_facet(
    image: FacetImage, exposure_s: Exposure, reach: float, templates: Templates, parameters: Detection
) -> _Detections:
    """Return the detections in a facet.

    The model also contains sources up to `reach` arcsec outside the facet, because their photons reach into it.
    """
    x, y = search(image, parameters)
    exposure = np.asarray(exposure_s(*image.facet.to_sky(x, y)), dtype=float)
    used = exposure > 0.0
    x, y, exposure = x[used], y[used], exposure[used]
    cells = image.cells(x, y)
    every = _Places(x, y, exposure, image.calm[cells], np.full(len(x), -1))
    clusters, wings = _bright(image, every[image.excess[cells] > BRIGHT_EXCESS], templates)
    rows = image.facet.contains(x, y, reach)
    rate = image.background(x, y)
    for wing in wings:
        distance = np.hypot(x - wing.x, y - wing.y)
        rate[distance < wing.radius[-1]] = wing.rate
        rows &= distance > CENTRE_ARCSEC
    others = replace(every, rate=rate)[rows]
    places = _Places.join(clusters, others)
    fits = FacetFits(image, (places.x, places.y), places.level, templates, parameters, wings, places.wing)
    fits.fit_in_order()
    return _detections(fits, places)


def _bright(image: FacetImage, places: _Places, templates: Templates) -> tuple[_Places, list[Wing]]:
    """Return the places of the bright clusters of a facet, and their profiles."""
    if not len(places):
        return places, []
    fits = FacetFits(image, (places.x, places.y), places.level, templates, image.parameters)
    fits.fit_in_order()
    x, y = fits.positions()
    rows, wings = bright_clusters(image, x, y, fits.best, templates)
    return replace(places[fits.place[rows]], x=x[rows], y=y[rows], wing=np.arange(len(rows))), wings


def _detections(fits: FacetFits, places: _Places) -> _Detections:
    """Return the detections among the fitted sources of a facet. `places` are the places near which they were found."""
    facet, (x, y) = fits.image.facet, fits.positions()
    rows = np.flatnonzero(fits.alive() & facet.contains(x, y, SLACK_ARCSEC))
    best, place = fits.best[rows], places[fits.place[rows]]
    ra, dec = facet.to_sky(x[rows], y[rows])
    extent = np.where(best.ext_like > 0.0, best.fit.extent, 0.0)
    return _Detections(ra, dec, best.det_like, best.ext_like, extent, best.fit.counts, place.exposure, place.level)


def _catalogue(detections: _Detections) -> Columns:
    measured = {
        "DET_LIKE": detections.det_like, "EXT_LIKE": detections.ext_like, "EXT": detections.extent,
        "ML_RATE": detections.counts / detections.exposure, "ML_CTS": detections.counts,
        "ML_EXP": detections.exposure, "ML_BKG": detections.level,
    }  # fmt: skip
    columns = {name: values.astype(np.float32) for name, values in measured.items()}
    number = np.arange(1, len(detections) + 1, dtype=np.int32)
    return {"ID_SRC": number, "RA": detections.ra, "DEC": detections.dec, **columns}
