"""State of an unfinished training on disk, and the result of a finished one: `{member}.{hash}.safetensors`.

The hash in the name stands for everything that shapes the result: what has another hash is never read, and is removed
once the member is finished. A checkpoint is a convenience: one that can't be written or read is told in the log, and
the training goes on without it. Arrays and JSON, no pickle; written atomically, with a checksum of the whole.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from clustermass.io.files import atomic
from clustermass.io.log import LOGGER
from clustermass.io.provenance import config_hash

T = TypeVar("T")
FORMAT = "clustermass-checkpoint-1"
EVERY_S = 20.0
_KEY = "clustermass"  # one metadata key: safetensors writes several in an order that changes from run to run


@dataclass(frozen=True)
class Checkpoint:
    """Arrays by name, and facts that JSON can hold (floats come back to the last bit)."""

    arrays: Mapping[str, np.ndarray]
    facts: Mapping[str, Any]


@dataclass
class Checkpoints:
    """The checkpoints of one kind of training: one file a member.

    Attributes
    ----------
    folder
        Where they lie; made when it is needed.
    shaping
        Everything that shapes the result of a training but the member's number; its hash is in the files' names.
    every_s
        Seconds between two checkpoints of an unfinished training, at least.
    """

    folder: Path
    shaping: Mapping[str, Any]
    every_s: float = EVERY_S
    _told: set[int] = field(default_factory=set)

    def path(self, member: int) -> Path:
        """Return the file of a member."""
        return self.folder / f"{member:02d}.{config_hash({'member': member, **self.shaping})}.safetensors"

    def read(self, member: int, restore: Callable[[Checkpoint], T]) -> T | None:
        """Return what `restore` makes of a member's checkpoint; None if there is none, or (ValueError) no fit one."""
        path = self.path(member)
        try:
            return restore(decode(path.read_bytes()))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            LOGGER.warning("member %02d: checkpoint %s can't be used (%s); starting afresh", member, path, error)
            return None

    def write(self, member: int, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint of a member; a failure is told once and harms nothing."""
        try:
            with atomic(self.path(member)) as temporary:
                temporary.write_bytes(encode(checkpoint))
        except OSError as error:
            if member not in self._told:
                LOGGER.warning(
                    "member %02d: no checkpoint can be written to %s (%s); going on, but a kill will lose what is done",
                    *(member, self.folder, error.strerror or error),
                )
            self._told.add(member)

    def write_last(self, member: int, checkpoint: Checkpoint) -> None:
        """Write the checkpoint of a finished member; remove its other files: old hashes, half writes."""
        self.write(member, checkpoint)
        others = [*self.folder.glob(f"{member:02d}.*.safetensors"), *self.folder.glob(f".{member:02d}.*.part*")]
        for path in others:
            if path != self.path(member):
                with suppress(OSError):
                    path.unlink()


def encode(checkpoint: Checkpoint) -> bytes:
    """Return a checkpoint as the bytes of a safetensors file; equal ones give equal bytes."""
    arrays = {name: np.asarray(array, order="C") for name, array in checkpoint.arrays.items()}
    facts = json.dumps({"format": FORMAT, **checkpoint.facts}, sort_keys=True, allow_nan=False)
    text = json.dumps({"facts": facts, "sha256": _checksum(arrays, facts)}, sort_keys=True)
    return bytes(save(arrays, metadata={_KEY: text}))


def decode(content: bytes) -> Checkpoint:
    """Return the checkpoint that `encode` turned into bytes.

    Raises
    ------
    ValueError
        The bytes are no whole checkpoint of this format.
    """
    try:
        arrays = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        text = json.loads(header["__metadata__"][_KEY])
        facts, checksum = text["facts"], text["sha256"]
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not a whole checkpoint: {error}") from error
    if _checksum(arrays, facts) != checksum:
        raise ValueError("its checksum differs: damaged")
    known = json.loads(facts)
    if known.pop("format") != FORMAT:
        raise ValueError("of another version")
    return Checkpoint(arrays, known)


def _checksum(arrays: Mapping[str, np.ndarray], facts: str) -> str:
    digest = hashlib.sha256(facts.encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()
