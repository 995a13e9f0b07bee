"""How an ensemble's masses respond to the parameters of the physics (phi), and what this adds to their errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from clustermass.errors import InputError

if TYPE_CHECKING:
    from clustermass.arrays import FloatArray
    from clustermass.dataset.physics import PhysicsPrior

#: number of draws of phi from the prior, and their seed
DRAWS, SEED = 200, 21


class Responses(NamedTuple):
    """Responses of the clusters' masses to phi at fixed data, and averages over the prior. All are float64."""

    #: slopes J of the ensemble's mean with each parameter, dex per unit of the parameter, (cluster, parameter)
    slope: FloatArray
    #: slopes of the ensemble's sigma, likewise
    sigma_slope: FloatArray
    #: standard deviation sqrt(J Sigma J^T) of the mass by the uncertainty of phi, dex, (cluster,)
    systematic: FloatArray
    #: standard deviation, over the draws, of the part of the response that isn't linear, dex, (cluster,)
    remainder: FloatArray
    #: mean of the mass over the prior, and its total standard deviation, dex, (cluster,)
    marginal_mu: FloatArray
    marginal_sigma: FloatArray
    #: root mean square of the ensemble's sigma over the prior, dex, (cluster,)
    mean_sigma: FloatArray


def systematic_errors(slope: FloatArray, covariance: FloatArray) -> FloatArray:
    """Return sqrt(J Sigma J^T) of each cluster, (cluster,).

    `slope` is J, (cluster, parameter), and `covariance` is Sigma, (parameter, parameter).
    """
    return np.sqrt(np.maximum(np.einsum("cj,jk,ck->c", slope, covariance, slope), 0.0))


def responses(mu: FloatArray, sigma: FloatArray, draws: FloatArray, prior: PhysicsPrior) -> Responses:
    """Return the responses that follow from an ensemble's predictions for draws from the prior.

    `mu` and `sigma` are the ensemble's mean and standard deviation in dex for each draw, (cluster, draw). `draws` are
    standardised, (draw, parameter). The slopes are those of least squares. The marginal distribution is the mixture
    over the draws: its variance is the mean of the variances plus the variance of the means. InputError if there are
    fewer than two draws for each parameter.
    """
    number, parameters = draws.shape
    if number < 2 * parameters:
        raise InputError(f"{number} draws are too few for {parameters} parameters: take {2 * parameters} or more.")
    about = draws - draws.mean(axis=0)
    mean, mean_width = mu.mean(axis=1), sigma.mean(axis=1)
    slopes = np.linalg.lstsq(about, np.concatenate([mu - mean[:, None], sigma - mean_width[:, None]]).T)[0].T
    slope, sigma_slope = np.split(slopes / prior.sd, 2)
    rest = mu - mean[:, None] - slope * prior.sd @ about.T
    width = (sigma**2).mean(axis=1)
    return Responses(
        slope,
        sigma_slope,
        systematic_errors(slope, prior.covariance()),
        rest.std(axis=1),
        mean,
        np.sqrt(width + mu.var(axis=1)),
        np.sqrt(width),
    )
