"""One member as far as its training has come, and how that is kept in a checkpoint."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from clustermass.network.checkpoints import Checkpoint
from clustermass.network.epochs import Progress


@dataclass
class History:
    """One entry an epoch: losses (see `clustermass.network.losses`) and the learning rate of its last step.

    A likelihood is that of log10 M500c: Eq. 1, in nats.
    """

    train_loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)

    @property
    def epochs(self) -> int:
        """Number of epochs done."""
        return len(self.val_loss)

    @property
    def best_epoch(self) -> int:
        """Epoch of the lowest validation loss, counted from 1."""
        return int(np.argmin(self.val_loss)) + 1


@dataclass
class Member:
    """A member in training.

    Attributes
    ----------
    number
        Which member of the ensemble.
    progress
        What the next epoch starts from; None once the training is finished.
    kept, kept_epoch
        Weights kept so far, and after which epoch (from 1; 0 = the first weights).
    history
        Of the epochs done. The learning-rate schedule's state follows from it.
    """

    number: int
    progress: Progress | None
    kept: nnx.State
    kept_epoch: int = 0
    history: History = field(default_factory=History)

    def take_note(self, train_loss: float, val_loss: float, rate: float, keep: str) -> bool:
        """Add an epoch to the history; return whether its weights are to be kept (`keep`: last or best)."""
        self.history.train_loss.append(train_loss)
        self.history.val_loss.append(val_loss)
        self.history.learning_rate.append(rate)
        if keep == "best" and self.history.best_epoch != self.history.epochs:
            return False
        self.kept_epoch = self.history.epochs
        return True

    def to_checkpoint(self) -> Checkpoint:
        """Return all that is needed to go on, or of a finished member its result alone."""
        arrays = _named("kept", self.kept)
        if self.progress is not None:
            arrays |= _named("progress", self.progress)
        facts = {"finished": self.progress is None, "kept_epoch": self.kept_epoch, "history": asdict(self.history)}
        return Checkpoint(arrays, facts)

    def restored(self, checkpoint: Checkpoint) -> "Member":
        """Return this member, fresh, brought to where `to_checkpoint` was called.

        Raises
        ------
        ValueError
            The checkpoint is of another network or optimiser.
        """
        facts = checkpoint.facts
        progress = None if facts["finished"] else _filled("progress", self.progress, checkpoint.arrays)
        kept = _filled("kept", self.kept, checkpoint.arrays)
        return Member(self.number, progress, kept, int(facts["kept_epoch"]), History(**facts["history"]))


def _named(name: str, tree: Any) -> dict[str, np.ndarray]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {name + jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def _filled(name: str, template: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    leaves, structure = jax.tree_util.tree_flatten_with_path(template)
    filled = []
    for path, leaf in leaves:
        key = name + jax.tree_util.keystr(path)
        if key not in arrays or (arrays[key].shape, arrays[key].dtype) != (leaf.shape, leaf.dtype):
            raise ValueError(f"of another network or optimiser: {key}")
        filled.append(jnp.asarray(arrays[key]))
    return jax.tree_util.tree_unflatten(structure, filled)
