"""The orthographic (SIN) projection about a point of the sky, as eSASS and SIXTE use it for their sky pixels."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clustermass.events.eventlist import FloatArray

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
