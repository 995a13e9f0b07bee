"""The grid of a preprocessing about each image centre: crops of the base grid, or scaled to one redshift."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NotRequired

import numpy as np
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.cosmology import arcmin_per_mpc
from clustermass.errors import InputError
from clustermass.images.geometry import block_sum
from clustermass.io.log import LOGGER

if TYPE_CHECKING:
    from clustermass.config.models import Preprocessing

    class Recipe(Preprocessing):
        """A block of the config's `preprocessing`, and the cosmology that `scale_to_redshift` needs."""

        cosmology: NotRequired[Mapping[str, float]]


class Grid:
    """The recipe's grid: a crop of the base grid, with whole numbers of base pixels summed.

    Parameters
    ----------
    offsets
        Of the base pixels' centres from the image centre, arcsec, (base pixels,).
    recipe
        half_width_arcsec, pixel_arcsec.

    Attributes
    ----------
    pixels
        Pixels along a side.
    attributes
        What the file of images states of the grid.

    Raises
    ------
    InputError
        The recipe doesn't fit the base grid; the key is named.
    """

    def __init__(self, offsets: FloatArray, recipe: Recipe) -> None:
        self._half_width, self._pixel_arcsec = float(recipe["half_width_arcsec"]), float(recipe["pixel_arcsec"])
        self._base, self._base_pixels = float(offsets[1] - offsets[0]), offsets.size
        self._half_box = offsets.size * self._base / 2
        self.pixels = _whole(2 * self._half_width / self._pixel_arcsec)
        self.attributes: dict[str, float] = {}
        self._fit()

    def _fit(self) -> None:
        """Check the grid against the base grid, and prepare to rebin."""
        self._factor, half = _whole(self._pixel_arcsec / self._base), _whole(self._half_width / self._base)
        if not self._factor:
            raise InputError(
                f"pixel_arcsec is {self._pixel_arcsec:g}, but must be a multiple of the base pixel, {self._base:g} "
                "arcsec."
            )
        if not half or self._half_width > self._half_box + 1e-6:
            raise InputError(
                f"half_width_arcsec is {self._half_width:g}, but must be a multiple of the base pixel, {self._base:g} "
                f"arcsec, and at most half the box, {self._half_box:g} arcsec."
            )
        self._check_pixels()
        centre = self._base_pixels // 2
        self._crop = slice(centre - half, centre + half)

    def _check_pixels(self) -> None:
        if not self.pixels:
            raise InputError(
                f"pixel_arcsec is {self._pixel_arcsec:g}, but must divide twice half_width_arcsec, "
                f"{2 * self._half_width:g} arcsec, without remainder."
            )

    def rebin(self, counts: NDArray[np.uint16], rows: slice) -> NDArray[Any]:
        """Return counts (cluster, band, y, x) of the clusters `rows` on this grid: uint32 (..., pixels, pixels)."""
        return block_sum(counts[..., self._crop, self._crop].astype(np.uint32), self._factor)

    def offsets_arcsec(self) -> NDArray[np.float64]:
        """Return the offsets of the pixels' centres from the image centre in arcsec, float64 (pixels,)."""
        return np.asarray((np.arange(self.pixels) - self.pixels / 2 + 0.5) * self._pixel_arcsec, dtype=float)


def _whole(ratio: float) -> int:
    """Return `ratio` as a whole number above 0, or 0 if it is none."""
    return round(ratio) if ratio > 0 and abs(ratio - round(ratio)) < 1e-6 else 0


class ScaledGrid(Grid):
    """The recipe's grid about each cluster, with the angular size that it has at the recipe's redshift.

    A cluster at another redshift has pixels of another angular size and the same size in kpc; offsets are those at the
    recipe's redshift. Counts of a base pixel are shared among the pixels that it overlaps, in proportion to area: none
    is lost or made. An image that would reach beyond the base box, of a cluster that is too near, is as large as the
    box.

    Parameters
    ----------
    offsets, recipe
        As for `Grid`; the recipe also has scale_to_redshift and `cosmology` (`h0_km_s_mpc`, `omega_m`).
    redshift
        Of the clusters, (cluster,); where it isn't positive, it is unknown and the image is NaN.

    Raises
    ------
    InputError
        The recipe doesn't fit the base box, or has no cosmology; the key is named.
    """

    def __init__(self, offsets: FloatArray, recipe: Recipe, redshift: FloatArray) -> None:
        super().__init__(offsets, recipe)
        if "cosmology" not in recipe:
            raise InputError("scale_to_redshift needs a cosmology; give the recipe h0_km_s_mpc and omega_m by it.")
        reference, cosmology = float(recipe["scale_to_redshift"]), recipe["cosmology"]
        pixel_kpc = self._pixel_arcsec / 60 / float(arcmin_per_mpc(reference, cosmology)) * 1000
        self.attributes = {"scaled_to_redshift": reference, "pixel_kpc": pixel_kpc}
        zoom = zooms(redshift, reference, cosmology)
        largest = self._half_box / self._half_width
        LOGGER.info(
            "scaled to redshift %g: pixels of %.4g kpc; %d of %d clusters are too near for the box and fill it; %d "
            "have no redshift, and so no image",
            reference, pixel_kpc, (zoom > largest).sum(), zoom.size, np.isnan(zoom).sum(),
        )  # fmt: skip
        self._zoom = np.minimum(zoom, largest)

    def _fit(self) -> None:
        self._check_pixels()
        if self._half_width > self._half_box + 1e-6:
            raise InputError(
                f"half_width_arcsec is {self._half_width:g}, but must be at most half the box, {self._half_box:g} "
                "arcsec."
            )

    def rebin(self, counts: NDArray[np.uint16], rows: slice) -> NDArray[Any]:
        """Return counts (cluster, band, y, x) of the clusters `rows` on this grid: float64 (..., pixels, pixels)."""
        result = np.full((*counts.shape[:2], self.pixels, self.pixels), np.nan)
        for image, cluster, zoom in zip(result, counts, self._zoom[rows].tolist(), strict=True):
            if np.isfinite(zoom):
                share = shares(self.pixels, zoom * self._pixel_arcsec / self._base, self._base_pixels)
                image[:] = share @ cluster.astype(np.float64) @ share.T
        return result


def zooms(redshift: FloatArray, reference: float, cosmology: Mapping[str, float]) -> FloatArray:
    """Return the angle of a length at `redshift` over that at `reference`, (cluster,); NaN = no positive redshift."""
    redshift = np.asarray(redshift, dtype=np.float64)
    positive = np.isfinite(redshift) & (redshift > 0)
    zoom = np.full(redshift.shape, np.nan)
    zoom[positive] = arcmin_per_mpc(redshift[positive], cosmology) / float(arcmin_per_mpc(reference, cosmology))
    return zoom


def shares(pixels: int, side: float, base_pixels: int) -> FloatArray:
    """Return the part of each base pixel's length that lies in each pixel, along one axis; both grids have one centre.

    Parameters
    ----------
    pixels
        Number of pixels.
    side
        Their side in base pixels.
    base_pixels
        Number of base pixels.

    Returns
    -------
    FloatArray
        (pixels, base_pixels), 0 to 1.
    """
    edges = (np.arange(pixels + 1) - pixels / 2) * side
    base = np.arange(base_pixels + 1) - base_pixels / 2
    low = np.maximum(edges[:-1, None], base[None, :-1])
    high = np.minimum(edges[1:, None], base[None, 1:])
    return np.asarray(np.maximum(high - low, 0.0))
