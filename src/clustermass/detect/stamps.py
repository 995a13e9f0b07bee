"""Counts around many positions at once, from a sorted event list and without a full image."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from clustermass.arrays import Float32Array, FloatArray, IdArray, IntArray, Rows, unit_vectors
from clustermass.detect.beta_models import Templates

STRIP_DEG = 40.0 / 3600.0  # height of the declination strips by which events are sorted
BLOCK = 8000  # positions at a time, for half a million photons
REACH_ARCSEC = 120.0  # beyond the cut radius; farther sources are left to the local background
STRIP_KEY = 720.0  # separates the strips in the sort key; above the 360 degrees that right ascension can span


@dataclass(frozen=True)
class EventIndex:
    """Events sorted by strip of declination and right ascension.

    Attributes
    ----------
    ra_zero : float
        Right ascension that `ra` counts from [deg].
    dec_zero : float
        Declination of the lower edge of the first strip [deg].
    key : float64, shape (event,)
        strip number * STRIP_KEY + ra, increasing.
    ra, dec : float64, shape (event,)
        Right ascension relative to ra_zero in (-180, 180] and declination [deg].
    src_id : int32, shape (event,)
        Source of each photon.
    """

    ra_zero: float
    dec_zero: float
    key: FloatArray
    ra: FloatArray
    dec: FloatArray
    src_id: IdArray


@dataclass(frozen=True)
class Stamps:
    """Count images around positions, as lists of the pixels that hold counts.

    Attributes
    ----------
    ra, dec : float64, shape (stamp,)
        Centres; right ascension relative to the index's ra_zero [deg].
    first : int64, shape (stamp + 1,)
        Entries first[i] to first[i + 1] belong to stamp i.
    owner, pixel : int32, shape (entry,)
        Stamp, and pixel number in `Templates.x`.
    counts : float32, shape (entry,)
        Counts > 0.
    photon_entry, photon_event : int64, shape (photon,)
        Entry of each photon in a stamp, and its place in the event index.
    """

    ra: FloatArray
    dec: FloatArray
    first: IntArray
    owner: IdArray
    pixel: IdArray
    counts: Float32Array
    photon_entry: IntArray
    photon_event: IntArray


def relative_ra(ra: FloatArray, ra_zero: float) -> FloatArray:
    """Return `ra` - `ra_zero` in [-180, 180) degrees."""
    relative = ra - ra_zero
    return relative - 360.0 * np.floor((relative + 180.0) / 360.0)


def offsets(
    ra: FloatArray, dec: FloatArray, ra_centre: FloatArray, dec_centre: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the offsets to the West and to the North [arcsec] of positions from centres [deg], a few arcmin apart."""
    cosine = np.cos(np.radians(0.5 * (dec + dec_centre)))
    return (ra_centre - ra) * cosine * 3600.0, (dec - dec_centre) * 3600.0


def index_events(events: Mapping[str, NDArray], ra_zero: float, e_min_ev: float, e_max_ev: float) -> EventIndex:
    """Sort the events between two energies [eV, both included] for quick searches around positions.

    Parameters
    ----------
    events : mapping
        ra, dec (float64 deg), pi_ev (eV), src_id (int32), each of shape (event,).
    ra_zero : float
        Right ascension [deg] opposite to which the sky is cut.
    """
    used = np.flatnonzero((events["pi_ev"] >= e_min_ev) & (events["pi_ev"] <= e_max_ev))
    ra, dec = relative_ra(events["ra"][used], ra_zero), events["dec"][used]
    dec_zero = float(dec.min()) if len(dec) else 0.0
    key = np.floor((dec - dec_zero) / STRIP_DEG) * STRIP_KEY + ra
    order = np.argsort(key, kind="stable")
    key, ra, dec = key[order], ra[order], dec[order]  # rebound one by one: 4e6 events take 32 MB a column
    return EventIndex(ra_zero, dec_zero, key, ra, dec, events["src_id"][used[order]])


def ranges(first: NDArray[np.integer], last: NDArray[np.integer]) -> tuple[IntArray, IntArray]:
    """Return (i, j) for all j in first[i] <= j < last[i], one after the other."""
    length = np.maximum(last - first, 0)
    owner = np.repeat(np.arange(len(first), dtype=np.int64), length)
    before = np.cumsum(length) - length
    return owner, np.arange(length.sum(), dtype=np.int64) + (first - before)[owner]


def events_in_boxes(
    index: EventIndex, ra: FloatArray, dec: FloatArray, half_arcsec: float
) -> tuple[IntArray, IntArray]:
    """Find the events in boxes around positions (relative right ascension, declination, deg).

    Returns
    -------
    box, event : int64, shape (pair,)
        Number of the position and place of the event in `index`. The boxes are a little larger than +-`half_arcsec`.
    """
    half = half_arcsec / 3600.0
    width = half / np.cos(np.radians(np.minimum(np.abs(dec) + half, 89.0)))
    lowest = np.floor((dec - half - index.dec_zero) / STRIP_DEG)
    first, last = [], []
    for step in range(int(np.ceil(2.0 * half / STRIP_DEG)) + 1):
        base = (lowest + step) * STRIP_KEY + ra
        first.append(np.searchsorted(index.key, base - width))
        last.append(np.searchsorted(index.key, base + width, side="right"))
    box, event = ranges(np.stack(first, axis=1).ravel(), np.stack(last, axis=1).ravel())
    return box // len(first), event


def build_stamps(index: EventIndex, ra: FloatArray, dec: FloatArray, templates: Templates) -> Stamps:
    """Count the photons around positions (relative right ascension and declination, deg) in the templates' pixels."""
    pixels = len(templates.x)
    codes, events = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for begin in range(0, len(ra), BLOCK):
        block = slice(begin, begin + BLOCK)
        owner, pixel, event = _photons_in_pixels(index, ra[block], dec[block], templates)
        codes.append((owner + begin) * pixels + pixel)
        events.append(event)
    code, entry, counts = np.unique(np.concatenate(codes), return_inverse=True, return_counts=True)
    first = np.searchsorted(code, np.arange(len(ra) + 1, dtype=np.int64) * pixels)
    return Stamps(
        ra, dec, first, (code // pixels).astype(np.int32), (code % pixels).astype(np.int32),
        counts.astype(np.float32), entry, np.concatenate(events),
    )  # fmt: skip


def _photons_in_pixels(
    index: EventIndex, ra: FloatArray, dec: FloatArray, templates: Templates
) -> tuple[IntArray, IdArray, IntArray]:
    """Return position, pixel and place in `index` of every photon inside the cut radius around positions."""
    size = len(templates.pixel_of)
    owner, event = events_in_boxes(index, ra, dec, templates.pixel_arcsec * size / 2)
    x, y = offsets(index.ra[event], index.dec[event], ra[owner], dec[owner])
    column = np.rint(x / templates.pixel_arcsec).astype(np.int64) + size // 2
    row = np.rint(y / templates.pixel_arcsec).astype(np.int64) + size // 2
    inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    pixel = np.where(inside, templates.pixel_of[row.clip(0, size - 1), column.clip(0, size - 1)], -1)
    used = pixel >= 0
    return owner[used], pixel[used], event[used]


def photons_of(index: EventIndex, src_id: NDArray[np.integer]) -> IntArray:
    """Return how many photons of the detection band each source sent."""
    label, photons = np.unique(index.src_id, return_counts=True)
    place = np.minimum(np.searchsorted(label, src_id), max(len(label) - 1, 0))
    return np.where(label[place] == src_id, photons[place], 0) if len(label) else np.zeros(len(src_id), np.int64)


@dataclass(frozen=True)
class Components(Rows):
    """Sources of given position, shape and counts, each array of shape (component,).

    Attributes
    ----------
    ra, dec : float64
        Right ascension, relative to the event index's zero, and declination [deg].
    model : int64
        Number of the model in `Templates`.
    counts : float64
        Counts on the whole sky.
    """

    ra: FloatArray
    dec: FloatArray
    model: IntArray
    counts: FloatArray


def neighbours(
    ra: FloatArray, dec: FloatArray, other_ra: FloatArray, other_dec: FloatArray, radius_arcsec: float
) -> tuple[IntArray, IntArray]:
    """Return all pairs (i, j) of a position i and another position j within a radius; positions in deg."""
    if len(ra) == 0 or len(other_ra) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    chord = 2.0 * np.sin(np.radians(radius_arcsec / 3600.0) / 2.0)
    near_each = _tree(ra, dec).query_ball_tree(_tree(other_ra, other_dec), chord)
    first = np.repeat(np.arange(len(ra)), [len(near) for near in near_each])
    return first, np.fromiter((j for near in near_each for j in sorted(near)), np.int64, len(first))


def _tree(ra: FloatArray, dec: FloatArray) -> KDTree:
    return KDTree(unit_vectors(ra, dec))


def component_background(
    stamps: Stamps, templates: Templates, components: Components, pairs: tuple[IntArray, IntArray]
) -> Float32Array:
    """Return the expected counts that components add to each entry of `stamps`, shape (entry,).

    `pairs` are the numbers of stamp and component, each of shape (pair,), for every component in a stamp's model.
    """
    stamp, component = pairs
    x, y = offsets(components.ra[component], components.dec[component], stamps.ra[stamp], stamps.dec[stamp])
    pair, entry = ranges(stamps.first[stamp], stamps.first[stamp + 1])
    pixel = stamps.pixel[entry]
    radius = np.hypot(templates.x[pixel] - x.astype(np.float32)[pair], templates.y[pixel] - y.astype(np.float32)[pair])
    counts = templates.value(components.model[component][pair], radius) * components.counts[component][pair]
    return np.bincount(entry, weights=counts, minlength=len(stamps.pixel)).astype(np.float32)
