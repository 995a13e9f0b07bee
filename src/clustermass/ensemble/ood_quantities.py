"""Quantities in which clusters are compared with the training clusters.

The quantities are computed from the images, the catalogue of detections and the predictions of the networks.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.dataset.sample import each_selected
from clustermass.dataset.split import rows_of
from clustermass.dataset.training_data import INVERSES, MEASUREMENTS
from clustermass.errors import InputError
from clustermass.io.netcdf import check_finite, json_attribute, read_netcdf

#: radius in arcsec within which the cluster dominates an image, and radius beyond which the background dominates
CORE_ARCSEC, OUTSKIRTS_ARCSEC = 60.0, 144.0
#: neighbours and point sources are searched beyond this radius in arcsec, in squares with this many pixels on a side
NEIGHBOUR_ARCSEC, NEIGHBOUR_PIXELS = 72.0, 3
#: number of groups of bands (soft, medium, hard) for the colours
GROUPS = 3
#: added to the counts of a colour, because the colours of faint clusters would otherwise be mostly noise
COLOUR_PRIOR = 10.0
#: quantities with their descriptions; all are log10 of the described value except offset, colours and mass
QUANTITIES = {
    "redshift": "redshift",
    "exposure": "exposure",
    "core": "brightness within 60″",
    "ring": "brightness from 60″ to 144″",
    "outskirts": "brightness beyond 144″, in the two faintest quarters",
    "neighbour": "brightest spot beyond 72″",
    "offset": "off-centre light, in Poisson sigma",
    "core_soft": "colour (medium/soft) within 60″",
    "core_hard": "colour (hard/medium) within 60″",
    "outer_soft": "colour (medium/soft) outside 60″",
    "outer_hard": "colour (hard/medium) outside 60″",
    "rate": "count rate in the catalogue",
    "extent": "extent in the catalogue",
    "background": "background in the catalogue, divided by the exposure",
    "mass": "predicted mass",
    "aleatoric": "uncertainty that the networks predict",
    "epistemic": "disagreement of the networks",
}
#: variables of `ensemble.nc` from which quantities are computed
PREDICTED = ("mu", "sigma_aleatoric", "sigma_epistemic")


class Measured(NamedTuple):
    """Measured quantities of clusters: `values`, float64 (cluster, quantity).

    `cluster` holds the clusters' ids, and `split` their subsets, each (cluster,). `transform` is the last step of the
    images' preprocessing.
    """

    values: FloatArray
    cluster: NDArray[np.str_]
    split: NDArray[np.str_]
    transform: str


def measure(smoothed: Sequence[Path], ensemble: Path, subsets: Sequence[str]) -> Measured:
    """Return the quantities of the out-of-distribution model for the clusters in an `ensemble.nc`.

    Only clusters of the `subsets` (train, val or test) are measured. `smoothed` are files with images of clusters,
    preprocessed as for the networks. The files are read one after the other. InputError if a file is missing or
    damaged, if an image or a prediction isn't finite, or if a cluster isn't in the images.
    """
    table = read_netcdf(ensemble, (*PREDICTED, "split"))
    table = table.isel(cluster=np.isin(table["split"].values.astype(str), subsets))
    check_finite(table, PREDICTED, ensemble)
    ids = table["cluster"].values.astype(str)
    values, measured, transform = np.empty((ids.size, len(QUANTITIES))), np.zeros(ids.size, dtype=bool), "none"
    for path, part in zip(smoothed, each_selected(smoothed, None), strict=True):
        transform = str(json_attribute(part.attrs, "parameters", path).get("transform") or "none")
        rows = rows_of(part["cluster"].values, table)
        images, rows = part.isel(cluster=rows >= 0), rows[rows >= 0]
        check_finite(images, ("image",), path)  # other clusters may have no image (scaled images need a redshift)
        predicted = {name: table[name].values[rows] for name in PREDICTED}
        values[rows], measured[rows] = quantities_of(images, predicted, transform), True
    missing = ids[~measured]
    if missing.size:
        raise InputError(
            f"{ensemble}: its cluster {missing[0]} isn't in the images ({missing.size} so). Delete it and run again."
        )
    return Measured(values, ids, table["split"].values.astype(str), transform)


def quantities_of(images: xr.Dataset, predicted: Mapping[str, FloatArray], transform: str) -> FloatArray:
    """Return the `quantities` of the clusters in a dataset of preprocessed images.

    `predicted` maps each name of `PREDICTED` to its values, (cluster,).
    """
    catalogue = {name: images[name].values for name in ("redshift", *MEASUREMENTS) if name in images}
    return quantities(images["image"].values, images["x"].values, images["y"].values, transform, catalogue, predicted)


def quantities(
    image: NDArray[np.float32],
    x: FloatArray,
    y: FloatArray,
    transform: str,
    catalogue: Mapping[str, FloatArray],
    predicted: Mapping[str, FloatArray],
) -> FloatArray:
    """Return `QUANTITIES` of clusters, float64 (cluster, quantity).

    `image` holds preprocessed images, (cluster, band, y, x). The last step of their preprocessing, `transform`, is
    undone first. `x` and `y` are the offsets of the pixels from the centre in arcsec. The keys of `catalogue` are
    `redshift`, `exposure_s` and, if these are known, `ml_rate`, `ext` and `ml_bkg`. The keys of `predicted` are the
    names in `PREDICTED`, with values in dex. All values have the shape (cluster,). Brightness and rates in the
    result are per second. A quantity is NaN if it is unknown, or if the images are too small for it.
    """
    counts = INVERSES[transform](image.astype(np.float64))
    columns = {name: np.asarray(values, np.float64) for name, values in catalogue.items()}
    unknown = np.full(len(counts), np.nan)
    exposure = columns["exposure_s"]
    radius = np.hypot(x[None, :], y[:, None])
    total = counts.sum(axis=1)
    measured = {
        "redshift": _log(columns["redshift"]),
        "exposure": _log(exposure),
        **{name: _log((values + 1) / exposure) for name, values in _brightness(total, radius).items()},
        "offset": _offset(total, x, y, radius),
        **_colours(counts, radius < CORE_ARCSEC, "core"),
        **_colours(counts, radius >= CORE_ARCSEC, "outer"),
        "rate": _log(columns.get("ml_rate", unknown)),
        "extent": _log(columns.get("ext", unknown)),
        "background": _log(columns.get("ml_bkg", unknown) / exposure),
        "mass": predicted["mu"],
        **{name: _log(predicted[f"sigma_{name}"]) for name in ("aleatoric", "epistemic")},
    }
    return np.stack([np.asarray(measured[name], np.float64) for name in QUANTITIES], axis=1)


def _log(values: FloatArray) -> FloatArray:
    """Return log10 of values, and NaN for values that aren't positive."""
    return np.asarray(np.log10(np.where(values > 0, values, np.nan)))


def _brightness(total: FloatArray, radius: FloatArray) -> dict[str, FloatArray]:
    """Return the counts in four parts of images, (cluster,) each, as a dict by the part's name.

    The names are `core`, `ring`, `outskirts` and `neighbour`. `total` are images summed over all bands, with the shape
    (cluster, y, x). `radius` (y, x) is the distance of pixels from the centre in arcsec. The outskirts are divided into
    four quarters, and only the two with the fewest counts are used. `neighbour` is the brightest spot far from the
    centre.
    """
    core, outside = radius < CORE_ARCSEC, radius >= OUTSKIRTS_ARCSEC
    rows, columns = (np.arange(size) >= size // 2 for size in radius.shape)
    quarters = [outside & (rows == a)[:, None] & (columns == b) for a in (False, True) for b in (False, True)]
    in_quarters = np.stack([_sum(total, quarter) for quarter in quarters], axis=1)
    return {
        "core": _sum(total, core),
        "ring": _sum(total, ~core & ~outside),
        "outskirts": np.sort(in_quarters, axis=1)[:, :2].sum(axis=1),
        "neighbour": _brightest_spot(total, radius),
    }


def _sum(total: FloatArray, chosen: NDArray[np.bool_]) -> FloatArray:
    return total[:, chosen].sum(axis=1) if chosen.any() else np.full(len(total), np.nan)


def _brightest_spot(total: FloatArray, radius: FloatArray) -> FloatArray:
    """Return the counts in the brightest square of `NEIGHBOUR_PIXELS` pixels beyond `NEIGHBOUR_ARCSEC`, (cluster,)."""
    size = NEIGHBOUR_PIXELS
    if min(radius.shape) < size:
        return np.full(len(total), np.nan)
    height, width = total.shape[1] - size + 1, total.shape[2] - size + 1
    squares = np.zeros((len(total), height, width))
    for row, column in np.ndindex(size, size):
        squares += total[:, row : row + height, column : column + width]
    far = radius[size // 2 :, size // 2 :][:height, :width] >= NEIGHBOUR_ARCSEC
    return squares[:, far].max(axis=1) if far.any() else np.full(len(total), np.nan)


def _offset(total: FloatArray, x: FloatArray, y: FloatArray, radius: FloatArray) -> FloatArray:
    """Return the distance of the centre of light from the image's centre, divided by its Poisson error, (cluster,).

    This ratio is |sum n r| / sqrt(sum n r^2 / 2), where n are the counts and r the positions of the pixels. The sums
    leave out the pixels of the outskirts.
    """
    light = total * (radius < OUTSKIRTS_ARCSEC)
    west, north = light.sum(axis=1) @ x, light.sum(axis=2) @ y
    variance = np.einsum("nyx,yx->n", light, radius**2) / 2
    return np.asarray(np.hypot(west, north) / np.sqrt(np.maximum(variance, 1.0)))


def _colours(counts: FloatArray, chosen: NDArray[np.bool_], name: str) -> dict[str, FloatArray]:
    bands = counts[:, :, chosen].sum(axis=2)
    groups = np.array_split(bands, GROUPS, axis=1)
    # images of less than three bands have fewer colours
    soft, medium, hard = (group.sum(axis=1) if group.shape[1] else np.full(len(counts), np.nan) for group in groups)
    return {
        f"{name}_{colour}": (second - first) / (first + second + COLOUR_PRIOR)
        for colour, first, second in (("soft", soft, medium), ("hard", medium, hard))
    }
