"""The losses for the training of networks.

Each class defines the number of a network's outputs, the loss of a cluster, and how the mass follows from the outputs.
The losses use the standardised mass t = (y - m) / s. Here y is the true log10 M500c, and m and s are the mean and the
standard deviation of log10 M500c over the training clusters. All functions accept arrays of NumPy or JAX.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np

from clustermass.errors import InputError

if TYPE_CHECKING:
    from clustermass.config.network_models import Recipe

Array: TypeAlias = Any  # np.ndarray or jax.Array

#: number of the bins of `Classification`, and lower and upper limit of the binned standardised mass t
CLASSES, LOWEST, HIGHEST = 32, -4.0, 4.0
WIDTH = (HIGHEST - LOWEST) / CLASSES
DEFAULT = "likelihood"


@dataclass(frozen=True)
class Loss:
    """Base class of the losses.

    Unless a subclass says otherwise, a network predicts only the mass. All clusters then get the same sigma: the root
    mean square residual of the validation clusters.
    """

    #: number of outputs of the network
    outputs: ClassVar[int] = 1
    #: whether the network predicts a variance, which `moments` then returns
    predicts_sigma: ClassVar[bool] = False
    #: whether `terms` is -ln of a probability density of t; -ln of the density of log10 M500c is larger by ln(s)
    is_density: ClassVar[bool] = False
    #: mean m and standard deviation s of log10 M500c over the training clusters
    mass_mean: float = 0.0
    mass_sd: float = 1.0

    def terms(self, truth: Array, output: Array) -> Array:
        """Return the loss of each cluster.

        `truth` is the true standardised mass t, with the same shape as the result. `output` has one more axis, with the
        network's `outputs` numbers.
        """
        raise NotImplementedError

    def moments(self, output: Array) -> tuple[Array, Array]:
        """Return the predicted mean and ln(variance) of t for each cluster. ln(variance) is 0 if it isn't predicted."""
        mean = output[..., 0]
        return mean, output.__array_namespace__().zeros_like(mean)

    def _log10_mass(self, standardised: Array) -> Array:
        return self.mass_mean + self.mass_sd * standardised


class Likelihood(Loss):
    """Negative log-likelihood of a Gaussian, ln(sigma^2) / 2 + (t - mu)^2 / (2 sigma^2), without ln(2 pi) / 2.

    This is Eq. 1 of Krippendorf et al. (2023). The outputs are mu and ln(sigma^2) of the standardised mass t.
    """

    outputs, predicts_sigma, is_density = 2, True, True

    def terms(self, truth: Array, output: Array) -> Array:
        """Return the loss of each cluster, see `Loss.terms`."""
        mean, log_variance = self.moments(output)
        return 0.5 * (log_variance + (truth - mean) ** 2 * output.__array_namespace__().exp(-log_variance))

    def moments(self, output: Array) -> tuple[Array, Array]:
        """Return the predicted mean and ln(variance) of t, see `Loss.moments`."""
        return output[..., 0], output[..., 1]


class SquaredLog(Loss):
    """Squared error of the logarithmic mass, ((y - y') / s)^2, where y' is the predicted log10 M500c."""

    def terms(self, truth: Array, output: Array) -> Array:
        """Return the loss of each cluster, see `Loss.terms`."""
        return (truth - output[..., 0]) ** 2


class Percentage(Loss):
    """Absolute percentage error of the logarithmic mass, 100 |y - y'| / y, where y' is the predicted log10 M500c.

    This is Keras' `mean_absolute_percentage_error` of y. Krippendorf et al. (2023) don't say whether they use the mass
    or its logarithm. We use the logarithm, as they do for the squared error (section 3).
    """

    def terms(self, truth: Array, output: Array) -> Array:
        """Return the loss of each cluster, see `Loss.terms`."""
        return 100 * self.mass_sd * abs(truth - output[..., 0]) / self._log10_mass(truth)


class SquaredLog1p(Loss):
    """Squared logarithmic error, (ln(1 + y) - ln(1 + y'))^2 * ((1 + m) / s)^2, where y' is the predicted log10 M500c.

    This is Keras' `mean_squared_logarithmic_error` of y, times the constant ((1 + m) / s)^2. Because of this constant,
    the loss differs from `SquaredLog` only by the curvature of the logarithm. A negative y' counts as 0.
    """

    def terms(self, truth: Array, output: Array) -> Array:
        """Return the loss of each cluster, see `Loss.terms`."""
        space = output.__array_namespace__()
        predicted = space.log1p(space.maximum(self._log10_mass(output[..., 0]), 0.0))
        return ((space.log1p(self._log10_mass(truth)) - predicted) * ((1 + self.mass_mean) / self.mass_sd)) ** 2


class Classification(Loss):
    """Cross entropy -ln p, where p is the predicted probability of the bin that contains the true mass.

    There are 32 equal bins of log10 M500c from m - 4 s to m + 4 s. Masses outside of this range belong to the outermost
    bins. The probabilities p are the softmax of the outputs. The predicted t is the mean of the bins' centres, weighted
    by p. Its variance is the weighted variance of the centres plus WIDTH^2 / 12, the variance within a bin. Krippendorf
    et al. (2023, App. B) don't state their bins.
    """

    outputs, predicts_sigma = CLASSES, True

    def terms(self, truth: Array, output: Array) -> Array:
        """Return the loss of each cluster, see `Loss.terms`."""
        space = output.__array_namespace__()
        place = space.clip(space.floor((truth - LOWEST) / WIDTH), 0, CLASSES - 1).astype("int32")
        return -space.take_along_axis(_log_softmax(output), place[..., None], axis=-1)[..., 0]

    def moments(self, output: Array) -> tuple[Array, Array]:
        """Return the predicted mean and ln(variance) of t, see `Loss.moments`."""
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


#: classes of the losses by their names in the configuration
LOSSES: dict[str, type[Loss]] = {
    DEFAULT: Likelihood,
    "squared_log": SquaredLog,
    "percentage": Percentage,
    "squared_log1p": SquaredLog1p,
    "classification": Classification,
}


def loss_of_recipe(recipe: Recipe) -> type[Loss]:
    """Return the class of a recipe's loss, or `Likelihood` if it names no loss. InputError if the loss is unknown."""
    name = recipe.get("loss", DEFAULT)
    if name not in LOSSES:
        raise InputError(f"recipe.loss: {name!r} is unknown. Choose one of {', '.join(LOSSES)}.")
    return LOSSES[name]


def weighted_mean(terms: Array, weight: Array) -> Array:
    """Return the mean of weight * loss over the samples, not divided by the mean weight.

    `terms` holds the losses; both arrays are (sample,). Without the division, the mean over batches of equal size is
    the result for the whole set.
    """
    return (weight * terms).mean()
