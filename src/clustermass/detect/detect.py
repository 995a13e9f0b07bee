"""Detect the sources of a simulated field by fits similar to those of ermldet in eSASS, for many sources at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from clustermass.arrays import Float32Array, FloatArray, IntArray, Rows, neighbours
from clustermass.detect.background import Exposure, box_likelihood, estimate_background
from clustermass.detect.maximum_likelihood import EXTENDED_DOF, POINT_DOF, Fit, fit_stamps, negative_log_q
from clustermass.detect.merge import most_likely
from clustermass.detect.stamps import (
    REACH_ARCSEC,
    EventIndex,
    RadialProfile,
    Stamps,
    Templates,
    build_stamps,
    build_templates,
    index_events,
    photons_of,
    relative_ra,
    source_counts,
)
from clustermass.io.log import LOGGER

if TYPE_CHECKING:
    from clustermass.config.sky_models import Detection

FEWEST_COUNTS = 5.0  # expected counts of a fitted candidate; with fewer, DET_LIKE reaches its floor only by chance
LOWEST_BACKGROUND = 0.01  # counts / arcmin^2, so that one photon on an empty background has a finite likelihood

#: columns by name
Columns: TypeAlias = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Candidates(Rows):
    """Positions at which sources are fitted. Each array has the shape (candidate,)."""

    ra: FloatArray  #: true position, deg
    dec: FloatArray
    src_id: NDArray[np.integer]  #: halo (> 0) or AGN (< 0), as in the events' src_id
    expected_counts: NDArray[np.floating]  #: expected on the whole sky in the detection band


@dataclass
class _Field:
    """Input and results of all fits of a field. All arrays except `background` have the shape (candidate,)."""

    candidates: Candidates
    index: EventIndex
    templates: Templates
    stamps: Stamps
    exposure: FloatArray  #: s
    level: FloatArray  #: background, counts / arcmin^2
    background: Float32Array  #: expected counts of all but the source, for each entry of `stamps`
    box_like: FloatArray
    fit: Fit  #: the chosen fit of each candidate
    det_like: FloatArray  #: 0 if the candidate wasn't fitted
    ext_like: FloatArray


@dataclass(frozen=True)
class _Detections(Rows):
    """Detections, each array (detection,). `ra` is relative to `EventIndex.ra_zero`, in deg."""

    stamp: IntArray
    ra: FloatArray
    dec: FloatArray
    det_like: FloatArray
    ext_like: FloatArray  #: 0 for a point source
    extent: FloatArray  #: core radius, arcsec, 0 for a point source
    counts: FloatArray  #: counts of the source on the whole sky


def detect(
    events: Columns, candidates: Candidates, exposure_s: Exposure, psf: RadialProfile, parameters: Detection, seed: int
) -> tuple[Columns, Columns]:
    """Return the columns of two tables: detections near the candidates, and the photons that belong to the detections.

    At each candidate, a point source and beta models (beta = 2/3) are fitted to the counts n_i in the pixels i within
    the cut radius. The fits minimise the C statistic (Cash 1979) of the model m = background + neighbours + source:

        C = 2 sum_i (m_i - n_i ln m_i),
        DET_LIKE = -ln Q(nu / 2, (C_none - C_best) / 2),  nu = 3 (point) or 4 (extended),
        EXT_LIKE = -ln Q(ext_dof / 2, (C_point - C_extended) / 2),

    where Q is the upper regularised incomplete gamma function. The background is estimated from the counts around the
    candidate. The first pass fits haloes. The second pass fits AGN. It also repeats the fit of each halo that lies near
    a more likely extended detection. In the second pass, the model includes the extended detections that are more
    likely than the candidate. Differences from eSASS:

    - Fits start at the true positions, displaced at random by start_scatter_arcsec. Sources are not searched elsewhere.
      Every detection therefore lies near a candidate. Fluctuations of the background elsewhere are not detected.
    - AGN with more than component_counts_min expected counts are in the model of every candidate near them, at their
      true positions and with the true numbers of their photons. In the second pass, extended detections are also in the
      model. This replaces the simultaneous fit of neighbours in ermldet, and is more accurate.
    - How eSASS searches over extents and splits sources is not emulated. Instead, ext_dof, which is nominally the one
      parameter that an extended model adds, can be set to change how many clusters are selected.

    `events` holds ra and dec (float64, deg), pi_ev (float32, eV) and src_id (int32; halo > 0, AGN < 0, background 0).
    Their shape is (event,). The candidates are haloes and AGN. A candidate is fitted if it has exposure, at least
    FEWEST_COUNTS expected counts, and a `box_likelihood` of at least box_like_min. AGN that are better fitted as
    extended sources become spurious clusters. `exposure_s` gives the vignetting-corrected exposure in s at (ra, dec) in
    deg. `psf` gives the surface brightness of a source in arcsec^-2 at a radius in arcsec; its integral over the sky is
    1. `parameters` is the config block `detection`. `seed` determines the random displacements. InputError if the cut
    radius exceeds the images to be fitted (`stamp_pixels`) or the PSF is not normalised.

    The columns of the detections have the shape (detection,). They are ID_SRC (int32, from 1, in order of decreasing
    DET_LIKE), RA and DEC (float64, deg), and the float32 columns DET_LIKE, EXT_LIKE, EXT (arcsec), ML_RATE (counts/s),
    ML_CTS, ML_EXP (s) and ML_BKG (counts/arcmin^2). A source is extended if EXT_LIKE is at least ext_like_floor and the
    DET_LIKE of its fit as a point source is at least extent_point_like_min. All others are point sources with EXT =
    EXT_LIKE = 0. FITTED (float64) holds the fitted counts inside the cut radius. RA_SHIFTED (float64, deg) is RA minus
    RA_ZERO. RA_ZERO has the same value in all rows.

    In a pixel, s counts are expected from a detection and b counts from everything else. A photon in this pixel belongs
    to the detection with the probability s / (s + b). The sum of this probability over all photons is FITTED. The
    columns of the photons have the shape (photon,): ID_SRC (int32) is the number of the detection, EVENT (int32) is the
    photon's row in `events`, and SHARE (float64) is the probability s / (s + b). Photons outside the cut radius of all
    detections have no row.
    """
    templates = build_templates(psf, parameters)
    field = _prepare(events, _worth_fitting(candidates, exposure_s), exposure_s, templates, parameters, seed)
    _fit_all(field, parameters)
    detections = _detections(field, parameters["det_like_floor"])
    single = detections[most_likely(detections.ra, detections.dec, detections.extent > 0.0, parameters)]
    LOGGER.info("%d detections; %d dropped near a more likely one", len(detections), len(detections) - len(single))
    extended = np.count_nonzero(single.extent > 0.0)
    LOGGER.info("%d extended detections, %d point-like", extended, len(single) - extended)
    share = _shares(field)
    return _catalogue(field, single, share), _photons(field, single, share)


def _worth_fitting(candidates: Candidates, exposure_s: Exposure) -> Candidates:
    """Return the candidates with exposure and enough expected counts, and log the number of the other candidates."""
    bright = candidates.expected_counts >= FEWEST_COUNTS
    used = bright.copy()
    used[bright] = exposure_s(candidates.ra[bright], candidates.dec[bright]) > 0.0
    LOGGER.info(
        "%d of %d candidates fitted; left out: %d with fewer than %g expected counts, %d without exposure",
        np.count_nonzero(used), len(used), np.count_nonzero(~bright), FEWEST_COUNTS, np.count_nonzero(bright & ~used),
    )  # fmt: skip
    return candidates[used]


def _prepare(
    events: Columns,
    candidates: Candidates,
    exposure_s: Exposure,
    templates: Templates,
    parameters: Detection,
    seed: int,
) -> _Field:
    """Return a field that is ready for fits, with the stamp, background and box likelihood of each candidate."""
    angle = np.radians(candidates.ra)
    ra_zero = float(np.degrees(np.arctan2(np.sin(angle).sum(), np.cos(angle).sum())))
    index = index_events(events, ra_zero, parameters["e_min_ev"], parameters["e_max_ev"])
    rng = np.random.default_rng([seed, crc32(b"detection")])
    scatter = rng.normal(scale=parameters["start_scatter_arcsec"], size=(2, len(angle)))
    dec = candidates.dec + scatter[1] / 3600.0
    ra = relative_ra(candidates.ra, ra_zero) + scatter[0] / 3600.0 / np.cos(np.radians(dec))
    stamps = build_stamps(index, ra, dec, templates)
    exposure = np.asarray(exposure_s(candidates.ra, candidates.dec), dtype=float)
    rate = estimate_background(index, ra, dec, exposure_s, parameters)
    level = np.maximum(rate * exposure, LOWEST_BACKGROUND)
    per_pixel = level * (templates.pixel_arcsec / 60.0) ** 2
    flat = per_pixel.astype(np.float32)[stamps.owner]
    box_like, det_like, ext_like = np.zeros((3, len(level)))
    fit = Fit.empty(len(level))
    field = _Field(candidates, index, templates, stamps, exposure, level, flat, box_like, fit, det_like, ext_like)
    agn = _agn_background(field, parameters)
    field.background = flat + agn
    field.box_like = box_likelihood(stamps, per_pixel, agn, templates, parameters)
    return field


def _agn_background(field: _Field, parameters: Detection) -> Float32Array:
    """Return the counts that bright AGN are expected to add to each entry of other candidates' stamps, (entry,).

    The entries of `_Field.stamps` are the pixels with counts.
    """
    candidates, stamps = field.candidates, field.stamps
    bright = np.flatnonzero((candidates.src_id < 0) & (candidates.expected_counts > parameters["component_counts_min"]))
    counts = photons_of(field.index, candidates.src_id[bright]).astype(np.float64)
    ra = relative_ra(candidates.ra[bright], field.index.ra_zero)
    dec, reach = candidates.dec[bright], parameters["cut_radius_arcsec"] + REACH_ARCSEC
    stamp, agn = neighbours(stamps.ra, stamps.dec, ra, dec, reach)
    other = stamp != bright[agn]
    stamp, agn = stamp[other], agn[other]
    point = np.zeros(len(agn), np.int64)
    return source_counts(stamps, field.templates, stamp, ra[agn], dec[agn], point, counts[agn])


def _fit_all(field: _Field, parameters: Detection) -> None:
    """Fit all candidates in two passes, and write the results to `field`.

    The first pass fits haloes. The second pass fits AGN. It also repeats the fit of each halo that lies near an
    extended detection with a larger DET_LIKE. In the second pass, the background includes such extended detections.
    """
    stamps, det_like, floor = field.stamps, field.det_like, parameters["det_like_floor"]
    halo, in_box = field.candidates.src_id > 0, field.box_like >= parameters["box_like_min"]
    _fit(field, np.flatnonzero(in_box & halo), parameters)
    extended = np.flatnonzero((field.ext_like > 0.0) & (det_like >= floor))
    ra, dec = _positions(field, extended)
    stamp, near = neighbours(stamps.ra, stamps.dec, ra, dec, parameters["cut_radius_arcsec"] + REACH_ARCSEC)
    below = (stamp != extended[near]) & (det_like[stamp] < det_like[extended[near]])
    stamp, near = stamp[below], near[below]
    fit = field.fit[extended[near]]
    field.background += source_counts(stamps, field.templates, stamp, ra[near], dec[near], fit.model, fit.counts)
    again = np.zeros(len(det_like), dtype=bool)
    again[stamp] = det_like[stamp] >= floor  # more background cannot make a detection
    _fit(field, np.flatnonzero(again | (in_box & ~halo)), parameters)


def _fit(field: _Field, selected: IntArray, parameters: Detection) -> None:
    """Fit the selected candidates, and choose a point source or an extended source for each of them."""
    point, extended = fit_stamps(field.stamps, field.background, selected, field.templates, parameters)
    ext_like = negative_log_q(parameters["ext_dof"], extended.delta_c - point.delta_c)
    point_like = negative_log_q(POINT_DOF, point.delta_c)
    is_extended = (ext_like >= parameters["ext_like_floor"]) & (point_like >= parameters["extent_point_like_min"])
    field.ext_like[selected] = np.where(is_extended, ext_like, 0.0)
    field.det_like[selected] = np.where(is_extended, negative_log_q(EXTENDED_DOF, extended.delta_c), point_like)
    rows = np.flatnonzero(is_extended)
    field.fit[selected] = point
    field.fit[selected[rows]] = extended[rows]


def _positions(field: _Field, rows: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return the fitted right ascension and declination of the candidates in `rows`, in deg.

    The right ascension is relative to `EventIndex.ra_zero`.
    """
    ra, dec = field.stamps.ra[rows], field.stamps.dec[rows]
    fitted_dec = dec + field.fit.y[rows] / 3600.0
    cosine = np.cos(np.radians(0.5 * (dec + fitted_dec)))
    return ra - field.fit.x[rows] / 3600.0 / cosine, fitted_dec


def _detections(field: _Field, floor: float) -> _Detections:
    """Return candidates with a DET_LIKE >= `floor`, sorted by decreasing DET_LIKE, then by declination and RA."""
    rows = np.flatnonzero(field.det_like >= floor)
    ra, dec = _positions(field, rows)
    fit, det_like, ext_like = field.fit[rows], field.det_like[rows], field.ext_like[rows]
    extent = np.where(ext_like > 0.0, fit.extent, 0.0)
    return _Detections(rows, ra, dec, det_like, ext_like, extent, fit.counts)[np.lexsort((ra, dec, -det_like))]


def _shares(field: _Field) -> FloatArray:
    """Return the probability that a photon in each entry of the stamps belongs to the fitted source, (entry,)."""
    fit, stamps, templates = field.fit, field.stamps, field.templates
    x, y, counts = (values.astype(np.float32)[stamps.owner] for values in (fit.x, fit.y, fit.counts))
    radius = np.hypot(templates.x[stamps.pixel] - x, templates.y[stamps.pixel] - y)
    source = (counts * templates.value(fit.model[stamps.owner], radius)).astype(np.float64)
    return np.asarray(source / (source + field.background))


def _photons(field: _Field, detections: _Detections, share: FloatArray) -> Columns:
    """Return the columns of the photons in the stamps of detections. A stamp belongs to at most one detection."""
    stamps = field.stamps
    number = np.zeros(len(stamps.ra), dtype=np.int32)
    number[detections.stamp] = np.arange(1, len(detections.stamp) + 1)
    id_src = number[stamps.owner[stamps.photon_entry]]
    used = np.flatnonzero(id_src)
    event, share = field.index.row[stamps.photon_event[used]], share[stamps.photon_entry[used]]
    return {"ID_SRC": id_src[used], "EVENT": event.astype(np.int32), "SHARE": share}


def _catalogue(field: _Field, detections: _Detections, share: FloatArray) -> Columns:
    """Return the columns of the table of detections. `share` is the result of `_shares`."""
    exposure, stamps = field.exposure[detections.stamp], field.stamps
    number, zero = np.arange(1, len(exposure) + 1, dtype=np.int32), field.index.ra_zero
    fitted = np.bincount(stamps.owner, share * stamps.counts, len(stamps.ra)).astype(np.float64)[detections.stamp]
    measured = {
        "DET_LIKE": detections.det_like, "EXT_LIKE": detections.ext_like, "EXT": detections.extent,
        "ML_RATE": detections.counts / exposure, "ML_CTS": detections.counts,
        "ML_EXP": exposure, "ML_BKG": field.level[detections.stamp],
    }  # fmt: skip
    columns = {name: values.astype(np.float32) for name, values in measured.items()}
    shifted = {"FITTED": fitted, "RA_SHIFTED": detections.ra, "RA_ZERO": np.full(len(number), zero)}
    return {"ID_SRC": number, "RA": (detections.ra + zero) % 360.0, "DEC": detections.dec, **columns, **shifted}
