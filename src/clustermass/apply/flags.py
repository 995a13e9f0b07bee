"""Flags of a mass: where a cluster is unlike the training clusters; and the error of its redshift beyond theirs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.dataset.standardise import ordered, side_inputs
from clustermass.dataset.training_data import measurements_of
from clustermass.errors import InputError
from clustermass.io.netcdf import read_netcdf

#: a box with less exposed area than this is at an edge of the field
COVERED_MIN = 0.95
#: bits of FLAG_RANGE: variable of the observed field, and of the training clusters in ensemble.nc
RANGE_BITS = {1: "redshift", 2: "ml_cts", 4: "exposure_s", 8: "log10_m500c"}


@dataclass(frozen=True)
class Training:
    """Summary of the training clusters, for flags and errors of new ones.

    Attributes
    ----------
    number
        Training clusters.
    ranges
        Smallest and largest training value of each variable in `RANGE_BITS`; NaN where all are NaN.
    redshift_error
        Root mean square of redshift error / (1 + z), see `mean_error`.
    """

    number: int
    ranges: dict[str, tuple[float, float]]
    redshift_error: float


def read_training(ensemble: Path) -> Training:
    """Summarise the training clusters in `ensemble.nc`.

    Raises
    ------
    InputError
        The file is missing, lacks a variable or holds no training cluster.
    """
    table = read_netcdf(ensemble, ("split", "redshift_err", *RANGE_BITS.values()))
    split = table["split"].values.astype(str)
    train = split == "train"
    if not train.any():
        raise InputError(f"{ensemble}: holds no training cluster. Delete it and run again.")
    ranges = {}
    for name in RANGE_BITS.values():
        values = table[name].values.astype(float)[train]
        finite = values[np.isfinite(values)]
        # nothing is outside a range of NaN
        ranges[name] = (float(finite.min()), float(finite.max())) if finite.size else (np.nan, np.nan)
    redshift, error = (table[name].values.astype(float)[train] for name in ("redshift", "redshift_err"))
    return Training(int(train.sum()), ranges, mean_error(redshift, error))


def flags(field: xr.Dataset, columns: Mapping[str, NDArray[Any]], training: Training) -> dict[str, NDArray[Any]]:
    """Return FLAG_RANGE and FLAG_EDGE, (cluster,) int16 each; a value of NaN sets no flag.

    Parameters
    ----------
    field
        Holds `redshift`, `ml_cts`, `exposure_s` and `covered_fraction`, (cluster,).
    columns
        LOGM500 of the catalogue, (cluster,).
    training
        Training clusters of the ensemble.
    """
    values = {name: field[name].values.astype(float) for name in ("redshift", "ml_cts", "exposure_s")}
    values["log10_m500c"] = columns["LOGM500"]
    outside = np.zeros(field.sizes["cluster"], dtype=np.int16)
    for bit, name in RANGE_BITS.items():
        low, high = training.ranges[name]
        outside += bit * ((values[name] < low) | (values[name] > high)).astype(np.int16)
    return {
        "FLAG_RANGE": outside,
        "FLAG_EDGE": (field["covered_fraction"].values < COVERED_MIN).astype(np.int16),
    }


def without_measurements(field: xr.Dataset, names: Sequence[str]) -> NDArray[np.int16]:
    """Return FLAG_NOCAT, (cluster,) int16: 1 = a measured side input of the networks is missing for this cluster.

    The networks then leave out all measured side inputs, as they were trained to, and predict a wider sigma.

    Parameters
    ----------
    field
        Holds `exposure_s`, `ml_rate`, `ext` and `ml_bkg`, (cluster,), NaN where they are missing.
    names
        Side inputs of the networks, see `clustermass.dataset.standardise`.
    """
    _, measured = ordered(names)
    columns = side_inputs(np.ones(field.sizes["cluster"]), measurements_of(field), measured)
    return np.isnan(columns).any(axis=1).astype(np.int16)


def mean_error(redshift: FloatArray, error: FloatArray) -> float:
    """Return the root mean square of error / (1 + z); redshifts (cluster,) and standard errors, NaN or 0 = exact."""
    return float(np.sqrt(np.mean((np.nan_to_num(error) / (1 + redshift)) ** 2)))


def excess_error(redshift: FloatArray, error: FloatArray, trained: float) -> FloatArray:
    """Return the standard error of redshifts beyond that of the training clusters.

    The networks' sigma includes the redshift errors of the training clusters, whose mean is `trained` (1 + z). Only the
    excess, sqrt(error^2 - (trained (1 + z))^2), is to be added to it. Exact redshifts don't make sigma any smaller.

    Parameters
    ----------
    redshift, error
        Redshifts and their standard errors, (cluster,), 0 = exact.
    trained
        `mean_error` of the training clusters.

    Returns
    -------
    excess
        float64 (cluster,), 0 where the error is no larger than in training.
    """
    return np.sqrt(np.maximum(error**2 - (trained * (1 + redshift)) ** 2, 0.0))
