"""Templates of point sources and beta models, convolved with the PSF, and count images around many positions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fftfreq, irfft2, rfft2, rfftfreq
from scipy.interpolate import CubicSpline
from scipy.ndimage import uniform_filter1d

from clustermass.arrays import Float32Array, FloatArray, IdArray, IntArray
from clustermass.errors import InputError

if TYPE_CHECKING:
    from clustermass.config.sky_models import Detection

#: surface brightness in arcsec^-2 at radii in arcsec
RadialProfile: TypeAlias = Callable[[FloatArray], FloatArray]

GRID_STEP = 2.0  # arcsec, of the grid on which PSF and beta model are convolved
GRID_SIZE = 512
TABLE_STEP = 0.1  # arcsec, of the tables that are looked up without interpolation
TABLE_RADIUS = 360.0  # arcsec; a larger radius is looked up as this one
STRIP_DEG = 40.0 / 3600.0  # height of the declination strips into which events are sorted
BLOCK = 8000  # positions at a time, for half a million photons
REACH_ARCSEC = 120.0  # sources this far beyond the cut radius are modelled; farther ones count as background
SECOND_ARCSEC = 32.0  # a source that hides beside another is searched for up to this distance
STRIP_KEY = 720.0  # separates the strips in the sort key; above the 360 degrees that right ascension can span


@dataclass(frozen=True, eq=False)
class Templates:
    """Radial profiles of the source models, and the positions of the pixels of a stamp."""

    core_radius: FloatArray  #: arcsec, (model,); 0 for the first model, the point source
    profile: Float32Array  #: counts in a pixel at the radius i * TABLE_STEP from a one-count source, (model, radius)
    inside: Float32Array  #: counts inside the cut radius, one-count source i * TABLE_STEP off centre, (model, shift)
    x: Float32Array  #: offset to the West of the pixels inside the cut radius, arcsec, (pixel,)
    y: Float32Array  #: offset to the North
    pixel_of: IdArray  #: number of the pixel at [row to the North, column to the West], -1 outside the cut radius
    pixel_arcsec: float

    @cached_property
    def slope(self) -> Float32Array:
        """The derivative of `profile` by the radius, per arcsec, (model, radius)."""
        return np.ascontiguousarray(np.gradient(self.profile, TABLE_STEP, axis=1), dtype=np.float32)

    @cached_property
    def inside_slope(self) -> FloatArray:
        """The derivative of `inside` by the shift, per arcsec, (model, shift). Noise due to pixels is smoothed out."""
        smooth = uniform_filter1d(self.inside.astype(np.float64), 41, axis=1, mode="nearest")
        return np.gradient(smooth, TABLE_STEP, axis=1)

    def value(self, model: NDArray[np.integer], radius: NDArray[np.floating]) -> Float32Array:
        """Return the expected counts in a pixel at `radius` arcsec from a source that has one count on the whole sky.

        `model` is the number of the source's model. The shapes of `model` and `radius` are broadcast.
        """
        width = self.profile.shape[1]
        index = np.minimum((radius * np.float32(1.0 / TABLE_STEP) + np.float32(0.5)).astype(np.int32), width - 1)
        return self.profile.ravel().take(index + np.asarray(model, dtype=np.int32) * np.int32(width))

    def sum_inside(self, model: NDArray[np.integer], shift: NDArray[np.floating]) -> Float32Array:
        """Return the counts that a source with one count on the whole sky is expected to have inside the cut radius.

        `model` is the number of the source's model. The source lies `shift` arcsec from the centre of its stamp.
        """
        index = np.minimum((shift / TABLE_STEP + 0.5).astype(np.int32), self.inside.shape[1] - 1)
        return self.inside[model, index]


def build_templates(psf: RadialProfile, parameters: Detection) -> Templates:
    """Return templates of the point source and of every extent in the config block `detection`.

    A template is an image of the source convolved with the PSF and with a pixel. Each source has one count over the
    whole sky. The surface brightness of an extended source with the core radius rc is proportional to
    [1 + (r / rc)^2]^(-3/2), which is a beta model with beta = 2/3 as in ermldet. InputError if the cut radius does not
    fit into the stamp or the PSF is not normalised.
    """
    pixel, size, cut = parameters["pixel_arcsec"], parameters["stamp_pixels"], parameters["cut_radius_arcsec"]
    if size % 2 == 0 or cut > pixel * size / 2:
        raise InputError(
            f"detection: cut_radius_arcsec = {cut} does not fit into a stamp of an odd number of pixels: stamp_pixels "
            f'= {size} of pixel_arcsec = {pixel}". Enlarge stamp_pixels.'
        )
    core = np.concatenate([[0.0], np.asarray(parameters["extents_arcsec"], dtype=np.float64)])
    profile = _profiles(psf, core, pixel)
    offset = (np.arange(size) - size // 2) * pixel
    y, x = np.meshgrid(offset, offset, indexing="ij")
    used = np.hypot(x, y) <= cut
    pixel_of = np.where(used, np.cumsum(used).reshape(used.shape) - 1, -1).astype(np.int32)
    tables = Templates(
        core, np.ascontiguousarray(profile * pixel**2, dtype=np.float32), np.zeros((len(core), 1), np.float32),
        x[used].astype(np.float32), y[used].astype(np.float32), pixel_of, pixel,
    )  # fmt: skip
    reach = SECOND_ARCSEC + np.sqrt(2.0) * (parameters["shift_arcsec"] + 2.0 * sum(parameters["refine_arcsec"]))
    shifts = np.arange(0.0, reach, TABLE_STEP, dtype=np.float32)
    radius = np.hypot(tables.x[None, :] - shifts[:, None], tables.y[None, :])
    inside = [tables.value(np.array(model), radius).sum(axis=1, dtype=np.float64) for model in range(len(core))]
    return replace(tables, inside=np.stack(inside).astype(np.float32))


def _profiles(psf: RadialProfile, core: FloatArray, pixel: float) -> FloatArray:
    """Return radial profiles of sources convolved with the PSF and a pixel, (model, radius), in arcsec^-2.

    The first model is the point source, and the others have the core radii `core` (arcsec). The radii of the profiles
    are multiples of TABLE_STEP.
    """
    offset = fftfreq(GRID_SIZE, 1.0 / (GRID_SIZE * GRID_STEP))
    radius = np.hypot(offset[:, None], offset[None, :])
    blurred = psf(radius) * GRID_STEP**2
    if not 0.9 < blurred.sum() < 1.05:
        raise InputError(f"detection: the PSF sums to {blurred.sum():.3f} within {-offset.min():.0f} arcsec, not to 1.")
    frequency_y, frequency_x = fftfreq(GRID_SIZE, GRID_STEP), rfftfreq(GRID_SIZE, GRID_STEP)
    transfer = rfft2(blurred) * np.sinc(frequency_y * pixel)[:, None] * np.sinc(frequency_x * pixel)[None, :]
    images = [irfft2(transfer, s=radius.shape) / GRID_STEP**2]
    for rc in core[1:]:
        beta = (1.0 + (radius / rc) ** 2) ** -1.5 / (2.0 * np.pi * rc**2)
        images.append(irfft2(rfft2(beta) * transfer, s=radius.shape))
    half = np.stack([image[: GRID_SIZE // 2, 0] for image in images])  # their centre is at [0, 0]
    spline = CubicSpline(np.arange(GRID_SIZE // 2) * GRID_STEP, half, axis=1, bc_type="clamped")
    return np.maximum(spline(np.arange(0.0, TABLE_RADIUS, TABLE_STEP)), 0.0)


@dataclass(frozen=True)
class EventIndex:
    """Events in strips of declination, sorted by strip and then by right ascension. Each array is (event,)."""

    ra_zero: float  #: right ascension that `ra` counts from, deg
    dec_zero: float  #: declination of the lower edge of the first strip, deg
    key: FloatArray  #: strip number * STRIP_KEY + ra, increasing
    ra: FloatArray  #: relative to ra_zero, in [-180, 180) deg
    dec: FloatArray
    src_id: IdArray  #: source of each photon
    row: IntArray  #: row of each photon in the event list


@dataclass(frozen=True)
class CountImages:
    """Count images, as lists of the pixels that hold counts."""

    first: IntArray  #: entries first[i] to first[i + 1] belong to image i, (image + 1,)
    owner: IdArray  #: image of each entry
    pixel: IdArray  #: pixel number in `Templates.x` of each entry
    counts: Float32Array  #: counts > 0 of each entry


@dataclass(frozen=True)
class Stamps(CountImages):
    """Images of counts around positions on the sky, and the photons that each image contains."""

    ra: FloatArray  #: centres, relative to the index's ra_zero, deg, (stamp,)
    dec: FloatArray
    photon_entry: IntArray  #: entry of each photon in a stamp
    photon_event: IntArray  #: number of each of these photons in the event index


def relative_ra(ra: FloatArray, ra_zero: float | FloatArray) -> FloatArray:
    """Return `ra` - `ra_zero` in [-180, 180) degrees."""
    relative = ra - ra_zero
    return relative - 360.0 * np.floor((relative + 180.0) / 360.0)


def offsets(
    ra: FloatArray, dec: FloatArray, ra_centre: FloatArray, dec_centre: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the offsets to the West and to the North, in arcsec, of positions [deg] from centres [deg].

    The positions must lie within a few arcmin of the centres.
    """
    cosine = np.cos(np.radians(0.5 * (dec + dec_centre)))
    return (ra_centre - ra) * cosine * 3600.0, (dec - dec_centre) * 3600.0


def index_events(events: Mapping[str, NDArray], ra_zero: float, e_min_ev: float, e_max_ev: float) -> EventIndex:
    """Return the index of the events with energies from `e_min_ev` to `e_max_ev`, in eV, both included.

    `events` holds the columns ra, dec, pi_ev and src_id. `ra_zero` (deg) is subtracted from the right ascensions in the
    index.
    """
    used = np.flatnonzero((events["pi_ev"] >= e_min_ev) & (events["pi_ev"] <= e_max_ev))
    ra, dec = relative_ra(events["ra"][used], ra_zero), events["dec"][used]
    dec_zero = float(dec.min()) if len(dec) else 0.0
    key = np.floor((dec - dec_zero) / STRIP_DEG) * STRIP_KEY + ra
    order = np.argsort(key, kind="stable")
    key, ra, dec = key[order], ra[order], dec[order]  # rebound one by one: 4e6 events take 32 MB a column
    row = used[order]
    return EventIndex(ra_zero, dec_zero, key, ra, dec, events["src_id"][row], row)


def ranges(first: NDArray[np.integer], last: NDArray[np.integer]) -> tuple[IntArray, IntArray]:
    """Return all pairs (i, j) with first[i] <= j < last[i], sorted by i and then by j: an array of i, and one of j."""
    length = np.maximum(last - first, 0)
    owner = np.repeat(np.arange(len(first), dtype=np.int64), length)
    before = np.cumsum(length) - length
    return owner, np.arange(length.sum(), dtype=np.int64) + (first - before)[owner]


def events_in_boxes(
    index: EventIndex, ra: FloatArray, dec: FloatArray, half_arcsec: float
) -> tuple[IntArray, IntArray]:
    """Return all pairs of a position and an event near it: an array of numbers of positions, and one of events.

    Near means at most `half_arcsec` apart both in RA and in Dec. Some pairs that are farther apart are also returned.
    `ra` (relative to the index's `ra_zero`) and `dec` are the positions in deg.
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
    """Return the count images around positions, with the same pixels as the templates.

    `ra` (relative to the index's `ra_zero`) and `dec` are the positions in deg.
    """
    pixels, size = len(templates.x), len(templates.pixel_of)
    codes, events = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for begin in range(0, len(ra), BLOCK):
        block = slice(begin, begin + BLOCK)
        owner, event = events_in_boxes(index, ra[block], dec[block], templates.pixel_arcsec * size / 2)
        owner += begin
        x, y = offsets(index.ra[event], index.dec[event], ra[owner], dec[owner])
        column = np.rint(x / templates.pixel_arcsec).astype(np.int64) + size // 2
        row = np.rint(y / templates.pixel_arcsec).astype(np.int64) + size // 2
        inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
        pixel = np.where(inside, templates.pixel_of[row.clip(0, size - 1), column.clip(0, size - 1)], -1)
        used = pixel >= 0
        codes.append(owner[used] * pixels + pixel[used])
        events.append(event[used])
    code, entry, counts = np.unique(np.concatenate(codes), return_inverse=True, return_counts=True)
    first = np.searchsorted(code, np.arange(len(ra) + 1, dtype=np.int64) * pixels)
    return Stamps(
        first, (code // pixels).astype(np.int32), (code % pixels).astype(np.int32), counts.astype(np.float32),
        ra, dec, entry, np.concatenate(events),
    )  # fmt: skip


def photons_of(index: EventIndex, src_id: NDArray[np.integer]) -> IntArray:
    """Return the number of photons in the index that come from each source in `src_id`, (source,)."""
    label, photons = np.unique(index.src_id, return_counts=True)
    place = np.minimum(np.searchsorted(label, src_id), max(len(label) - 1, 0))
    return np.where(label[place] == src_id, photons[place], 0) if len(label) else np.zeros(len(src_id), np.int64)


def source_counts(
    stamps: Stamps,
    templates: Templates,
    stamp: IntArray,
    ra: FloatArray,
    dec: FloatArray,
    model: IntArray,
    counts: FloatArray,
) -> Float32Array:
    """Return the expected counts that sources add to each entry (pixel with counts) of `stamps`, shape (entry,).

    A pair is a stamp and a source near it. `stamp` (pair,) is the number of the stamp. The other arguments, (pair,)
    each, describe the source: `ra` (deg, relative to the index's `ra_zero`), `dec` (deg), the number of its `model`,
    and its `counts` on the whole sky.
    """
    x, y = offsets(ra, dec, stamps.ra[stamp], stamps.dec[stamp])
    return counts_at(stamps, templates, stamp, x, y, model, counts)


def counts_at(
    images: CountImages,
    templates: Templates,
    image: IntArray,
    x: FloatArray,
    y: FloatArray,
    model: IntArray,
    counts: FloatArray,
) -> Float32Array:
    """Return the expected counts that sources add to each entry of `images`, shape (entry,).

    All other arrays have the shape (pair,). A pair is the number of an `image`, and a source that is `x` arcsec to the
    West and `y` arcsec to the North of the image's centre.
    """
    pair, entry = ranges(images.first[image], images.first[image + 1])
    pixel = images.pixel[entry]
    radius = np.hypot(templates.x[pixel] - x.astype(np.float32)[pair], templates.y[pixel] - y.astype(np.float32)[pair])
    expected = templates.value(model[pair], radius) * counts[pair]
    return np.bincount(entry, weights=expected, minlength=len(images.pixel)).astype(np.float32)
