"""Images of one physical size: each cluster as large as if it stood at one redshift, whatever its own."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustermass.cosmology import FloatArray, arcmin_per_mpc
from clustermass.errors import InputError
from clustermass.progress import LOGGER


class ScaledGrid:
    """The recipe's grid about each cluster, with the angular size that it has at the recipe's redshift.

    A cluster at another redshift has pixels of another angular size and the same size in kpc. Counts of a base pixel
    are shared among the pixels that it overlaps, in proportion to area: none is lost or made. An image that would
    reach beyond the base box, of a cluster that is too near, is as large as the box.

    Parameters
    ----------
    offsets
        Of the base pixels' centres from the image centre, arcsec, (base pixels,).
    recipe
        half_width_arcsec, pixel_arcsec, scale_to_redshift, and `cosmology` (`h0_km_s_mpc`, `omega_m`), in which
        redshifts are turned into distances.
    redshift
        Of the clusters, (cluster,); one that isn't positive is not known, and the image is NaN.

    Raises
    ------
    InputError
        The recipe doesn't fit the base box, or names no cosmology; the key is named.
    """

    def __init__(self, offsets: NDArray[Any], recipe: Mapping[str, Any], redshift: FloatArray) -> None:
        self._base = float(offsets[1] - offsets[0])
        self._base_pixels = offsets.size
        half_width, self._pixel_arcsec = float(recipe["half_width_arcsec"]), float(recipe["pixel_arcsec"])
        half_box = offsets.size * self._base / 2
        ratio = 2 * half_width / self._pixel_arcsec
        self.pixels = round(ratio)
        if self.pixels < 1 or abs(ratio - self.pixels) > 1e-6:
            raise InputError(
                f"pixel_arcsec is {self._pixel_arcsec:g}, but must divide twice half_width_arcsec, "
                f"{2 * half_width:g} arcsec, without remainder."
            )
        if half_width > half_box + 1e-6:
            raise InputError(
                f"half_width_arcsec is {half_width:g}, but must be at most half the box, {half_box:g} arcsec."
            )
        if "cosmology" not in recipe:
            raise InputError("scale_to_redshift needs a cosmology; give the recipe h0_km_s_mpc and omega_m by it.")
        self.redshift, cosmology = float(recipe["scale_to_redshift"]), recipe["cosmology"]
        self.pixel_kpc = self._pixel_arcsec / 60 / float(arcmin_per_mpc(self.redshift, cosmology)) * 1000
        self._zoom = zooms(redshift, self.redshift, cosmology)
        largest = half_box / half_width
        LOGGER.info(
            "scaled to redshift %g: pixels of %.4g kpc; %d of %d clusters are too near for the box and fill it; %d "
            "have no redshift, and so no image",
            self.redshift, self.pixel_kpc, (self._zoom > largest).sum(), self._zoom.size, np.isnan(self._zoom).sum(),
        )  # fmt: skip
        self._zoom = np.minimum(self._zoom, largest)

    def rebin(self, counts: NDArray[np.uint16], rows: slice) -> FloatArray:
        """Resample the counts (cluster, band, y, x) of the clusters `rows`: float64 (cluster, band, pixels, pixels)."""
        result = np.full((*counts.shape[:2], self.pixels, self.pixels), np.nan)
        for image, cluster, zoom in zip(result, counts, self._zoom[rows].tolist(), strict=True):
            if np.isfinite(zoom):
                share = shares(self.pixels, zoom * self._pixel_arcsec / self._base, self._base_pixels)
                image[:] = share @ cluster.astype(np.float64) @ share.T
        return result

    def offsets_arcsec(self) -> FloatArray:
        """Offsets of the pixels' centres from the image centre in arcsec at the recipe's redshift, (pixels,)."""
        return np.asarray((np.arange(self.pixels) - self.pixels / 2 + 0.5) * self._pixel_arcsec, dtype=float)


def zooms(redshift: FloatArray, reference: float, cosmology: Mapping[str, float]) -> FloatArray:
    """Angle of a length at `redshift` over that at redshift `reference`, (cluster,); NaN = no positive redshift."""
    redshift = np.asarray(redshift, dtype=np.float64)
    known = np.isfinite(redshift) & (redshift > 0)
    zoom = np.full(redshift.shape, np.nan)
    zoom[known] = arcmin_per_mpc(redshift[known], cosmology) / float(arcmin_per_mpc(reference, cosmology))
    return zoom


def shares(pixels: int, side: float, base_pixels: int) -> FloatArray:
    """Part of each base pixel's length that lies in each pixel, along one axis; both grids have one centre.

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
