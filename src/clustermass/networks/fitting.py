"""Fit networks to arrays: the two functions that the rest of the package calls."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from clustermass.errors import InputError
from clustermass.networks.augmentation import AUGMENTATIONS
from clustermass.networks.checkpoints import Checkpoints
from clustermass.networks.subsets import Subset
from clustermass.networks.trainer import Fitted, Trainer


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
