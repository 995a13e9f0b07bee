"""Templates of point sources and beta models, convolved with the PSF, and count images around many positions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fftfreq, irfft2, rfft2, rfftfreq
from scipy.interpolate import CubicSpline
from scipy.ndimage import uniform_filter1d

from clustermass.arrays import Float32Array, FloatArray, IdArray, IntArray
from clustermass.errors import InputError

if TYPE_CHECKING:
    from clustermass.config.sky_models import Detection

#: surface brightness in arcsec^-2 at radii in arcsec
RadialProfile: TypeAlias = Callable[[FloatArray], FloatArray]

GRID_STEP = 2.0  # arcsec, of the grid on which PSF and beta model are convolved
GRID_SIZE = 512
TABLE_STEP = 0.1  # arcsec, of the tables that are looked up without interpolation
TABLE_RADIUS = 360.0  # arcsec; a larger radius is looked up as this one
REACH_ARCSEC = 120.0  # sources this far beyond the cut radius are modelled; farther ones count as background
INSIDE_ARCSEC = 60.3  # farthest distance from a stamp's centre at which a source is fitted


@dataclass(frozen=True, eq=False)
class Templates:
    """Radial profiles of the source models, and the positions of the pixels of a stamp."""

    core_radius: FloatArray  #: arcsec, (model,); 0 for the first model, the point source
    profile: Float32Array  #: counts in a pixel at the radius i * TABLE_STEP from a one-count source, (model, radius)
    inside: Float32Array  #: counts inside the cut radius, one-count source i * TABLE_STEP off centre, (model, shift)
    x: Float32Array  #: offset to the West of the pixels inside the cut radius, arcsec, (pixel,)
    y: Float32Array  #: offset to the North
    pixel_of: IdArray  #: number of the pixel at [row to the North, column to the West], -1 outside the cut radius
    pixel_arcsec: float

    @cached_property
    def slope(self) -> Float32Array:
        """The derivative of `profile` by the radius, per arcsec, (model, radius)."""
        return np.ascontiguousarray(np.gradient(self.profile, TABLE_STEP, axis=1), dtype=np.float32)

    @cached_property
    def inside_slope(self) -> FloatArray:
        """The derivative of `inside` by the shift, per arcsec, (model, shift). Noise due to pixels is smoothed out."""
        smooth = uniform_filter1d(self.inside.astype(np.float64), 41, axis=1, mode="nearest")
        return np.gradient(smooth, TABLE_STEP, axis=1)

    def value(self, model: NDArray[np.integer], radius: NDArray[np.floating]) -> Float32Array:
        """Return the expected counts in a pixel at `radius` arcsec from a source that has one count on the whole sky.

        `model` is the number of the source's model. The shapes of `model` and `radius` are broadcast.
        """
        width = self.profile.shape[1]
        index = np.minimum((radius * np.float32(1.0 / TABLE_STEP) + np.float32(0.5)).astype(np.int32), width - 1)
        return self.profile.ravel().take(index + np.asarray(model, dtype=np.int32) * np.int32(width))

    def sum_inside(self, model: NDArray[np.integer], shift: NDArray[np.floating]) -> Float32Array:
        """Return the counts that a source with one count on the whole sky is expected to have inside the cut radius.

        `model` is the number of the source's model. The source lies `shift` arcsec from the centre of its stamp.
        """
        index = np.minimum((shift / TABLE_STEP + 0.5).astype(np.int32), self.inside.shape[1] - 1)
        return self.inside[model, index]


def build_templates(psf: RadialProfile, parameters: Detection) -> Templates:
    """Return templates of the point source and of every extent in the config block `detection`.

    A template is an image of the source convolved with the PSF and with a pixel. Each source has one count over the
    whole sky. The surface brightness of an extended source with the core radius rc is proportional to
    [1 + (r / rc)^2]^(-3/2), which is a beta model with beta = 2/3 as in ermldet. InputError if the cut radius does not
    fit into the stamp or the PSF is not normalised.
    """
    pixel, size, cut = parameters["pixel_arcsec"], parameters["stamp_pixels"], parameters["cut_radius_arcsec"]
    if size % 2 == 0 or cut > pixel * size / 2:
        raise InputError(
            f"detection: cut_radius_arcsec = {cut} does not fit into a stamp of an odd number of pixels: stamp_pixels "
            f'= {size} of pixel_arcsec = {pixel}". Enlarge stamp_pixels.'
        )
    core = np.concatenate([[0.0], np.asarray(parameters["extents_arcsec"], dtype=np.float64)])
    profile = _profiles(psf, core, pixel)
    offset = (np.arange(size) - size // 2) * pixel
    y, x = np.meshgrid(offset, offset, indexing="ij")
    used = np.hypot(x, y) <= cut
    pixel_of = np.where(used, np.cumsum(used).reshape(used.shape) - 1, -1).astype(np.int32)
    tables = Templates(
        core, np.ascontiguousarray(profile * pixel**2, dtype=np.float32), np.zeros((len(core), 1), np.float32),
        x[used].astype(np.float32), y[used].astype(np.float32), pixel_of, pixel,
    )  # fmt: skip
    shifts = np.arange(0.0, INSIDE_ARCSEC, TABLE_STEP, dtype=np.float32)
    radius = np.hypot(tables.x[None, :] - shifts[:, None], tables.y[None, :])
    inside = [tables.value(np.array(model), radius).sum(axis=1, dtype=np.float64) for model in range(len(core))]
    return replace(tables, inside=np.stack(inside).astype(np.float32))


def _profiles(psf: RadialProfile, core: FloatArray, pixel: float) -> FloatArray:
    """Return radial profiles of sources convolved with the PSF and a pixel, (model, radius), in arcsec^-2.

    The first model is the point source, and the others have the core radii `core` (arcsec). The radii of the profiles
    are multiples of TABLE_STEP.
    """
    offset = fftfreq(GRID_SIZE, 1.0 / (GRID_SIZE * GRID_STEP))
    radius = np.hypot(offset[:, None], offset[None, :])
    blurred = psf(radius) * GRID_STEP**2
    if not 0.9 < blurred.sum() < 1.05:
        raise InputError(f"detection: the PSF sums to {blurred.sum():.3f} within {-offset.min():.0f} arcsec, not to 1.")
    frequency_y, frequency_x = fftfreq(GRID_SIZE, GRID_STEP), rfftfreq(GRID_SIZE, GRID_STEP)
    transfer = rfft2(blurred) * np.sinc(frequency_y * pixel)[:, None] * np.sinc(frequency_x * pixel)[None, :]
    images = [irfft2(transfer, s=radius.shape) / GRID_STEP**2]
    for rc in core[1:]:
        beta = (1.0 + (radius / rc) ** 2) ** -1.5 / (2.0 * np.pi * rc**2)
        images.append(irfft2(rfft2(beta) * transfer, s=radius.shape))
    half = np.stack([image[: GRID_SIZE // 2, 0] for image in images])  # their centre is at [0, 0]
    spline = CubicSpline(np.arange(GRID_SIZE // 2) * GRID_STEP, half, axis=1, bc_type="clamped")
    return np.maximum(spline(np.arange(0.0, TABLE_RADIUS, TABLE_STEP)), 0.0)


@dataclass(frozen=True)
class CountImages:
    """Count images, as lists of the pixels that hold counts."""

    first: IntArray  #: entries first[i] to first[i + 1] belong to image i, (image + 1,)
    owner: IdArray  #: image of each entry
    pixel: IdArray  #: pixel number in `Templates.x` of each entry
    counts: Float32Array  #: counts > 0 of each entry


def ranges(first: NDArray[np.integer], last: NDArray[np.integer]) -> tuple[IntArray, IntArray]:
    """Return all pairs (i, j) with first[i] <= j < last[i], sorted by i and then by j: an array of i, and one of j."""
    length = np.maximum(last - first, 0)
    owner = np.repeat(np.arange(len(first), dtype=np.int64), length)
    before = np.cumsum(length) - length
    return owner, np.arange(length.sum(), dtype=np.int64) + (first - before)[owner]


def counts_at(
    images: CountImages,
    templates: Templates,
    image: IntArray,
    x: FloatArray,
    y: FloatArray,
    model: IntArray,
    counts: FloatArray,
) -> Float32Array:
    """Return the expected counts that sources add to each entry of `images`, shape (entry,).

    All other arrays have the shape (pair,). A pair is the number of an `image`, and a source that is `x` arcsec to the
    West and `y` arcsec to the North of the image's centre.
    """
    pair, entry = ranges(images.first[image], images.first[image + 1])
    pixel = images.pixel[entry]
    radius = np.hypot(templates.x[pixel] - x.astype(np.float32)[pair], templates.y[pixel] - y.astype(np.float32)[pair])
    expected = templates.value(model[pair], radius) * counts[pair]
    return np.bincount(entry, weights=expected, minlength=len(images.pixel)).astype(np.float32)
