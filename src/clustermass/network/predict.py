"""Networks as arrays and files: draw, name, stack and save their weights, and apply them to images.

All use of a network goes through `apply_network`: in training, after it, and on new images.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from clustermass.config.bands import band_edges, joined_edges
from clustermass.dataset.standardise import Standardisation, widths
from clustermass.dataset.training_data import Control
from clustermass.errors import InputError
from clustermass.io.files import atomic
from clustermass.io.log import LOGGER
from clustermass.network.accelerator import has_accelerator_plugin
from clustermass.network.layers import Network
from clustermass.network.losses import loss_of_recipe

if TYPE_CHECKING:
    from clustermass.config.models import Events, Images, Preprocessing, Recipe
    from clustermass.config.models import Network as NetworkBlock
    from clustermass.network.layers import Shape

Parts: TypeAlias = tuple[nnx.GraphDef, nnx.State]  # structure and weights of a network
FORMAT = "clustermass-member-5"
METADATA = "clustermass"  # one metadata key: safetensors writes several in an order that changes from run to run
CHUNK = 64  # clusters a call: one compilation, and activations of a few MB
SYMMETRIES = 8
DEVICES = ("auto", "cpu", "gpu")


def use_device(device: str, threads: int = 1) -> str:
    """Point JAX to a processor before its first computation and return the one taken: ``cpu`` or ``gpu``.

    `device` is ``cpu``, ``gpu`` (any accelerator that JAX sees) or ``auto`` (an accelerator where there is one; a
    WARNING where JAX is set up for one and finds none). JAX's first computation fixes its number of CPU `threads` and
    its memory policy. With one thread a CPU gives the same bytes on every run; ``PJRT_NPROC`` limits the cores (with
    jax 0.10.2 ``--xla_cpu_multi_thread_eigen=false`` changes nothing). InputError if `device` is
    unknown, or ``gpu`` is asked for and JAX sees none.
    """
    if device not in DEVICES:
        raise InputError(f"training.device: {device!r} is unknown. Choose one of {', '.join(DEVICES)}.")
    if threads < 1:
        raise InputError(f"threads: {threads} is too few. Give 1 or more.")
    os.environ["PJRT_NPROC"] = str(threads)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # several trainings share one GPU
    if device == "cpu":
        jax.config.update("jax_platforms", "cpu")
    taken = "cpu" if jax.default_backend() == "cpu" else "gpu"
    if device == "gpu" and taken == "cpu":
        raise InputError(
            "training.device: gpu is asked for, but JAX sees none. Check `nvidia-smi`, install JAX for it (uv "
            "sync --group train-gpu, or envs/train-gpu.yaml by conda), or set training.device to auto or cpu."
        )
    if device == "auto" and taken == "cpu" and has_accelerator_plugin():
        LOGGER.warning(
            "device: JAX's GPU plugin is installed, but JAX finds no GPU: the CPU is used. Check `nvidia-smi`."
        )
    LOGGER.info("device: %s asked for, %s taken (%s, %d thread(s))", device, taken, jax.devices()[0], threads)
    return taken


def arithmetic() -> list[str]:
    """Return JAX's settings that change the digits of a result: precision of matrix products and flags of XLA."""
    return [str(jax.config.jax_default_matmul_precision), os.environ.get("XLA_FLAGS", "")]


def initialise(network: NetworkBlock, shape: Shape, outputs: int, seeds: Sequence[int]) -> dict[str, np.ndarray]:
    """Draw the initial weights, by dotted name, float32, of a network of images (y, x, band) with `outputs` outputs.

    Kernels are normal with variance 1 / fan-in (LeCun), biases 0. They are drawn with NumPy, each from `seeds` and its
    own name: the same on every device, and seconds faster than compiling JAX's generator for every shape.
    """
    weights = {}
    for name, leaf in sorted(_named(_template(network, shape, outputs)[1]).items()):
        rng = np.random.default_rng([*seeds, zlib.crc32(name.encode())])
        fan_in = leaf.get_metadata().get("fan_in")
        drawn = rng.standard_normal(leaf.shape) * fan_in**-0.5 if fan_in else np.zeros(leaf.shape)
        weights[name] = drawn.astype(np.float32)
    return weights


def draw_network(network: NetworkBlock, shape: Shape, outputs: int, seeds: Sequence[int]) -> Parts:
    """Return structure and initial weights of a network; parameters as for `initialise`."""
    return unflatten(network, shape, outputs, initialise(network, shape, outputs, seeds))


def number_of_parameters(network: NetworkBlock, shape: Shape, outputs: int) -> int:
    """Count the weights and biases of a network; parameters as for `initialise`."""
    return sum(math.prod(leaf.shape) for leaf in _named(_template(network, shape, outputs)[1]).values())


def _template(network: NetworkBlock, shape: Shape, outputs: int) -> Parts:
    """Return a network's structure and empty weights."""
    shapes = {"image": tuple(shape), "side": (sum(widths(network["side_inputs"])),)}
    return nnx.split(nnx.eval_shape(lambda: Network(network["layers"], shapes, outputs)), nnx.Param)


def _named(state: nnx.State) -> dict[str, Any]:
    return {".".join(map(str, path)): variable for path, variable in nnx.to_flat_state(state)}


def flatten(state: nnx.State) -> dict[str, np.ndarray]:
    """Return weights by dotted name, in the order of the names."""
    return {name: np.asarray(variable[...]) for name, variable in sorted(_named(state).items())}


def unflatten(network: NetworkBlock, shape: Shape, outputs: int, weights: Mapping[str, np.ndarray]) -> Parts:
    """Structure and weights of the network that `flatten` took apart; parameters as for `initialise`.

    InputError if `weights` lacks an array, or an array has another shape than the network's.
    """

    def filled(path: tuple[Any, ...], leaf: nnx.Param[Any]) -> nnx.Param[Any]:
        name = ".".join(map(str, path))
        if name not in weights or weights[name].shape != leaf.shape:
            has = f"shape {weights[name].shape}" if name in weights else "none"
            raise InputError(f"weights {name}: the network needs shape {leaf.shape}, the file has {has}.")
        return leaf.replace(jnp.asarray(weights[name]))

    structure, empty = _template(network, shape, outputs)
    return structure, nnx.map_state(filled, empty)


def over_members(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a `function` of one member as a function of stacks of members, by `jax.vmap` if they are several."""

    def on_stacks(*stacks: Any) -> Any:
        if len(jax.tree.leaves(stacks)[0]) > 1:
            return jax.vmap(function)(*stacks)
        return jax.tree.map(lambda leaf: leaf[None], function(*jax.tree.map(lambda leaf: leaf[0], stacks)))

    return on_stacks


def stacked(members: Sequence[Any]) -> Any:
    """Stack the trees of `members` along a new first axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)


@partial(jax.jit, static_argnums=0)
def apply_network(structure: nnx.GraphDef, weights: nnx.State, inputs: Mapping[str, jax.Array]) -> jax.Array:
    """Apply networks of stacked `weights` to standardised inputs by name, (sample, ...) float32, without dropout.

    Returns the outputs (member, sample, ..., output) float32, from which the loss is computed.
    """
    return jnp.asarray(over_members(lambda state: nnx.merge(structure, state)(inputs))(weights))


def chunks(
    constants: Standardisation, images: np.ndarray, redshift: np.ndarray, measurements: Mapping[str, np.ndarray]
) -> Iterator[tuple[slice, dict[str, np.ndarray]]]:
    """Yield rows and standardised inputs of `CHUNK` clusters at a time; the last chunk is filled up with zeros.

    Takes images (cluster, y, x, band) and redshifts (cluster, ...); an image may have several redshifts.
    """
    side = constants.side(redshift, measurements)
    for start in range(0, len(images), CHUNK):
        rows = slice(start, min(start + CHUNK, len(images)))
        inputs = {"image": constants.images(images[rows]), "side": side[rows]}
        beyond = (0, CHUNK - (rows.stop - start))
        yield rows, {name: np.pad(values, [beyond, *[(0, 0)] * (values.ndim - 1)]) for name, values in inputs.items()}


def symmetry(images: jax.Array, index: int) -> jax.Array:
    """Turn or flip all of `images` (sample, y, x, band; square) by the symmetry `index` of 0..7; 0 changes nothing."""
    images = images[:, ::-1] if index & 1 else images
    images = images[:, :, ::-1] if index & 2 else images
    return images.swapaxes(1, 2) if index & 4 else images


class Cutting(TypedDict):
    """The blocks of the configuration that images were cut with."""

    images: Images
    events: Events


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained network, as in its file: weights (safetensors) and, as metadata, all that new data need."""

    #: by dotted name, float32
    weights: dict[str, np.ndarray]
    #: constants from the training set
    standardisation: Standardisation
    network: NetworkBlock
    recipe: Recipe
    #: (y, x, band) of the images that it takes
    shape: tuple[int, int, int]
    #: number in the ensemble, and root of the random numbers
    member: int
    seed: int
    #: sigma of all its predictions in dex; None: the network predicts sigma for each cluster
    residual_sd: float | None = None
    #: how its images were preprocessed and, before, cut
    preprocessing: Preprocessing = field(default_factory=lambda: cast("Preprocessing", {}))
    cutting: Cutting = field(default_factory=lambda: cast("Cutting", {}))
    #: ``x``, ``y`` (arcsec) and ``band`` (keV) of an image's pixels
    grid: dict[str, list[float]] = field(default_factory=dict)
    #: smallest and largest training value of ``redshift``, ``log10_m500c`` and, where measured, ``ml_cts``
    ranges: dict[str, list[float]] = field(default_factory=dict)
    #: control that it was trained under; None: no control, it is a network for use
    control: Control | None = None

    @property
    def edges_ev(self) -> tuple[int, ...]:
        """Edges in eV of the energy bands of the network's images; empty if its file doesn't state them."""
        bands = self.cutting.get("images", {}).get("bands")
        return joined_edges(band_edges(bands), self.preprocessing.get("bands")) if bands else ()

    def save(self, path: str | Path) -> None:
        """Write the network atomically; the same content gives the same bytes, and nothing is pickled."""
        header = {key: value for key, value in asdict(self).items() if key != "weights"}
        text = json.dumps({"format": FORMAT, **header}, sort_keys=True, allow_nan=False)
        with atomic(path) as temporary:
            save_file(self.weights, temporary, metadata={METADATA: text})

    @classmethod
    def load(cls, path: str | Path) -> TrainedNetwork:
        """Read a network's file; InputError if it is missing or damaged, or `save` of this version didn't write it."""
        if not Path(path).is_file():
            raise InputError(f"{path}: no such weights file. Train the ensemble first.")
        try:
            with safe_open(path, framework="numpy") as stream:
                metadata = stream.metadata() or {}
                weights = {name: stream.get_tensor(name) for name in sorted(stream.keys())}
        except (SafetensorError, OSError) as why:
            raise InputError(f"{path}: not a readable safetensors file ({why}). Delete it and train again.") from why
        try:
            header = json.loads(metadata[METADATA])
            ours = header.pop("format") == FORMAT
        except (KeyError, ValueError, TypeError, AttributeError):
            ours = False
        if not ours:
            raise InputError(f"{path}: no weights of clustermass ({FORMAT}). Give files that train_member wrote.")
        try:
            header["standardisation"] = Standardisation(**header["standardisation"])
            header["control"] = header["control"] and Control(**header["control"])
            header["shape"] = tuple(header["shape"])
            network = cls(weights=weights, **header)
            if min(network.shape) <= 0 or not all(np.isfinite(array).all() for array in weights.values()):
                raise ValueError("no pixel, or not all weights are finite")
        except (KeyError, TypeError, ValueError, AttributeError) as why:
            raise InputError(f"{path}: damaged weights file ({why!r}). Copy it again, or train the ensemble.") from why
        return network


def predict(
    network: TrainedNetwork, images: np.ndarray, redshift: np.ndarray, measurements: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Predict log10 M500c and its standard deviation in dex, float64 (cluster, k) each.

    Takes images (cluster, y, x, band), preprocessed as the training images, redshifts (cluster, k) at which each image
    is evaluated, and measurements (cluster,) by name, see `clustermass.dataset.standardise.side_inputs`. Means and
    variances are averaged over the eight symmetries of the square if the network's recipe says so.
    """
    constants = network.standardisation
    loss = loss_of_recipe(network.recipe)(constants.mass_mean, constants.mass_sd)
    structure, weights = unflatten(network.network, network.shape, loss.outputs, network.weights)
    weights, turns = stacked([weights]), range(SYMMETRIES if network.recipe["symmetric_prediction"] else 1)
    mean, variance = (np.zeros(redshift.shape) for _ in range(2))
    columns = {name: np.asarray(values)[:, None] for name, values in measurements.items()}
    for rows, inputs in chunks(constants, images, redshift, columns):
        for turn in turns:
            turned = {**inputs, "image": symmetry(inputs["image"], turn)}
            outputs = np.asarray(apply_network(structure, weights, turned)[0], np.float64)
            turned_mean, log_variance = loss.moments(outputs[: rows.stop - rows.start])
            mean[rows] += turned_mean
            variance[rows] += np.exp(log_variance)
    sigma = constants.mass_sd * np.sqrt(variance / len(turns))
    predicted = sigma if network.residual_sd is None else np.full(sigma.shape, network.residual_sd)
    return constants.mass_mean + constants.mass_sd * (mean / len(turns)), predicted
