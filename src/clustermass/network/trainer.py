"""The epochs of one job: members one after another, or stacked side by side, from checkpoint to checkpoint."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from clustermass.dataset.standardise import Standardisation
from clustermass.dataset.training_data import Subset
from clustermass.errors import InputError
from clustermass.io.log import LOGGER
from clustermass.network.augment import AUGMENTATIONS
from clustermass.network.checkpoints import Checkpoints
from clustermass.network.epochs import Progress, Settings, begin, on_device, over_members, run_epochs, stacked
from clustermass.network.losses import Loss, loss_of
from clustermass.network.members import History, Member
from clustermass.network.optimiser import LearningRate
from clustermass.network.parameters import initialise, unflatten
from clustermass.network.predict import CHUNK, standardised_predictions
from clustermass.network.watch import Watch


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


class Validation:
    """Mean loss of a validation set, not weighted, of the images as they are.

    Parameters
    ----------
    structure, constants, loss
        Of the network, of its training set, and what it is trained with.
    offset
        Added to the loss.
    val
        The validation set.
    """

    def __init__(
        self, structure: nnx.GraphDef, constants: Standardisation, loss: Loss, offset: float, val: Subset
    ) -> None:
        self._structure, self._loss, self._offset = structure, loss, offset
        side = constants.side(val.redshift, val.facts)
        self._inputs = _in_chunks(constants.images(val.images)), _in_chunks(side)
        self._truth = (np.asarray(val.log10_m500c, np.float64) - constants.mass_mean) / constants.mass_sd

    def losses(self, states: nnx.State) -> np.ndarray:
        """Loss (member,) float64 of the stacked weights `states`; not finite where a network has run away."""
        outputs = np.asarray(_apply(self._structure, states, *self._inputs), np.float64)
        outputs = outputs.reshape(len(outputs), -1, self._loss.outputs)[:, : len(self._truth)]
        truth = np.broadcast_to(self._truth, outputs.shape[:2])
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(self._loss.terms(truth, outputs).mean(axis=1) + self._offset)


def _in_chunks(columns: np.ndarray) -> jax.Array:
    """Cut rows into parts of `CHUNK`, the last filled up with zeros: (part, CHUNK, ...)."""
    missing = -len(columns) % CHUNK
    padded = np.pad(columns, [(0, missing), *[(0, 0)] * (columns.ndim - 1)])
    return jnp.asarray(padded.reshape(len(padded) // CHUNK, CHUNK, *columns.shape[1:]))


@partial(jax.jit, static_argnums=0)
def _apply(structure: nnx.GraphDef, states: nnx.State, images: jax.Array, side: jax.Array) -> jax.Array:
    """Return outputs (member, part, CHUNK, output)."""

    def outputs(state: nnx.State) -> jax.Array:
        model = nnx.merge(structure, state)
        return jax.lax.map(lambda part: model.outputs(*part), (images, side))

    return jnp.asarray(over_members(outputs)(states))


def fit(
    train: Subset, val: Subset, network: Mapping[str, Any], recipe: Mapping[str, Any], seed: int, member: int
) -> Fitted:
    """Train one network, without checkpoints; see `fit_members`."""
    ((_, fitted),) = fit_members(train, val, network, recipe, seed, [member])
    return fitted


def fit_members(
    train: Subset,
    val: Subset,
    network: Mapping[str, Any],
    recipe: Mapping[str, Any],
    seed: int,
    members: Sequence[int],
    checkpoints: Checkpoints | None = None,
    together: bool | None = None,
) -> Iterator[tuple[int, Fitted]]:
    """Train networks and yield each with its number; nothing but the arguments decides the result.

    On one CPU core it does to the last bit, whatever other members are trained with it and however often the training
    is killed and resumed. Each epoch goes once through the shuffled training set; where the batch size doesn't divide
    it, the last batch is filled up with the first clusters of the epoch, so that every step averages over equally many.
    With `average_decay` the running average of the weights (without its bias towards zero) is what is validated and
    kept. The validation loss is that of the images as they are, not weighted, without averaging over symmetries.

    Parameters
    ----------
    train, val
        The only data seen; there is no way to hand over a test set.
    network, recipe
        Blocks ``network.<name>`` and ``training.recipes.<name>`` of the configuration.
    seed, members
        Seed and member's number together set initial weights, order, augmentation and dropout.
    checkpoints
        Where members go on from, and leave their state; None = nowhere.
    together
        Members step side by side in one program (`jax.vmap`), or one after another; None = together on a GPU. The
        two ways round differently: results agree to about 1e-4.

    Raises
    ------
    InputError
        A subset is empty or holds numbers that aren't finite, images aren't square though they are to be turned, a
        recipe's key has an unknown value, or the loss runs away.
    """
    _check(train, val, recipe)
    trainer = Trainer(train, val, network, recipe, seed, checkpoints)
    if together is None:
        together = jax.default_backend() != "cpu"
    if not together:
        for number in members:
            yield from trainer.finished([trainer.begin(number)])
        return
    begun = [trainer.begin(number) for number in members]
    for done in sorted({member.history.epochs for member in begun}):  # a kill may have left them at different epochs
        yield from trainer.finished([member for member in begun if member.history.epochs == done])


def _check(train: Subset, val: Subset, recipe: Mapping[str, Any]) -> None:
    for name, subset in (("training", train), ("validation", val)):
        if not len(subset.redshift):
            raise InputError(f"The {name} set is empty. Simulate more realizations or relax the selection.")
        if not np.isfinite([subset.images.sum(dtype=np.float64), np.sum(subset.log10_m500c)]).all():
            raise InputError(f"The {name} set's images or masses aren't all finite. Delete the files and run again.")
    if recipe["augmentation"] not in AUGMENTATIONS:
        known = ", ".join(AUGMENTATIONS)
        raise InputError(f"recipe.augmentation: {recipe['augmentation']!r} is unknown. Choose one of {known}.")
    if recipe["keep"] not in ("last", "best"):
        raise InputError(f"recipe.keep: {recipe['keep']!r} is unknown. Choose last or best.")
    _, ny, nx, _ = train.images.shape
    if ny != nx:
        raise InputError(f"images of {ny} x {nx} pixels: only square images can be turned. Make them square.")
