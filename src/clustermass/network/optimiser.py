"""Optimiser and learning rate of a training recipe."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from clustermass.errors import InputError

FINAL_FRACTION = 0.01  # of the peak rate, at the end of a cosine schedule
PLATEAU_IMPROVEMENT = 1e-4  # in nats: a validation loss must fall by this much to count as better


def optimiser(recipe: Mapping[str, Any]) -> optax.GradientTransformation:
    """Build the optimiser, for a learning rate of 1: multiply its updates by minus the rate.

    ``adamw`` decays the kernels (not the biases) by `weight_decay` times the rate (Loshchilov & Hutter 2019); ``adam``
    adds `weight_decay` times the kernels to the gradient. Gradients are first clipped to the global norm
    `gradient_clip`, where that isn't 0.
    """
    decay = optax.add_decayed_weights(recipe["weight_decay"], mask=_kernels)
    steps = {"adamw": [optax.scale_by_adam(), decay], "adam": [decay, optax.scale_by_adam()]}
    if recipe["optimizer"] not in steps:
        raise InputError(f"recipe.optimizer: {recipe['optimizer']!r} is unknown. Choose one of {', '.join(steps)}.")
    clip = [optax.clip_by_global_norm(recipe["gradient_clip"])] if recipe["gradient_clip"] else []
    return optax.chain(*clip, *steps[recipe["optimizer"]])


def _kernels(parameters: optax.Params) -> optax.Params:
    return jax.tree.map(lambda leaf: leaf.ndim > 1, parameters)


class LearningRate:
    """Learning rates of the steps of each epoch, by the `schedule` of a recipe.

    ``cosine``: linear warm-up over `warmup_fraction` of all steps, then half a cosine down to a hundredth.
    ``plateau``: multiplied by `factor` once the validation loss hasn't fallen for `patience` epochs, down to `minimum`.
    ``constant``: as it says.

    Parameters
    ----------
    recipe
        ``learning_rate``, ``schedule``, ``epochs`` and what the schedule needs.
    steps
        Steps an epoch.
    """

    def __init__(self, recipe: Mapping[str, Any], steps: int) -> None:
        makers = {"cosine": _cosine, "plateau": _flat, "constant": _flat}
        if recipe["schedule"] not in makers:
            raise InputError(f"recipe.schedule: {recipe['schedule']!r} is unknown. Choose one of {', '.join(makers)}.")
        self._rates = makers[recipe["schedule"]](recipe, recipe["epochs"] * steps).reshape(-1, steps)
        self._plateau = Plateau(recipe) if recipe["schedule"] == "plateau" else None

    def of_epoch(self, epoch: int) -> np.ndarray:
        """Rates (step,) float32 of `epoch`, counted from 0."""
        return (self._rates[epoch] * (self._plateau.scale if self._plateau else 1.0)).astype(np.float32)

    def report(self, validation_loss: float) -> None:
        """Tell the schedule the validation loss after an epoch."""
        if self._plateau:
            self._plateau.report(validation_loss)


def _cosine(recipe: Mapping[str, Any], total: int) -> np.ndarray:
    peak = recipe["learning_rate"]
    warmup = min(round(recipe["warmup_fraction"] * total), total - 1)
    # counted from 1: a first step at rate 0 would be wasted
    schedule = optax.warmup_cosine_decay_schedule(0.0, peak, warmup, total, FINAL_FRACTION * peak)
    return np.asarray(jax.jit(schedule)(jnp.arange(1, total + 1)))


def _flat(recipe: Mapping[str, Any], total: int) -> np.ndarray:
    return np.full(total, recipe["learning_rate"])


class Plateau:
    """Factor `scale` on the rate, lowered where the validation loss stalls (as in Keras, and in optax).

    In plain Python: optax's own would cost a GPU with thirty members more than their epoch's steps.
    """

    def __init__(self, recipe: Mapping[str, Any]) -> None:
        options = recipe["plateau"]
        self.scale = 1.0
        self._factor, self._patience = options["factor"], options["patience"]
        self._minimum = options["minimum"] / recipe["learning_rate"]
        self._best, self._waited = math.inf, 0

    def report(self, validation_loss: float) -> None:
        """Tell the validation loss after an epoch."""
        better = validation_loss < self._best - PLATEAU_IMPROVEMENT
        self._best, self._waited = (validation_loss, 0) if better else (self._best, self._waited + 1)
        if self._waited == self._patience:
            self.scale, self._waited = max(self.scale * self._factor, self._minimum), 0
