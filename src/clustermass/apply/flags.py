"""Flags of a mass: where a cluster is unlike the training clusters; and the error of its redshift beyond theirs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.dataset.standardise import ordered, side_inputs
from clustermass.dataset.training_data import measurements_of
from clustermass.ensemble.aggregate import RANGE_BITS, Training

#: a box with less exposed area than this is at an edge of the field
COVERED_MIN = 0.95


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
