"""Make a network's input from counts: cut a circle, crop, rebin, join bands, smooth, clip, transform, in this order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired, TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import convolve1d

from clustermass.arrays import FloatArray
from clustermass.cosmology import arcmin_per_mpc
from clustermass.errors import InputError
from clustermass.images.geometry import block_sum
from clustermass.io.log import LOGGER, track
from clustermass.io.netcdf import json_attribute, read_netcdf, write_netcdf
from clustermass.io.provenance import provenance

if TYPE_CHECKING:
    from clustermass.config.models import Preprocessing, Smoothing

    class Recipe(Preprocessing):
        """A block of `preprocessing` in the configuration, with the cosmology that `scale_to_redshift` needs."""

        cosmology: NotRequired[Mapping[str, float]]


_TITLE = "Images of detections as a network sees them, before standardisation"
_AXES = ("cluster", "band", "y", "x")
#: number of clusters that are processed at once; memory is then limited to some tens of MB
_CHUNK = 64
#: images (cluster, band, y, x), offsets of their pixels' centres (pixels,), and attributes that describe the grid
_Images: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float64], dict[str, float]]

#: config key `transform` -> function of smoothed counts >= 0
TRANSFORMS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "none": lambda image: image,
    "sqrt": np.sqrt,
    "anscombe": lambda image: 2 * np.sqrt(image + 3 / 8),  # Anscombe (1948): Poisson counts to unit variance
    "log1p": np.log1p,
}


def preprocess(images: Path, output: Path, recipe: Recipe) -> None:
    """Write `smoothed/<preprocessing>.nc`: the preprocessed images as `image` (float32), and further variables.

    The further variables are copied from the file `images` (`images.nc`). This file holds one of two variables:

    - `counts`, on the grid on which they are stored (base grid);
    - `image`, published images that have been smoothed already, as the attribute `applied` says. The recipe must
      contain the same smoothing, and only its clip and transform are applied.

    InputError if the file is damaged, if the recipe doesn't fit the base grid or the smoothing in `applied`, or if the
    recipe's transform is unknown. The message names the key.
    """
    needed = ("redshift",) if recipe.get("scale_to_redshift") is not None else ()
    source = read_netcdf(images, require=("x", "y", "band", *needed))
    _check_form(source, images)
    smoothed, grid = preprocessed(source, recipe, str(images))
    cutting = source.attrs.get("parameters", "{}")
    write_netcdf(smoothed, output, _TITLE, provenance("smooth_images", recipe, [images], cutting=cutting, **grid))


def _check_form(source: xr.Dataset, images: Path) -> None:
    for name, kinds in (("counts", "u"), ("image", "uf")):
        good = name not in source or (source[name].dims == _AXES and source[name].dtype.kind in kinds)
        sides = [source[axis] for axis in "xy"]
        if not good or any(side.dtype.kind != "f" or side.shape != sides[0].shape or side.size < 2 for side in sides):
            raise InputError(f"{images}: {name} has other axes or another type than images have. Delete it, run again.")


def preprocessed(source: xr.Dataset, recipe: Recipe, name: str) -> tuple[xr.Dataset, dict[str, float]]:
    """Return the data set that `preprocess` writes, and attributes that describe its grid.

    `source` is the content of `images.nc`. Error messages begin with `name`.
    """
    from_counts = "image" not in source
    image, offsets, grid = (_from_counts if from_counts else _from_smoothed)(name, source, recipe)
    kept = source.drop_vars(["counts" if from_counts else "image", "x", "y"])
    if recipe.get("bands") is not None:
        kept = kept.drop_dims("band").assign(_joined_bands(name, source, int(recipe["bands"])))
    smoothed = kept.assign(image=(("cluster", "band", "y", "x"), image)).assign_coords(x=offsets, y=offsets)
    smoothed.attrs = {}
    return smoothed, grid


def _from_counts(images: str, source: xr.Dataset, recipe: Recipe) -> _Images:
    if "counts" not in source:
        raise InputError(f"{images}: lacks the variable counts. Delete it and run again.")
    offsets = source["x"].values
    scaled = recipe.get("scale_to_redshift") is not None
    grid = ScaledGrid(offsets, recipe, source["redshift"].values) if scaled else Grid(offsets, recipe)
    counts = source["counts"].values
    if recipe.get("circle_arcsec") is not None:
        counts = counts * inside_circle(offsets, recipe["circle_arcsec"])
    bands = band_number(recipe, counts.shape[1])
    result = np.empty((len(counts), bands, grid.pixels, grid.pixels), dtype=np.float32)
    for start in track(range(0, len(counts), _CHUNK), "smoothing"):
        part = slice(start, start + _CHUNK)
        joined = np.add.reduceat(
            grid.rebin(counts[part], part), range(0, counts.shape[1], counts.shape[1] // bands), axis=1
        )
        result[part] = finish(joined, recipe.get("smoothing"), recipe.get("clip"), recipe.get("transform"))
    return result, grid.offsets_arcsec(), grid.attributes


def inside_circle(offsets: FloatArray, radius: float) -> NDArray[np.bool_]:
    """Return whether each pixel lies wholly within `radius` of the centre, bool (y, x).

    `offsets` are the offsets of the pixels' centres from this centre along one axis.
    """
    farthest = np.abs(offsets) + (offsets[1] - offsets[0]) / 2
    return np.asarray(np.hypot(farthest[None, :], farthest[:, None]) <= radius + 1e-6)


def _from_smoothed(images: str, source: xr.Dataset, recipe: Recipe) -> _Images:
    """Apply the recipe's clip and transform to published images, which are already rebinned and smoothed."""
    applied = json_attribute(source.attrs, "applied", images)
    for key in ("bands", "circle_arcsec", "scale_to_redshift"):
        if recipe.get(key) is not None:
            raise InputError(
                f"{images}: its images come smoothed, so {key} can't be applied. Take a preprocessing without it."
            )
    for key in ("half_width_arcsec", "pixel_arcsec", "smoothing"):
        if recipe.get(key) != applied.get(key):
            raise InputError(
                f"{images}: its images come with {key} {applied.get(key)}, which can't be undone, but the recipe asks "
                f"for {recipe.get(key)}. Take a preprocessing that has the former; clip and transform are free."
            )
    image = finish(source["image"].values, clip=recipe.get("clip"), transform=recipe.get("transform"))
    return image, source["x"].values, {}


def band_number(recipe: Recipe, bands: int) -> int:
    """Return the number of bands that are left after a recipe has joined the `bands` bands of the images.

    InputError if `bands` isn't a multiple of this number, or if the smoothing's half-width along the energy is at least
    this number of bands.
    """
    number = bands if recipe.get("bands") is None else int(recipe["bands"])
    if number < 1 or bands % number:
        raise InputError(f"bands is {number}, but must divide the {bands} bands of the images without remainder.")
    smoothing = recipe.get("smoothing")
    reach = smoothing["half_width"][2] if smoothing else 0
    if reach and reach >= number:
        raise InputError(
            f"smoothing.half_width reaches {reach} bands along energy, but the images have {number}; its third number "
            f"must be below {number}."
        )
    return number


def _joined_bands(images: str, source: xr.Dataset, number: int) -> dict[str, Any]:
    """Return centres and edges in keV of the `number` bands that result from joining the images' bands."""
    if "band_bounds" not in source:
        raise InputError(f"{images}: lacks the variable band_bounds. Delete it and run again.")
    bounds = source["band_bounds"].values.reshape(number, -1)[:, [0, -1]]
    return {"band": ("band", bounds.mean(axis=1)), "band_bounds": (("band", "edge"), bounds)}


def finish(
    counts: NDArray[Any], smoothing: Smoothing | None = None, clip: float | None = None, transform: str | None = None
) -> NDArray[np.float32]:
    """Smooth, clip and transform counts (cluster, band, y, x) on the recipe's grid. Steps that are None are skipped.

    The calculation is in float64, and the result is float32. InputError if the transform is unknown.
    """
    if (transform or "none") not in TRANSFORMS:
        raise InputError(f"transform is {transform!r}, but must be one of: {', '.join(TRANSFORMS)}.")
    image = counts.astype(np.float64)
    if smoothing:
        image = smooth(image, smoothing["half_width"], smoothing["sigma"])
    if clip is not None:
        image = np.minimum(image, clip)
    return TRANSFORMS[transform or "none"](image).astype(np.float32)


def smooth(images: NDArray[np.float64], half_width: Sequence[int], sigma: float) -> NDArray[np.float64]:
    """Return images (..., band, y, x) convolved with the Gaussian kernel of Krippendorf et al. (2023), Eqs. A.1, A.2.

    The kernel is a product of one-dimensional kernels, which are applied axis by axis. Images count as zero outside
    their edges. `half_width` holds the kernel's half-widths along x and y in pixels, and along the bands in bands, all
    >= 0. `sigma` is the same along each axis, in units of the half-width.
    """
    for axis, half in zip((-1, -2, -3), half_width, strict=True):
        images = convolve1d(images, kernel(half, sigma), axis=axis, mode="constant", cval=0.0)
    return images


def kernel(half_width: int, sigma: float) -> NDArray[np.float64]:
    """Return the kernel of `smooth` along one axis, with 2 X + 1 values (Krippendorf et al. 2023, Eq. A.2).

    The values are proportional to exp(-(i/X)^2 / (2 sigma^2)), where X is `half_width` and i runs from -X to X. Their
    sum is 1.
    """
    steps = np.arange(-half_width, half_width + 1) / max(half_width, 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    return weights / weights.sum()


class Grid:
    """The grid of a recipe's images. The base grid is cropped, and whole blocks of base pixels are summed.

    The base grid is the grid of the stored counts. The constructor takes the `offsets` of the base pixels' centres from
    the image centre in arcsec. If the recipe doesn't fit the base grid, an InputError names the key. `pixels` is the
    number of pixels along a side of the recipe's grid. `attributes` describe the grid in the file.
    """

    def __init__(self, offsets: FloatArray, recipe: Recipe) -> None:
        self._half_width, self._pixel_arcsec = float(recipe["half_width_arcsec"]), float(recipe["pixel_arcsec"])
        self._base, self._base_pixels = float(offsets[1] - offsets[0]), offsets.size
        self._half_box = offsets.size * self._base / 2
        self.pixels = _whole(2 * self._half_width / self._pixel_arcsec)
        self.attributes: dict[str, float] = {}
        if self._half_width > self._half_box + 1e-6:
            raise InputError(
                f"half_width_arcsec is {self._half_width:g}, but must be at most half the box, {self._half_box:g} "
                "arcsec."
            )
        self._fit()
        if not self.pixels:
            raise InputError(
                f"pixel_arcsec is {self._pixel_arcsec:g}, but must divide twice half_width_arcsec, "
                f"{2 * self._half_width:g} arcsec, without remainder."
            )

    def _fit(self) -> None:
        self._factor, half = _whole(self._pixel_arcsec / self._base), _whole(self._half_width / self._base)
        for key, value, number in (
            ("pixel_arcsec", self._pixel_arcsec, self._factor),
            ("half_width_arcsec", self._half_width, half),
        ):
            if not number:
                raise InputError(
                    f"{key} is {value:g}, but must be a multiple of the base pixel, {self._base:g} arcsec."
                )
        centre = self._base_pixels // 2
        self._crop = slice(centre - half, centre + half)

    def rebin(self, counts: NDArray[np.uint16], rows: slice) -> NDArray[Any]:
        """Return the counts of the clusters in `rows` on this grid, uint32 (cluster, band, pixels, pixels)."""
        return block_sum(counts[..., self._crop, self._crop].astype(np.uint32), self._factor)

    def offsets_arcsec(self) -> NDArray[np.float64]:
        """Return the offsets of the pixels' centres from the image centre in arcsec, float64 (pixels,)."""
        return np.asarray((np.arange(self.pixels) - self.pixels / 2 + 0.5) * self._pixel_arcsec, dtype=float)


def zooms(recipe: Recipe, redshift: FloatArray) -> FloatArray:
    """Return how much larger a given length appears at each redshift than at a reference redshift, (cluster,).

    The result is the ratio of the two angles, or NaN for a cluster without a positive redshift. The reference redshift
    is the recipe's key `scale_to_redshift`.
    """
    reference, cosmology = float(recipe["scale_to_redshift"] or 0), recipe["cosmology"]
    zoom = np.full(redshift.shape, np.nan)
    positive = np.isfinite(redshift) & (redshift > 0)
    zoom[positive] = arcmin_per_mpc(redshift[positive], cosmology) / float(arcmin_per_mpc(reference, cosmology))
    return zoom


def half_widths_arcsec(recipe: Recipe, redshift: FloatArray, half_box: float) -> FloatArray:
    """Return half the side of each cluster's image after the preprocessing `recipe`, in arcsec on the sky, (cluster,).

    It is at most `half_box`.
    """
    shown = np.full(redshift.shape, float(recipe["half_width_arcsec"]))
    if recipe.get("scale_to_redshift") is not None:
        shown *= zooms(recipe, redshift)
    return np.fmin(shown, half_box)


def _whole(ratio: float) -> int:
    return round(ratio) if ratio > 0 and abs(ratio - round(ratio)) < 1e-6 else 0


class ScaledGrid(Grid):
    """The recipe's grid scaled to each cluster's redshift: pixels have the same size in kpc for all clusters.

    The angles in the recipe, and the offsets of pixels, are those of a cluster at the redshift `scale_to_redshift`. The
    counts of a base pixel are shared among the pixels that it overlaps, in proportion to the overlap's area, so that
    the sum of the counts stays the same. If a cluster is so near that its image would reach beyond the base box, the
    image is as large as the box. The image of a cluster without a positive redshift is NaN. The recipe needs a
    `cosmology`.
    """

    def __init__(self, offsets: FloatArray, recipe: Recipe, redshift: FloatArray) -> None:
        super().__init__(offsets, recipe)
        if "cosmology" not in recipe:
            raise InputError("scale_to_redshift needs a cosmology; give the recipe h0_km_s_mpc and omega_m by it.")
        reference = float(recipe["scale_to_redshift"])
        pixel_kpc = self._pixel_arcsec / 60 / float(arcmin_per_mpc(reference, recipe["cosmology"])) * 1000
        self.attributes = {"scaled_to_redshift": reference, "pixel_kpc": pixel_kpc}
        zoom = zooms(recipe, redshift)
        largest = self._half_box / self._half_width
        LOGGER.info(
            "scaled to redshift %g: pixels of %.4g kpc; %d of %d clusters are too near for the box and fill it; %d "
            "have no redshift, and so no image",
            reference, pixel_kpc, (zoom > largest).sum(), zoom.size, np.isnan(zoom).sum(),
        )  # fmt: skip
        self._zoom = np.minimum(zoom, largest)

    def _fit(self) -> None:
        """Accept pixels of any size, because counts are shared in proportion to area."""

    def rebin(self, counts: NDArray[np.uint16], rows: slice) -> NDArray[Any]:
        """Return the counts of the clusters in `rows` on this grid, float64 (cluster, band, pixels, pixels)."""
        result = np.full((*counts.shape[:2], self.pixels, self.pixels), np.nan)
        for image, cluster, zoom in zip(result, counts, self._zoom[rows].tolist(), strict=True):
            if np.isfinite(zoom):
                share = shares(self.pixels, zoom * self._pixel_arcsec / self._base, self._base_pixels)
                image[:] = share @ cluster.astype(np.float64) @ share.T
        return result


def shares(pixels: int, side: float, base_pixels: int) -> FloatArray:
    """Return which share (0 to 1) of each base pixel's width lies in each pixel, along one axis, (pixel, base pixel).

    The grids of pixels and of base pixels have the same centre. `side` is the width of a pixel in base pixels.
    """
    edges = (np.arange(pixels + 1) - pixels / 2) * side
    base = np.arange(base_pixels + 1) - base_pixels / 2
    low = np.maximum(edges[:-1, None], base[None, :-1])
    high = np.minimum(edges[1:, None], base[None, 1:])
    return np.asarray(np.maximum(high - low, 0.0))
