"""Images of the counts and the exposure of facets, from which backgrounds and stamps are computed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate

from clustermass.arrays import BoolArray, Float32Array, FloatArray, IntArray
from clustermass.detect.background import Exposure, truncated_rate
from clustermass.detect.facets import Facet, band_of, piece_of
from clustermass.detect.stamps import CountImages, Templates

if TYPE_CHECKING:
    from clustermass.config.sky_models import Detection

BLOCK_CELLS = 8  # images begin and end a multiple of this number of cells from the facet's centre
SURROUNDINGS = 30  # cells on each side in which the median of the background is taken
NODE_CELLS = 4  # distance in cells of the places at which the background of the search is estimated


@dataclass(frozen=True)
class FacetImage:
    """Counts and exposure around a facet. Images are (y, x), y to the North and x to the West."""

    facet: Facet
    counts: Float32Array  #: counts in pixels
    x_low: float  #: x of the first column's edge in the facet's plane, arcsec
    y_low: float  #: y of the first row's edge
    pixel_arcsec: float
    cell: int  #: pixels along a side of a cell of the background estimate
    cell_counts: NDArray[np.int64]
    exposure: Float32Array  #: s, at the centres of the cells
    parameters: Detection

    @cached_property
    def lit(self) -> BoolArray:
        """Whether each pixel holds counts."""
        return self.counts > 0.0

    @cached_property
    def rate(self) -> FloatArray:
        """Background rate at the cells in counts / (arcmin^2 s), interpolated between estimates at some of them."""
        places = [np.arange(NODE_CELLS // 2, length, NODE_CELLS) for length in self.exposure.shape]
        node_row, node_column = (nodes.ravel() for nodes in np.meshgrid(*places, indexing="ij"))
        rate = np.zeros(len(node_row))
        seen = self.exposure[node_row, node_column] > 0.0
        rate[seen] = self._rate(node_row[seen], node_column[seen])
        rate = rate.reshape([len(nodes) for nodes in places])
        down, across = (
            np.maximum(1.0 - np.abs(np.arange(length)[:, None] - nodes) / NODE_CELLS, 1e-6)
            for length, nodes in zip(self.exposure.shape, places, strict=True)
        )
        return down @ rate @ across.T / (down @ (rate > 0.0) @ across.T + 1e-30)

    @cached_property
    def calm(self) -> FloatArray:
        """Background rate at the cells in counts / (arcmin^2 s), without the light of bright clusters.

        All cells of a block, which is 2 BLOCK_CELLS wide, have the same value: the median of `rate` in a larger square
        around the block, whose sides are 2 SURROUNDINGS cells long.
        """
        result, step = np.zeros_like(self.rate), 2 * BLOCK_CELLS
        for row in range(0, len(result), step):
            for column in range(0, result.shape[1], step):
                middle = row + BLOCK_CELLS, column + BLOCK_CELLS
                rows, columns = (slice(max(at - SURROUNDINGS, 0), at + SURROUNDINGS, NODE_CELLS) for at in middle)
                near = self.rate[rows, columns][self.exposure[rows, columns] > 0.0]
                result[row : row + step, column : column + step] = np.median(near) if near.size else 0.0
        return result

    @cached_property
    def excess(self) -> FloatArray:
        """Counts in the 3 x 3 cells around each cell, minus the counts expected there from the background `calm`."""
        area = (self.cell * self.pixel_arcsec / 60.0) ** 2
        above = self.cell_counts - self.calm * self.exposure * area
        return np.asarray(correlate(above, np.ones((3, 3)), mode="constant"))

    def cells(self, x: FloatArray, y: FloatArray) -> tuple[IntArray, IntArray]:
        """Return row and column of the cell at each place in the plane."""
        side = self.cell * self.pixel_arcsec
        return ((y - self.y_low) / side).astype(np.intp), ((x - self.x_low) / side).astype(np.intp)

    def rings(self, x: float, y: float, edges: FloatArray, sectors: int) -> tuple[IntArray, FloatArray]:
        """Return the counts, and the number of pixels, in sectors of rings around a place, (ring, sector).

        `edges` are the radii between the rings, in arcsec.
        """
        half = int(edges[-1] / self.pixel_arcsec) + 1
        middle = (y - self.y_low) / self.pixel_arcsec - 0.5, (x - self.x_low) / self.pixel_arcsec - 0.5
        rows, columns = (slice(max(int(at) - half, 0), int(at) + half + 1) for at in middle)
        counts = self.counts[rows, columns]
        down, across = np.indices(counts.shape) * self.pixel_arcsec
        down += (rows.start - middle[0]) * self.pixel_arcsec
        across += (columns.start - middle[1]) * self.pixel_arcsec
        ring = np.searchsorted(edges, np.hypot(down, across), side="right") - 1
        sector = ((np.arctan2(down, across) / (2.0 * np.pi) + 0.5) * sectors).astype(np.intp) % sectors
        part, shape = (ring * sectors + sector).ravel(), (len(edges), sectors)
        number = np.bincount(part, minlength=shape[0] * shape[1]).reshape(shape)[:-1]
        inside = np.bincount(part, counts.ravel(), shape[0] * shape[1]).reshape(shape)[:-1]
        return inside.astype(np.intp), number.astype(float)

    def background(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Return the background rate around each place in the plane in counts / (arcmin^2 s), (place,)."""
        return self._rate(*self.cells(x, y))

    def _rate(self, row: IntArray, column: IntArray) -> FloatArray:
        """Return the background rate around cells in counts / (arcmin^2 s), by `truncated_rate`."""
        side, parameters = self.cell * self.pixel_arcsec, self.parameters
        steps = int(np.ceil(parameters["background_radius_arcsec"] / side - 0.5))
        step = np.arange(-steps, steps + 1)
        y, x = np.nonzero(np.hypot(step[:, None], step) * side >= parameters["background_exclusion_arcsec"])
        counts, exposure = (np.pad(cells, steps) for cells in (self.cell_counts, self.exposure))
        place = (row * counts.shape[1] + column)[:, None] + (y * counts.shape[1] + x)
        level = truncated_rate(counts.ravel()[place], exposure.ravel()[place], parameters["background_clip_sigma"])
        return level / (side / 60.0) ** 2

    def pixels(self, x: FloatArray, y: FloatArray) -> IntArray:
        """Return the index, in the flattened array `counts`, of the pixel at each place in the plane.

        Places near the border of the image get the nearest pixel that is far enough from it.
        """
        return np.asarray(self._clipped(y, self.y_low, 0) * self.counts.shape[1] + self._clipped(x, self.x_low, 1))

    def _clipped(self, at: FloatArray, low: float, axis: int) -> IntArray:
        border = self.cell * BLOCK_CELLS // 2
        number = np.floor((at - low) / self.pixel_arcsec).astype(np.intp)
        return number.clip(border, self.counts.shape[axis] - 1 - border)

    def centres(self, pixels: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return x and y in the plane, in arcsec, of the centres of pixels."""
        row, column = np.divmod(pixels, self.counts.shape[1])
        return (column + 0.5) * self.pixel_arcsec + self.x_low, (row + 0.5) * self.pixel_arcsec + self.y_low

    def stamps(self, pixels: IntArray, templates: Templates) -> CountImages:
        """Return one count image centred on each of `pixels`, with the same pixels as the templates."""
        row, column = np.nonzero(templates.pixel_of >= 0)
        half = len(templates.pixel_of) // 2
        steps = (row - half) * self.counts.shape[1] + column - half
        owner, pixel = np.nonzero(self.lit.ravel()[pixels[:, None] + steps])
        first = np.searchsorted(owner, np.arange(len(pixels) + 1))
        counts = self.counts.ravel()[pixels[owner] + steps[pixel]]
        return CountImages(first, owner.astype(np.int32), pixel.astype(np.int32), counts)


def facet_images(
    ra: FloatArray, dec: FloatArray, exposure_s: Exposure, margin_arcsec: float, parameters: Detection
) -> Iterator[FacetImage]:
    """Yield an image of each facet that holds photons, with all photons within `margin_arcsec` of the facet.

    `ra`, in [0, 360], and `dec` are the positions of the photons in deg.
    """
    bands = band_of(dec)
    for band in np.flatnonzero(np.bincount(bands)).tolist():
        first = Facet(band, 0)
        half_x, half_y = (half + margin_arcsec for half in first.half_arcsec())
        near_dec, near_ra = half_y / 3600.0, first.span_deg(half_x, half_y)
        rows = np.flatnonzero(np.abs(dec - first.centre[1]) <= near_dec)
        band_ra, band_dec = ra[rows], dec[rows]
        for piece in np.flatnonzero(np.bincount(piece_of(ra[bands == band], band))).tolist():
            facet = Facet(band, piece)
            rows = np.flatnonzero(np.abs(np.abs(band_ra - facet.centre[0]) - 180.0) >= 180.0 - near_ra)
            x, y = facet.to_plane(band_ra[rows], band_dec[rows])
            near = (np.abs(x) < half_x) & (np.abs(y) < half_y)
            yield _image(facet, x[near], y[near], exposure_s, parameters)


def _image(facet: Facet, x: FloatArray, y: FloatArray, exposure_s: Exposure, parameters: Detection) -> FacetImage:
    """Return the image of the photons at (x, y) in the plane of a facet, with a margin of at least one block."""
    pixel = parameters["pixel_arcsec"]
    cell = round(parameters["background_cell_arcsec"] / pixel)
    block = cell * BLOCK_CELLS
    column, row = (np.floor(at / pixel).astype(np.int32) for at in (x, y))
    (left, right), (low, high) = ((at.min() // block - 1, at.max() // block + 2) for at in (column, row))
    shape = int((high - low) * block), int((right - left) * block)
    row, column = row - low * block, column - left * block
    place = row * np.intp(shape[1]) + column
    counts = np.bincount(place, minlength=shape[0] * shape[1]).astype(np.float32).reshape(shape)
    across = shape[1] // cell
    number = np.bincount(row // cell * across + column // cell, minlength=shape[0] // cell * across)
    cells = number.reshape(-1, across)
    x_low, y_low, side = float(left * block * pixel), float(low * block * pixel), cell * pixel
    at_x, at_y = np.meshgrid(
        *(begin + (np.arange(n) + 0.5) * side for begin, n in zip((x_low, y_low), cells.shape[::-1], strict=True))
    )
    exposure = np.asarray(exposure_s(*facet.to_sky(at_x.ravel(), at_y.ravel())), dtype=np.float32).reshape(cells.shape)
    return FacetImage(facet, counts, x_low, y_low, pixel, cell, cells, exposure, parameters)
