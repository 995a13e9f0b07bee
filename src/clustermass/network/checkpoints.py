"""The state of a member (one network of an ensemble) in training, its checkpoint file, and a check of its losses.

The checkpoint is the file `{member}.{hash}.safetensors`. It holds arrays and JSON (no pickled objects), and their
checksum. It is written atomically.

- The hash depends on everything that determines the trained network. Files of the member with another hash are never
  read, and are removed once the member is finished.
- If a checkpoint can't be read, the member starts from the beginning.
- If a checkpoint can't be written, the training continues without it.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from clustermass.errors import InputError
from clustermass.io.files import atomic
from clustermass.io.log import LOGGER
from clustermass.io.provenance import config_hash
from clustermass.network.predict import METADATA

if TYPE_CHECKING:
    from flax import nnx

    from clustermass.config.network_models import Recipe
    from clustermass.network.epoch import Progress

FORMAT = "clustermass-checkpoint-3"
EVERY_S = 20.0
LOG_EVERY_S = 5.0
EXPLODED = 1e6  # a training is stopped if a step's loss (for standardised masses) reaches this value
EXTREME = 1e3  # standard deviations; a single pixel with a larger value can make a training diverge


@dataclass
class History:
    """Training loss, validation loss and last learning rate of each epoch of a training.

    With the default loss, the two losses are mean negative log-likelihoods of log10 M500c in nats, without the constant
    ln(2 pi) / 2.
    """

    train_loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)

    @property
    def epochs(self) -> int:
        """Return the number of epochs done."""
        return len(self.val_loss)

    @property
    def best_epoch(self) -> int:
        """Return the number of the epoch with the lowest validation loss, counted from 1."""
        return int(np.argmin(self.val_loss)) + 1


@dataclass
class Member:
    """One network of an ensemble during its training."""

    number: int
    #: state from which the next epoch starts; None once the training is finished
    progress: Progress | None
    #: weights to be kept if no later epoch replaces them, and their epoch (counted from 1; 0 = initial weights)
    kept: nnx.State
    kept_epoch: int = 0
    #: history of the epochs done; the state of the learning-rate schedule follows from it
    history: History = field(default_factory=History)
    #: whether the validation residuals met the conditions `stop` of the recipe
    stopped: bool = False

    def add_epoch(self, train_loss: float, val_loss: float, rate: float, keep: str) -> bool:
        """Add an epoch to the history and return whether the weights after this epoch are to be kept.

        If `keep` is ``last``, the weights of every epoch are kept in place of the earlier ones. If it is ``best``, they
        are kept only if the validation loss is below the validation losses of all earlier epochs.
        """
        self.history.train_loss.append(train_loss)
        self.history.val_loss.append(val_loss)
        self.history.learning_rate.append(rate)
        better = keep == "last" or self.history.best_epoch == self.history.epochs
        self.kept_epoch = self.history.epochs if better else self.kept_epoch
        return better

    def is_finished(self, recipe: Recipe) -> bool:
        """Return whether all epochs are done, or the training ended before by the key `patience` or `stop` of `recipe`.

        `patience` is the number of epochs without a new lowest validation loss. Without these two keys, only the number
        of epochs counts.
        """
        done, patience = self.history.epochs, recipe.get("patience")
        waited = done - self.history.best_epoch if done else 0
        return self.stopped or done >= recipe["epochs"] or (patience is not None and waited >= patience)


@dataclass
class Checkpoints:
    """The checkpoint files of members that are trained with the same data and settings, one file for each member."""

    folder: Path
    #: everything that determines the result of a training, except the member's number; the file names hold its hash
    shaping: Mapping[str, object]
    #: shortest time between two checkpoints of an unfinished training, in seconds
    every_s: float = EVERY_S
    _warned: set[int] = field(default_factory=set)

    def path(self, member: int) -> Path:
        """Return the path of a member's checkpoint, given the number of the member."""
        return self.folder / f"{member:02d}.{config_hash({'member': member, **self.shaping})}.safetensors"

    def resume(self, member: Member) -> Member:
        """Return a member in the state of its checkpoint, or the untrained `member` if no checkpoint can be used."""
        path = self.path(member.number)
        try:
            resumed = decode(path.read_bytes(), member)
        except (FileNotFoundError, NotADirectoryError):
            return member
        except (OSError, ValueError) as error:
            LOGGER.warning("member %02d: checkpoint %s can't be used (%s); starting afresh", member.number, path, error)
            return member
        how = "is finished" if resumed.progress is None else "goes on"
        LOGGER.info("member %02d: %s, by its checkpoint after epoch %d", member.number, how, resumed.history.epochs)
        return resumed

    def write(self, member: Member) -> None:
        """Write the checkpoint of a member in place of its earlier checkpoint. If this fails, only a warning is logged.

        Once a member is finished, its other files are removed: checkpoints with other hashes, and partly written ones.
        """
        path, name = self.path(member.number), f"{member.number:02d}"
        try:
            with atomic(path) as temporary:
                temporary.write_bytes(encode(member))
        except OSError as error:
            if member.number not in self._warned:
                LOGGER.warning(
                    "member %02d: no checkpoint can be written to %s (%s); going on, but a kill will lose what is done",
                    *(member.number, self.folder, error.strerror or error),
                )
            self._warned.add(member.number)
        if member.progress is None:
            for other in {*self.folder.glob(f"{name}.*.safetensors"), *self.folder.glob(f".{name}.*.part*")} - {path}:
                with suppress(OSError):
                    other.unlink()


def encode(member: Member) -> bytes:
    """Return the bytes of a safetensors file that holds a member: its kept weights, its history and its `progress`.

    The kept weights are those that `Member.add_epoch` chose. A finished member has no `progress`. The numbers of the
    history are stored to the last bit. Equal members give equal bytes.
    """
    leaves = jax.tree_util.tree_leaves_with_path({"kept": member.kept, "progress": member.progress})
    arrays = {jax.tree_util.keystr(path): np.asarray(leaf, order="C") for path, leaf in leaves}
    header = {"finished": member.progress is None, "kept_epoch": member.kept_epoch, "history": asdict(member.history)}
    header |= {"stopped": True} if member.stopped else {}
    text = json.dumps({"format": FORMAT, **header}, sort_keys=True, allow_nan=False)
    return bytes(save(arrays, {METADATA: json.dumps({"header": text, "sha256": _checksum(arrays, text)})}))


def decode(content: bytes, fresh: Member) -> Member:
    """Return the member that `encode` turned into the bytes `content`.

    `fresh` is this member before its first epoch. ValueError if the bytes are damaged, have another format, or belong
    to another network.
    """
    try:
        arrays = load(content)
        stored = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        outer = json.loads(stored["__metadata__"][METADATA])
        text, checksum = outer["header"], outer["sha256"]
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not a whole checkpoint: {error}") from error
    if _checksum(arrays, text) != checksum:
        raise ValueError("its checksum differs: damaged")
    header = json.loads(text)
    if header["format"] != FORMAT:
        raise ValueError("of another version")

    def filled(path: Any, leaf: np.ndarray) -> jax.Array:
        name = jax.tree_util.keystr(path)
        if name not in arrays or (arrays[name].shape, arrays[name].dtype) != (leaf.shape, leaf.dtype):
            raise ValueError(f"of another network or optimiser: {name}")
        return jnp.asarray(arrays[name])

    progress = None if header["finished"] else fresh.progress
    trees = jax.tree_util.tree_map_with_path(filled, {"kept": fresh.kept, "progress": progress})
    kept_epoch, stopped = int(header["kept_epoch"]), bool(header.get("stopped", False))
    return replace(fresh, **trees, kept_epoch=kept_epoch, history=History(**header["history"]), stopped=stopped)


def _checksum(arrays: Mapping[str, np.ndarray], header: str) -> str:
    return hashlib.sha256(header.encode() + save(arrays)).hexdigest()


class Watch:
    """Logs the progress of members that are trained side by side, and stops the training if a loss diverges.

    The function `extreme` returns the largest absolute pixel value of the standardised training images. It is called
    only if a training loss diverges.
    """

    def __init__(self, group: Sequence[Member], recipe: Recipe, extreme: Callable[[], float]) -> None:
        self._group, self._recipe, self._extreme = group, recipe, extreme
        numbers = [f"{member.number:02d}" for member in group]
        self._name = f"member {numbers[0]}" if len(group) == 1 else f"members {numbers[0]} to {numbers[-1]}"
        self._first: tuple[int, float] | None = None
        self._logged = time.monotonic()

    def check_steps(self, losses: np.ndarray, rates: np.ndarray) -> None:
        """Raise an InputError that names a likely cause if a training loss is NaN, or at least `EXPLODED` (1e6).

        `losses` and `rates` are the training losses and learning rates of the epoch that has just ended. Both have the
        shape (member, step). The histories of the members must not contain this epoch yet.
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
                f"Likely cause: pixels of {largest:.3g} standard deviations. See the preprocessing (transform, clip)."
            )
        if not self._recipe["gradient_clip"]:
            return "Likely cause: a gradient ran away. Set the recipe's gradient_clip (5, say) or lower learning_rate."
        return "Likely cause: too high a learning rate. Lower the recipe's learning_rate or lengthen its warm-up."

    def check_validation(self, losses: np.ndarray, rates: np.ndarray) -> None:
        """Raise an InputError if a validation loss of the epoch that has just ended isn't finite.

        `losses` are the validation losses (member,), and `rates` the learning rates (member, step).
        """
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
        """Log training loss, validation loss, speed and remaining time, every few seconds and after the last epoch."""
        done, now = max(member.history.epochs for member in self._group), time.monotonic()
        every = self._recipe["epochs"]
        if self._first is None:
            self._first = done, now  # the time of the first epoch isn't counted, because it includes the compilation
        elif now - self._logged >= LOG_EVERY_S or done == every:
            speed = (done - self._first[0]) / max(now - self._first[1], 1e-9)
            last = [(member.history.train_loss[-1], member.history.val_loss[-1]) for member in self._group]
            train, val = (math.fsum(column) / len(column) for column in zip(*last, strict=True))
            LOGGER.info(
                "%s: epoch %d of %d, loss %.3f, validation %.3f, %.2f epochs/s, %.0f s left",
                *(self._name, done, every, train, val, speed, (every - done) / speed),
            )
            self._logged = now
