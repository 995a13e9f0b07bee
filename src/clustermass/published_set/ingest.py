"""The published training set as the files of a simulated sky, on which all later steps work unchanged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.config.resolve import PUBLISHED_BANDS, PUBLISHED_PREPROCESSING
from clustermass.images.exposure import photon_coverage
from clustermass.images.geometry import band_coordinates, band_edges
from clustermass.io.log import LOGGER, track
from clustermass.io.netcdf import write_netcdf
from clustermass.io.products import TRUTH, write_table
from clustermass.io.provenance import provenance
from clustermass.published_set.catalogue import read_published_catalogue
from clustermass.published_set.images import check_brightness, read_published_images, rows_of_images

if TYPE_CHECKING:
    from clustermass.config.models import Events, Images
    from clustermass.config.sky_models import Sky

TITLE = "Smoothed images of the published training set of Krippendorf et al. (2023)"
_Columns = Mapping[str, NDArray[Any]]


def ingest_published(
    sky: Sky,
    cosmology: Mapping[str, float],
    images_block: Images,
    events_block: Events,
    *,
    images: Sequence[Path],
    truth: Sequence[Path],
) -> None:
    """Write `images.nc` and `truth.fits` of every realization of a sky with `source: published`.

    `images.nc` holds `image`, smoothed counts, instead of `counts`; its attribute `applied` says how they were made.
    The rest is as in `images.nc` of other skies: redshifts are the true ones (error 0), counts are ML_RATE x ML_EXP,
    the exposure is ML_EXP, and the covered fraction is the share of cells with photons.

    Parameters
    ----------
    sky
        Block `skies.<name>`: images, catalogue, realizations, mass_unit, pairing.
    cosmology
        Of the simulation.
    images_block, events_block
        Blocks `images` and `events`: how an observed field is cut for networks trained on this sky.
    images, truth
        Files to write, by realization from 1.

    Raises
    ------
    InputError
        A file is missing, faulty or hostile, or the two don't fit each other or the configuration.
    """
    source, table = Path(sky["images"]), Path(sky["catalogue"])
    catalogue = read_published_catalogue(table, len(images), sky["mass_unit"], cosmology)
    ids, cubes = read_published_images(source, catalogue["z"].size)
    rows = rows_of_images(ids, catalogue, source) if sky["pairing"] == "ids" else np.arange(len(ids))
    place = np.argsort(rows)
    cubes = [cubes[number] for number in place.tolist()]
    check_brightness(cubes, catalogue, source)
    settings: dict[str, Any] = {"mass_unit": sky["mass_unit"], "pairing": sky["pairing"], "cosmology": dict(cosmology)}
    settings |= {"images": {**images_block, "bands": PUBLISHED_BANDS}, "events": dict(events_block)}
    metadata = provenance(
        "ingest_published", settings, [source, table], applied=PUBLISHED_PREPROCESSING, simulated=True
    )
    names = cluster_names(catalogue)
    for number, (images_path, truth_path) in enumerate(track(list(zip(images, truth, strict=True)), "realizations"), 1):
        chosen = np.flatnonzero(catalogue["Nreal"] == number)
        part = {name: values[chosen] for name, values in catalogue.items()}
        label = images_path.parent.name
        stacked = np.stack([cubes[row].transpose(2, 0, 1) for row in chosen.tolist()])
        write_netcdf(_dataset(stacked, part, names[chosen], label), images_path, TITLE, metadata)
        write_table(truth_path, "TRUTH", TRUTH, _truth(part), provenance=metadata)


def cluster_names(catalogue: _Columns) -> NDArray[np.str_]:
    """Name clusters as the paper does, by realization and SRC_ID: `05_10006566`; a second row of one gets `_2`."""
    seen: Counter[str] = Counter()
    names = []
    for realization, source in zip(catalogue["Nreal"].tolist(), catalogue["SRC_ID_IN"].tolist(), strict=True):
        name = f"{realization:02d}_{source}"
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    repeated = sum(count > 1 for count in seen.values())
    if repeated:
        LOGGER.warning(
            "%d SRC_ID_IN are in several rows of one realization; the names of these clusters end in _2 ...", repeated
        )
    return np.array(names)


def _dataset(images: NDArray[np.float32], part: _Columns, names: NDArray[np.str_], realization: str) -> xr.Dataset:
    pixel = PUBLISHED_PREPROCESSING["pixel_arcsec"]
    offsets = np.arange(images.shape[-1]) * pixel - PUBLISHED_PREPROCESSING["half_width_arcsec"] + pixel / 2
    per_cluster = _measured(part) | {"covered_fraction": photon_coverage((images > 0).astype(np.uint16))}
    return xr.Dataset(
        {
            "image": (("cluster", "band", "y", "x"), images),
            **band_coordinates(band_edges(PUBLISHED_BANDS)),
            **{name: ("cluster", values) for name, values in per_cluster.items()},
            "realization": ("cluster", np.full(names.size, realization)),
            "log10_m500c": ("cluster", part["log10_m500c"]),
            "halo_id": ("cluster", part["halo_id"]),
        },
        coords={"cluster": names, "x": offsets, "y": offsets},
    )


def _measured(part: _Columns) -> dict[str, FloatArray]:
    """Return the variables of `images.nc` that the catalogue measures, by their names there."""
    value = {name: values.astype(float) for name, values in part.items()}
    return {
        "ra": value["RA"],
        "dec": value["DEC"],
        "redshift": value["z"],
        "redshift_err": np.zeros_like(value["z"]),
        "det_like": value["DET_LIKE"],
        "ext_like": value["EXT_LIKE"],
        "ext": value["EXT"],
        "ml_rate": value["ML_RATE"],
        "ml_cts": value["ML_RATE"] * value["ML_EXP"],
        "ml_bkg": value["ML_BKG"],
        "exposure_s": value["ML_EXP"],
    }


def _truth(part: _Columns) -> dict[str, NDArray[Any]]:
    """Return the columns of `truth.fits`, a row a halo, also where it has several rows in the catalogue."""
    first = np.unique(part["halo_id"], return_index=True)[1]
    value = {name: values[first] for name, values in part.items()}
    unknown = np.full(first.size, np.nan)
    return {
        "SRC_ID": value["SRC_ID_IN"],
        "HALO_ID": value["halo_id"],
        "RA": value["RA"],
        "DEC": value["DEC"],
        "Z": value["z"],
        "LOG10_M500C": value["log10_m500c"],
        "KT": value.get("kT", unknown),
        "L500": value["l500"],
        "FLUX": unknown,
        "R500_ARCMIN": value.get("R500c_arcmin", unknown),
        "COUNTS": np.full(first.size, -1),
    }
