"""Geometry of the images, and the full-resolution cube of energy bands by evtool's pixel rule."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clustermass.arrays import FloatArray
from clustermass.errors import InputError
from clustermass.events.eventlist import EventList

#: band number of photons outside all bands
NO_BAND = -1


@dataclass(frozen=True)
class ImageGeometry:
    """Box, pixels and energy bands of the images.

    Attributes
    ----------
    box_pixels
        Full-resolution pixels along a side of the box, even.
    pixel_sky
        Sky pixels of 0.05" along a side of a full-resolution pixel (80 = 4").
    base_rebin
        Full-resolution pixels along a side of a base pixel.
    edges_ev
        Edges of the energy bands in whole eV, lower included, upper excluded.
    """

    box_pixels: int
    pixel_sky: int
    base_rebin: int
    edges_ev: tuple[int, ...]

    @classmethod
    def from_config(cls, images: Mapping[str, Any]) -> "ImageGeometry":
        """Build from the config block `images`.

        Raises
        ------
        InputError
            Boxes, pixels or bands that don't come out in whole numbers; the key is named.
        """
        box, rebin = int(images["box_pixels"]), int(images["base_rebin"])
        if box <= 0 or rebin <= 0 or box % (2 * rebin):
            raise InputError(f"images.box_pixels is {box}, but must be a multiple of 2 x images.base_rebin ({rebin}).")
        sky = images["pixel_arcsec"] / SKY_PIXEL_ARCSEC
        if sky < 1 or abs(sky - round(sky)) > 1e-6:
            raise InputError(f"images.pixel_arcsec is {images['pixel_arcsec']}, but must be a multiple of 0.05 arcsec.")
        return cls(box, round(sky), rebin, _edges(images["bands"]))

    @property
    def base_pixels(self) -> int:
        """Base pixels along a side of the box."""
        return self.box_pixels // self.base_rebin

    @property
    def base_arcsec(self) -> float:
        """Side of a base pixel in arcsec."""
        return self.pixel_sky * self.base_rebin * SKY_PIXEL_ARCSEC

    @property
    def half_width_sky(self) -> int:
        """Half the side of the box in sky pixels."""
        return self.box_pixels * self.pixel_sky // 2

    @property
    def bands(self) -> int:
        """Number of energy bands."""
        return len(self.edges_ev) - 1

    def base_offsets_arcsec(self) -> FloatArray:
        """Return the offsets of the base pixels' centres from the image centre in arcsec, float64 (base_pixels,)."""
        return np.asarray((np.arange(self.base_pixels) - self.base_pixels / 2 + 0.5) * self.base_arcsec, dtype=float)

    def band_numbers(self, pi_ev: NDArray[Any]) -> NDArray[np.int8]:
        """Return the energy band of each photon, `NO_BAND` outside all of them, int8 of the shape of `pi_ev`."""
        # whole eV are exact in float32, so no photon on an edge can slip to the wrong side
        edges = np.array(self.edges_ev, dtype=pi_ev.dtype)
        band = np.searchsorted(edges, pi_ev, side="right") - 1
        band[band == self.bands] = NO_BAND
        return band.astype(np.int8)


def _edges(bands: Mapping[str, Any]) -> tuple[int, ...]:
    for key in ("start_ev", "width_ev", "number"):
        if bands[key] != int(bands[key]) or bands[key] <= 0:
            raise InputError(f"images.bands.{key} is {bands[key]}, but must be a whole number above 0.")
    if bands["number"] > 120:
        raise InputError(f"images.bands.number is {bands['number']}, but must be at most 120.")
    start, width = int(bands["start_ev"]), int(bands["width_ev"])
    return tuple(start + width * number for number in range(int(bands["number"]) + 1))


def cube(events: EventList, ra: float, dec: float, geometry: ImageGeometry) -> NDArray[np.uint16]:
    """Count the photons around a position in full-resolution pixels, as `radec2xy` and `evtool` do together.

    Parameters
    ----------
    events
        Selected photons.
    ra, dec
        Image centre in deg.
    geometry
        Box, pixels and bands.

    Returns
    -------
    NDArray
        uint16 (band, y, x); x grows to the West, y to the North.
    """
    x, y = project(events.ra, events.dec, ra, dec)
    return _count(floor_to_sky_pixels(x), floor_to_sky_pixels(y), (0.0, 0.0), events, geometry)


def cube_sky_pixels(events: EventList, x: float, y: float, geometry: ImageGeometry) -> NDArray[np.uint16]:
    """Count as `cube`, but in the event list's own sky pixels about its sky pixel (`x`, `y`): evtool's center_position.

    Raises
    ------
    InputError
        The list has no columns X and Y.
    """
    if events.x is None or events.y is None:
        raise InputError(f"{events.name}: has no sky pixels (columns X and Y). Give the centre as RA and DEC instead.")
    return _count(events.x, events.y, (x, y), events, geometry)


def _count(
    x: FloatArray, y: FloatArray, centre: tuple[float, float], events: EventList, geometry: ImageGeometry
) -> NDArray[np.uint16]:
    size = geometry.box_pixels
    i = image_pixels(x, centre[0], geometry.pixel_sky, size)
    j = image_pixels(y, centre[1], geometry.pixel_sky, size)
    return count_pixels(geometry.band_numbers(events.pi_ev), j, i, (geometry.bands, size, size))


def count_pixels(
    band: NDArray[np.int8], j: FloatArray, i: FloatArray, shape: tuple[int, int, int]
) -> NDArray[np.uint16]:
    """Count photons by band, row and column; those outside `shape` = (bands, rows, columns) don't count.

    Raises
    ------
    InputError
        A pixel holds more than 65535 photons, which images can't store.
    """
    counts = np.bincount(pixel_numbers(band, j, i, shape), minlength=math.prod(shape))
    return storable(counts).reshape(shape)


def pixel_numbers(
    band: NDArray[np.int8], j: FloatArray, i: FloatArray, shape: tuple[int, int, int]
) -> NDArray[np.int64]:
    """Return where photons fall in a flattened image of `shape` = (bands, rows, columns), those outside left out."""
    _, rows, columns = shape
    within = (band >= 0) & (j >= 0) & (j < rows) & (i >= 0) & (i < columns)
    return (band[within].astype(np.int64) * rows + j[within].astype(np.int64)) * columns + i[within].astype(np.int64)


def storable(counts: NDArray[np.int64]) -> NDArray[np.uint16]:
    """Return counts as images store them.

    Raises
    ------
    InputError
        A pixel holds more than 65535 photons.
    """
    if counts.max(initial=0) > np.iinfo(np.uint16).max:
        raise InputError(
            f"A pixel holds {counts.max()} photons, more than the 65535 that an image can store. Use smaller pixels "
            "(images.base_rebin, images.pixel_arcsec) or leave this source out."
        )
    return counts.astype(np.uint16)


def block_sum(counts: NDArray[Any], factor: int) -> NDArray[Any]:
    """Sum blocks of `factor` x `factor` pixels over the last two axes, dtype kept (unsigned counts mustn't overflow).

    Raises
    ------
    ValueError
        `factor` doesn't divide the two axes.
    """
    rows, columns = counts.shape[-2:]
    if rows % factor or columns % factor:
        raise ValueError(f"{factor} does not divide {rows} x {columns} pixels")
    # adding slices is several times faster than summing a reshaped array
    by_row = counts[..., 0::factor, :].copy()
    for offset in range(1, factor):
        by_row += counts[..., offset::factor, :]
    total = by_row[..., 0::factor].copy()
    for offset in range(1, factor):
        total += by_row[..., offset::factor]
    return total


#: a sky pixel is 0.05"
SKY_PIXEL_ARCSEC = 0.05
_PIXELS_PER_DEG = 72000.0


def project(ra: ArrayLike, dec: ArrayLike, ra0: float, dec0: float) -> tuple[FloatArray, FloatArray]:
    """Offsets of positions from a centre in sky pixels of 0.05", x growing to the West, y to the North.

    The SIN projection of Calabretta & Greisen (2002), Eqs. 61-62 with the native pole at the centre, written so that
    nothing cancels near the centre. Right ascensions on both sides of 0/360 deg are neighbours.

    Parameters
    ----------
    ra, dec
        Positions in deg, any shape.
    ra0, dec0
        Centre in deg.

    Returns
    -------
    tuple
        x and y, float64; infinite for positions 90 deg and more away, which the projection can't show.
    """
    delta = np.radians((np.asarray(ra, dtype=np.float64) - ra0 + 180.0) % 360.0 - 180.0)
    latitude, latitude0 = np.radians(np.asarray(dec, dtype=np.float64)), np.radians(dec0)
    half = np.sin(delta / 2) ** 2
    cosine = np.cos(latitude)
    east = cosine * np.sin(delta)
    north = np.sin(latitude - latitude0) + 2 * cosine * np.sin(latitude0) * half
    hidden = np.cos(latitude - latitude0) - 2 * cosine * np.cos(latitude0) * half <= 0
    x = np.where(hidden, np.inf, -np.degrees(east) * _PIXELS_PER_DEG)
    y = np.where(hidden, np.inf, np.degrees(north) * _PIXELS_PER_DEG)
    return x, y


def deproject(x: ArrayLike, y: ArrayLike, ra0: float, dec0: float) -> tuple[FloatArray, FloatArray]:
    """Positions in deg (0 <= ra < 360) of offsets `x` (West), `y` (North) in sky pixels: the inverse of `project`.

    Raises
    ------
    ValueError
        An offset is longer than the radius of the sphere.
    """
    east = np.radians(-np.asarray(x, dtype=np.float64) / _PIXELS_PER_DEG)
    north = np.radians(np.asarray(y, dtype=np.float64) / _PIXELS_PER_DEG)
    squared = east**2 + north**2
    if np.any(squared > 1):
        raise ValueError("a sky pixel lies beyond the horizon of the projection")
    depth = np.sqrt(1 - squared)
    sine0, cosine0 = np.sin(np.radians(dec0)), np.cos(np.radians(dec0))
    # declination by arctan2: arcsin loses half of the digits near a pole
    along = depth * cosine0 - north * sine0
    ra = (ra0 + np.degrees(np.arctan2(east, along))) % 360.0
    ra = np.where(ra >= 360.0, 0.0, ra)  # the rest of a tiny negative number rounds up to 360
    dec = np.degrees(np.arctan2(north * cosine0 + depth * sine0, np.hypot(east, along)))
    return ra, dec


def floor_to_sky_pixels(offset: FloatArray) -> FloatArray:
    """Whole sky pixels, rounded down as SIXTE's radec2xy does; float64, since hidden positions are infinite."""
    return np.asarray(np.floor(offset))


def image_pixels(offset: FloatArray, centre: float, rebin: int, size: int) -> NDArray[np.float64]:
    """Pixel numbers from 0 by evtool's rule i = floor((X - xc) / rebin) + size / 2, the lower edge included.

    Parameters
    ----------
    offset
        Sky pixels X (or Y), whole numbers as float64, any shape.
    centre
        Sky pixel of the image centre.
    rebin
        Sky pixels in an image pixel.
    size
        Image pixels along the axis, even.

    Returns
    -------
    NDArray
        float64; outside [0, size) = not in the image.
    """
    return np.asarray(np.floor((offset - centre) / rebin) + size // 2)


def unit_vectors(ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the directions of positions in deg as unit vectors, shape (position, 3)."""
    ra, dec = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)
