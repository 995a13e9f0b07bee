"""Colour pictures of clusters. Brightness shows the counts of all bands, and colour shows their mean energy."""

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from clustermass.arrays import FloatArray

#: colours (red, green, blue) of the lowest, middle and highest energies; orange and blue differ for colour-blind eyes
PALETTE = np.array([[1.0, 0.50, 0.05], [0.55, 0.6, 0.55], [0.05, 0.50, 1.0]])
#: standard deviations of the Gaussians that smooth brightness and colour
BRIGHTNESS_ARCSEC, COLOUR_ARCSEC = 16.0, 36.0
#: power of the share of an energy group in the light, which enlarges the differences of colour
_CONTRAST = 1.7
#: counts in a pixel that are added to each group, so that colours of few photons are neutral
_PRIOR = 0.1
#: peaks of less than this times the median aren't stretched to full brightness, since they are mostly noise
_FAINTEST = 6.0
#: brightness of the stripes that mark pixels without exposure
_STRIPES = np.array([60, 60, 110, 110], np.uint8)


def pictures(
    counts: NDArray[np.uint16],
    exposed: NDArray[np.integer],
    pixel_arcsec: float,
    rows: NDArray[np.intp] | Sequence[int],
) -> NDArray[np.uint8]:
    """Return colour pictures (row, y, x, 3) of the clusters in `rows`, from counts (cluster, colour, y, x).

    North is up, West is right.

    - The brightness of a pixel follows from asinh(c / median of c), where c are the smoothed counts of the picture. The
      brightest pixel of a picture has full brightness, unless it may be noise.
    - The colour of a pixel shows which energies are more frequent among its counts than among the counts of all
      clusters.
    - Grey stripes mark pixels without exposure, where `exposed` (cluster, y, x) is 0.
    """
    groups = counts.shape[1]
    palette = PALETTE[np.linspace(0, len(PALETTE) - 1, groups).round().astype(int)]
    sums = counts.sum(axis=(0, 2, 3), dtype=float)
    balance = sums.mean() / np.maximum(sums, 1.0)
    shown = np.stack([_picture(one.astype(float), balance, palette, pixel_arcsec) for one in counts[rows]])
    stripes = _STRIPES[np.add.outer(*map(np.arange, shown.shape[1:3])) % _STRIPES.size]
    return np.where(exposed[rows, ::-1, :, None] != 0, shown, stripes[..., None])


def _picture(counts: FloatArray, balance: FloatArray, palette: FloatArray, pixel_arcsec: float) -> NDArray[np.uint8]:
    smooth = gaussian_filter(counts.sum(axis=0), BRIGHTNESS_ARCSEC / pixel_arcsec, mode="nearest")
    unit = max(float(np.median(smooth)), 1e-3)
    value = np.arcsinh(smooth / unit) / np.arcsinh(max(smooth.max() / unit, _FAINTEST))
    sigma = COLOUR_ARCSEC / pixel_arcsec
    light = gaussian_filter(counts, (0, sigma, sigma), mode="nearest") * balance[:, None, None] + _PRIOR
    share = (light / light.max(axis=0)) ** _CONTRAST
    colour = np.einsum("cyx,cr->yxr", share, palette / palette.sum(axis=0))
    colour /= colour.max(axis=-1, keepdims=True)
    shown = np.clip(value[..., None] ** 1.2 * colour, 0, 1)[::-1]  # the first line of a picture is its top
    return np.rint(255 * shown).astype(np.uint8)


def png(picture: NDArray[np.uint8]) -> bytes:
    """Return a colour picture (y, x, 3) as a PNG file."""
    height, width, _ = picture.shape
    # filter 2 (Up) stores differences to the line above, which compress better
    above = np.concatenate([np.zeros_like(picture[:1]), picture[:-1]])
    lines = np.concatenate([np.full((height, 1), 2, np.uint8), (picture - above).reshape(height, -1)], axis=1)
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines.tobytes(), 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
