"""From counts to what a network sees: crop, rebin, join bands, smooth, clip, transform, in this order."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import convolve1d

from clustermass.arrays import FloatArray
from clustermass.cosmology import arcmin_per_mpc
from clustermass.errors import InputError
from clustermass.images.geometry import block_sum
from clustermass.io.log import LOGGER, track
from clustermass.io.netcdf import read_netcdf, write_netcdf
from clustermass.io.provenance import provenance

TITLE = "Images of detections as a network sees them, before standardisation"
#: clusters that are worked on at once: bounds the memory, some tens of MB
_CHUNK = 64

#: config key `transform` -> function of smoothed counts >= 0
TRANSFORMS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "none": lambda image: image,
    "sqrt": np.sqrt,
    "anscombe": lambda image: 2 * np.sqrt(image + 3 / 8),  # Anscombe (1948): Poisson counts to unit variance
    "log1p": np.log1p,
}


def preprocess(images: Path, output: Path, recipe: Mapping[str, Any]) -> None:
    """Write `smoothed/<recipe>.nc` from `images.nc`: float32 `image`, with all variables of each cluster.

    Parameters
    ----------
    images
        `images.nc`, counts on the base grid; or `image`, smoothed already as its attribute `applied` says: then the
        recipe must ask for just that, and only its clip and transform are left to do.
    output
        Written atomically.
    recipe
        A block of the config's `preprocessing`: half_width_arcsec, pixel_arcsec, and optionally bands, smoothing
        {half_width: [x, y, energy], sigma}, clip, transform; or scale_to_redshift and, beside it, `cosmology`, see
        `scaling.ScaledGrid`.

    Raises
    ------
    InputError
        The recipe doesn't fit the base grid, or what was applied already, or has an unknown transform (the key is
        named), or the file is damaged.
    """
    needed = ("redshift",) if recipe.get("scale_to_redshift") is not None else ()
    source = read_netcdf(images, require=("x", "y", "band", *needed))
    from_counts = "image" not in source
    made = _from_counts(images, source, recipe) if from_counts else _finished(images, source, recipe)
    kept = source.drop_vars(["counts" if from_counts else "image", "x", "y"])
    if recipe.get("bands") is not None:
        kept = kept.drop_dims("band").assign(_joined_bands(images, source, int(recipe["bands"])))
    smoothed = kept.assign(image=(("cluster", "band", "y", "x"), made.image))
    smoothed = smoothed.assign_coords(x=made.offsets_arcsec, y=made.offsets_arcsec)
    smoothed.attrs = {}
    write_netcdf(
        smoothed,
        output,
        TITLE,
        provenance("smooth_images", recipe, [images], cutting=source.attrs.get("parameters", "{}"), **made.facts),
    )


class _Made(NamedTuple):
    """Images (cluster, band, y, x), offsets of their pixels' centres (pixels,), and what else the file is to say."""

    image: NDArray[np.float32]
    offsets_arcsec: NDArray[np.float64]
    facts: dict[str, Any]


def _from_counts(images: Path, source: xr.Dataset, recipe: Mapping[str, Any]) -> _Made:
    if "counts" not in source:
        raise InputError(f"{images}: lacks the variable counts. Delete it and run again.")
    grid, facts = _grid(source, recipe)
    counts = source["counts"].values
    bands = band_number(recipe, counts.shape[1])
    result = np.empty((len(counts), bands, grid.pixels, grid.pixels), dtype=np.float32)
    for start in track(range(0, len(counts), _CHUNK), "smoothing"):
        part = slice(start, start + _CHUNK)
        result[part] = apply_recipe(join_bands(grid.rebin(counts[part], part), bands), recipe)
    return _Made(result, grid.offsets_arcsec(), facts)


def _grid(source: xr.Dataset, recipe: Mapping[str, Any]) -> tuple["_Grid | ScaledGrid", dict[str, Any]]:
    """Return the recipe's grid, and what the file is to say of it."""
    if recipe.get("scale_to_redshift") is None:
        return _Grid(source["x"].values, recipe), {}
    scaled = ScaledGrid(source["x"].values, recipe, source["redshift"].values)
    return scaled, {"scaled_to_redshift": scaled.redshift, "pixel_kpc": scaled.pixel_kpc}


def _finished(images: Path, source: xr.Dataset, recipe: Mapping[str, Any]) -> _Made:
    """Clip and transform images that were rebinned and smoothed by others."""
    applied = json.loads(source.attrs.get("applied", "{}"))
    for key in ("bands", "scale_to_redshift"):
        if recipe.get(key) is not None:
            raise InputError(
                f"{images}: its images come smoothed, so that {key} can't be had. Take a preprocessing without it."
            )
    for key in ("half_width_arcsec", "pixel_arcsec", "smoothing"):
        if recipe.get(key) != applied.get(key):
            raise InputError(
                f"{images}: its images come with {key} {applied.get(key)}, which can't be undone, but the recipe asks "
                f"for {recipe.get(key)}. Take a preprocessing that has the former; clip and transform are free."
            )
    left = {key: recipe[key] for key in ("clip", "transform") if key in recipe}
    return _Made(apply_recipe(source["image"].values, left), source["x"].values, {})


def band_number(recipe: Mapping[str, Any], bands: int) -> int:
    """Return how many bands the recipe makes of `bands`.

    Raises
    ------
    InputError
        Its bands don't divide them, or it smooths farther along energy than there are bands.
    """
    number = bands if recipe.get("bands") is None else int(recipe["bands"])
    if number < 1 or bands % number:
        raise InputError(f"bands is {number}, but must divide the {bands} bands of the images without remainder.")
    reach = recipe["smoothing"]["half_width"][2] if recipe.get("smoothing") else 0
    if reach and reach >= number:
        raise InputError(
            f"smoothing.half_width reaches {reach} bands along energy, but the images have {number}; its third number "
            f"must be below {number}."
        )
    return number


def join_bands(counts: NDArray[Any], number: int) -> NDArray[Any]:
    """Sum adjacent energy bands of (cluster, band, y, x) to `number` bands, dtype kept; `number` divides them."""
    bands = counts.shape[1]
    return counts if number == bands else np.add.reduceat(counts, range(0, bands, bands // number), axis=1)


def _joined_bands(images: Path, source: xr.Dataset, number: int) -> dict[str, Any]:
    """Centres and edges of the joined bands, keV."""
    if "band_bounds" not in source:
        raise InputError(f"{images}: lacks the variable band_bounds. Delete it and run again.")
    bounds = source["band_bounds"].values.reshape(number, -1)[:, [0, -1]]
    return {"band": ("band", bounds.mean(axis=1)), "band_bounds": (("band", "edge"), bounds)}


class _Grid:
    """The recipe's grid within the base grid."""

    def __init__(self, offsets: NDArray[Any], recipe: Mapping[str, Any]) -> None:
        base = float(offsets[1] - offsets[0])
        half_box = offsets.size * base / 2
        self.pixel_arcsec = float(recipe["pixel_arcsec"])
        half_width = float(recipe["half_width_arcsec"])
        self.factor = _whole(self.pixel_arcsec / base)
        half = _whole(half_width / base)
        self.pixels = _whole(2 * half_width / self.pixel_arcsec)
        if not self.factor:
            raise InputError(
                f"pixel_arcsec is {self.pixel_arcsec:g}, but must be a multiple of the base pixel, {base:g} arcsec."
            )
        if not half or half_width > half_box + 1e-6:
            raise InputError(
                f"half_width_arcsec is {half_width:g}, but must be a multiple of the base pixel, {base:g} arcsec, and "
                f"at most half the box, {half_box:g} arcsec."
            )
        if not self.pixels:
            raise InputError(
                f"pixel_arcsec is {self.pixel_arcsec:g}, but must divide twice half_width_arcsec, {2 * half_width:g} "
                "arcsec, without remainder."
            )
        centre = offsets.size // 2
        self.crop = slice(centre - half, centre + half)

    def rebin(self, counts: NDArray[np.uint16], rows: slice) -> NDArray[np.uint32]:
        """Crop and sum blocks of base pixels: (..., y, x) to uint32 (..., pixels, pixels); alike for all clusters."""
        return block_sum(counts[..., self.crop, self.crop].astype(np.uint32), self.factor)

    def offsets_arcsec(self) -> NDArray[np.float64]:
        """Offsets of the pixels' centres from the image centre in arcsec, float64 (pixels,)."""
        return np.asarray((np.arange(self.pixels) - self.pixels / 2 + 0.5) * self.pixel_arcsec, dtype=float)


def _whole(ratio: float) -> int:
    """Return `ratio` as a whole number above 0, or 0 if it is none."""
    return round(ratio) if ratio > 0 and abs(ratio - round(ratio)) < 1e-6 else 0


def apply_recipe(counts: NDArray[Any], recipe: Mapping[str, Any]) -> NDArray[np.float32]:
    """Smooth, clip and transform counts on the recipe's grid.

    Parameters
    ----------
    counts
        (clusters, band, y, x), not negative.
    recipe
        As in `preprocess`; grid keys are ignored.

    Returns
    -------
    NDArray
        float32 of the same shape. Everything before is float64.

    Raises
    ------
    InputError
        Unknown transform.
    """
    transform = recipe.get("transform") or "none"
    if transform not in TRANSFORMS:
        raise InputError(f"transform is {transform!r}, but must be one of: {', '.join(TRANSFORMS)}.")
    image = counts.astype(np.float64)
    smoothing = recipe.get("smoothing")
    if smoothing:
        image = smooth(image, smoothing["half_width"], smoothing["sigma"])
    if recipe.get("clip") is not None:
        image = np.minimum(image, recipe["clip"])
    return TRANSFORMS[transform](image).astype(np.float32)


def smooth(images: NDArray[np.float64], half_width: Sequence[int], sigma: float) -> NDArray[np.float64]:
    """Convolve images with the Gaussian kernel of Krippendorf et al. (2023), Eqs. A.1 and A.2; zero outside.

    The kernel is a product of one-dimensional ones, so it is applied axis by axis.

    Parameters
    ----------
    images
        (..., band, y, x).
    half_width
        X, Y, Z: half widths of the kernel in pixels along x and y and in bands, 0 and above.
    sigma
        Standard deviation in units of the half widths.

    Returns
    -------
    NDArray
        float64 of the same shape.
    """
    for axis, half in zip((-1, -2, -3), half_width, strict=True):
        images = convolve1d(images, kernel(half, sigma), axis=axis, mode="constant", cval=0.0)
    return images


def kernel(half_width: int, sigma: float) -> NDArray[np.float64]:
    """One axis of Eq. A.2: exp(-(i/X)^2 / (2 sigma^2)) for i = -X..X, its sum 1; float64 (2 X + 1,)."""
    steps = np.arange(-half_width, half_width + 1) / max(half_width, 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    return weights / weights.sum()


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
