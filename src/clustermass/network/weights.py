"""A trained network in a file: weights as safetensors, and beside them all that is needed to use it on new data."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from clustermass.dataset.standardise import Standardisation
from clustermass.errors import InputError
from clustermass.io.files import atomic

FORMAT = "clustermass-member-4"
_KEY = "clustermass"  # one metadata key: safetensors writes several in an order that changes from run to run


@dataclass(frozen=True)
class Weights:
    """What a weights file holds.

    Attributes
    ----------
    arrays
        Weights by dotted name (`clustermass.network.parameters`).
    standardisation
        Constants from the training set.
    network, recipe
        The blocks of the configuration that it was trained with.
    preprocessing, cutting
        The blocks of the configuration that its images were preprocessed and, before, cut with (images, events).
    grid
        ``x``, ``y`` (arcsec) and ``band`` (keV) of an image's pixels.
    ranges
        Smallest and largest value in the training set of ``redshift``, ``log10_m500c`` and, where known, ``ml_cts``.
    member, seed
        Which member of the ensemble, from which root of random numbers.
    control
        What was taken from its data, as `dataset.controls.Control`; None: nothing, it is a network to be used.
    residual_sd
        Sigma of all its predictions in dex; None: it tells each its own.
    """

    arrays: dict[str, np.ndarray]
    standardisation: Standardisation
    network: dict[str, Any]
    recipe: dict[str, Any]
    preprocessing: dict[str, Any]
    cutting: dict[str, Any]
    grid: dict[str, list[float]]
    ranges: dict[str, list[float]]
    member: int
    seed: int
    control: dict[str, Any] | None = None
    residual_sd: float | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(y, x, band) of the images that the network takes."""
        return len(self.grid["y"]), len(self.grid["x"]), len(self.grid["band"])


def save_weights(weights: Weights, path: str | Path) -> None:
    """Write `weights` atomically; the same content gives the same bytes, and nothing is pickled."""
    facts = {key: value for key, value in asdict(weights).items() if key != "arrays"}
    text = json.dumps({"format": FORMAT, **facts}, sort_keys=True, allow_nan=False)
    with atomic(path) as temporary:
        save_file(weights.arrays, temporary, metadata={_KEY: text})


def load_weights(path: str | Path) -> Weights:
    """Read a weights file.

    Raises
    ------
    InputError
        The file is missing, is no safetensors file, or wasn't written by `save_weights` of this version.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such weights file. Train the ensemble first.")
    try:
        with safe_open(path, framework="numpy") as stream:
            metadata = stream.metadata() or {}
            arrays = {name: stream.get_tensor(name) for name in sorted(stream.keys())}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a readable safetensors file ({error}). Delete it and train again.") from error
    facts = _facts(metadata, path)
    return Weights(arrays=arrays, standardisation=Standardisation(**facts.pop("standardisation")), **facts)


def _facts(metadata: Mapping[str, str], path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(metadata[_KEY])
        known = facts.pop("format") == FORMAT
    except (KeyError, ValueError, TypeError, AttributeError):
        known = False
    if not known:
        raise InputError(f"{path}: no weights of clustermass ({FORMAT}). Give files that train_member wrote.")
    return dict(facts)
