"""Optimiser and learning rate of a training recipe."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
import optax

from clustermass.errors import InputError

if TYPE_CHECKING:
    from clustermass.config.models import Recipe

FINAL_FRACTION = 0.01  # of the peak rate, at the end of a cosine schedule
PLATEAU_IMPROVEMENT = 1e-4  # in nats: a validation loss must fall by this much to count as better


def optimiser(optimizer: str, weight_decay: float, l2: float, gradient_clip: float) -> optax.GradientTransformation:
    """Build the optimiser, for a learning rate of 1: multiply its updates by minus the rate.

    ``adamw`` decays the kernels (not the biases) by `weight_decay` times the rate (Loshchilov & Hutter 2019); ``adam``
    adds `weight_decay` times the kernels to the gradient. `l2` times the sum of all kernels' squares is part of the
    loss. Gradients are then clipped to the global norm `gradient_clip`, unless that is 0.

    Raises
    ------
    InputError
        `optimizer` is neither adamw nor adam.
    """
    decay = optax.add_decayed_weights(weight_decay, mask=_kernels)
    steps = {"adamw": [optax.scale_by_adam(), decay], "adam": [decay, optax.scale_by_adam()]}
    if optimizer not in steps:
        raise InputError(f"recipe.optimizer: {optimizer!r} is unknown. Choose one of {', '.join(steps)}.")
    penalty = [optax.add_decayed_weights(2 * l2, mask=_kernels)] if l2 else []
    clip = [optax.clip_by_global_norm(gradient_clip)] if gradient_clip else []
    return optax.chain(*penalty, *clip, *steps[optimizer])


def _kernels(parameters: optax.Params) -> optax.Params:
    return jax.tree.map(lambda leaf: leaf.ndim > 1, parameters)


class LearningRate:
    """Learning rates of the steps of each epoch, by the `schedule` of a recipe.

    ``cosine``: linear warm-up over `warmup_fraction` of all steps, then half a cosine down to a hundredth.
    ``plateau``: multiplied by `factor` once the validation loss hasn't fallen for `patience` epochs, down to `minimum`.
    ``constant``: the same for all steps.

    Parameters
    ----------
    recipe
        ``learning_rate``, ``schedule``, ``epochs`` and what the schedule needs.
    steps
        Steps an epoch.
    losses
        Validation losses of the epochs done already.
    """

    def __init__(self, recipe: Recipe, steps: int, losses: Iterable[float] = ()) -> None:
        makers = {"cosine": _cosine, "plateau": _flat, "constant": _flat}
        if recipe["schedule"] not in makers:
            raise InputError(f"recipe.schedule: {recipe['schedule']!r} is unknown. Choose one of {', '.join(makers)}.")
        self._rates = makers[recipe["schedule"]](recipe, recipe["epochs"] * steps).reshape(-1, steps)
        self._plateau = Plateau(recipe) if recipe["schedule"] == "plateau" else None
        for loss in losses:
            self.report(loss)

    def of_epoch(self, epoch: int) -> np.ndarray:
        """Rates (step,) float32 of `epoch`, counted from 0."""
        return (self._rates[epoch] * (self._plateau.scale if self._plateau else 1.0)).astype(np.float32)

    def report(self, validation_loss: float) -> None:
        """Add the validation loss after an epoch."""
        if self._plateau:
            self._plateau.report(validation_loss)


def _cosine(recipe: Recipe, total: int) -> np.ndarray:
    peak = recipe["learning_rate"]
    warmup = min(round(recipe["warmup_fraction"] * total), total - 1)
    # counted from 1: a first step at rate 0 would be wasted
    schedule = optax.warmup_cosine_decay_schedule(0.0, peak, warmup, total, FINAL_FRACTION * peak)
    return np.asarray(jax.jit(schedule)(jnp.arange(1, total + 1)))


def _flat(recipe: Recipe, total: int) -> np.ndarray:
    return np.full(total, recipe["learning_rate"])


class Plateau:
    """Factor `scale` on the rate, lowered where the validation loss stalls (as in Keras, and in optax).

    In plain Python: optax's own would cost a GPU with thirty members more than their epoch's steps.
    """

    def __init__(self, recipe: Recipe) -> None:
        options = recipe["plateau"]
        self.scale = 1.0
        self._factor, self._patience = options["factor"], options["patience"]
        self._minimum = options["minimum"] / recipe["learning_rate"]
        self._best, self._waited = math.inf, 0

    def report(self, validation_loss: float) -> None:
        """Add the validation loss after an epoch."""
        better = validation_loss < self._best - PLATEAU_IMPROVEMENT
        self._best, self._waited = (validation_loss, 0) if better else (self._best, self._waited + 1)
        if self._waited == self._patience:
            self.scale, self._waited = max(self.scale * self._factor, self._minimum), 0
