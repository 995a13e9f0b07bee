"""A trained network and its file: weights as safetensors, and beside them all that is needed to use it on new data."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from clustermass.dataset.standardise import Standardisation
from clustermass.dataset.training_data import Control
from clustermass.errors import InputError
from clustermass.io.files import atomic

if TYPE_CHECKING:
    from clustermass.config.models import Events, Images, Network, Preprocessing, Recipe

FORMAT = "clustermass-member-5"
_KEY = "clustermass"  # one metadata key: safetensors writes several in an order that changes from run to run


class Cutting(TypedDict):
    """The blocks of the configuration that images were cut with."""

    images: Images
    events: Events


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained network, as its file holds it."""

    #: by dotted name (`clustermass.network.predict`), float32
    weights: dict[str, np.ndarray]
    #: constants from the training set
    standardisation: Standardisation
    network: Network
    recipe: Recipe
    #: (y, x, band) of the images that it takes
    shape: tuple[int, int, int]
    #: number in the ensemble, and root of the random numbers
    member: int
    seed: int
    #: sigma of all its predictions in dex; None: it predicts one for each cluster
    residual_sd: float | None = None
    #: how its images were preprocessed and, before, cut
    preprocessing: Preprocessing = field(default_factory=lambda: cast("Preprocessing", {}))
    cutting: Cutting = field(default_factory=lambda: cast("Cutting", {}))
    #: ``x``, ``y`` (arcsec) and ``band`` (keV) of an image's pixels
    grid: dict[str, list[float]] = field(default_factory=dict)
    #: smallest and largest training value of ``redshift``, ``log10_m500c`` and, where measured, ``ml_cts``
    ranges: dict[str, list[float]] = field(default_factory=dict)
    #: what was taken from its data; None: nothing, it is a network to be used
    control: Control | None = None

    def save(self, path: str | Path) -> None:
        """Write the network atomically; the same content gives the same bytes, and nothing is pickled."""
        header = {key: value for key, value in asdict(self).items() if key != "weights"}
        text = json.dumps({"format": FORMAT, **header}, sort_keys=True, allow_nan=False)
        with atomic(path) as temporary:
            save_file(self.weights, temporary, metadata={_KEY: text})

    @classmethod
    def load(cls, path: str | Path) -> TrainedNetwork:
        """Read a network's file.

        InputError if it is missing, damaged, no safetensors file, or wasn't written by `save` of this version, or if a
        weight isn't finite.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(f"{path}: no such weights file. Train the ensemble first.")
        try:
            with safe_open(path, framework="numpy") as stream:
                metadata = stream.metadata() or {}
                weights = {name: stream.get_tensor(name) for name in sorted(stream.keys())}
        except (SafetensorError, OSError) as error:
            raise InputError(
                f"{path}: not a readable safetensors file ({error}). Delete it and train again."
            ) from error
        header = _header(metadata, path)
        try:
            header["standardisation"] = Standardisation(**header["standardisation"])
            header["control"] = header["control"] and Control(**header["control"])
            header["shape"] = tuple(header["shape"])
            network = cls(weights=weights, **header)
            usable = min(network.shape) > 0 and all(np.isfinite(array).all() for array in weights.values())
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f"{path}: damaged weights file ({error!r}). Copy it again, or train the ensemble."
            ) from error
        if not usable:
            raise InputError(f"{path}: damaged weights file: not all weights are finite. Copy it again.")
        return network


def _header(metadata: dict[str, str], path: Path) -> dict[str, Any]:
    try:
        header = json.loads(metadata[_KEY])
        ours = header.pop("format") == FORMAT
    except (KeyError, ValueError, TypeError, AttributeError):
        ours = False
    if not ours:
        raise InputError(f"{path}: no weights of clustermass ({FORMAT}). Give files that train_member wrote.")
    return dict(header)
