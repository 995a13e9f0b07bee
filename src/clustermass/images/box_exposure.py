"""How long each image was exposed, and how much of it at all."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustermass.events.eventlist import FloatArray
from clustermass.images.cubes import ImageGeometry
from clustermass.images.exposure_maps import exposure_at
from clustermass.images.projection import SKY_PIXEL_ARCSEC, deproject
from clustermass.progress import track

#: below this part of the field's median exposure a place counts as not exposed
COVERED_ABOVE = 0.05
#: without a map, the box is divided into this many cells a side (4' each for a 20' box): one with a photon was exposed
_CELLS = 5


def box_exposure(
    image: NDArray[np.float32], wcs: Any, ra: FloatArray, dec: FloatArray, geometry: ImageGeometry
) -> tuple[FloatArray, FloatArray]:
    """Exposure of the image boxes, from the map at the centre of every base pixel.

    Parameters
    ----------
    image, wcs
        The map in s (rows, columns) and its celestial coordinates, from `exposure_maps.read_exposure`.
    ra, dec
        Image centres in deg, (clusters,).
    geometry
        Box and pixels.

    Returns
    -------
    tuple
        Mean exposure in s of the exposed part of each box (0 = nothing of it was exposed), and the fraction of the
        box with more than 5 % of the field's median exposure; float64 (clusters,).
    """
    offsets = geometry.base_offsets_arcsec() / SKY_PIXEL_ARCSEC
    x, y = (grid.ravel() for grid in np.meshgrid(offsets, offsets))
    threshold = COVERED_ABOVE * np.median(image[image > 0])
    mean, covered = np.zeros(ra.size), np.zeros(ra.size)
    for number in track(range(ra.size), "exposure of the boxes"):
        seconds = exposure_at(image, wcs, *deproject(x, y, float(ra[number]), float(dec[number])))
        exposed = seconds > 0
        mean[number] = seconds[exposed].mean(dtype=np.float64) if exposed.any() else 0.0
        covered[number] = np.mean(seconds > threshold)
    return mean, covered


def photon_coverage(counts: NDArray[np.uint16]) -> FloatArray:
    """Fraction of each box that was exposed, judged by where there are photons: for lists without an exposure map.

    Parameters
    ----------
    counts
        (clusters, band, y, x).

    Returns
    -------
    NDArray
        float64 (clusters,): fraction of 5 x 5 cells of the box with at least one photon.
    """
    flat = counts.sum(axis=1, dtype=np.int64)
    edges = np.linspace(0, flat.shape[-1], _CELLS, endpoint=False).astype(int)
    cells = np.add.reduceat(np.add.reduceat(flat, edges, axis=1), edges, axis=2)
    return np.asarray((cells > 0).mean(axis=(1, 2)))
