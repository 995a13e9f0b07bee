"""Images of many positions, filled from a list of photons that comes whole or in pieces."""

import numpy as np
from numpy.typing import NDArray

from clustermass.events.eventlist import EventList, FloatArray
from clustermass.images.cubes import ImageGeometry, storable
from clustermass.images.skyindex import BoxCells, SkyIndex

_MOST = np.iinfo(np.uint16).max


class ImageStack:
    """Counts on the base grid around many positions.

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
        """Count the photons of `events` too.

        Raises
        ------
        InputError
            A pixel holds more than 65535 photons, which images can't store.
        """
        if len(events) == 0:
            return
        index = SkyIndex.of(events, self._geometry, self._cells.rows(events))
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
