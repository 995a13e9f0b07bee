"""Geometry of the images: energy bands, pixels by evtool's rule, and the SIN projection about an image centre."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clustermass import limits
from clustermass.arrays import FloatArray
from clustermass.config.bands import band_edges
from clustermass.errors import InputError

if TYPE_CHECKING:
    from clustermass.config.models import Images

#: side of a sky pixel, the unit of the columns X and Y in eSASS event lists
SKY_PIXEL_ARCSEC = 0.05
_PIXELS_PER_DEG = 72000.0
#: the search for photons extends this far beyond a box, against rounding errors
_MARGIN_DEG = 1e-6
#: lowest and highest declination in deg, and intervals of right ascension within [0, 360]
Bounds: TypeAlias = tuple[float, float, list[tuple[float, float]]]


@dataclass(frozen=True)
class ImageGeometry:
    """Box, pixels and energy bands of the images.

    There are three kinds of pixels. Sky pixels have sides of 0.05". Full-resolution pixels are the pixels of evtool's
    images, and are blocks of sky pixels. Base pixels, in which photons are counted, are blocks of full-resolution
    pixels.
    """

    box_pixels: int  #: full-resolution pixels along a side of the box, even
    pixel_sky: int  #: sky pixels of 0.05" along a side of a full-resolution pixel (80 = 4")
    base_rebin: int  #: full-resolution pixels along a side of a base pixel
    edges_ev: tuple[int, ...]  #: edges of the energy bands in eV, lower included, upper excluded

    @classmethod
    def from_config(cls, images: Images) -> ImageGeometry:
        """Return the geometry of the config block `images`. InputError unless its sizes are whole numbers of pixels."""
        box, rebin = int(images["box_pixels"]), int(images["base_rebin"])
        if box <= 0 or rebin <= 0 or box % (2 * rebin):
            raise InputError(f"images.box_pixels is {box}, but must be a multiple of 2 x images.base_rebin ({rebin}).")
        limits.SIDE.check(box // rebin, "images.box_pixels")
        sky = images["pixel_arcsec"] / SKY_PIXEL_ARCSEC
        if sky < 1 or abs(sky - round(sky)) > 1e-6:
            raise InputError(f"images.pixel_arcsec is {images['pixel_arcsec']}, but must be a multiple of 0.05 arcsec.")
        return cls(box, round(sky), rebin, band_edges(images["bands"]))

    @property
    def base_pixels(self) -> int:
        """Number of base pixels along a side of the box."""
        return self.box_pixels // self.base_rebin

    @property
    def half_width_sky(self) -> int:
        """Half the side of the box in sky pixels."""
        return self.box_pixels * self.pixel_sky // 2

    @property
    def bands(self) -> int:
        """Number of energy bands."""
        return len(self.edges_ev) - 1

    @property
    def image_bytes(self) -> int:
        """Number of bytes of one image's counts, with 16 bits for each pixel."""
        return 2 * self.bands * self.base_pixels**2

    def base_offsets_arcsec(self) -> FloatArray:
        """Return the offsets of the base pixels' centres from the image centre in arcsec, float64 (base_pixels,)."""
        base_arcsec = self.pixel_sky * self.base_rebin * SKY_PIXEL_ARCSEC
        return np.asarray((np.arange(self.base_pixels) - self.base_pixels / 2 + 0.5) * base_arcsec, dtype=float)

    def band_numbers(self, pi_ev: NDArray[Any]) -> NDArray[np.int8]:
        """Return the number of each photon's energy band (-1 = in no band), int8, with the shape of `pi_ev`."""
        # whole eV are exact in float32, so no photon on an edge can slip to the wrong side
        edges = np.array(self.edges_ev, dtype=pi_ev.dtype)
        band = np.searchsorted(edges, pi_ev, side="right") - 1
        band[band == self.bands] = -1
        return band.astype(np.int8)

    def around_box(self, ra: float, dec: float) -> Bounds:
        """Return the limits of Dec and RA within which the box around a position lies, all in deg (see `Bounds`)."""
        half = np.radians(self.half_width_sky / _PIXELS_PER_DEG)
        bounds = box_bounds(dec, half)
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


def band_coordinates(edges_ev: Sequence[int]) -> dict[str, Any]:
    """Return `band`, the centres of the bands in keV, and `band_bounds`, their edges, as variables of images.nc."""
    edges = np.array(edges_ev) / 1000.0
    return {
        "band": ("band", (edges[:-1] + edges[1:]) / 2),
        "band_bounds": (("band", "edge"), np.stack([edges[:-1], edges[1:]], axis=1)),
    }


def pixel_numbers(
    band: NDArray[np.int8], j: FloatArray, i: FloatArray, shape: tuple[int, int, int]
) -> NDArray[np.int64]:
    """Return the index of each photon in a flattened image of `shape` (band, y, x), from band, row `j` and column `i`.

    Photons outside the image are left out.
    """
    _, rows, columns = shape
    within = (band >= 0) & (j >= 0) & (j < rows) & (i >= 0) & (i < columns)
    numbers, row, column = (values[within].astype(np.int64) for values in (band, j, i))
    return (numbers * rows + row) * columns + column


def storable(counts: NDArray[np.int64]) -> NDArray[np.uint16]:
    """Return counts as uint16, as images store them. InputError if a pixel holds more than 65535 photons."""
    if counts.max(initial=0) > np.iinfo(np.uint16).max:
        raise InputError(
            f"A pixel holds {counts.max()} photons, more than the 65535 that an image can store. Use smaller pixels "
            "(images.base_rebin, images.pixel_arcsec) or leave this source out."
        )
    return counts.astype(np.uint16)


def block_sum(counts: NDArray[Any], factor: int) -> NDArray[Any]:
    """Return the sums of blocks of `factor` x `factor` pixels in the last two axes. ValueError if blocks don't fit."""
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


def project(
    ra: ArrayLike, dec: ArrayLike, ra0: float | FloatArray, dec0: float | FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the offsets x (to the West) and y (to the North) of positions from the centre (`ra0`, `dec0`).

    Positions and centres are in deg and may have any shapes that fit each other. Offsets are in sky pixels of 0.05",
    float64. They are infinite for positions at 90 deg or more from the centre, which the projection can't show. Right
    ascensions on both sides of 0/360 are neighbours. The projection is the SIN projection of Calabretta & Greisen
    (2002), Eqs. 61-62, with the native pole at the centre. It is written in a form without numerical cancellation near
    the centre.
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
    """Return RA and Dec in deg (0 <= RA < 360) for offsets in sky pixels. This is the inverse of `project`.

    ValueError if an offset is beyond the horizon of the projection.
    """
    west, north = (np.radians(np.asarray(offset, dtype=np.float64) / _PIXELS_PER_DEG) for offset in (x, y))
    squared = west**2 + north**2
    if np.any(squared > 1):
        raise ValueError("a sky pixel lies beyond the horizon of the projection")
    depth = np.sqrt(1 - squared)
    sine0, cosine0 = np.sin(np.radians(dec0)), np.cos(np.radians(dec0))
    # declination by arctan2: arcsin loses half of the digits near a pole
    along = depth * cosine0 - north * sine0
    ra = (ra0 + np.degrees(np.arctan2(-west, along))) % 360.0
    ra = np.where(ra >= 360.0, 0.0, ra)  # the rest of a tiny negative number rounds up to 360
    dec = np.degrees(np.arctan2(north * cosine0 + depth * sine0, np.hypot(west, along)))
    return ra, dec


def image_pixels(offset: FloatArray, centre: float, rebin: int, size: int) -> NDArray[np.float64]:
    """Return, along one axis, the numbers (from 0) of the image pixels in which photons lie.

    The rule is evtool's: i = floor((X - xc) / rebin) + size / 2.

    - X is the `offset` of a photon along this axis in whole sky pixels. It is infinite for positions that the
      projection can't show.
    - xc is the `centre` of the image.
    - `rebin` is the width of an image pixel in sky pixels. A pixel includes its lower edge.
    - `size` is the number of pixels along a side of the image, an even number. Numbers below 0, and numbers of at least
      `size`, are outside the image.
    """
    return np.asarray(np.floor((offset - centre) / rebin) + size // 2)


def _around(ra: float, half: float) -> list[tuple[float, float]]:
    """Return the right ascensions within `half` of `ra`, in deg: one interval in [0, 360], or two if it contains 0."""
    low, high = ra - half, ra + half
    if low < 0:
        return [(0.0, high), (low + 360.0, 360.0)]
    return [(low, 360.0), (0.0, high - 360.0)] if high > 360.0 else [(low, high)]


def box_bounds(dec: float, half: float) -> tuple[float, float, float] | None:
    """Return three angles of a box in deg: lowest declination, highest declination, half-width in right ascension.

    `dec` is the declination of the box's centre in deg, and `half` is half the side of the box in rad. The result is
    None near a pole. In the Northern hemisphere, a box has its lowest declination at its Southern corners, its highest
    at the middle of its Northern side, and its farthest right ascensions at its Northern corners.
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
