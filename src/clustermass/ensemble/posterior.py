"""The posterior of one cluster's mass, as predicted by the networks of an ensemble."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr
from scipy.stats import norm

from clustermass.checked import NotNegative, checked
from clustermass.ensemble.aggregate import mixture_quantile
from clustermass.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from clustermass.arrays import FloatArray


@dataclass(frozen=True)
class Posterior:
    """Posterior of one cluster's log10(M500c / Msun): a mixture of Gaussians with equal weights, one for each network.

    The density p(y) is the mean of N(y; mu_i, sigma_i) of all networks i. `mu` and `sigma` are in dex, (member,).
    """

    mu: FloatArray
    sigma: FloatArray

    @checked
    def pdf(self, value: ArrayLike) -> FloatArray:
        """Return the probability density per dex at the log10 masses `value`, an array of any shape."""
        return np.asarray(norm.pdf(np.asarray(value)[..., None], self.mu, self.sigma).mean(axis=-1))

    @checked
    def cdf(self, value: ArrayLike) -> FloatArray:
        """Return the probability that the log10 mass is below `value`, an array of any shape."""
        return np.asarray(ndtr((np.asarray(value)[..., None] - self.mu) / self.sigma).mean(axis=-1))

    @checked
    def quantile(self, probability: ArrayLike) -> FloatArray:
        """Return the quantiles: log10 masses below which the true mass lies with the given `probability`.

        `probability` is a number or an array of any shape. InputError unless all probabilities are between 0 and 1.
        """
        wanted = np.asarray(probability, dtype=float)
        if not ((wanted > 0) & (wanted < 1)).all():
            raise InputError(f"quantile: {wanted} must be between 0 and 1.")
        mixtures = (np.repeat(values[:, None], wanted.size, axis=1) for values in (self.mu, self.sigma))
        return mixture_quantile(wanted.ravel(), *mixtures).reshape(wanted.shape)[()]

    @checked
    def sample(self, number: NotNegative, rng: np.random.Generator | NotNegative | None = None) -> FloatArray:
        """Return `number` random log10 masses drawn from the posterior; `rng` is a generator or a seed."""
        draw = np.random.default_rng(rng)
        member = draw.integers(self.mu.size, size=number)
        return draw.normal(self.mu[member], self.sigma[member])
