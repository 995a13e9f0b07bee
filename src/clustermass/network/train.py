"""Training of networks: standardise the data, run the epochs, compute the validation loss, keep the weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
import optax

from clustermass.dataset.standardise import Standardisation
from clustermass.errors import InputError
from clustermass.network.checkpoints import Checkpoints, Member, Watch
from clustermass.network.epoch import AUGMENTATIONS, Program, Progress, TrainingData, begin, run_epochs
from clustermass.network.layers import PHI
from clustermass.network.losses import loss_of_recipe
from clustermass.network.predict import TrainedNetwork, apply_network, chunks, draw_network, flatten, predict, stacked
from clustermass.network.stopping import has_converged

if TYPE_CHECKING:
    from flax import nnx

    from clustermass.config.network_models import Network, Recipe
    from clustermass.dataset.physics import PhysicsPrior
    from clustermass.dataset.training_data import Subset

SCHEDULES = ("cosine", "plateau", "constant")
FINAL_FRACTION = 0.01  # learning rate at the end of a cosine schedule, divided by the rate at its peak
PLATEAU_IMPROVEMENT = 1e-4  # the schedule `plateau` ignores a smaller decrease of the validation loss


def train_networks(
    train: Subset,
    val: Subset,
    network: Network,
    recipe: Recipe,
    seed: int,
    members: Sequence[int],
    checkpoints: Checkpoints | None = None,
    side_by_side: bool | None = None,
) -> Iterator[tuple[TrainedNetwork, Member]]:
    """Train networks and yield each one together with its `Member`, which holds the training history.

    `network` and `recipe` are blocks of the configuration, and `members` are the networks' numbers in the ensemble.
    There is no argument for a test set, because the training must not use it. A member's initial weights, order of
    clusters, augmentation and dropout are determined by `seed` and its number. Members resume from `checkpoints` and
    save their state there. If `checkpoints` is None, nothing is saved.

    `side_by_side` says whether all members are trained together in one program (`jax.vmap`), or one after another. None
    means together on a GPU, and one after another on a CPU. The two ways have different rounding errors, so that their
    results agree only to about 1e-4. With one CPU thread and one member after another, the result is reproducible to
    the last bit, whichever other members are trained, and also after interruptions.

    InputError if a subset is empty or holds numbers that aren't finite, if the images aren't square, if a key of the
    recipe has an unknown value, or if a loss diverges.
    """
    _check(train, val, recipe)
    shape = train.images.shape[1:]
    constants = Standardisation.from_training_set(train, network["side_inputs"])
    loss = loss_of_recipe(recipe)(constants.mass_mean, constants.mass_sd)
    prior = _prior(network, train)
    parameters = len(prior.names) if prior else 0
    structure, _ = draw_network(network, shape, loss.outputs, [seed], parameters)
    program = Program.from_config(structure, loss, network, recipe, train.images.shape)
    offset = math.log(constants.mass_sd) if loss.is_density else 0.0  # converts the loss of t to that of log10 M500c
    conditioned = prior is not None
    data, validate = on_device(train, constants, conditioned), _validation(program, constants, val, recipe, conditioned)

    def start(number: int) -> Member:
        _, weights = draw_network(network, shape, loss.outputs, [seed, number], parameters)
        member = Member(number, begin(program, weights), weights)
        return checkpoints.resume(member) if checkpoints else member

    for group in _groups(map(start, members), side_by_side):
        if unfinished := [member for member in group if member.progress is not None]:
            _run(unfinished, program, data, validate, offset, recipe, seed, checkpoints)
        for member in group:
            trained = TrainedNetwork(
                flatten(member.kept), constants, network, recipe, shape, member.number, seed, prior=prior
            )
            yield trained if loss.predicts_sigma else _with_residual_sd(trained, val), member


def _prior(network: Network, train: Subset) -> PhysicsPrior | None:
    """Return the prior that a network is conditioned on, or None. InputError if the training set lacks it."""
    if not network.get("conditioned"):
        return None
    if train.prior is None:
        raise InputError(
            "network.conditioned is true, but the training sky has no prior of the physics (skies.<name>.prior). Name "
            "a sky that has one, or set conditioned to false."
        )
    return train.prior


def _groups(members: Iterator[Member], side_by_side: bool | None) -> Iterator[list[Member]]:
    """Yield groups of members to train together: those with the same number of epochs done, or single members."""
    if side_by_side is None:
        side_by_side = jax.default_backend() != "cpu"
    if not side_by_side:
        yield from ([member] for member in members)
        return
    begun = list(members)
    for done in sorted({member.history.epochs for member in begun}):
        yield [member for member in begun if member.history.epochs == done]


def _run(
    group: Sequence[Member],
    program: Program,
    data: TrainingData,
    validate: Callable[[nnx.State], tuple[np.ndarray, np.ndarray]],
    offset: float,
    recipe: Recipe,
    seed: int,
    checkpoints: Checkpoints | None,
) -> None:
    """Finish the training of members with the same number of epochs done. `offset` is added to all recorded losses."""
    progress, kept = stacked([member.progress for member in group]), stacked([member.kept for member in group])
    root = jax.random.key(seed % 2**32)
    keys = [jax.random.fold_in(root, member.number) for member in group]
    steps = math.ceil(len(data.mass) / program.batch)
    schedules = [LearningRate(recipe, steps, member.history.val_loss) for member in group]
    watch = Watch(group, recipe, lambda: float(jnp.abs(data.inputs["image"]).max()))
    written = time.monotonic()
    for epoch in range(group[0].history.epochs, recipe["epochs"]):
        rates = np.stack([schedule.of_epoch(epoch) for schedule in schedules])
        epoch_keys = jnp.stack([jax.random.fold_in(key, epoch) for key in keys])
        progress, losses, averaged = run_epochs(program, progress, data, rates, epoch_keys)
        watch.check_steps(np.asarray(losses), rates)
        val_losses, converged = validate(averaged)
        val_losses = val_losses + offset
        watch.check_validation(val_losses, rates)
        train_losses = np.asarray(losses).mean(axis=1, dtype=np.float64) + offset
        better = []
        for row, (member, schedule) in enumerate(zip(group, schedules, strict=True)):
            entry = float(train_losses[row]), float(val_losses[row]), float(rates[row, -1])
            better.append(not member.is_finished(recipe) and member.add_epoch(*entry, keep=recipe["keep"]))
            member.stopped |= bool(converged[row])
            schedule.report(float(val_losses[row]))
        kept = _chosen(better, averaged, kept)
        watch.report()
        if all(member.is_finished(recipe) for member in group):
            break
        if checkpoints and time.monotonic() - written >= checkpoints.every_s:
            _unstack(group, progress, kept)
            for member in group:
                checkpoints.write(member)
            written = time.monotonic()
    _unstack(group, None, kept)
    if checkpoints:
        for member in group:
            checkpoints.write(member)


def _unstack(group: Sequence[Member], progress: Progress | None, kept: nnx.State) -> None:
    for row, member in enumerate(group):
        member.progress, member.kept = jax.tree.map(lambda leaf, row=row: leaf[row], (progress, kept))


def _chosen(better: Sequence[bool], new: nnx.State, old: nnx.State) -> nnx.State:
    """Return the stacked weights in `new` where `better` is true, and those in `old` elsewhere."""
    if all(better):
        return new
    rows = np.array(better)
    return jax.tree.map(lambda a, b: jnp.where(rows.reshape(-1, *[1] * (a.ndim - 1)), a, b), new, old)


def on_device(train: Subset, constants: Standardisation, conditioned: bool = False) -> TrainingData:
    """Return the standardised training set as JAX arrays. The clusters' weights are scaled to a mean of 1.

    If `conditioned`, the parameters of the physics are an input.
    """
    inputs = {"image": constants.images(train.images), "side": constants.side(train.redshift, train.measurements)}
    inputs |= {PHI: train.phi} if conditioned and train.phi is not None else {}
    mass = (train.log10_m500c - constants.mass_mean) / constants.mass_sd
    weight = np.ones(len(mass)) if train.weight is None else train.weight / np.mean(train.weight)
    return jax.tree.map(partial(jnp.asarray, dtype=jnp.float32), TrainingData(inputs, mass, weight))


def _validation(
    program: Program, constants: Standardisation, val: Subset, recipe: Recipe, conditioned: bool
) -> Callable[[nnx.State], tuple[np.ndarray, np.ndarray]]:
    """Return a function of the members' stacked weights.

    It returns the members' mean validation losses (member,), and whether they meet the conditions `stop` of the recipe
    (False if it has none). If the validation clusters have weights, the mean is weighted.
    """
    rows = chunks(constants, val.images, val.redshift, val.measurements, val.phi if conditioned else None)
    inputs = [jax.tree.map(jnp.asarray, chunk) for _, chunk in rows]
    truth = (np.asarray(val.log10_m500c, np.float64) - constants.mass_mean) / constants.mass_sd

    def converged(outputs: np.ndarray) -> np.ndarray:
        if not (stop := recipe.get("stop")):
            return np.zeros(len(outputs), bool)
        mean, sd = constants.mass_mean, constants.mass_sd
        return has_converged(stop, mean + sd * truth, mean + sd * program.loss.moments(outputs)[0])

    def validate(weights: nnx.State) -> tuple[np.ndarray, np.ndarray]:
        parts = [np.asarray(apply_network(program.structure, weights, chunk), np.float64) for chunk in inputs]
        outputs = np.concatenate(parts, axis=1)[:, : len(truth)]
        with np.errstate(over="ignore", invalid="ignore"):
            terms = program.loss.terms(np.broadcast_to(truth, outputs.shape[:2]), outputs)
            losses = terms.mean(axis=1) if val.weight is None else np.average(terms, 1, val.weight)
            return np.asarray(losses), converged(outputs)

    return validate


def _with_residual_sd(trained: TrainedNetwork, val: Subset) -> TrainedNetwork:
    """Return the network with the validation clusters' rms residual as the sigma of all clusters."""
    mu, _ = predict(trained, val.images, val.redshift[:, None], val.measurements, val.phi)
    return replace(trained, residual_sd=float(np.sqrt(np.mean((mu[:, 0] - val.log10_m500c) ** 2))))


def _check(train: Subset, val: Subset, recipe: Recipe) -> None:
    for name, subset in (("training", train), ("validation", val)):
        if not len(subset.redshift):
            raise InputError(f"The {name} set is empty. Simulate more realizations or relax the selection.")
        if not np.isfinite([subset.images.sum(dtype=np.float64), np.sum(subset.log10_m500c)]).all():
            raise InputError(f"The {name} set's images or masses aren't all finite. Delete the files and run again.")
    for key, choices in {"augmentation": AUGMENTATIONS, "keep": ("last", "best"), "schedule": SCHEDULES}.items():
        if (word := dict(recipe)[key]) not in choices:
            raise InputError(f"recipe.{key}: {word!r} is unknown. Choose one of {', '.join(choices)}.")
    _, ny, nx, _ = train.images.shape
    if ny != nx:
        raise InputError(f"images of {ny} x {nx} pixels: only square images can be turned. Make them square.")


class LearningRate:
    """Learning rates of the steps of each epoch, according to the `schedule` of a recipe.

    - ``cosine``: the rate rises linearly over the share `warmup_fraction` of all steps, and then falls along half a
      cosine to a hundredth of its peak.
    - ``plateau``: the rate is multiplied by `factor` whenever the validation loss hasn't fallen for `patience` epochs,
      as in Keras and optax. It never falls below `minimum`. These three keys are in the block `plateau` of the recipe.
    - ``constant``: the rate is the same for all steps.

    The argument `steps` is the number of steps in an epoch. `losses` are the validation losses of the epochs that are
    already done.
    """

    def __init__(self, recipe: Recipe, steps: int, losses: Iterable[float] = ()) -> None:
        total, peak = recipe["epochs"] * steps, recipe["learning_rate"]
        rates = _cosine(recipe, total) if recipe["schedule"] == "cosine" else np.full(total, peak)
        self._rates = rates.reshape(-1, steps)
        self._plateau = recipe["plateau"] if recipe["schedule"] == "plateau" else None
        self._peak, self._scale, self._best, self._waited = peak, 1.0, math.inf, 0
        for loss in losses:
            self.report(loss)

    def of_epoch(self, epoch: int) -> np.ndarray:
        """Return the learning rates of an epoch, float32 (step,). Epochs are counted from 0."""
        return (self._rates[epoch] * self._scale).astype(np.float32)

    def report(self, validation_loss: float) -> None:
        """Record the validation loss after an epoch. Later learning rates of the schedule ``plateau`` depend on it."""
        better = validation_loss < self._best - PLATEAU_IMPROVEMENT
        self._best, self._waited = (validation_loss, 0) if better else (self._best, self._waited + 1)
        if self._plateau and self._waited == self._plateau["patience"]:
            lowest = self._plateau["minimum"] / self._peak
            self._scale, self._waited = max(self._scale * self._plateau["factor"], lowest), 0


def _cosine(recipe: Recipe, total: int) -> np.ndarray:
    peak = recipe["learning_rate"]
    warmup = min(round(recipe["warmup_fraction"] * total), total - 1)
    # steps are counted from 1, because a first step at learning rate 0 would change nothing
    schedule = optax.warmup_cosine_decay_schedule(0.0, peak, warmup, total, FINAL_FRACTION * peak)
    return np.asarray(jax.jit(schedule)(jnp.arange(1, total + 1)))
