"""Source detection in a simulated field, a vectorised stand-in for eSASS ermldet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustermass.detect.background import Exposure
from clustermass.detect.beta_models import RadialProfile, build_templates
from clustermass.detect.candidates import (
    REACH_ARCSEC,
    Candidates,
    Components,
    DetectionField,
    component_background,
    neighbours,
    photons_of,
    prepare,
    worth_fitting,
)
from clustermass.detect.match import Detections, Owners, by_likelihood, owners, unique_positions
from clustermass.detect.maximum_likelihood import EXTENDED_DOF, POINT_DOF, Fit, fit_stamps, negative_log_q
from clustermass.detect.stamps import offsets, relative_ra
from clustermass.io.log import LOGGER

__all__ = ["Candidates", "detect"]

Columns = dict[str, NDArray[Any]]


@dataclass
class _Results:
    """Chosen fit and likelihoods of each candidate; det_like is 0 where nothing was fitted."""

    fit: Fit
    det_like: NDArray[np.float64]
    ext_like: NDArray[np.float64]


def detect(
    events: Mapping[str, NDArray[Any]],
    candidates: Candidates,
    exposure_s: Exposure,
    psf: RadialProfile,
    parameters: Mapping[str, Any],
    seed: int | Sequence[int],
) -> tuple[Columns, Columns]:
    """Detect sources near the candidates and match the detections to the haloes whose photons they are made of.

    At each candidate a point source and beta models (beta = 2/3) are fitted, by the C statistic, to the counts of ALL
    photons in pixels within the cut radius. DET_LIKE = -ln Q(nu/2, dC/2) with nu = 3 (point) or 4 (extended) against
    no source, EXT_LIKE the same with nu = ext_dof against the best point source. The background is estimated from
    the counts around. Where this departs from eSASS:

    - fits start at true positions (displaced by start_scatter_arcsec): there is no box detection, hence no source
      made of background alone, and nothing is found that is no candidate;
    - AGN brighter than component_counts_min are part of every stamp's model at their true position and with the
      number of photons that they really sent; extended detections of haloes are part of the model of all less likely
      candidates. Both stand for ermldet's simultaneous fit of neighbours, and are better than it;
    - eSASS's search over extents and splitting of sources are not emulated: ext_dof, nominally the one parameter that
      an extended model adds, is also the knob that sets how many clusters are selected.

    Parameters
    ----------
    events : mapping
        ra, dec (float64 deg), pi_ev (float32 eV), src_id (int32; halo > 0, AGN < 0, background 0), shape (event,).
    candidates : Candidates
        Haloes and AGN; fitted are those with at least FEWEST_COUNTS expected counts. AGN that fit better as extended
        sources become spurious clusters.
    exposure_s : callable
        Vignetting-corrected exposure [s] at (ra, dec) [deg]; candidates without exposure are dropped.
    psf : callable
        Surface brightness [arcsec^-2] at a radius [arcsec], normalised to 1 over the sky.
    parameters : mapping
        The `skies.*.detection` block of the configuration.
    seed : int or sequence of int
        Seed of the starting positions.

    Returns
    -------
    catalogue : dict of arrays, shape (detection,)
        ID_SRC (int32, from 1, by decreasing DET_LIKE), RA, DEC (float64 deg), DET_LIKE, EXT_LIKE, EXT (arcsec),
        ML_RATE (counts/s), ML_CTS, ML_EXP (s), ML_BKG (counts/arcmin^2), float32. Sources with EXT_LIKE below
        ext_like_floor are point sources with EXT = EXT_LIKE = 0.
    matches : dict of arrays, shape (match,)
        ID_SRC, SRC_ID (int32), SEPARATION (arcsec), PURITY (float32): one row a halo at most. A detection that AGN
        or background account for, or with more fitted counts inside the cut radius than match_counts_factor x
        (photons of the halo) + match_counts_offset, has none.

    Raises
    ------
    InputError
        If the cut radius does not fit into the stamps or the PSF is not normalised.
    """
    fitted, exposure = worth_fitting(candidates, exposure_s)
    field = prepare(events, fitted, exposure, exposure_s, build_templates(psf, parameters), parameters, seed)
    results = _fit_all(field, parameters)
    detections = _detections(field, results, parameters["det_like_floor"])
    single = detections.take(unique_positions(detections, parameters))
    owner = owners(single, field.stamps, field.index, results.fit, field.background, field.templates)
    halo, kept = _matched_halo(field, candidates.src_id, owner, parameters)
    LOGGER.info(
        "%d detections; %d dropped near a more likely one, %d as parts of a halo found already",
        len(detections.ra), len(detections.ra) - len(single.ra), np.count_nonzero(~kept),
    )  # fmt: skip
    single, halo, owner = single.take(kept), halo[kept], owner.take(kept)
    _log_kinds(single.extent > 0.0, halo >= 0)
    return _catalogue(field, single), _matches(field, candidates, single, halo, owner.purity)


def _fit_all(field: DetectionField, parameters: Mapping[str, Any]) -> _Results:
    """Fit haloes, then AGN and haloes beside more likely extended ones with those as part of the model."""
    size = len(field.candidates.ra)
    results = _Results(Fit.empty(size), np.zeros(size), np.zeros(size))
    halo, found = field.candidates.src_id > 0, field.box_like >= parameters["box_like_min"]
    _fit(field, np.flatnonzero(found & halo), results, parameters)
    extended = np.flatnonzero((results.ext_like > 0.0) & (results.det_like >= parameters["det_like_floor"]))
    positions = _positions(field, results, extended)
    stamps, fit = field.stamps, results.fit
    clusters = Components(*positions, fit.model[extended], fit.counts[extended])
    stamp, component = neighbours(stamps.ra, stamps.dec, *positions, parameters["cut_radius_arcsec"] + REACH_ARCSEC)
    below = (stamp != extended[component]) & (results.det_like[stamp] < results.det_like[extended[component]])
    stamp, component = stamp[below], component[below]
    field.background += component_background(stamps, field.templates, clusters, (stamp, component))
    again = np.zeros(size, dtype=bool)
    again[stamp] = results.det_like[stamp] >= parameters["det_like_floor"]  # more background cannot make a detection
    _fit(field, np.flatnonzero(again | (found & ~halo)), results, parameters)
    return results


def _fit(field: DetectionField, selected: NDArray[np.int64], results: _Results, parameters: Mapping[str, Any]) -> None:
    """Fit the selected candidates and choose between point source and extended source."""
    point, extended = fit_stamps(field.stamps, field.background, selected, field.templates, parameters)
    ext_like = negative_log_q(parameters["ext_dof"], extended.delta_c - point.delta_c)
    point_like = negative_log_q(POINT_DOF, point.delta_c)
    is_extended = (ext_like >= parameters["ext_like_floor"]) & (point_like >= parameters["extent_point_like_min"])
    results.ext_like[selected] = np.where(is_extended, ext_like, 0.0)
    results.det_like[selected] = np.where(is_extended, negative_log_q(EXTENDED_DOF, extended.delta_c), point_like)
    rows = np.flatnonzero(is_extended)
    results.fit.put(selected, point)
    results.fit.put(selected[rows], extended.take(rows))


def _positions(
    field: DetectionField, results: _Results, rows: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the fitted positions (relative right ascension, declination, deg) of candidates."""
    ra, dec = field.stamps.ra[rows], field.stamps.dec[rows]
    fitted_dec = dec + results.fit.y[rows] / 3600.0
    cosine = np.cos(np.radians(0.5 * (dec + fitted_dec)))
    return ra - results.fit.x[rows] / 3600.0 / cosine, fitted_dec


def _detections(field: DetectionField, results: _Results, floor: float) -> Detections:
    """Return the candidates above the DET_LIKE floor, the most likely first."""
    rows = np.flatnonzero(results.det_like >= floor)
    ra, dec = _positions(field, results, rows)
    fit, ext_like = results.fit.take(rows), results.ext_like[rows]
    extent = np.where(ext_like > 0.0, fit.extent, 0.0)
    return by_likelihood(Detections(rows, ra, dec, results.det_like[rows], ext_like, extent, fit.counts))


def _matched_halo(
    field: DetectionField, src_id: NDArray[np.integer], owner: Owners, parameters: Mapping[str, Any]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the place in `src_id` of each detection's halo (-1: none) and which detections stay.

    Less likely detections of a halo that is found already are parts of it and go.
    """
    halo = np.full(len(owner.src_id), -1, dtype=np.int64)
    order = np.argsort(src_id, kind="stable")
    limit = (
        parameters["match_counts_factor"] * photons_of(field.index, owner.src_id) + parameters["match_counts_offset"]
    )
    good = np.flatnonzero((owner.src_id > 0) & (owner.fitted <= limit) & np.isin(owner.src_id, src_id))
    halo[good] = order[np.searchsorted(src_id[order], owner.src_id[good])]
    best = np.zeros(len(halo), dtype=bool)
    best[np.unique(halo, return_index=True)[1]] = True  # the first is the most likely
    return halo, best | (halo < 0)


def _log_kinds(extended: NDArray[np.bool_], matched: NDArray[np.bool_]) -> None:
    """Log how many detections there are of each kind."""
    numbers = [np.count_nonzero(kind) for kind in (extended, extended & matched, ~extended, ~extended & matched)]
    LOGGER.info(
        "catalogue: %d extended (%d of them a halo, the others spurious), %d point-like (%d of them a halo)", *numbers
    )


def _catalogue(field: DetectionField, detections: Detections) -> Columns:
    """Return the columns of the catalogue."""
    exposure = field.exposure[detections.stamp]
    columns: Columns = {
        "ID_SRC": np.arange(1, len(detections.ra) + 1, dtype=np.int32),
        "RA": (detections.ra + field.index.ra_zero) % 360.0,
        "DEC": detections.dec,
    }
    likelihoods = {"DET_LIKE": detections.det_like, "EXT_LIKE": detections.ext_like, "EXT": detections.extent}
    counts = {"ML_RATE": detections.counts / exposure, "ML_CTS": detections.counts}
    around = {"ML_EXP": exposure, "ML_BKG": field.level[detections.stamp]}
    return columns | {name: values.astype(np.float32) for name, values in (likelihoods | counts | around).items()}


def _matches(
    field: DetectionField,
    candidates: Candidates,
    detections: Detections,
    halo: NDArray[np.int64],
    purity: NDArray[np.float64],
) -> Columns:
    """Return the columns of the matches; `halo` is each detection's place in `candidates`, -1 for none."""
    rows = np.flatnonzero(halo >= 0)
    true = candidates.take(halo[rows])
    x, y = offsets(detections.ra[rows], detections.dec[rows], relative_ra(true.ra, field.index.ra_zero), true.dec)
    return {
        "ID_SRC": (rows + 1).astype(np.int32),
        "SRC_ID": true.src_id.astype(np.int32),
        "SEPARATION": np.hypot(x, y).astype(np.float32),
        "PURITY": purity[rows].astype(np.float32),
    }
