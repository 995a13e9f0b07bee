"""Images of point sources and beta models as the telescope sees them, for the source detection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fftfreq, irfft2, rfft2, rfftfreq
from scipy.interpolate import CubicSpline

from clustermass.arrays import Float32Array, FloatArray, IdArray
from clustermass.errors import InputError

if TYPE_CHECKING:
    from clustermass.config.sky_models import Detection

#: surface brightness in arcsec^-2 at radii in arcsec
RadialProfile: TypeAlias = Callable[[FloatArray], FloatArray]

GRID_STEP = 2.0  # arcsec, of the grid on which PSF and beta model are convolved
GRID_SIZE = 512
TABLE_STEP = 0.1  # arcsec, of the tables that are looked up without interpolation
TABLE_RADIUS = 360.0  # arcsec; the lookup takes anything farther as this far


@dataclass(frozen=True)
class Templates:
    """Radial profiles of the source models and the pixels of a stamp.

    Attributes
    ----------
    core_radius : float64, shape (model,)
        Core radius [arcsec]; 0 for the first model, the point source.
    profile : float32, shape (model, radius)
        Counts in a pixel whose centre lies at radius i * TABLE_STEP, for a source of one count on the whole sky.
    inside : float32, shape (model, shift)
        Counts inside the cut radius for a source shifted by i * TABLE_STEP from the centre of the stamp.
    x, y : float32, shape (pixel,)
        Offsets to the West and to the North of the pixels inside the cut radius [arcsec].
    pixel_of : int32, shape (size, size)
        Number of the pixel at [row, column] (row to the North, column to the West), -1 outside the cut radius.
    pixel_arcsec : float
        Side of a pixel [arcsec].
    """

    core_radius: FloatArray
    profile: Float32Array
    inside: Float32Array
    x: Float32Array
    y: Float32Array
    pixel_of: IdArray
    pixel_arcsec: float

    def value(self, model: NDArray[np.integer], radius: NDArray[np.floating]) -> Float32Array:
        """Return the counts in a pixel at `radius` [arcsec] from a one-count source of each `model` (broadcast)."""
        width = self.profile.shape[1]
        index = np.minimum((radius * np.float32(1.0 / TABLE_STEP) + np.float32(0.5)).astype(np.int32), width - 1)
        return self.profile.ravel().take(index + np.asarray(model, dtype=np.int32) * np.int32(width))

    def sum_inside(self, model: NDArray[np.integer], shift: NDArray[np.floating]) -> Float32Array:
        """Return the counts inside the cut radius of a one-count source `shift` arcsec off the centre (broadcast)."""
        index = np.minimum((shift / TABLE_STEP + 0.5).astype(np.int32), self.inside.shape[1] - 1)
        return self.inside[model, index]


def build_templates(psf: RadialProfile, parameters: Detection) -> Templates:
    """Tabulate PSF (x) beta model (x) pixel for every extent of the `skies.*.detection` block.

    Surface brightness of an extended source: [1 + (r / rc)^2]^(-3/2), i.e. beta = 2/3 (ermldet's model), normalised
    to one count over the whole sky.

    Parameters
    ----------
    psf : callable
        Surface brightness [arcsec^-2] at a radius [arcsec], normalised to 1 over the sky.
    parameters : mapping
        Uses pixel_arcsec, stamp_pixels, cut_radius_arcsec, extents_arcsec, shift_arcsec, refine_arcsec.

    Raises
    ------
    InputError
        If the cut radius does not fit into the stamp or the PSF is not normalised.
    """
    pixel, size = parameters["pixel_arcsec"], parameters["stamp_pixels"]
    cut = parameters["cut_radius_arcsec"]
    if size % 2 == 0 or cut > pixel * size / 2:
        raise InputError(
            f"detection: cut_radius_arcsec = {cut} does not fit into a stamp of an odd number of pixels: stamp_pixels "
            f'= {size} of pixel_arcsec = {pixel}". Enlarge stamp_pixels.'
        )
    core = np.concatenate([[0.0], np.asarray(parameters["extents_arcsec"], dtype=np.float64)])
    profile = np.stack([_radial_table(image) for image in _convolved(psf, core, pixel)])
    offset = (np.arange(size) - size // 2) * pixel
    y, x = np.meshgrid(offset, offset, indexing="ij")
    used = np.hypot(x, y) <= cut
    pixel_of = np.where(used, np.cumsum(used).reshape(used.shape) - 1, -1).astype(np.int32)
    tables = Templates(
        core, (profile * pixel**2).astype(np.float32), np.zeros((len(core), 1), np.float32),
        x[used].astype(np.float32), y[used].astype(np.float32), pixel_of, pixel,
    )  # fmt: skip
    reach = np.sqrt(2.0) * (parameters["shift_arcsec"] + 2.0 * sum(parameters["refine_arcsec"]))
    return replace(tables, inside=_inside(tables, reach))


def _inside(templates: Templates, reach: float) -> Float32Array:
    """Return the counts inside the cut radius of each model, shifted by 0..reach arcsec in steps of TABLE_STEP."""
    shifts = np.arange(0.0, reach, TABLE_STEP, dtype=np.float32)
    radius = np.hypot(templates.x[None, :] - shifts[:, None], templates.y[None, :])
    models = range(len(templates.core_radius))
    return np.stack([templates.value(np.array(m), radius).sum(axis=1, dtype=np.float64) for m in models]).astype("f4")


def _convolved(psf: RadialProfile, core: FloatArray, pixel: float) -> list[FloatArray]:
    """Return PSF (x) pixel and PSF (x) beta model (x) pixel on the fine grid [arcsec^-2], centre at [0, 0]."""
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
    return images


def _radial_table(image: FloatArray) -> FloatArray:
    """Return the profile of `image` along its first axis at every TABLE_STEP out to TABLE_RADIUS."""
    half = image[: GRID_SIZE // 2, 0]
    spline = CubicSpline(np.arange(len(half)) * GRID_STEP, half, bc_type="clamped")
    return np.maximum(spline(np.arange(0.0, TABLE_RADIUS, TABLE_STEP)), 0.0)
