"""What the fits of a field share: candidates worth fitting, their stamps, and the background model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from clustermass.detect.background import Exposure, box_likelihood, estimate_background
from clustermass.detect.beta_models import Templates
from clustermass.detect.stamps import EventIndex, Stamps, build_stamps, index_events, offsets, ranges, relative_ra
from clustermass.images.geometry import unit_vectors
from clustermass.io.log import LOGGER

FEWEST_COUNTS = 5.0  # expected from a candidate; fewer reach the DET_LIKE floor only by the luck of a few photons
LOWEST_BACKGROUND = 0.01  # counts / arcmin^2, so that one photon on an empty background has a finite likelihood


@dataclass(frozen=True)
class Candidates:
    """Positions at which a source may be found, each array of shape (candidate,).

    Attributes
    ----------
    ra, dec : float64
        True position [deg].
    src_id : int64
        Number of the halo (> 0) or of the AGN (< 0), as in the events' src_id.
    expected_counts : float64
        Expected counts in the detection band on the whole sky.
    """

    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    src_id: NDArray[np.integer]
    expected_counts: NDArray[np.floating]

    def take(self, rows: NDArray[Any]) -> "Candidates":
        """Return the candidates of `rows` (numbers or mask)."""
        return Candidates(self.ra[rows], self.dec[rows], self.src_id[rows], self.expected_counts[rows])


@dataclass
class DetectionField:
    """Everything about a field that the fits share; arrays by candidate, `background` by entry of `stamps`."""

    candidates: Candidates
    index: EventIndex
    templates: Templates
    stamps: Stamps
    exposure: NDArray[np.float64]
    level: NDArray[np.float64]
    background: NDArray[np.float32]
    box_like: NDArray[np.float64]


def prepare(
    events: Mapping[str, NDArray[Any]],
    candidates: Candidates,
    exposure: NDArray[np.float64],
    exposure_s: Exposure,
    templates: Templates,
    parameters: Mapping[str, Any],
    seed: int | Sequence[int],
) -> DetectionField:
    """Cut out the stamps and model their background."""
    angle = np.radians(candidates.ra)
    ra_zero = float(np.degrees(np.arctan2(np.sin(angle).sum(), np.cos(angle).sum())))
    index = index_events(events, ra_zero, parameters["e_min_ev"], parameters["e_max_ev"])
    rng = np.random.default_rng([*np.atleast_1d(seed).tolist(), crc32(b"detection")])
    scatter = rng.normal(scale=parameters["start_scatter_arcsec"], size=(2, len(angle)))
    dec = candidates.dec + scatter[1] / 3600.0
    ra = relative_ra(candidates.ra, ra_zero) + scatter[0] / 3600.0 / np.cos(np.radians(dec))
    stamps = build_stamps(index, ra, dec, templates)
    rate = estimate_background(index, ra, dec, exposure_s, parameters)
    level = np.maximum(rate * exposure, LOWEST_BACKGROUND)
    per_pixel = level * (templates.pixel_arcsec / 60.0) ** 2
    flat = per_pixel.astype(np.float32)[stamps.owner]
    field = DetectionField(candidates, index, templates, stamps, exposure, level, flat, np.zeros(len(level)))
    agn = _agn_background(field, parameters)
    field.background = flat + agn
    field.box_like = box_likelihood(stamps, per_pixel, agn, templates, parameters)
    return field


def worth_fitting(candidates: Candidates, exposure_s: Exposure) -> tuple[Candidates, NDArray[np.float64]]:
    """Drop, and log, candidates without exposure or with too few counts; return the others and their exposure."""
    bright = candidates.expected_counts >= FEWEST_COUNTS
    exposure = np.zeros(len(bright))
    exposure[bright] = exposure_s(candidates.ra[bright], candidates.dec[bright])
    used = bright & (exposure > 0.0)
    LOGGER.info(
        "%d of %d candidates fitted; left out: %d with fewer than %g expected counts, %d without exposure",
        np.count_nonzero(used), len(used), np.count_nonzero(~bright), FEWEST_COUNTS, np.count_nonzero(bright & ~used),
    )  # fmt: skip
    return candidates.take(used), exposure[used]


def _agn_background(field: DetectionField, parameters: Mapping[str, Any]) -> NDArray[np.float32]:
    """Return the counts that bright AGN other than the candidate itself add to the entries of the stamps."""
    candidates, stamps = field.candidates, field.stamps
    bright = np.flatnonzero((candidates.src_id < 0) & (candidates.expected_counts > parameters["component_counts_min"]))
    counts = photons_of(field.index, candidates.src_id[bright]).astype(np.float64)
    ra = relative_ra(candidates.ra[bright], field.index.ra_zero)
    agn = Components(ra, candidates.dec[bright], np.zeros(len(bright), np.int64), counts)
    stamp, component = neighbours(
        stamps.ra, stamps.dec, agn.ra, agn.dec, parameters["cut_radius_arcsec"] + REACH_ARCSEC
    )
    other = stamp != bright[component]
    return component_background(stamps, field.templates, agn, (stamp[other], component[other]))


def photons_of(index: EventIndex, src_id: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return how many photons of the detection band each source sent."""
    label, photons = np.unique(index.src_id, return_counts=True)
    place = np.minimum(np.searchsorted(label, src_id), max(len(label) - 1, 0))
    return np.where(label[place] == src_id, photons[place], 0) if len(label) else np.zeros(len(src_id), np.int64)


REACH_ARCSEC = 120.0  # beyond the cut radius; farther sources are left to the local background


@dataclass(frozen=True)
class Components:
    """Sources of known position, shape and counts, each array of shape (component,).

    Attributes
    ----------
    ra, dec : float64
        Right ascension, relative to the event index's zero, and declination [deg].
    model : int64
        Number of the model in `Templates`.
    counts : float64
        Counts on the whole sky.
    """

    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    model: NDArray[np.int64]
    counts: NDArray[np.float64]


def neighbours(
    ra: NDArray[np.float64],
    dec: NDArray[np.float64],
    other_ra: NDArray[np.float64],
    other_dec: NDArray[np.float64],
    radius_arcsec: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return all pairs (i, j) of a position i and another position j within a radius; positions in deg."""
    if len(ra) == 0 or len(other_ra) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    chord = 2.0 * np.sin(np.radians(radius_arcsec / 3600.0) / 2.0)
    found = KDTree(unit_vectors(ra, dec)).query_ball_tree(KDTree(unit_vectors(other_ra, other_dec)), chord)
    first = np.repeat(np.arange(len(ra)), [len(near) for near in found])
    return first, np.fromiter((j for near in found for j in sorted(near)), np.int64, len(first))


def component_background(
    stamps: Stamps,
    templates: Templates,
    components: Components,
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> NDArray[np.float32]:
    """Return the expected counts that components add to each entry of `stamps`, shape (entry,).

    Parameters
    ----------
    stamps : Stamps
        The stamps.
    templates : Templates
        Shapes of the sources.
    components : Components
        The sources.
    pairs : (int64, int64), each of shape (pair,)
        Stamp and component for every component that a stamp's model holds.
    """
    stamp, component = pairs
    x, y = offsets(components.ra[component], components.dec[component], stamps.ra[stamp], stamps.dec[stamp])
    pair, entry = ranges(stamps.first[stamp], stamps.first[stamp + 1])
    pixel = stamps.pixel[entry]
    radius = np.hypot(templates.x[pixel] - x.astype(np.float32)[pair], templates.y[pixel] - y.astype(np.float32)[pair])
    counts = templates.value(components.model[component][pair], radius) * components.counts[component][pair]
    return np.bincount(entry, weights=counts, minlength=len(stamps.pixel)).astype(np.float32)
