"""Keep an eye on trainings: a line in the log every few seconds, and a stop with its reason where a loss runs away."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from clustermass.errors import InputError
from clustermass.io.log import LOGGER

if TYPE_CHECKING:
    from clustermass.config.models import Recipe
    from clustermass.network.checkpoints import Member

LOG_EVERY_S = 5.0
EXPLODED = 1e6  # loss of a step, of the standardised mass: a network that predicts the mean for all has 0.5
EXTREME = 1e3  # standard deviations: beyond, a pixel alone can throw a network off


class Watch:
    """Watch over members that are trained side by side.

    Parameters
    ----------
    group, recipe
        The members, and how they are trained.
    extreme
        Returns the largest pixel of the training images, in standard deviations; called only where a loss has run away.
    """

    def __init__(self, group: Sequence[Member], recipe: Recipe, extreme: Callable[[], float]) -> None:
        self._group, self._recipe, self._extreme, self._epochs = group, recipe, extreme, int(recipe["epochs"])
        numbers = [f"{member.number:02d}" for member in group]
        self._name = f"member {numbers[0]}" if len(group) == 1 else f"members {numbers[0]} to {numbers[-1]}"
        self._first: tuple[int, float] | None = None
        self._logged = time.monotonic()

    def check_steps(self, losses: np.ndarray, rates: np.ndarray) -> None:
        """Stop where a step's loss isn't finite or has exploded.

        Parameters
        ----------
        losses, rates
            (member, step) of the epoch just done, which isn't in the histories yet.

        Raises
        ------
        InputError
            With member, epoch, batch, learning rate and likely cause.
        """
        bad = np.argwhere(~(losses < EXPLODED))
        if bad.size:
            row, step = bad[np.argmin(bad[:, 1])]
            member, epoch = self._group[row], self._group[row].history.epochs + 1
            raise InputError(
                f"member {member.number:02d}: the loss is {losses[row, step]:.3g} in epoch {epoch}, batch {step + 1} "
                f"of {losses.shape[1]}, at learning rate {rates[row, step]:.2e}. {self._cause()}"
            )

    def _cause(self) -> str:
        largest = self._extreme()
        if not largest < EXTREME:
            return (
                f"Likely cause: training images with pixels of {largest:.3g} standard deviations. Look at the "
                "preprocessing (transform, clip)."
            )
        if not self._recipe["gradient_clip"]:
            return "Likely cause: a gradient ran away. Set the recipe's gradient_clip (5, say) or lower learning_rate."
        return "Likely cause: too high a learning rate. Lower the recipe's learning_rate or lengthen its warm-up."

    def check_validation(self, losses: np.ndarray, rates: np.ndarray) -> None:
        """Stop where a validation loss (member,) isn't finite; `rates` (member, step) are the epoch's."""
        bad = np.flatnonzero(~np.isfinite(losses))
        if bad.size:
            member, rate = self._group[bad[0]], rates[bad[0], -1]
            raise InputError(
                f"member {member.number:02d}: the validation loss is {losses[bad[0]]:.3g} after epoch "
                f"{member.history.epochs + 1}, at learning rate {rate:.2e}, though no training batch failed. Likely "
                "cause: validation clusters unlike all training clusters, or overfitting. Look at the split and the "
                "selection, or raise the recipe's weight_decay."
            )

    def report(self) -> None:
        """Log loss, speed and the time left, every few seconds and at the end."""
        done, now = max(member.history.epochs for member in self._group), time.monotonic()
        if self._first is None:
            self._first = done, now  # the first epoch holds the compilation: its time is not theirs
        elif now - self._logged >= LOG_EVERY_S or done == self._epochs:
            speed = (done - self._first[0]) / max(now - self._first[1], 1e-9)
            train, val = (math.fsum(column) / len(column) for column in zip(*map(_losses, self._group), strict=True))
            LOGGER.info(
                "%s: epoch %d of %d, loss %.3f, validation %.3f, %.2f epochs/s, %.0f s left",
                *(self._name, done, self._epochs, train, val, speed, (self._epochs - done) / speed),
            )
            self._logged = now


def _losses(member: Member) -> tuple[float, float]:
    return member.history.train_loss[-1], member.history.val_loss[-1]
