"""The loss that the networks are trained with."""

import jax
import jax.numpy as jnp


def gaussian_nll(
    truth: jax.Array, mean: jax.Array, log_variance: jax.Array, weight: jax.Array | None = None
) -> jax.Array:
    """Mean negative log-likelihood of a Gaussian, without the constant ln(2 pi) / 2.

    Krippendorf et al. (2023), Eq. 1: ln(sigma^2) / 2 + (y - mu)^2 / (2 sigma^2).

    Parameters
    ----------
    truth, mean, log_variance
        (sample,); `log_variance` is ln(sigma^2), of the same (squared) unit as the other two.
    weight
        (sample,) weight of each sample, of mean 1 over the training set; None = 1. The weighted terms are summed and
        divided by the number of samples, so that batches add up to the whole.
    """
    terms = 0.5 * (log_variance + (truth - mean) ** 2 * jnp.exp(-log_variance))
    return jnp.mean(terms if weight is None else weight * terms)
