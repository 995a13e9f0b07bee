"""The quantities of simulated clusters whose masses are predicted in an `ensemble.nc`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from clustermass.cosmology import FloatArray
from clustermass.datasets import read_netcdf
from clustermass.domain.quantities import quantities
from clustermass.errors import InputError
from clustermass.finite import check_finite
from clustermass.networks.side_inputs import FACTS
from clustermass.sample import each_selected

PREDICTED = ("mu", "sigma_aleatoric", "sigma_epistemic")


class Measured(NamedTuple):
    """Clusters in the order of `ensemble.nc`: (cluster, quantity), ids and subsets (cluster,), and the transform."""

    measured: FloatArray
    cluster: NDArray[np.str_]
    split: NDArray[np.str_]
    transform: str


def measure(smoothed: Sequence[Path], ensemble: Path, subsets: Sequence[str]) -> Measured:
    """Measure the clusters of some subsets, one file of images in memory at a time.

    Parameters
    ----------
    smoothed
        Images of all clusters of `ensemble`, preprocessed as the networks see them.
    ensemble
        `ensemble.nc` of the training sky or of a test sky.
    subsets
        Of train, val, test.

    Raises
    ------
    InputError
        A file is missing or damaged, an image or a prediction isn't finite, or the images lack a cluster.
    """
    table = read_netcdf(ensemble, (*PREDICTED, "split"))
    table = table.isel(cluster=np.isin(table["split"].values.astype(str), subsets))
    check_finite(table, PREDICTED, ensemble)
    ids = table["cluster"].values.astype(str)
    row = {name: number for number, name in enumerate(ids.tolist())}
    measured: dict[int, FloatArray] = {}
    transform = "none"
    for path, part in zip(smoothed, each_selected(smoothed, None), strict=True):
        transform = _transform(part.attrs)
        names = part["cluster"].values.astype(str).tolist()
        here = [number for number, name in enumerate(names) if name in row]
        rows = [row[names[number]] for number in here]
        seen = part.isel(cluster=here)
        check_finite(seen, ("image",), path)  # others may have none: scaled images need a redshift
        values = measured_of(seen, table.isel(cluster=rows), transform)
        measured |= dict(zip(rows, values, strict=True))
    missing = [name for name, number in row.items() if number not in measured]
    if missing:
        raise InputError(
            f"{ensemble}: its cluster {missing[0]} isn't in the images ({len(missing)} so). Delete it and run again."
        )
    found = [measured[number] for number in range(len(ids))]
    return Measured(np.array(found), ids, table["split"].values.astype(str), transform)


def measured_of(images: xr.Dataset, predicted: Mapping[str, Any] | xr.Dataset, transform: str) -> FloatArray:
    """`quantities` of preprocessed images with their columns; `predicted` holds `PREDICTED`, (cluster,) each."""
    facts = {name: images[name].values for name in ("redshift", *FACTS) if name in images}
    values = {name: np.asarray(predicted[name]) for name in PREDICTED}
    return quantities(images["image"].values, images["x"].values, images["y"].values, transform, facts, values)


def _transform(attributes: Mapping[str, Any]) -> str:
    return str(json.loads(attributes.get("parameters", "{}")).get("transform") or "none")
