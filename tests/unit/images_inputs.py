"""Reference images: photons counted by the definition of the pixels, without an index."""

import numpy as np

from clustermass.images.geometry import image_pixels, pixel_numbers, project, storable
from clustermass.images.sky_index import ImageStack

#: block `images` of the configuration: boxes of 300 pixels of 4 arcsec
IMAGES = {
    "box_pixels": 300, "pixel_arcsec": 4.0, "base_rebin": 3, "centre": "detected", "det_like_min": 5.0,
    "ext_like_min": 6.0, "bands": {"start_ev": 250, "width_ev": 205, "number": 10},
}  # fmt: skip


def cube(events, ra, dec, geometry):
    """Count the photons around a position in full-resolution pixels, as `radec2xy` and `evtool` do together.

    uint16 (band, y, x); x grows to the West, y to the North.
    """
    x, y = project(events.ra, events.dec, ra, dec)
    return _count(np.floor(x), np.floor(y), (0.0, 0.0), events, geometry)


def cube_sky_pixels(events, x, y, geometry):
    """Count as `cube`, but in the list's own sky pixels about its sky pixel (`x`, `y`): evtool's center_position."""
    return _count(events.x, events.y, (x, y), events, geometry)


def _count(x, y, centre, events, geometry):
    size = geometry.box_pixels
    i, j = (image_pixels(axis, c, geometry.pixel_sky, size) for axis, c in zip((x, y), centre, strict=True))
    shape = (geometry.bands, size, size)
    pixels = pixel_numbers(geometry.band_numbers(events.pi_ev), j, i, shape)
    return storable(np.bincount(pixels, minlength=np.prod(shape))).reshape(shape)


def base_counts(index, ra, dec, geometry):
    """Count the photons of an index in the box around a position, uint16 (band, base pixel, base pixel)."""
    shape = (geometry.bands, geometry.base_pixels, geometry.base_pixels)
    return np.bincount(index.base_pixels(ra, dec), minlength=np.prod(shape)).reshape(shape)


def cut_images(events, ra, dec, geometry):
    """Count photons on the base grid around many positions, uint16 (cluster, band, y, x)."""
    stack = ImageStack(ra, dec, geometry)
    stack.add(events)
    return stack.counts
