"""Counts of photons around many positions, by an index of the sky instead of a search through all photons."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.events.eventlist import EventList
from clustermass.images.geometry import (
    ImageGeometry,
    floor_to_sky_pixels,
    image_pixels,
    pixel_numbers,
    project,
    storable,
)

#: height of a strip of constant declination in deg; a fraction of a 20' box
_STRIP_DEG = 0.05
#: distance of two strips in the sorting key: more than 360, so that no rounding carries a photon into the next strip
_STRIDE = 400.0
#: boxes are searched this much wider, against rounding of the sorting key
_MARGIN_DEG = 1e-6
_MOST = np.iinfo(np.uint16).max

#: lowest and highest declination in deg, and intervals of right ascension within [0, 360]
_Bounds: TypeAlias = tuple[float, float, list[tuple[float, float]]]


class ImageStack:
    """Counts on the base grid around many positions, added up from pieces of an event list.

    Parameters
    ----------
    ra, dec
        Image centres in deg, (clusters,).
    geometry
        Box, pixels and bands.

    Attributes
    ----------
    counts
        Photons so far, uint16 (clusters, band, y, x).
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
            pixels = index.base_pixels(*centre, self._geometry)
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
    """Photons inside the energy bands, sorted by strips of declination and within them by right ascension.

    Parameters
    ----------
    events
        Photons.
    geometry
        Box, pixels and bands.
    rows
        Numbers of the photons to take; None = all.

    Attributes
    ----------
    ra, dec
        Positions in deg, sorted, float64 (photons,).
    band
        Energy bands in that order, int8 (photons,).
    """

    def __init__(self, events: EventList, geometry: ImageGeometry, rows: NDArray[np.int64] | None = None) -> None:
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

    def near_box(self, ra: float, dec: float, geometry: ImageGeometry) -> NDArray[np.int64]:
        """Return the numbers of a few photons too many: all in the box around a position are among them."""
        low, high, right_ascensions = _around_box(ra, dec, geometry)
        strips = np.arange(float(_strip(np.array(low))), float(_strip(np.array(high))) + 1)
        ranges = [(strips * _STRIDE + start, strips * _STRIDE + stop) for start, stop in right_ascensions]
        starts = np.concatenate([np.searchsorted(self._key, start, side="left") for start, _ in ranges])
        stops = np.concatenate([np.searchsorted(self._key, stop, side="right") for _, stop in ranges])
        return np.concatenate([np.arange(start, stop) for start, stop in zip(starts, stops, strict=True)])

    def base_pixels(self, ra: float, dec: float, geometry: ImageGeometry) -> NDArray[np.int64]:
        """Return the base pixels of the photons of the box around a position.

        They are evtool's full-resolution pixels summed in blocks: for whole numbers X, floor(floor(X / 80) / 3) =
        floor(X / 240).

        Parameters
        ----------
        ra, dec
            Image centre in deg.
        geometry
            The same that the index was made with.

        Returns
        -------
        NDArray
            int64 (photons in the box,), pixels of the flattened image (band, y, x), in no order.
        """
        rows = self.near_box(ra, dec, geometry)
        x, y = project(self.ra[rows], self.dec[rows], ra, dec)
        size, rebin = geometry.base_pixels, geometry.pixel_sky * geometry.base_rebin
        i = image_pixels(floor_to_sky_pixels(x), 0.0, rebin, size)
        j = image_pixels(floor_to_sky_pixels(y), 0.0, rebin, size)
        return pixel_numbers(self.band[rows], j, i, (geometry.bands, size, size))


class BoxCells:
    """Coarse cells of the sky that the boxes around many positions touch; most photons of a field are in none of them.

    Parameters
    ----------
    ra, dec
        Image centres in deg, (clusters,).
    geometry
        Box.
    """

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


def corner_deg(geometry: ImageGeometry) -> float:
    """Angle in deg from the image centre to a corner of the box (SIN shortens angles)."""
    half = np.radians(geometry.half_width_sky / 72000.0)
    return float(np.degrees(np.arcsin(min(np.sqrt(2) * half, 1.0))))


def _strip(dec: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.floor((dec + 90.0) / _STRIP_DEG)


def _around_circle(ra: float, dec: float, radius_deg: float) -> _Bounds:
    reach = radius_deg + _MARGIN_DEG
    return max(dec - reach, -90.0), min(dec + reach, 90.0), _right_ascensions(ra, dec, reach)


def _around_box(ra: float, dec: float, geometry: ImageGeometry) -> _Bounds:
    bounds = _box_bounds(dec, np.radians(geometry.half_width_sky / 72000.0))
    if bounds is None:
        return _around_circle(ra, dec, corner_deg(geometry))
    low, high, half_ra = bounds
    return low - _MARGIN_DEG, high + _MARGIN_DEG, _around(ra, half_ra + _MARGIN_DEG)


def _right_ascensions(ra: float, dec: float, reach: float) -> list[tuple[float, float]]:
    """Intervals of right ascension in deg within [0, 360] that a circle covers; one that crosses 0/360 is two."""
    if abs(dec) + reach >= 90.0:
        return [(0.0, 360.0)]
    half = np.degrees(np.arcsin(np.sin(np.radians(reach)) / np.cos(np.radians(dec)))) + _MARGIN_DEG
    return _around(ra, half)


def _around(ra: float, half: float) -> list[tuple[float, float]]:
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
