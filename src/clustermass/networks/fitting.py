"""Fit one network to arrays: epochs of shuffled batches on the device, validation after each."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from clustermass.errors import InputError
from clustermass.networks.augmentation import AUGMENTATIONS
from clustermass.networks.epochs import Settings, TrainingData, begin, run_epoch
from clustermass.networks.parameters import initialise, unflatten
from clustermass.networks.prediction import standardised_predictions
from clustermass.networks.schedules import LearningRate
from clustermass.networks.standardisation import Standardisation
from clustermass.progress import LOGGER

LOG_EVERY_S = 5.0


@dataclass(frozen=True)
class Subset:
    """Clusters of one subset: images (sample, y, x, band), redshift, log10 M500c and optional weight (sample,)."""

    images: np.ndarray
    redshift: np.ndarray
    log10_m500c: np.ndarray
    weight: np.ndarray | None = None


@dataclass
class History:
    """One entry an epoch: losses (Eq. 1 for log10 M500c, in nats) and the learning rate of its last step."""

    train_loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)

    @property
    def best_epoch(self) -> int:
        """Epoch of the lowest validation loss, counted from 1."""
        return int(np.argmin(self.val_loss)) + 1


@dataclass(frozen=True)
class Fitted:
    """A trained network: structure, weights, constants, history and the epoch (from 1) whose weights were kept."""

    structure: nnx.GraphDef
    state: nnx.State
    constants: Standardisation
    history: History
    kept_epoch: int


def fit(
    train: Subset, val: Subset, network: Mapping[str, Any], recipe: Mapping[str, Any], seed: int, member: int
) -> Fitted:
    """Train one network; nothing but the arguments decides the result, and on one CPU core to the last bit.

    Each epoch goes once through the shuffled training set; where the batch size doesn't divide it, the last batch is
    filled up with the first clusters of the epoch, so that every step averages over equally many. With `average_decay`
    the running average of the weights (without its bias towards zero) is what is validated and kept. The validation
    loss is that of the images as they are, without averaging over symmetries.

    Parameters
    ----------
    train, val
        The only data seen; there is no way to hand over a test set.
    network, recipe
        Blocks ``network.<name>`` and ``training.recipes.<name>`` of the configuration.
    seed, member
        Together they set initial weights, order, augmentation and dropout.

    Raises
    ------
    InputError
        A subset is empty, images aren't square though they are to be turned, or a recipe's key has an unknown value.
    RuntimeError
        The loss isn't finite.
    """
    _check(train, val, recipe)
    constants = Standardisation.of(train.images, train.redshift, train.log10_m500c, network["redshift_inputs"])
    shape = train.images.shape[1:]
    structure, state = unflatten(shape, network, initialise(shape, network, [seed, member]))
    epoch_key = jax.random.fold_in(jax.random.key(seed % 2**32), member)
    settings = Settings.of(recipe, len(train.redshift))
    data, steps = _on_device(train, constants), math.ceil(len(train.redshift) / settings.batch)
    progress = begin(state, settings)
    validate = _validation(structure, constants, val)
    rate, history, watch = LearningRate(recipe, steps), History(), _Watch(member, recipe["epochs"])
    kept, kept_epoch = state, 0
    for epoch in range(recipe["epochs"]):
        rates = rate.of_epoch(epoch)
        key = jax.random.fold_in(epoch_key, epoch)
        progress, loss, averaged = run_epoch(structure, settings, progress, data, rates, key)
        history.train_loss.append(float(loss) + math.log(constants.mass_sd))
        history.val_loss.append(validate(averaged))
        history.learning_rate.append(float(rates[-1]))
        watch.report(history)
        rate.report(history.val_loss[-1])
        if recipe["keep"] == "last" or history.best_epoch == epoch + 1:
            kept, kept_epoch = averaged, epoch + 1
    return Fitted(structure, kept, constants, history, kept_epoch)


def _check(train: Subset, val: Subset, recipe: Mapping[str, Any]) -> None:
    for name, subset in (("training", train), ("validation", val)):
        if not len(subset.redshift):
            raise InputError(f"The {name} set is empty. Simulate more realizations or relax the selection.")
    if recipe["augmentation"] not in AUGMENTATIONS:
        known = ", ".join(AUGMENTATIONS)
        raise InputError(f"recipe.augmentation: {recipe['augmentation']!r} is unknown. Choose one of {known}.")
    if recipe["keep"] not in ("last", "best"):
        raise InputError(f"recipe.keep: {recipe['keep']!r} is unknown. Choose last or best.")
    _, ny, nx, _ = train.images.shape
    if ny != nx:
        raise InputError(f"images of {ny} x {nx} pixels: only square images can be turned. Make them square.")


def _on_device(train: Subset, constants: Standardisation) -> TrainingData:
    weight = np.ones(len(train.redshift)) if train.weight is None else train.weight / np.mean(train.weight)
    return TrainingData(
        jnp.asarray(constants.images(train.images)),
        jnp.asarray(constants.redshift(train.redshift)),
        jnp.asarray(constants.mass(train.log10_m500c)),
        jnp.asarray(weight, jnp.float32),
    )


def _validation(structure: nnx.GraphDef, constants: Standardisation, val: Subset) -> Callable[[nnx.State], float]:
    """Return the function from weights to the validation loss."""
    images, redshift = constants.images(val.images), constants.redshift(val.redshift)[:, None]
    truth = (np.asarray(val.log10_m500c) - constants.mass_mean) / constants.mass_sd

    def validate(state: nnx.State) -> float:
        mean, variance = standardised_predictions(structure, state, images, redshift, symmetric=False)
        terms = np.log(variance[:, 0]) + (truth - mean[:, 0]) ** 2 / variance[:, 0]
        return float(terms.mean()) / 2 + math.log(constants.mass_sd)

    return validate


class _Watch:
    """Log the state of a training every few seconds; stop it when its loss isn't finite."""

    def __init__(self, member: int, epochs: int) -> None:
        self._member, self._epochs = member, epochs
        self._compiled: float | None = None
        self._logged = time.monotonic()

    def report(self, history: History) -> None:
        done, now = len(history.val_loss), time.monotonic()
        train, val, rate = history.train_loss[-1], history.val_loss[-1], history.learning_rate[-1]
        if not (math.isfinite(train) and math.isfinite(val)):
            raise RuntimeError(
                f"member {self._member}: the loss isn't finite after epoch {done} (training {train}, validation {val}) "
                f"at learning rate {rate:.2e}. Lower the recipe's learning_rate or set its gradient_clip."
            )
        if self._compiled is None:
            self._compiled = now  # the first epoch holds the compilation: it says nothing of the others
        elif now - self._logged >= LOG_EVERY_S or done == self._epochs:
            speed = (done - 1) / (now - self._compiled)
            LOGGER.info(
                "member %02d: epoch %d of %d, loss %.3f, validation %.3f, %.2f epochs/s, %.0f s left",
                *(self._member, done, self._epochs, train, val, speed, (self._epochs - done) / speed),
            )
            self._logged = now
