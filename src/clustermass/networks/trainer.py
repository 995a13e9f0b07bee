"""The epochs of one job: members one after another, or stacked side by side, from checkpoint to checkpoint."""

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from clustermass.networks.checkpoints import Checkpoints
from clustermass.networks.epochs import Progress, Settings, begin, run_epochs, stacked
from clustermass.networks.losses import loss_of
from clustermass.networks.members import History, Member
from clustermass.networks.parameters import initialise, unflatten
from clustermass.networks.prediction import standardised_predictions
from clustermass.networks.schedules import LearningRate
from clustermass.networks.standardisation import Standardisation
from clustermass.networks.subsets import Subset, on_device
from clustermass.networks.validation import Validation
from clustermass.networks.watch import Watch
from clustermass.progress import LOGGER


@dataclass(frozen=True)
class Fitted:
    """A trained network.

    Attributes
    ----------
    structure, state, constants
        Structure, weights, and what standardises its inputs.
    history, kept_epoch
        Of its training, and the epoch (from 1) whose weights were kept.
    residual_sd
        Sigma of all its predictions in dex, where its loss tells none: rms residual of the validation clusters.
    """

    structure: nnx.GraphDef
    state: nnx.State
    constants: Standardisation
    history: History
    kept_epoch: int
    residual_sd: float | None = None


class Trainer:
    """What is common to all members of a job: `program` and `data` for `run_epochs`, and the course of the epochs."""

    def __init__(
        self,
        train: Subset,
        val: Subset,
        network: Mapping[str, Any],
        recipe: Mapping[str, Any],
        seed: int,
        checkpoints: Checkpoints | None,
    ) -> None:
        self._network, self._recipe, self._seed, self._checkpoints = network, recipe, seed, checkpoints
        self._shape = train.images.shape[1:]
        names = network["side_inputs"]
        self._constants = Standardisation.of(train.images, train.redshift, train.facts, train.log10_m500c, names)
        self._loss = loss_of(recipe, self._constants)
        self._offset = math.log(self._constants.mass_sd) if self._loss.of_density else 0.0
        self._structure = self._fresh(0)[0]
        self._settings = Settings.of(recipe, network, self._shape, len(train.redshift))
        self._steps = math.ceil(len(train.redshift) / self._settings.batch)
        self.data = on_device(train, self._constants)
        self.program = self._structure, self._settings
        self._val, self._validation = val, Validation(self._structure, self._constants, self._loss, self._offset, val)

    def _fresh(self, number: int) -> tuple[nnx.GraphDef, nnx.State]:
        weights = initialise(self._shape, self._network, [self._seed, number], self._loss)
        return unflatten(self._shape, self._network, weights, self._loss)

    def begin(self, number: int) -> Member:
        """Return a member as its checkpoint left it, or fresh."""
        _, state = self._fresh(number)
        fresh = Member(number, begin(state, self._settings), state)
        member = self._checkpoints.read(number, fresh.restored) if self._checkpoints else None
        if member is None:
            return fresh
        how = "is finished" if member.progress is None else "goes on"
        LOGGER.info("member %02d: %s, by its checkpoint after epoch %d", number, how, member.history.epochs)
        return member

    def finished(self, group: list[Member]) -> Iterator[tuple[int, Fitted]]:
        """Train members that have come equally far to the end, and yield what became of them."""
        if unfinished := [member for member in group if member.progress is not None]:
            self._train(unfinished)
        for member in group:
            told = member.history, member.kept_epoch, self._residual_sd(member.kept)
            yield member.number, Fitted(self._structure, member.kept, self._constants, *told)

    def _residual_sd(self, state: nnx.State) -> float | None:
        if self._loss.tells_sigma:
            return None
        constants, val = self._constants, self._val
        inputs = constants.images(val.images), constants.side(val.redshift, val.facts)[:, None]
        mean, _ = standardised_predictions(self._structure, state, *inputs, self._recipe["symmetric_prediction"])
        residual = constants.mass_mean + constants.mass_sd * mean[:, 0] - val.log10_m500c
        return float(np.sqrt(np.mean(residual**2)))

    def _train(self, group: list[Member]) -> None:
        progress, kept = stacked([member.progress for member in group]), stacked([member.kept for member in group])
        root = jax.random.key(self._seed % 2**32)
        keys = [jax.random.fold_in(root, member.number) for member in group]
        rates, watch = [self._rate(member.history) for member in group], Watch(group, self._recipe, self._extreme)
        written = time.monotonic()
        for epoch in range(group[0].history.epochs, self._recipe["epochs"]):
            now = jnp.stack([jax.random.fold_in(key, epoch) for key in keys])
            table = np.stack([rate.of_epoch(epoch) for rate in rates])
            progress, losses, averaged = run_epochs(*self.program, progress, self.data, table, now)
            better = self._judge(group, rates, watch, table, np.asarray(losses), averaged)
            kept = averaged if all(better) else _chosen(np.array(better), averaged, kept)
            watch.report()
            if self._checkpoints and time.monotonic() - written >= self._checkpoints.every_s:
                _unstack(group, progress, kept)
                for member in group:
                    self._checkpoints.write(member.number, member.to_checkpoint())
                written = time.monotonic()
        _unstack(group, None, kept)
        for member in group:
            if self._checkpoints:
                self._checkpoints.write_last(member.number, member.to_checkpoint())

    def _judge(
        self,
        group: list[Member],
        rates: list[LearningRate],
        watch: Watch,
        table: np.ndarray,
        losses: np.ndarray,
        averaged: nnx.State,
    ) -> list[bool]:
        """Add an epoch to all histories and schedules; return whose averaged weights are to be kept."""
        watch.check_steps(losses, table)
        val_losses = self._validation.losses(averaged)
        watch.check_validation(val_losses, table)
        train_losses = losses.mean(axis=1, dtype=np.float64) + self._offset
        better = []
        for row, (member, rate) in enumerate(zip(group, rates, strict=True)):
            train_loss, val_loss = float(train_losses[row]), float(val_losses[row])
            better.append(member.take_note(train_loss, val_loss, float(table[row, -1]), self._recipe["keep"]))
            rate.report(val_loss)
        return better

    def _extreme(self) -> float:
        return float(jnp.abs(self.data.images).max())

    def _rate(self, history: History) -> LearningRate:
        """Return the schedule as it is after the epochs of `history`."""
        rate = LearningRate(self._recipe, self._steps)
        for loss in history.val_loss:
            rate.report(loss)
        return rate


def _unstack(group: list[Member], progress: Progress | None, kept: nnx.State) -> None:
    for row, member in enumerate(group):
        member.progress, member.kept = jax.tree.map(lambda leaf, row=row: leaf[row], (progress, kept))


@jax.jit
def _chosen(better: jax.Array, averaged: nnx.State, kept: nnx.State) -> nnx.State:
    """Stacked weights: of each member the averaged ones where they are `better` (member,), else those kept."""
    return jax.vmap(lambda new, *both: jax.tree.map(partial(jnp.where, new), *both))(better, averaged, kept)
