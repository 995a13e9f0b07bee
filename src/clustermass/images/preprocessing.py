"""From counts to what a network sees: crop, rebin, join bands, smooth, clip, transform, in this order."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import convolve1d

from clustermass.errors import InputError
from clustermass.images.grid import Grid, ScaledGrid
from clustermass.io.log import track
from clustermass.io.netcdf import read_netcdf, write_netcdf
from clustermass.io.provenance import provenance

if TYPE_CHECKING:
    from clustermass.config.models import Smoothing
    from clustermass.images.grid import Recipe

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


def preprocess(images: Path, output: Path, recipe: Recipe) -> None:
    """Write `smoothed/<preprocessing>.nc` from `images.nc`: float32 `image`, with all variables of each cluster.

    Parameters
    ----------
    images
        `images.nc`, counts on the base grid; or `image`, smoothed already as its attribute `applied` says: then the
        recipe must ask for just that, and only its clip and transform are left to do.
    output
        Written atomically.
    recipe
        A block of the config's `preprocessing`; with `scale_to_redshift` it also has `cosmology` (`h0_km_s_mpc`,
        `omega_m`), see `ScaledGrid`.

    Raises
    ------
    InputError
        The recipe doesn't fit the base grid, or what was applied already, or has an unknown transform (the key is
        named), or the file is damaged.
    """
    needed = ("redshift",) if recipe.get("scale_to_redshift") is not None else ()
    source = read_netcdf(images, require=("x", "y", "band", *needed))
    from_counts = "image" not in source
    made = _from_counts(images, source, recipe) if from_counts else _from_smoothed(images, source, recipe)
    kept = source.drop_vars(["counts" if from_counts else "image", "x", "y"])
    if recipe.get("bands") is not None:
        kept = kept.drop_dims("band").assign(_joined_bands(images, source, int(recipe["bands"])))
    smoothed = kept.assign(image=(("cluster", "band", "y", "x"), made.image))
    smoothed = smoothed.assign_coords(x=made.offsets_arcsec, y=made.offsets_arcsec)
    smoothed.attrs = {}
    cutting = source.attrs.get("parameters", "{}")
    write_netcdf(
        smoothed, output, TITLE, provenance("smooth_images", recipe, [images], cutting=cutting, **made.attributes)
    )


class _Made(NamedTuple):
    """Images (cluster, band, y, x), offsets of their pixels' centres (pixels,), and further attributes of the file."""

    image: NDArray[np.float32]
    offsets_arcsec: NDArray[np.float64]
    attributes: dict[str, float]


def _from_counts(images: Path, source: xr.Dataset, recipe: Recipe) -> _Made:
    if "counts" not in source:
        raise InputError(f"{images}: lacks the variable counts. Delete it and run again.")
    offsets = source["x"].values
    scaled = recipe.get("scale_to_redshift") is not None
    grid = ScaledGrid(offsets, recipe, source["redshift"].values) if scaled else Grid(offsets, recipe)
    counts = source["counts"].values
    bands = band_number(recipe, counts.shape[1])
    result = np.empty((len(counts), bands, grid.pixels, grid.pixels), dtype=np.float32)
    for start in track(range(0, len(counts), _CHUNK), "smoothing"):
        part = slice(start, start + _CHUNK)
        joined = join_bands(grid.rebin(counts[part], part), bands)
        result[part] = finish(joined, recipe.get("smoothing"), recipe.get("clip"), recipe.get("transform"))
    return _Made(result, grid.offsets_arcsec(), grid.attributes)


def _from_smoothed(images: Path, source: xr.Dataset, recipe: Recipe) -> _Made:
    """Clip and transform images that were rebinned and smoothed by others."""
    applied = json.loads(source.attrs.get("applied", "{}"))
    for key in ("bands", "scale_to_redshift"):
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
    return _Made(image, source["x"].values, {})


def band_number(recipe: Recipe, bands: int) -> int:
    """Return how many bands the recipe makes of `bands`.

    Raises
    ------
    InputError
        Its bands don't divide them, or it smooths farther along energy than there are bands.
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


def join_bands(counts: NDArray[Any], number: int) -> NDArray[Any]:
    """Sum adjacent energy bands of (cluster, band, y, x) to `number` bands, dtype kept; `number` divides them."""
    bands = counts.shape[1]
    return counts if number == bands else np.add.reduceat(counts, range(0, bands, bands // number), axis=1)


def _joined_bands(images: Path, source: xr.Dataset, number: int) -> dict[str, Any]:
    """Return centres and edges of the joined bands, keV."""
    if "band_bounds" not in source:
        raise InputError(f"{images}: lacks the variable band_bounds. Delete it and run again.")
    bounds = source["band_bounds"].values.reshape(number, -1)[:, [0, -1]]
    return {"band": ("band", bounds.mean(axis=1)), "band_bounds": (("band", "edge"), bounds)}


def finish(
    counts: NDArray[Any], smoothing: Smoothing | None = None, clip: float | None = None, transform: str | None = None
) -> NDArray[np.float32]:
    """Smooth, clip and transform counts on the recipe's grid, in this order; None = left out.

    Parameters
    ----------
    counts
        (clusters, band, y, x), not negative.
    smoothing, clip, transform
        Keys of the recipe.

    Returns
    -------
    NDArray
        float32 of the same shape; all steps are done in float64.

    Raises
    ------
    InputError
        Unknown transform.
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
    """Return one axis of Eq. A.2: exp(-(i/X)^2 / (2 sigma^2)) for i = -X..X, its sum 1; float64 (2 X + 1,)."""
    steps = np.arange(-half_width, half_width + 1) / max(half_width, 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    return weights / weights.sum()
