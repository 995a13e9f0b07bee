"""Counts in annuli and octants about the image centre, and sums that a neighbour in one direction doesn't spoil."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clustermass.cosmology import FloatArray

#: outer radii of the annuli in arcsec; the last two annuli measure the local background
OUTER_RADII = np.array([24, 36, 48, 60, 72, 84, 96, 120, 144, 168, 192, 240, 300, 390, 480.0])
BACKGROUND_ANNULI = 2
OCTANTS = 8
#: within this radius an octant holds too few pixels to be compared with the others
SMALLEST_COMPARED_RADIUS = 60.0
#: the brightest octants of an annulus, left out of the robust sums
DISCARDED_OCTANTS = 2
#: clusters handled at a time, to bound the memory (float32 images of 1 MB)
BLOCK = 128


@dataclass(frozen=True)
class AnnulusCounts:
    """Counts of every cluster, band and annulus.

    Attributes
    ----------
    plain
        Counts, float64 (cluster, band, annulus).
    robust
        The same with the brightest octants of each annulus replaced by the mean of the others, so that a point source
        or another cluster to one side doesn't count; float64 (cluster, band, annulus).
    area
        Area of the annuli in arcmin2, (annulus,).
    """

    plain: FloatArray
    robust: FloatArray
    area: FloatArray

    def background(self) -> FloatArray:
        """Robust surface brightness in the outermost annuli, counts/arcmin2, (cluster, band)."""
        outer = slice(-BACKGROUND_ANNULI, None)
        return np.asarray(self.robust[..., outer].sum(axis=-1) / self.area[outer].sum(), dtype=float)


def annulus_counts(counts: NDArray[Any], x: FloatArray, y: FloatArray) -> AnnulusCounts:
    """Sum `counts` (cluster, band, y, x) over annuli of `OUTER_RADII` by pixel centres `x`, `y` (arcsec)."""
    cell, inside = _cells(x, y)
    members = np.zeros((cell.size, OUTER_RADII.size * OCTANTS), dtype=np.float32)
    members[np.arange(cell.size), cell] = 1
    pixels = members.sum(axis=0, dtype=float).reshape(OUTER_RADII.size, OCTANTS)
    plain, robust = [], []
    for first in range(0, len(counts), BLOCK):
        block = counts[first : first + BLOCK]
        seen = block.reshape(*block.shape[:2], -1)[..., inside].astype(np.float32)
        sums = (seen @ members).astype(float).reshape(*block.shape[:2], *pixels.shape)
        plain.append(sums.sum(axis=-1))
        robust.append(_robust(sums, pixels))
    arcmin2_of_pixel = abs((x[1] - x[0]) * (y[1] - y[0])) / 3600
    return AnnulusCounts(np.concatenate(plain), np.concatenate(robust), pixels.sum(axis=1) * float(arcmin2_of_pixel))


def _cells(x: FloatArray, y: FloatArray) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Annulus and octant of each pixel inside the largest radius, and which pixels (flattened y, x) those are."""
    east, north = np.meshgrid(-x, y)
    radius = np.hypot(east, north).ravel()
    inside = radius < OUTER_RADII[-1]
    octant = np.floor(np.arctan2(north, east).ravel() / (2 * np.pi) * OCTANTS).astype(int) % OCTANTS
    annulus = np.searchsorted(OUTER_RADII, radius, side="right")
    return (annulus * OCTANTS + octant)[inside], inside


def _robust(sums: FloatArray, pixels: FloatArray) -> FloatArray:
    """Sum over octants, (cluster, band, annulus), with the brightest (all bands decide) put at by the others' mean."""
    brightness = sums.sum(axis=1) / np.maximum(pixels, 1)
    order = np.argsort(brightness, axis=-1, kind="stable")
    kept = np.zeros(brightness.shape, dtype=bool)
    np.put_along_axis(kept, order[..., : OCTANTS - DISCARDED_OCTANTS], True, axis=-1)
    kept[:, OUTER_RADII <= SMALLEST_COMPARED_RADIUS] = True
    scale = pixels.sum(axis=-1) / np.maximum((kept * pixels).sum(axis=-1), 1)
    return np.asarray((sums * kept[:, None]).sum(axis=-1) * scale[:, None], dtype=float)


def within(profile: FloatArray, radius: ArrayLike) -> FloatArray:
    """Add up `profile` (cluster, band, annulus) inside `radius` arcsec (cluster,), interpolated in area.

    Radii beyond the last annulus get the last annulus' sum.
    """
    cumulative = np.concatenate([np.zeros_like(profile[..., :1]), profile.cumsum(axis=-1)], axis=-1)
    edges = np.concatenate([[0.0], OUTER_RADII**2])
    area = np.clip(np.asarray(radius, dtype=float) ** 2, 0, edges[-1])
    upper = np.clip(np.searchsorted(edges, area, side="left"), 1, edges.size - 1)
    weight = (area - edges[upper - 1]) / (edges[upper] - edges[upper - 1])
    rows = np.arange(len(cumulative))
    low, high = cumulative[rows, :, upper - 1], cumulative[rows, :, upper]
    return np.asarray(low + weight[:, None] * (high - low), dtype=float)
