"""Relations linear in their coefficients: fitted on the training set, their form chosen on the validation set."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.errors import InputError
from clustermass.io.log import LOGGER


def redshift_term(redshift: FloatArray, pivot: float) -> FloatArray:
    """Return q = log10((1 + z) / (1 + pivot)), the redshift term of the published relations."""
    return np.log10((1 + redshift) / (1 + pivot))


def columns(*terms: FloatArray) -> FloatArray:
    """Design matrix (cluster, term) with a leading column of ones."""
    return np.stack([np.ones_like(terms[0]), *terms], axis=1)


def fit_linear(design: FloatArray, target: FloatArray, train: NDArray[np.bool_]) -> FloatArray:
    """Least-squares prediction for every row of `design`, fitted on the rows where `train` is true."""
    coefficients = np.linalg.lstsq(design[train], target[train], rcond=None)[0]
    return np.asarray(design @ coefficients, dtype=float)


def fit_best_form(
    name: str, forms: Mapping[str, FloatArray], log10_m500c: FloatArray, split: NDArray[np.str_]
) -> FloatArray:
    """Fit each form on the training set and return the predictions of the best one on the validation set.

    Parameters
    ----------
    name
        Of the predictor, for the log.
    forms
        Design matrix (cluster, term) by name of the form, the simplest first (it wins a tie).
    log10_m500c
        log10(M500c / Msun), (cluster,); read where `split` is train or val only.
    split
        train, val or test, (cluster,).

    Returns
    -------
    mu
        Predicted log10(M500c / Msun), float64 (cluster,), test clusters included.

    Raises
    ------
    InputError
        A form has as many terms as there are training clusters, or more.
    """
    train, val = split == "train", split == "val"
    widest = max(design.shape[1] for design in forms.values())
    if train.sum() <= widest:
        raise InputError(
            f"{name}: {train.sum()} training clusters can't fit {widest} coefficients. "
            "Widen the selection or add realizations."
        )
    judged = val if val.any() else train
    fits = {form: fit_linear(design, log10_m500c, train) for form, design in forms.items()}
    errors = {form: float(np.mean((mu[judged] - log10_m500c[judged]) ** 2)) for form, mu in fits.items()}
    best = min(errors, key=lambda form: errors[form])
    LOGGER.info("%s: %s is the best of %d forms on the validation set", name, best, len(forms))
    return fits[best]


def require(block: Mapping[str, Any], keys: tuple[str, ...], where: str) -> list[float]:
    """Numbers of a config block in the order of `keys`; InputError names the one that is missing."""
    missing = [key for key in keys if key not in block]
    if missing:
        raise InputError(f"{where}: the key(s) {', '.join(missing)} are missing in the configuration. Add them.")
    return [float(block[key]) for key in keys]
