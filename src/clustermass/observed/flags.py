"""Warnings that go with a mass: what of a cluster is unlike those that the networks learnt from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from clustermass.datasets import read_netcdf
from clustermass.errors import InputError
from clustermass.member_data import facts_of
from clustermass.networks.side_inputs import ordered, side_inputs
from clustermass.observed.redshift_error import mean_error

#: a box with less exposed area than this is at an edge of the field
COVERED_MIN = 0.95
#: bits of FLAG_RANGE: variable of the observed field, and of the training clusters in ensemble.nc
RANGE_BITS = {1: "redshift", 2: "ml_cts", 4: "exposure_s", 8: "log10_m500c"}


@dataclass(frozen=True)
class Training:
    """What of the training decides about the flags and errors of new clusters.

    Attributes
    ----------
    number
        Training clusters.
    ranges
        Smallest and largest training value of each variable in `RANGE_BITS`.
    redshift_error
        `redshift_error.mean_error` of the training clusters.
    """

    number: int
    ranges: dict[str, tuple[float, float]]
    redshift_error: float


def read_training(ensemble: Path) -> Training:
    """Read from `ensemble.nc` what decides about flags and errors.

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
        known = values[np.isfinite(values)]
        # nothing is outside a range that isn't known
        ranges[name] = (float(known.min()), float(known.max())) if known.size else (np.nan, np.nan)
    redshift, error = (table[name].values.astype(float)[train] for name in ("redshift", "redshift_err"))
    return Training(int(train.sum()), ranges, mean_error(redshift, error))


def flags(field: xr.Dataset, columns: Mapping[str, NDArray[Any]], training: Training) -> dict[str, NDArray[Any]]:
    """FLAG_RANGE and FLAG_EDGE, (cluster,) int16 each; what is NaN warns of nothing.

    Parameters
    ----------
    field
        Holds `redshift`, `ml_cts`, `exposure_s` and `covered_fraction`, (cluster,).
    columns
        LOGM500 of the catalogue, (cluster,).
    training
        Of the ensemble that made them.
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
    """FLAG_NOCAT, (cluster,) int16: 1 = the networks take what the catalogue doesn't tell of this cluster.

    They then do without all of it, as they were trained to, and their sigma is the wider one of that case.

    Parameters
    ----------
    field
        Holds `exposure_s`, `ml_rate`, `ext` and `ml_bkg`, (cluster,), as far as they are known.
    names
        Side inputs of the networks, see `clustermass.networks.side_inputs`.
    """
    _, measured = ordered(names)
    columns = side_inputs(np.ones(field.sizes["cluster"]), facts_of(field), measured)
    return np.isnan(columns).any(axis=1).astype(np.int16)
