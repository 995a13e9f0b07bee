"""What the cards of clusters show beyond the mass catalogue: images, neighbours and unusual quantities.

A card is the picture and the numbers of one cluster on the page of a field. Unusual quantities are those in which a
cluster is unlike the training clusters. The data are written to `masses.cards.nc` beside `masses.fits`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from clustermass.apply.neighbours import brightest
from clustermass.apply.rate_mass import rate_masses
from clustermass.arrays import BoolArray, FloatArray, unit_vectors
from clustermass.catalogues.tables import CheckedTable, find_rows, read_product
from clustermass.dataset.training_data import measurements_of
from clustermass.images.exposure import ExposureMap
from clustermass.images.geometry import SKY_PIXEL_ARCSEC, deproject, project
from clustermass.io.netcdf import write_netcdf

if TYPE_CHECKING:
    from clustermass.apply.catalogue import Columns

#: largest number of clusters on a page; `clustermass masses` makes no cards for fields with more clusters
MOST_CLUSTERS = 5000
#: half the side of a card's image in arcsec, and largest number of neighbours in it
HALF_WIDTH_ARCSEC, MOST_NEIGHBOURS = 300.0, 12
#: number of groups of energy bands, which a picture shows as colours: soft, medium, hard
COLOURS = 3
#: columns of `catalogue.fits` -> variable of a neighbour
_NEIGHBOUR = {"EXT_LIKE": "near_ext_like", "ML_CTS": "near_cts"}
_TITLE = "Images, neighbours and unusual quantities of clusters with masses"


def cards_beside(fits: Path) -> Path:
    """Return the path of the file with the data of clusters' cards, which lies beside the mass catalogue `fits`."""
    return fits.with_suffix(".cards.nc")


def card_images(images: xr.Dataset, exposure: ExposureMap | None) -> xr.Dataset:
    """Return the inner part of counts images, with neighbouring energy bands summed into `COLOURS` groups.

    `images` is the content of an `images.nc`, or a part of it. A card shows each group in a colour of its own. In the
    result, `colour_counts` is uint16 (cluster, colour, y, x), and `colour_bounds` (colour, edge) holds the edges of the
    groups in keV. `exposed`, uint8 (cluster, y, x), is 1 in pixels whose centre is covered by the map `exposure`, and 0
    in other pixels. Without a map, all pixels are 1.
    """
    inner = {name: np.flatnonzero(np.abs(images[name].values) <= HALF_WIDTH_ARCSEC) for name in ("y", "x")}
    part = images.isel(inner)
    groups = np.array_split(np.arange(part.sizes["band"]), min(COLOURS, part.sizes["band"]))
    summed = [part["counts"].values[:, group].sum(axis=1, dtype=np.uint32) for group in groups]
    counts = np.minimum(np.stack(summed, axis=1), np.iinfo(np.uint16).max).astype(np.uint16)
    bounds = [part["band_bounds"].values[group[[0, -1]], [0, 1]] for group in groups]
    variables = {
        "colour_counts": (("cluster", "colour", "y", "x"), counts),
        "colour_bounds": (("colour", "edge"), bounds),
        "exposed": (("cluster", "y", "x"), _exposed(part, exposure)),
    }
    return xr.Dataset(variables, {name: part[name].values for name in ("cluster", "y", "x")})


def network_images(smoothed: xr.Dataset) -> xr.Dataset:
    """Return what the networks see of clusters: preprocessed images, and the measurements among their inputs.

    `smoothed` holds preprocessed images. In the result, `network_image` is float32 (cluster, network_band, network_y,
    network_x), and `network_x` and `network_y` are offsets in arcsec. Each measurement is float64 (cluster,).
    """
    axes = {name: f"network_{name}" for name in ("band", "y", "x")}
    image = smoothed["image"].rename(axes).reset_coords(drop=True)
    offsets = {axes[name]: smoothed[name].values for name in ("y", "x")}
    measured = {name: ("cluster", values) for name, values in measurements_of(smoothed).items()}
    return xr.Dataset({"network_image": image, **measured}, {"cluster": smoothed["cluster"].values, **offsets})


def _exposed(images: xr.Dataset, exposure: ExposureMap | None) -> NDArray[np.uint8]:
    """Return 1 for each pixel that `exposure` covers, else 0, (cluster, y, x). Without a map, all are 1."""
    x, y = np.meshgrid(*(images[name].values / SKY_PIXEL_ARCSEC for name in ("x", "y")))
    exposed = np.ones((images.sizes["cluster"], *x.shape), np.uint8)
    if exposure is not None:
        for number, place in enumerate(zip(images["ra"].values, images["dec"].values, strict=True)):
            exposed[number] = exposure.at(*deproject(x, y, *map(float, place))) > exposure.covered_above_s
    return exposed


def write_cards(
    columns: Columns,
    images: Sequence[xr.Dataset],
    catalogues: Mapping[str, Path],
    ensemble: Path,
    quantities: Sequence[str],
    circle: bool,
    path: Path,
    made_by: Mapping[str, Any],
) -> None:
    """Write the file with the data of a field's cards.

    `columns` holds the columns of the mass catalogue, and further columns whose names begin with `card_`. `images` are
    results of `card_images`, merged with those of `network_images`. `catalogues` maps each realization to its
    catalogue. `ensemble` is the file `ensemble.nc` with the training clusters to which `rate_masses` fits its relation.
    `quantities` are the names of the quantities along the second axis of the columns `card_score` and `card_given`.
    `circle` is True if the networks see a circle, and False if they see a square.
    """
    cluster = columns["CLUSTER"]
    whole = xr.concat(images, "cluster", data_vars="minimal", coords="minimal", compat="override", join="override")
    whole = whole.isel(cluster=find_rows(cluster.tolist(), whole["cluster"].values.tolist()))
    found = {name: (("cluster", "neighbour"), values) for name, values in _neighbours(catalogues, columns).items()}
    for name in ("score", "given"):
        found[name] = ("cluster", "quantity"), columns[f"card_{name}"].astype(np.float32)
    dataset = whole.assign(found).assign_coords(cluster=cluster, quantity=list(quantities))
    of_cluster = dict(zip(("rate_mass", "rate_mass_err"), rate_masses(ensemble, columns), strict=True))
    for name, values in {"seen_arcsec": columns["card_seen"], **of_cluster}.items():
        dataset[name] = "cluster", values.astype(np.float32)
    # a separate step, because these data aren't a mass catalogue
    own = {"step": "write_cards", "seen": "circle" if circle else "square"}
    write_netcdf(dataset, path, _TITLE, {**made_by, **own})


def _neighbours(catalogues: Mapping[str, Path], columns: Columns) -> dict[str, NDArray[np.float32]]:
    """Return positions and measurements of the other detections in each cluster's image, (cluster, neighbour).

    The detections with the most counts come first. `near_x` and `near_y` are offsets from the cluster to the West and
    North in arcsec. The other columns are listed in `_NEIGHBOUR`. Each cluster has `MOST_NEIGHBOURS` places. If its
    image has fewer detections, the remaining places are NaN.
    """
    names = ("near_x", "near_y", *_NEIGHBOUR.values())
    found = {name: np.full((columns["RA"].size, MOST_NEIGHBOURS), np.nan, np.float32) for name in names}
    for realization, path in catalogues.items():
        table = read_product(path, "CATALOGUE", ("ID_SRC", "RA", "DEC", *_NEIGHBOUR))
        here = np.flatnonzero(columns["REALIZATION"] == realization)
        own, near, x, y = _in_images(table, *(columns[name][here] for name in ("ID_SRC", "RA", "DEC")))
        rank = np.arange(own.size) - np.searchsorted(own, own)
        found["near_x"][here[own], rank], found["near_y"][here[own], rank] = x, y
        for name, ours in _NEIGHBOUR.items():
            found[ours][here[own], rank] = table.numbers(name)[near]
    return found


def _in_images(
    table: CheckedTable, own_id: NDArray[np.int64], own_ra: FloatArray, own_dec: FloatArray
) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray, FloatArray]:
    """Return the brightest detections in the images of clusters, as pairs sorted by cluster, then by brightness.

    The arrays are (pair,) each: the row numbers of the cluster and of the detection in `table`, and the offsets to the
    West and North in arcsec, in the images' projection. `own_id`, `own_ra` and `own_dec` (deg) are (cluster,) each.
    """
    ids, (ra, dec) = np.asarray(table.table["ID_SRC"], dtype=np.int64), table.positions()

    def offsets(own: NDArray[np.int64], other: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
        x, y = project(ra[other], dec[other], own_ra[own], own_dec[own])
        return SKY_PIXEL_ARCSEC * x, SKY_PIXEL_ARCSEC * y

    def shown(own: NDArray[np.int64], other: NDArray[np.int64]) -> BoolArray:
        x, y = offsets(own, other)
        return (np.maximum(np.abs(x), np.abs(y)) <= HALF_WIDTH_ARCSEC) & (ids[other] != own_id[own])

    reach = 1.5 * HALF_WIDTH_ARCSEC  # beyond the image's corners
    counts, centres, place = table.numbers("ML_CTS"), unit_vectors(own_ra, own_dec), unit_vectors(ra, dec)
    chosen = brightest(centres, place, counts, reach, MOST_NEIGHBOURS, shown)
    own, _ = np.nonzero(chosen >= 0)
    near = chosen[chosen >= 0]
    return own, near, *offsets(own, near)
