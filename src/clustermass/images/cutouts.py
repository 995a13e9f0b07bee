"""From photons to images: the counts around every detection, in energy bands, by an index of the sky."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.errors import InputError
from clustermass.events.eventlist import EventList, mean_exposure_s, modules_of
from clustermass.events.read import PIECE_ROWS, stream_events
from clustermass.events.select import Selection
from clustermass.images.detections import Detections, Labels, image_centres, read_detections, read_labels
from clustermass.images.exposure import box_exposure, photon_coverage, read_exposure
from clustermass.images.geometry import (
    ImageGeometry,
    band_coordinates,
    image_pixels,
    pixel_numbers,
    project,
    storable,
)
from clustermass.io.log import LOGGER, track
from clustermass.io.netcdf import write_netcdf
from clustermass.io.provenance import provenance

if TYPE_CHECKING:
    from clustermass.config.models import Events, Images

_TITLE = "Counts of photons around detections, in energy bands"
#: a box leaves the field if its covered fraction is below this
_WHOLE = 0.999
#: height of a strip of constant declination in deg; a fraction of a 20' box
_STRIP_DEG = 0.05
#: distance of two strips in the sorting key: more than 360, so that no rounding carries a photon into the next strip
_STRIDE = 400.0
#: boxes are searched this much wider, against rounding of the sorting key
_MARGIN_DEG = 1e-6
_MOST = np.iinfo(np.uint16).max

#: lowest and highest declination in deg, and intervals of right ascension within [0, 360]
_Bounds: TypeAlias = tuple[float, float, list[tuple[float, float]]]


def extract_images(
    events: Path,
    exposure: Path | None,
    catalogue: Path,
    output: Path,
    images: Images,
    realization: str,
    events_block: Events,
    truth: Path | None = None,
    matches: Path | None = None,
) -> None:
    """Write `images.nc` of one realization: an image of every detection above the likelihoods of the block `images`.

    Takes an event list of any dialect and a vignetting-corrected exposure map in s. Without the map, the exposure comes
    from the good time intervals (the mean of the seven modules, not corrected for vignetting), and the covered fraction
    from where there are photons. Detections whose box leaves the field are kept, with a `covered_fraction` below 1.
    Cluster ids are `<realization>_<ID_SRC>`. An observed sky has neither `truth` nor `matches`. InputError if something
    is wrong with a file or a setting; the message says what, where, and what to do.
    """
    geometry = ImageGeometry.from_config(images)
    detections = read_detections(Path(catalogue), images["det_like_min"], images["ext_like_min"])
    labels = _labels(truth, matches, detections)
    ra, dec = image_centres(detections, labels, images)
    energies = (geometry.edges_ev[0], geometry.edges_ev[-1])
    selection = Selection(events_block["flag_mask"], events_block["pattern"], energies)
    counts, photons, modules = count_list(Path(events), selection, ImageStack(ra, dec, geometry))
    seconds, covered = _exposure(exposure, photons, modules, ra, dec, counts, geometry)
    _log_coverage(covered, counts)
    per_cluster: dict[str, NDArray[Any]] = {**detections.measured, "ra": ra, "dec": dec}
    per_cluster |= {"exposure_s": seconds, "covered_fraction": covered}
    if labels is not None:
        per_cluster |= {"log10_m500c": labels.log10_m500c, "halo_id": labels.halo_id}
    per_cluster["realization"] = np.full(detections.id_src.size, realization)
    offsets = geometry.base_offsets_arcsec()
    dataset = xr.Dataset(
        {
            "counts": (("cluster", "band", "y", "x"), counts),
            **{name: ("cluster", values) for name, values in per_cluster.items()},
            **band_coordinates(geometry.edges_ev),
        },
        coords={"x": offsets, "y": offsets, "cluster": [f"{realization}_{number}" for number in detections.id_src]},
    )
    inputs = [path for path in (events, exposure, catalogue, truth, matches) if path is not None]
    settings = {"images": dict(images), "events": dict(events_block), "realization": realization}
    simulated = photons.simulated or labels is not None
    write_netcdf(dataset, output, _TITLE, provenance("extract_images", settings, inputs, simulated=simulated))


def _labels(truth: Path | None, matches: Path | None, detections: Detections) -> Labels | None:
    if truth is None and matches is None:
        return None
    if truth is None or matches is None:
        raise InputError(f"{truth or matches}: truth and matches go together; give both (simulated sky) or none.")
    return read_labels(Path(truth), Path(matches), detections.id_src)


def count_list(path: Path, selection: Selection, stack: ImageStack) -> tuple[NDArray[np.uint16], EventList, set[int]]:
    """Count the selected photons of an event list piece by piece: memory doesn't grow with the list.

    Returns the counts of `stack`; the last piece of the list, for its metadata; and the modules with selected photons.
    """
    modules: set[int] = set()
    for piece in track(stream_events(path), f"{path}: pieces of {PIECE_ROWS} rows"):
        photons = selection.keep(piece)
        modules.update(modules_of(photons))
        stack.add(photons)
    selection.conclude()
    return stack.counts, piece, modules


def _exposure(
    path: Path | None,
    events: EventList,
    modules: Iterable[int],
    ra: FloatArray,
    dec: FloatArray,
    counts: NDArray[np.uint16],
    geometry: ImageGeometry,
) -> tuple[FloatArray, FloatArray]:
    if path is not None:
        return box_exposure(*read_exposure(Path(path)), ra, dec, geometry)
    seconds = mean_exposure_s(events, modules)
    if seconds is None:
        raise InputError(
            f"{events.name}: has neither good time intervals nor EXPOSURE nor TSTART and TSTOP, and no exposure map is "
            "given. Give an exposure map."
        )
    LOGGER.warning(
        "no exposure map: %.1f s of exposure (mean of seven modules, without vignetting) everywhere", seconds
    )
    return np.full(ra.size, seconds), photon_coverage(counts)


def _log_coverage(covered: FloatArray, counts: NDArray[np.uint16]) -> None:
    empty = ~counts.any(axis=(1, 2, 3))
    LOGGER.info(
        "%d images of %d photons on average; the boxes of %d leave the field (lowest covered fraction %.3f); %d hold "
        "no photon",
        covered.size, counts.sum(dtype=np.int64) / covered.size, (covered < _WHOLE).sum(), covered.min(), empty.sum(),
    )  # fmt: skip
    if empty.all():
        raise InputError(
            "None of the images holds a photon: the catalogue and the event list are of different parts of the sky. "
            "Compare their RA and DEC."
        )


class ImageStack:
    """Counts on the base grid around many positions (deg, (clusters,)), added up from pieces of an event list.

    `counts`, uint16 (clusters, band, y, x), are the photons so far.
    """

    def __init__(self, ra: FloatArray, dec: FloatArray, geometry: ImageGeometry) -> None:
        size = geometry.base_pixels
        self.counts: NDArray[np.uint16] = np.zeros((ra.size, geometry.bands, size, size), dtype=np.uint16)
        self._centres = list(zip(ra.tolist(), dec.tolist(), strict=True))
        self._geometry = geometry
        self._cells = BoxCells(ra, dec, geometry)
        self._photons = np.zeros(ra.size, dtype=np.int64)

    def add(self, events: EventList) -> None:
        """Count the photons of `events` too; InputError if a pixel holds more than 65535 photons."""
        if len(events) == 0:
            return
        index = SkyIndex(events, self._geometry, self._cells.rows(events))
        for number, centre in enumerate(self._centres):
            pixels = index.base_pixels(*centre)
            if pixels.size:
                self._count(number, pixels)

    def _count(self, number: int, pixels: NDArray[np.int64]) -> None:
        image = self.counts[number].reshape(-1)
        self._photons[number] += pixels.size
        if self._photons[number] <= _MOST:  # in no pixel can there be more than in the whole box
            np.add.at(image, pixels, np.uint16(1))
        else:
            image[:] = storable(image + np.bincount(pixels, minlength=image.size))


class SkyIndex:
    """Photons (of `rows`, None = all) in the energy bands, sorted by strips of declination, then by right ascension.

    `ra` and `dec` are their positions in deg, float64 (photons,), and `band` their energy bands, int8.
    """

    def __init__(self, events: EventList, geometry: ImageGeometry, rows: NDArray[np.int64] | None = None) -> None:
        self._geometry = geometry
        ra, dec, energy = events.ra, events.dec, events.pi_ev
        if rows is not None:
            ra, dec, energy = ra[rows], dec[rows], energy[rows]
        band = geometry.band_numbers(energy)
        used = band >= 0
        if not used.all():
            ra, dec, band = ra[used], dec[used], band[used]
        key = _strip(dec) * _STRIDE + ra
        order = np.argsort(key)
        self._key, self.ra, self.dec, self.band = key[order], ra[order], dec[order], band[order]

    def near_box(self, ra: float, dec: float) -> NDArray[np.int64]:
        """Return the numbers of a few photons too many: all in the box around a position are among them."""
        low, high, right_ascensions = _around_box(ra, dec, self._geometry)
        strips = np.arange(float(_strip(np.array(low))), float(_strip(np.array(high))) + 1)
        ranges = [(strips * _STRIDE + start, strips * _STRIDE + stop) for start, stop in right_ascensions]
        starts = np.concatenate([np.searchsorted(self._key, start, side="left") for start, _ in ranges])
        stops = np.concatenate([np.searchsorted(self._key, stop, side="right") for _, stop in ranges])
        return np.concatenate([np.arange(start, stop) for start, stop in zip(starts, stops, strict=True)])

    def base_pixels(self, ra: float, dec: float) -> NDArray[np.int64]:
        """Return the pixels of the flattened image (band, y, x) about a position in deg, one for each photon, int64.

        They come in no order, without the photons outside. Base pixels are evtool's full-resolution pixels summed in
        blocks: for whole numbers X, floor(floor(X / 80) / 3) = floor(X / 240). Offsets are rounded down to whole sky
        pixels, as SIXTE's radec2xy does.
        """
        rows, geometry = self.near_box(ra, dec), self._geometry
        size, rebin = geometry.base_pixels, geometry.pixel_sky * geometry.base_rebin
        x, y = project(self.ra[rows], self.dec[rows], ra, dec)
        i, j = (image_pixels(np.floor(offset), 0.0, rebin, size) for offset in (x, y))
        return pixel_numbers(self.band[rows], j, i, (geometry.bands, size, size))


class BoxCells:
    """Coarse cells of the sky that boxes around positions (deg) touch; most photons of a field are in none of them."""

    def __init__(self, ra: FloatArray, dec: FloatArray, geometry: ImageGeometry) -> None:
        self._touched = np.zeros((round(180 / _STRIP_DEG) + 1, round(360 / _STRIP_DEG) + 1), dtype=bool)
        for centre in zip(ra.tolist(), dec.tolist(), strict=True):
            low, high, right_ascensions = _around_box(*centre, geometry)
            strips = slice(int(_strip(np.array(low))), int(_strip(np.array(high))) + 1)
            for start, stop in right_ascensions:
                self._touched[strips, int(start / _STRIP_DEG) : int(stop / _STRIP_DEG) + 1] = True

    def rows(self, events: EventList) -> NDArray[np.int64]:
        """Return the numbers of the photons in these cells, among them all that lie in a box, int64."""
        strip, cell = _strip(events.dec).astype(np.int32), (events.ra / _STRIP_DEG).astype(np.int32)
        return np.flatnonzero(self._touched.reshape(-1)[strip * self._touched.shape[1] + cell])


def _strip(dec: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.floor((dec + 90.0) / _STRIP_DEG)


def _around_box(ra: float, dec: float, geometry: ImageGeometry) -> _Bounds:
    half = np.radians(geometry.half_width_sky / 72000.0)
    bounds = _box_bounds(dec, half)
    if bounds is not None:
        low, high, half_ra = bounds
        return low - _MARGIN_DEG, high + _MARGIN_DEG, _around(ra, half_ra + _MARGIN_DEG)
    # near a pole: the circle through the corners of the box (SIN shortens angles)
    reach = float(np.degrees(np.arcsin(min(np.sqrt(2) * half, 1.0)))) + _MARGIN_DEG
    low, high = max(dec - reach, -90.0), min(dec + reach, 90.0)
    if abs(dec) + reach >= 90.0:
        return low, high, [(0.0, 360.0)]
    half_ra = np.degrees(np.arcsin(np.sin(np.radians(reach)) / np.cos(np.radians(dec)))) + _MARGIN_DEG
    return low, high, _around(ra, half_ra)


def _around(ra: float, half: float) -> list[tuple[float, float]]:
    """Return intervals of right ascension in deg within [0, 360]; one that crosses 0/360 is two."""
    low, high = ra - half, ra + half
    if low < 0:
        return [(0.0, high), (low + 360.0, 360.0)]
    return [(low, 360.0), (0.0, high - 360.0)] if high > 360.0 else [(low, high)]


def _box_bounds(dec: float, half: float) -> tuple[float, float, float] | None:
    """Return lowest and highest declination and half the right ascensions, deg, of a box (`half` its width, rad).

    None near a pole. Elsewhere the Northern half of the sky has its lowest declination in the box's Southern corners,
    its highest amid the Northern side, and its farthest right ascensions in the Northern corners.
    """
    sine, cosine = np.sin(np.radians(abs(dec))), np.cos(np.radians(dec))
    corner = 1.0 - 2.0 * half**2
    if corner <= 0 or np.sqrt(corner) * cosine - half * sine <= 4.0 * half:
        return None
    depth = np.sqrt(corner)
    half_ra = float(np.degrees(np.arctan2(half, depth * cosine - half * sine)))
    high = float(np.degrees(np.arcsin(half * cosine + np.sqrt(1.0 - half**2) * sine)))
    low = float(np.degrees(np.arcsin(-half * cosine + depth * sine)))
    return (low, high, half_ra) if dec >= 0 else (-high, -low, half_ra)
