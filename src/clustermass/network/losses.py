"""The losses that networks are trained with: number of outputs, loss terms, and the mass that outputs stand for.

Losses are functions of the standardised mass t = (y - m) / s, where y = log10 M500c and m, s are mean and standard
deviation of the training masses. Functions take arrays of NumPy or JAX.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np

from clustermass.errors import InputError

if TYPE_CHECKING:
    from clustermass.config.models import Recipe

Array: TypeAlias = Any  # np.ndarray or jax.Array

#: classes of `Classification`: equal bins of log10 M500c between these, in standard deviations of the training masses
CLASSES, LOWEST, HIGHEST = 32, -4.0, 4.0
WIDTH = (HIGHEST - LOWEST) / CLASSES
DEFAULT = "likelihood"


@dataclass(frozen=True)
class Loss:
    """A loss whose network predicts the mass alone: all clusters get one sigma, that of the validation residuals."""

    #: number of outputs of the network
    outputs: ClassVar[int] = 1
    #: whether the variance of `moments` is a prediction
    predicts_sigma: ClassVar[bool] = False
    #: whether `terms` is -ln of a probability density of t; -ln of the density of log10 M500c is larger by ln(s)
    is_density: ClassVar[bool] = False
    #: m and s of the training masses
    mass_mean: float = 0.0
    mass_sd: float = 1.0

    def terms(self, truth: Array, output: Array) -> Array:
        """Loss (...) of each cluster from the standardised truth (...) and the network's output (..., `outputs`)."""
        raise NotImplementedError

    def moments(self, output: Array) -> tuple[Array, Array]:
        """Mean and log-variance (...) of t from outputs (..., `outputs`); log-variance is 0 if not predicted."""
        mean = output[..., 0]
        return mean, output.__array_namespace__().zeros_like(mean)

    def _log10_mass(self, standardised: Array) -> Array:
        return self.mass_mean + self.mass_sd * standardised


class Likelihood(Loss):
    """Negative log-likelihood of a Gaussian, ln(sigma^2) / 2 + (t - mu)^2 / (2 sigma^2), without ln(2 pi) / 2.

    Krippendorf et al. (2023), Eq. 1. The outputs are mu and ln(sigma^2).
    """

    outputs, predicts_sigma, is_density = 2, True, True

    def terms(self, truth: Array, output: Array) -> Array:
        """See `Loss.terms`."""
        mean, log_variance = self.moments(output)
        return 0.5 * (log_variance + (truth - mean) ** 2 * output.__array_namespace__().exp(-log_variance))

    def moments(self, output: Array) -> tuple[Array, Array]:
        """See `Loss.moments`."""
        return output[..., 0], output[..., 1]


class SquaredLog(Loss):
    """Squared error of the logarithmic mass, ((y - y') / s)^2: 1 if the mean mass is predicted for all."""

    def terms(self, truth: Array, output: Array) -> Array:
        """See `Loss.terms`."""
        return (truth - output[..., 0]) ** 2


class Percentage(Loss):
    """Absolute percentage error of the logarithmic mass, 100 |y - y'| / y.

    Keras' `mean_absolute_percentage_error` with labels y. Krippendorf et al. (2023) don't state the quantity of their
    percentage error. Their squared error is of the logarithmic mass (section 3), so this error is of it, too.
    """

    def terms(self, truth: Array, output: Array) -> Array:
        """See `Loss.terms`."""
        return 100 * self.mass_sd * abs(truth - output[..., 0]) / self._log10_mass(truth)


class SquaredLog1p(Loss):
    """Squared logarithmic error, (ln(1 + y) - ln(1 + y'))^2 ((1 + m) / s)^2.

    Keras' `mean_squared_logarithmic_error` with labels y, y' not below 0, times a constant. With this constant it
    differs from `SquaredLog` by the curvature of ln alone.
    """

    def terms(self, truth: Array, output: Array) -> Array:
        """See `Loss.terms`."""
        space = output.__array_namespace__()
        predicted = space.log1p(space.maximum(self._log10_mass(output[..., 0]), 0.0))
        return ((space.log1p(self._log10_mass(truth)) - predicted) * ((1 + self.mass_mean) / self.mass_sd)) ** 2


class Classification(Loss):
    """Cross entropy -ln p of the true mass bin, p by softmax over 32 equal bins of log10 M500c, m - 4 s to m + 4 s.

    Masses beyond belong to the outermost bins. The predicted mass is the mean of the bins' centres under p. Its
    variance is that of the centres plus WIDTH^2 / 12, the variance within a bin. Number and limits of the bins are
    ours: Krippendorf et al. (2023, App. B) state none.
    """

    outputs, predicts_sigma = CLASSES, True

    def terms(self, truth: Array, output: Array) -> Array:
        """See `Loss.terms`."""
        space = output.__array_namespace__()
        place = space.clip(space.floor((truth - LOWEST) / WIDTH), 0, CLASSES - 1).astype("int32")
        return -space.take_along_axis(_log_softmax(output), place[..., None], axis=-1)[..., 0]

    def moments(self, output: Array) -> tuple[Array, Array]:
        """See `Loss.moments`."""
        space = output.__array_namespace__()
        share = space.exp(_log_softmax(output))
        centres = space.asarray(LOWEST + WIDTH * (np.arange(CLASSES) + 0.5), dtype=output.dtype)
        mean = (share * centres).sum(-1)
        variance = (share * (centres - mean[..., None]) ** 2).sum(-1) + WIDTH**2 / 12
        return mean, space.log(variance)


def _log_softmax(output: Array) -> Array:
    space = output.__array_namespace__()
    below = output - output.max(axis=-1, keepdims=True)
    return below - space.log(space.exp(below).sum(axis=-1, keepdims=True))


#: by the name in the configuration
LOSSES: dict[str, type[Loss]] = {
    DEFAULT: Likelihood,
    "squared_log": SquaredLog,
    "percentage": Percentage,
    "squared_log1p": SquaredLog1p,
    "classification": Classification,
}


def loss_of_recipe(recipe: Recipe) -> type[Loss]:
    """Return the class of a training recipe's loss, `DEFAULT` if it has none; InputError if it is none of `LOSSES`."""
    name = recipe.get("loss", DEFAULT)
    if name not in LOSSES:
        raise InputError(f"recipe.loss: {name!r} is unknown. Choose one of {', '.join(LOSSES)}.")
    return LOSSES[name]


def weighted_mean(terms: Array, weight: Array) -> Array:
    """Sum weights times terms (sample,), divide by the number of samples: so batches add up to the whole."""
    return (weight * terms).mean()
