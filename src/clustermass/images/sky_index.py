"""Find and count the photons in boxes around positions, with an index of the sky in memory or on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clustermass.arrays import FloatArray
from clustermass.events.eventlist import EventList
from clustermass.events.read import PIECE_ROWS
from clustermass.events.write import Buckets
from clustermass.images.geometry import ImageGeometry, image_pixels, pixel_numbers, project, storable

#: height of a strip of constant declination in deg; a fraction of a 20' box
_STRIP_DEG = 0.05
#: distance of two strips in the sorting key: more than 360, so that no rounding carries a photon into the next strip
_STRIDE = 400.0
_MOST = np.iinfo(np.uint16).max
#: side of the cells by which photons are stored, and height of the strips by which a field is divided, in deg
_CELL_DEG, _PART_DEG = 0.5, 1.0
#: layout of the rows of stored photons
_LAYOUT = np.dtype([("ra", np.float64), ("dec", np.float64), ("pi_ev", np.float32)])


class Photons(NamedTuple):
    """Positions (deg) and energies (eV) of photons, each (photons,): the part of an event list that images need."""

    ra: FloatArray
    dec: FloatArray
    pi_ev: NDArray[np.float32]


class ImageStack:
    """Images around positions `ra` and `dec` in deg, to which photons are added piece by piece.

    The images are `counts`, uint16 (clusters, band, y, x).
    """

    def __init__(self, ra: FloatArray, dec: FloatArray, geometry: ImageGeometry) -> None:
        self.ra, self.dec, self.geometry = ra, dec, geometry
        size = geometry.base_pixels
        self.counts: NDArray[np.uint16] = np.zeros((ra.size, geometry.bands, size, size), dtype=np.uint16)
        self._cells = BoxCells(ra, dec, geometry)
        self._photons = np.zeros(ra.size, dtype=np.int64)

    def add(self, photons: EventList | Photons) -> None:
        """Add photons to the counts. InputError if a pixel then holds more than 65535 photons."""
        if photons.ra.size == 0:
            return
        index = SkyIndex(photons, self.geometry, self._cells.rows(photons))
        for number, centre in enumerate(zip(self.ra.tolist(), self.dec.tolist(), strict=True)):
            pixels = index.base_pixels(*centre)
            image = self.counts[number].reshape(-1)
            self._photons[number] += pixels.size
            if self._photons[number] <= _MOST:  # a pixel holds no more than the whole box
                np.add.at(image, pixels, np.uint16(1))
            else:
                image[:] = storable(image + np.bincount(pixels, minlength=image.size))


class SkyIndex:
    """Photons in the energy bands, sorted by strip of declination, then by right ascension.

    If `rows` is given, only these rows of `photons` are used.
    """

    def __init__(
        self, photons: EventList | Photons, geometry: ImageGeometry, rows: NDArray[np.int64] | None = None
    ) -> None:
        self._geometry = geometry
        part = slice(None) if rows is None else rows
        ra, dec, band = photons.ra[part], photons.dec[part], geometry.band_numbers(photons.pi_ev[part])
        used = band >= 0
        ra, dec, band = ra[used], dec[used], band[used]
        key = _strip(dec) * _STRIDE + ra
        order = np.argsort(key)
        self._key, self.ra, self.dec, self.band = key[order], ra[order], dec[order], band[order]

    def near_box(self, ra: float, dec: float) -> NDArray[np.int64]:
        """Return the rows, in this index, of all photons in the box around a position, and of a few photons outside."""
        low, high, right_ascensions = self._geometry.around_box(ra, dec)
        strips = np.arange(float(_strip(low)), float(_strip(high)) + 1) * _STRIDE
        starts = np.concatenate([np.searchsorted(self._key, strips + start) for start, _ in right_ascensions])
        stops = np.concatenate([np.searchsorted(self._key, strips + stop, "right") for _, stop in right_ascensions])
        return np.concatenate([np.arange(start, stop) for start, stop in zip(starts, stops, strict=True)])

    def base_pixels(self, ra: float, dec: float) -> NDArray[np.int64]:
        """Return each photon's pixel in the flattened image (band, y, x) around a position in deg, int64 (photons,).

        Photons outside the image are left out. The order of the photons is arbitrary. The offsets X of the photons are
        first rounded down to whole sky pixels, as SIXTE's radec2xy does. By default, a full-resolution pixel of evtool
        is 80 sky pixels wide, and a base pixel is 240 wide. Because floor(floor(X / 80) / 3) = floor(X / 240), each
        base pixel holds the photons of exactly 3 x 3 full-resolution pixels.
        """
        rows, geometry = self.near_box(ra, dec), self._geometry
        size, rebin = geometry.base_pixels, geometry.pixel_sky * geometry.base_rebin
        x, y = project(self.ra[rows], self.dec[rows], ra, dec)
        i, j = (image_pixels(np.floor(offset), 0.0, rebin, size) for offset in (x, y))
        return pixel_numbers(self.band[rows], j, i, (geometry.bands, size, size))


class BoxCells:
    """Cells of the sky that touch the boxes around positions in deg. The sides of a cell are `cell_deg` long."""

    def __init__(self, ra: FloatArray, dec: FloatArray, geometry: ImageGeometry, cell_deg: float = _STRIP_DEG) -> None:
        self._cell_deg = cell_deg
        self._touched = np.zeros((round(180 / cell_deg) + 1, round(360 / cell_deg) + 1), dtype=bool)
        for centre in zip(ra.tolist(), dec.tolist(), strict=True):
            low, high, right_ascensions = geometry.around_box(*centre)
            strips = slice(int(_strip(low, cell_deg)), int(_strip(high, cell_deg)) + 1)
            for start, stop in right_ascensions:
                self._touched[strips, int(start / cell_deg) : int(stop / cell_deg) + 1] = True

    def touched(self) -> NDArray[np.int64]:
        """Return the numbers of the cells that touch a box, int64."""
        return np.flatnonzero(self._touched)

    def numbers(self, photons: EventList | Photons) -> NDArray[np.int32]:
        """Return the number of the cell that each photon lies in, int32."""
        strip, cell = (
            _strip(photons.dec, self._cell_deg).astype(np.int32),
            (photons.ra / self._cell_deg).astype(np.int32),
        )
        return np.asarray(strip * self._touched.shape[1] + cell)

    def rows(self, photons: EventList | Photons) -> NDArray[np.int64]:
        """Return the row numbers of photons in cells that touch a box, int64. They include all photons in boxes."""
        return np.flatnonzero(self._touched.reshape(-1)[self.numbers(photons)])


def _strip(dec: ArrayLike, height_deg: float = _STRIP_DEG) -> FloatArray:
    return np.floor((np.asarray(dec) + 90.0) / height_deg)


class PhotonsByCell:
    """The photons near boxes around positions in deg, stored by cells of the sky in a temporary file.

    Photons near some of the boxes can be read without reading all others. Each photon takes 20 bytes.
    """

    def __init__(self, folder: Path, ra: FloatArray, dec: FloatArray, geometry: ImageGeometry) -> None:
        self._geometry, self._near = geometry, BoxCells(ra, dec, geometry)
        self._cells, self._stored = BoxCells(ra[:0], dec[:0], geometry, _CELL_DEG), Buckets(folder)

    def close(self) -> None:
        """Remove the temporary file."""
        self._stored.close()

    def add(self, events: EventList) -> None:
        """Store the photons of `events` that are near a box."""
        near = self._near.rows(events)
        rows = np.empty(near.size, dtype=_LAYOUT)
        for name in Photons._fields:
            rows[name] = getattr(events, name)[near]
        self._stored.add(rows, self._cells.numbers(_photons(rows)))

    def count(self, ra: FloatArray, dec: FloatArray) -> NDArray[np.uint16]:
        """Return the counts around `ra` and `dec` in deg, uint16 (clusters, band, y, x).

        These positions must be among the positions that the constructor got.
        """
        stack = ImageStack(ra, dec, self._geometry)
        for rows in self._stored.some(BoxCells(ra, dec, self._geometry, _CELL_DEG).touched().tolist(), PIECE_ROWS):
            stack.add(_photons(rows))
        return stack.counts


def _photons(rows: NDArray[Any]) -> Photons:
    return Photons(*(rows[name] for name in Photons._fields))


def neighbours(ra: FloatArray, dec: FloatArray, most: int) -> list[NDArray[np.int64]]:
    """Divide positions (deg) into parts of at most `most` neighbouring positions; return the rows of each part."""
    order = np.lexsort([ra, np.floor(dec / _PART_DEG)])
    return [np.sort(order[start : start + most]) for start in range(0, ra.size, most)]
