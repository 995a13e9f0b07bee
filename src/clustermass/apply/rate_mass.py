"""Masses from count rates: a second opinion beside the masses of the networks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.baselines.scaling_relations import PIVOT_Z, design_matrix, redshift_term
from clustermass.io.files import reading
from clustermass.io.netcdf import read_netcdf

#: with fewer training clusters no relation is fitted
MIN_CLUSTERS = 50


def rate_masses(ensemble: Path, columns: Mapping[str, NDArray[Any]]) -> tuple[FloatArray, FloatArray]:
    """Return log10(M500c / Msun) from a relation between count rate and mass, and its standard error, each (cluster,).

    The relation is log10 M = a + b r + c q + d q^2, where r is log10(counts / exposure) and q the `redshift_term`. The
    coefficients are fitted to the training clusters in `ensemble.nc`. The error is the standard deviation of the
    training clusters' residuals. `columns` holds ML_CTS, EXPOSURE and Z of the mass catalogue.

    Both results are NaN for a cluster that lacks one of these numbers, and for all clusters if fewer than
    `MIN_CLUSTERS` training clusters have all three. InputError if `ensemble.nc` is damaged.
    """
    table = read_netcdf(ensemble, ("split", "log10_m500c", "redshift", "ml_cts", "exposure_s"))
    with reading(ensemble, "training clusters"):
        names = ("ml_cts", "exposure_s", "redshift")
        terms, mass = _terms(*(table[name].values.astype(float) for name in names)), table["log10_m500c"].values
        used = (table["split"].values.astype(str) == "train") & np.isfinite(terms).all(axis=1) & np.isfinite(mass)
        terms, mass = terms[used], mass[used].astype(float)
    wanted = _terms(*(columns[name].astype(float) for name in ("ML_CTS", "EXPOSURE", "Z")))
    if mass.size < MIN_CLUSTERS:
        return np.full(len(wanted), np.nan), np.full(len(wanted), np.nan)
    coefficients = np.linalg.lstsq(terms, mass, rcond=None)[0]
    predicted = wanted @ coefficients
    return predicted, np.where(np.isfinite(predicted), (mass - terms @ coefficients).std(), np.nan)


def _terms(counts: FloatArray, exposure_s: FloatArray, redshift: FloatArray) -> FloatArray:
    """Return the terms 1, r, q, q^2 of the relation, (cluster, term); NaN unless all quantities are positive."""
    positive = [np.where(one > 0, one, np.nan) for one in (counts, exposure_s, redshift)]
    q = redshift_term(positive[2], PIVOT_Z)
    return design_matrix(np.log10(positive[0] / positive[1]), q, q**2)
