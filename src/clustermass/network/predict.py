"""Draw the weights of networks, give them names, stack and save them, and apply networks to images.

The training steps call a network directly. Everything else uses `apply_network`: the validation loss, the predictions
after the training, and the predictions for new images.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from clustermass import limits
from clustermass.config.bands import band_edges, joined_edges
from clustermass.dataset.physics import PhysicsPrior
from clustermass.dataset.standardise import Standardisation, widths
from clustermass.dataset.training_data import Control
from clustermass.errors import InputError
from clustermass.io.files import atomic, check_weights_header, reason
from clustermass.io.log import LOGGER
from clustermass.io.room import check_memory
from clustermass.network.accelerator import has_accelerator_plugin
from clustermass.network.layers import PHI, Network
from clustermass.network.losses import loss_of_recipe
from clustermass.network.settings import check_settings

if TYPE_CHECKING:
    from clustermass.config.models import Events, Images, Preprocessing
    from clustermass.config.network_models import Network as NetworkBlock
    from clustermass.config.network_models import Recipe
    from clustermass.network.layers import Shape

Parts: TypeAlias = tuple[nnx.GraphDef, nnx.State]  # structure and weights of a network
FORMAT = "clustermass-member-5"
METADATA = "clustermass"  # the only metadata key, because safetensors writes several keys in a random order
CHUNK = 64  # clusters in each call; with a fixed number the network is compiled only once
SYMMETRIES = 8
#: log10 of masses in Msun are between minus and plus this number, so that the masses are finite
LARGEST = 300.0
DEVICES = ("auto", "cpu", "gpu")


def use_device(device: str, threads: int = 1) -> str:
    """Choose the processor for JAX before its first computation, and return its name: ``cpu`` or ``gpu``.

    `device` is ``cpu``, ``gpu`` (any accelerator that JAX finds) or ``auto`` (an accelerator if JAX finds one,
    otherwise the CPU). With ``auto``, a warning is logged if JAX's GPU plugin is installed but finds no GPU. InputError
    if `device` is unknown, if `threads` is below 1, or if `device` is ``gpu`` and JAX finds no GPU.

    `threads` is the number of CPU threads. With one thread, a CPU gives the same bytes in every run. JAX gets the
    number by the environment variable ``PJRT_NPROC``, because the option ``--xla_cpu_multi_thread_eigen=false`` has no
    effect with jax 0.10.2. After JAX's first computation, this number and the use of GPU memory can't be changed.
    """
    if device not in DEVICES:
        raise InputError(f"training.device: {device!r} is unknown. Choose one of {', '.join(DEVICES)}.")
    if threads < 1:
        raise InputError(f"threads: {threads} is too few. Give 1 or more.")
    os.environ["PJRT_NPROC"] = str(threads)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # so that several trainings can share one GPU
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
    _log_device(device, taken, str(jax.devices()[0]), threads)
    return taken


@cache  # logs each choice once
def _log_device(asked: str, taken: str, name: str, threads: int) -> None:
    LOGGER.info("device: %s asked for, %s taken (%s, %d thread(s))", asked, taken, name, threads)


def arithmetic() -> list[str]:
    """Return the settings of JAX that change the last digits of a result: matrix-product precision and XLA flags."""
    return [str(jax.config.jax_default_matmul_precision), os.environ.get("XLA_FLAGS", "")]


def initialise(
    network: NetworkBlock, shape: Shape, outputs: int, seeds: Sequence[int], parameters: int = 0
) -> dict[str, np.ndarray]:
    """Return a dict from names such as ``dense.layers.0.kernel`` to the initial weights of a network, float32.

    `network` is a network's block of the configuration, `shape` is the shape (y, x, band) of its images, and `outputs`
    is the number of its outputs. `parameters` is the number of parameters of the physics that the network gets, which
    is 0 unless the network is conditioned. Biases are 0. Kernels are drawn from a normal distribution with the
    variance 1/fan-in (LeCun). `seeds` and the name of a kernel determine its random numbers. NumPy draws them, because
    its numbers are the same on every device. JAX would also need seconds to compile its random generator for each
    shape.
    """
    weights = {}
    for name, leaf in sorted(_named(_template(network, shape, outputs, parameters)[1]).items()):
        rng = np.random.default_rng([*seeds, zlib.crc32(name.encode())])
        fan_in = leaf.get_metadata().get("fan_in")
        drawn = rng.standard_normal(leaf.shape) * fan_in**-0.5 if fan_in else np.zeros(leaf.shape)
        weights[name] = drawn.astype(np.float32)
    return weights


def draw_network(network: NetworkBlock, shape: Shape, outputs: int, seeds: Sequence[int], parameters: int = 0) -> Parts:
    """Return the structure and the initial weights of a network. The arguments are described in `initialise`."""
    return unflatten(network, shape, outputs, initialise(network, shape, outputs, seeds, parameters), parameters)


def number_of_parameters(network: NetworkBlock, shape: Shape, outputs: int) -> int:
    """Return the number of weights and biases of a network. The arguments are described in `initialise`."""
    return sum(math.prod(leaf.shape) for leaf in _named(_template(network, shape, outputs)[1]).values())


def _template(network: NetworkBlock, shape: Shape, outputs: int, parameters: int = 0) -> Parts:
    """Return the structure of a network, and its weights as shapes without values."""
    return _template_of(json.dumps(network), tuple(shape), outputs, parameters)


@cache
def _template_of(network: str, shape: Shape, outputs: int, parameters: int) -> Parts:
    """Return the `_template` of a network given as JSON. Results are cached, because each takes a tenth of a second."""
    block = json.loads(network)
    shapes: dict[str, Shape] = {"image": shape, "side": (sum(widths(block["side_inputs"])),)}
    shapes |= {PHI: (parameters,)} if parameters else {}
    return nnx.split(nnx.eval_shape(lambda: Network(block["layers"], shapes, outputs)), nnx.Param)


def _named(state: nnx.State) -> dict[str, Any]:
    return {".".join(map(str, path)): variable for path, variable in nnx.to_flat_state(state)}


def flatten(state: nnx.State) -> dict[str, np.ndarray]:
    """Return a dict from names such as ``dense.layers.0.kernel`` to the weights of a network, sorted by name."""
    return {name: np.asarray(variable[...]) for name, variable in sorted(_named(state).items())}


def unflatten(
    network: NetworkBlock, shape: Shape, outputs: int, weights: Mapping[str, np.ndarray], parameters: int = 0
) -> Parts:
    """Return the structure and weights of a network from the arrays that `flatten` returns.

    The other arguments are described in `initialise`. InputError if an array is missing or has a wrong shape.
    """

    def filled(path: tuple[Any, ...], leaf: nnx.Param[Any]) -> nnx.Param[Any]:
        name = ".".join(map(str, path))
        if name not in weights or weights[name].shape != leaf.shape:
            has = f"shape {weights[name].shape}" if name in weights else "none"
            raise InputError(f"weights {name}: the network needs shape {leaf.shape}, the file has {has}.")
        return leaf.replace(jnp.asarray(weights[name]))

    structure, empty = _template(network, shape, outputs, parameters)
    return structure, nnx.map_state(filled, empty)


def over_members(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that does for several networks what `function` does for one.

    Its arguments and results are those of `function`, stacked along a new first axis, which is the member.
    """

    def on_stacks(*stacks: Any) -> Any:
        if len(jax.tree.leaves(stacks)[0]) > 1:
            return jax.vmap(function)(*stacks)
        return jax.tree.map(lambda leaf: leaf[None], function(*jax.tree.map(lambda leaf: leaf[0], stacks)))

    return on_stacks


def stacked(members: Sequence[Any]) -> Any:
    """Return the arrays of several members in one structure. Each array gets a new first axis, which is the member.

    `members` are nested containers of arrays, such as weights. All have the same structure, and so has the result.
    """
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)


@partial(jax.jit, static_argnums=0)
def apply_network(structure: nnx.GraphDef, weights: nnx.State, inputs: Mapping[str, jax.Array]) -> jax.Array:
    """Return the outputs of networks without dropout, float32 (member, sample, ..., output).

    The networks' weights are stacked along the first axis. `inputs` maps names to standardised inputs, float32 (sample,
    ...).
    """
    return jnp.asarray(over_members(lambda state: nnx.merge(structure, state)(inputs))(weights))


@partial(jax.jit, static_argnums=0)
def apply_to_draws(
    structure: nnx.GraphDef, weights: nnx.State, inputs: Mapping[str, jax.Array], draws: jax.Array
) -> jax.Array:
    """Return the outputs of one conditioned network for many phi, float32 (sample, ..., draw, output).

    `inputs` are as in `apply_network`, without ``phi``. `draws` holds standardised parameters, float32 (draw,
    parameter).
    """
    return nnx.merge(structure, weights).of_draws(inputs, draws)


def chunks(
    constants: Standardisation,
    images: np.ndarray,
    redshift: np.ndarray,
    measurements: Mapping[str, np.ndarray],
    phi: np.ndarray | None = None,
) -> Iterator[tuple[slice, dict[str, np.ndarray]]]:
    """Divide the clusters into parts of `CHUNK` clusters, and yield the rows and the standardised inputs of each part.

    `images` has the shape (cluster, y, x, band). `redshift` holds one or several redshifts for each image, (cluster,
    ...). `measurements` maps names to measurements, and `phi` holds standardised parameters of the physics (cluster,
    parameter), if the network is conditioned. `constants` are the means and standard deviations of the training
    set. The inputs of a smaller last part are filled up with zeros.
    """
    side = constants.side(redshift, measurements)
    for start in range(0, len(images), CHUNK):
        rows = slice(start, min(start + CHUNK, len(images)))
        inputs = {"image": constants.images(images[rows]), "side": side[rows]}
        inputs |= {} if phi is None else {PHI: np.asarray(phi[rows], np.float32)}
        beyond = (0, CHUNK - (rows.stop - start))
        yield rows, {name: np.pad(values, [beyond, *[(0, 0)] * (values.ndim - 1)]) for name, values in inputs.items()}


def symmetry(images: jax.Array, index: int) -> jax.Array:
    """Return square images (sample, y, x, band) after the flip or rotation with the number `index`, 0 (none) to 7."""
    images = images[:, ::-1] if index & 1 else images
    images = images[:, :, ::-1] if index & 2 else images
    return images.swapaxes(1, 2) if index & 4 else images


class Cutting(TypedDict):
    """The blocks of the configuration that were used to cut out images."""

    images: Images
    events: Events


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained network as in its safetensors file: its weights, and metadata with everything that predictions need."""

    #: float32 arrays by dotted name
    weights: dict[str, np.ndarray]
    #: means and standard deviations of the training set
    standardisation: Standardisation
    network: NetworkBlock
    recipe: Recipe
    #: shape (y, x, band) of the images that the network takes
    shape: tuple[int, int, int]
    #: number in the ensemble, and seed of the training
    member: int
    seed: int
    #: sigma of all predictions in dex; None if the network predicts a sigma for each cluster
    residual_sd: float | None = None
    #: how the images were preprocessed, and how they were cut out before
    preprocessing: Preprocessing = field(default_factory=lambda: cast("Preprocessing", {}))
    cutting: Cutting = field(default_factory=lambda: cast("Cutting", {}))
    #: coordinates ``x``, ``y`` (arcsec) and ``band`` (keV) of an image's pixels
    grid: dict[str, list[float]] = field(default_factory=dict)
    #: smallest and largest value of ``redshift``, ``log10_m500c`` and, if measured, ``ml_cts`` in the training set
    ranges: dict[str, list[float]] = field(default_factory=dict)
    #: control under which the network was trained; None if there was none
    control: Control | None = None
    #: prior of the parameters that the network is conditioned on; None if it isn't conditioned
    prior: PhysicsPrior | None = None

    @property
    def edges_ev(self) -> tuple[int, ...]:
        """Edges in eV of the energy bands of the network's images, or () if the network's file doesn't state them."""
        bands = self.cutting.get("images", {}).get("bands")
        return joined_edges(band_edges(bands), self.preprocessing.get("bands")) if bands else ()

    def save(self, path: str | Path) -> None:
        """Write the network to a file atomically, without pickled objects. The same content gives the same bytes."""
        left_out = {"weights"} if self.prior else {"weights", "prior"}
        header = {key: value for key, value in asdict(self).items() if key not in left_out}
        text = json.dumps({"format": FORMAT, **header}, sort_keys=True, allow_nan=False)
        with atomic(path) as temporary:
            save_file(self.weights, temporary, metadata={METADATA: text})

    @classmethod
    def load(cls, path: str | Path) -> TrainedNetwork:
        """Return the network in a file; InputError if the file is missing or damaged, or has another version."""
        if not Path(path).is_file():
            raise InputError(f"{path}: no such weights file. Train the ensemble first.")
        check_weights_header(path)
        check_memory(2 * Path(path).stat().st_size, path)
        try:
            with safe_open(path, framework="numpy") as stream:
                metadata = stream.metadata() or {}
                weights = {name: stream.get_tensor(name) for name in sorted(stream.keys())}
        except (SafetensorError, OSError, ValueError, AttributeError, TypeError) as why:
            raise InputError(
                f"{path}: not a readable safetensors file ({reason(why)}). Delete it and train again."
            ) from why
        try:
            header = json.loads(metadata[METADATA])
            ours = header.pop("format") == FORMAT
        except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
            ours = False
        if not ours:
            raise InputError(f"{path}: no weights of clustermass ({FORMAT}). Give files that train_member wrote.")
        try:
            header["standardisation"] = Standardisation(**header["standardisation"])
            header["control"] = header["control"] and Control(**header["control"])
            header["shape"] = tuple(header["shape"])
            if header.get("prior"):
                header["prior"] = PhysicsPrior(**header["prior"]).checked()
            network = cls(weights=weights, **header)
            network._check(path)
        except InputError as error:
            raise InputError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from error
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as why:
            raise InputError(f"{path}: damaged weights file ({why!r}). Copy it again, or train the ensemble.") from why
        return network

    def _check(self, path: str | Path) -> None:
        """Raise an error if a size, number or setting is impossible (see `check_settings`), or a weight isn't float32.

        The error is a ValueError, TypeError, ArithmeticError or InputError. `path` is the network's file.
        """
        if min(self.shape) <= 0 or not all(np.isfinite(array).all() for array in self.weights.values()):
            raise ValueError("no pixel, or not all weights are finite")
        if kinds := {array.dtype.name for array in self.weights.values()} - {"float32"}:
            raise ValueError(f"weights of type {min(kinds)}, not float32")
        limits.LAYERS.check(len(self.network["layers"]), path)
        check_settings(self)
        if bool(self.network.get("conditioned")) != bool(self.prior):
            raise ValueError("conditioned without the names of the parameters, or the reverse")
        ny, nx, widest = (int(size) for size in self.shape)
        limits.SIDE.check(max(ny, nx), path)
        for layer in self.network["layers"]:
            kernel = layer.get("kernel", 3) ** 2 if "local" in layer else 1
            widest = max(widest * kernel, layer.get("conv", 0), layer.get("local", 0), layer.get("dense", 0))
        check_memory(2 * CHUNK * ny * nx * widest * np.dtype(np.float32).itemsize, path)
        numbers = [self.residual_sd or 0.0, *(end for ends in self.ranges.values() for end in ends)]
        if len(self.edges_ev) == 1 or not all(map(math.isfinite, numbers)):
            raise ValueError("bands, ranges or residual_sd")


def predict(
    network: TrainedNetwork,
    images: np.ndarray,
    redshift: np.ndarray,
    measurements: Mapping[str, np.ndarray],
    phi: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the log10(M500c / Msun) that a network predicts, and its standard deviation in dex.

    `images` (cluster, y, x, band) must be preprocessed like the training images. `redshift` holds k redshifts for each
    image, (cluster, k). `measurements` maps names to measurements (cluster,); see
    `clustermass.dataset.standardise.side_inputs`. `phi` holds the standardised parameters of the physics, (cluster,
    parameter); None means those of phi0, which are 0. A network that isn't conditioned ignores it. Both results are
    float64 (cluster, k). If the network's recipe has `symmetric_prediction`, means and variances are averaged over the
    square's eight symmetries. InputError in the cases of `check_predicted`.
    """
    number = len(network.prior.names) if network.prior else 0
    known = np.zeros((len(images), number)) if phi is None else phi
    used = known if number else None
    return _predicted(network, images, redshift, measurements, used, apply_network, redshift.shape[1])


def predict_draws(
    network: TrainedNetwork,
    images: np.ndarray,
    redshift: np.ndarray,
    measurements: Mapping[str, np.ndarray],
    draws: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the masses that a conditioned network predicts for many phi, and their sigma, float64 (cluster, draw).

    `redshift` has the shape (cluster,). `draws` holds standardised parameters of the physics, (draw, parameter). The
    other arguments, and the errors raised, are those of `predict`. The result is that of `predict` for each draw, but
    the images are processed only once.
    """
    at = jnp.asarray(draws, jnp.float32)

    def applied(structure: nnx.GraphDef, weights: nnx.State, inputs: Mapping[str, Any]) -> jax.Array:
        one = jax.tree.map(lambda leaf: leaf[0], weights)
        return apply_to_draws(structure, one, inputs, at)[None, :, 0]

    return _predicted(network, images, redshift[:, None], measurements, None, applied, len(draws))


def _predicted(
    network: TrainedNetwork,
    images: np.ndarray,
    redshift: np.ndarray,
    measurements: Mapping[str, np.ndarray],
    phi: np.ndarray | None,
    applied: Callable[..., jax.Array],
    width: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the predicted means and sigmas in dex, float64 (cluster, `width`).

    `applied` is called as `apply_network` is, and returns outputs (member, sample, `width`, output). The other
    arguments are those of `predict`.
    """
    constants = network.standardisation
    loss = loss_of_recipe(network.recipe)(constants.mass_mean, constants.mass_sd)
    parameters = len(network.prior.names) if network.prior else 0
    structure, weights = unflatten(network.network, network.shape, loss.outputs, network.weights, parameters)
    weights, turns = stacked([weights]), range(SYMMETRIES if network.recipe["symmetric_prediction"] else 1)
    mean, variance = (np.zeros((len(images), width)) for _ in range(2))
    columns = {name: np.asarray(values)[:, None] for name, values in measurements.items()}
    for rows, inputs in chunks(constants, images, redshift, columns, phi):
        for turn in turns:
            turned = {**inputs, "image": symmetry(inputs["image"], turn)}
            outputs = np.asarray(applied(structure, weights, turned)[0], np.float64)
            if outputs.ndim == 2:  # without `join: side`, the outputs are the same for all redshifts
                outputs = outputs[:, None]
            turned_mean, log_variance = loss.moments(outputs[: rows.stop - rows.start])
            mean[rows] += turned_mean
            variance[rows] += np.exp(log_variance)
    sigma = constants.mass_sd * np.sqrt(variance / len(turns))
    predicted = sigma if network.residual_sd is None else np.full(sigma.shape, network.residual_sd)
    mu = constants.mass_mean + constants.mass_sd * (mean / len(turns))
    check_predicted(mu, predicted, images)
    return mu, predicted


def check_predicted(mu: np.ndarray, sigma: np.ndarray, images: np.ndarray) -> None:
    """Raise InputError if a predicted mass or its error isn't a possible number.

    `mu` (log10 M500c / Msun) and `sigma` (dex) have the shape (cluster, k), and the `images` of these clusters
    (cluster, y, x, band). Masses must be finite in Msun, and each `sigma` finite and above 0.
    """
    bad = np.flatnonzero(~((np.abs(mu) < LARGEST) & np.isfinite(sigma) & (sigma > 0)).all(axis=1))
    if bad.size:
        row = bad[0]
        known = np.isfinite(images[row]).all()
        why = "The network is damaged: train it again" if known else "The image isn't finite: leave the cluster out"
        raise InputError(
            f"the predicted log10 mass of {bad.size} of {len(mu)} clusters isn't a possible number; the first is "
            f"{mu[row][0]:.3g} ± {sigma[row][0]:.3g} in row {row}. {why}."
        )
