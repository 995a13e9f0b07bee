"""The part of a redshift's error that the networks don't allow for already."""

import numpy as np

from clustermass.cosmology import FloatArray


def mean_error(redshift: FloatArray, error: FloatArray) -> float:
    """Return the root mean square of error / (1 + z); redshifts (cluster,) and standard errors, NaN or 0 = exact."""
    return float(np.sqrt(np.mean((np.nan_to_num(error) / (1 + redshift)) ** 2)))


def excess_error(redshift: FloatArray, error: FloatArray, trained: float) -> FloatArray:
    """Return the standard error of redshifts beyond that of the training clusters.

    The networks learnt their sigma on redshifts that had errors: it holds, on average over the training clusters near
    a redshift, the square of those errors times the square of the mass' response. What is to be added to sigma^2 is
    the difference. (Photometric errors grow with 1 + z; exact redshifts don't make sigma any smaller.)

    Parameters
    ----------
    redshift, error
        Of the clusters that get a mass, (cluster,), 0 = exact.
    trained
        `mean_error` of the training clusters.

    Returns
    -------
    excess
        float64 (cluster,), 0 where the error is no larger than in training.
    """
    return np.sqrt(np.maximum(error**2 - (trained * (1 + redshift)) ** 2, 0.0))
