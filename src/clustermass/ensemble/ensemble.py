"""A trained ensemble: load it, predict masses and posteriors, save it to one file, apply it to another sky."""

from __future__ import annotations

import re
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, NamedTuple, ParamSpec, Self, TypeVar

import numpy as np
import xarray as xr

from clustermass import limits
from clustermass.config.bands import in_kev
from clustermass.dataset.physics import PhysicsPrior
from clustermass.dataset.sample import TrainedHaloes, each_selected
from clustermass.dataset.split import order_of
from clustermass.dataset.training_data import MIN_REDSHIFT, measurements_of, network_order, noisy_redshift
from clustermass.ensemble.aggregate import COLUMNS, combine, ensemble_dataset
from clustermass.ensemble.calibration import Recalibration, read_calibration
from clustermass.ensemble.pack import (
    CALIBRATION,
    DOMAIN,
    ENSEMBLE,
    MEMBERS,
    EnsembleFiles,
    check_same_training,
    pack_ensemble,
    unpack,
)
from clustermass.ensemble.posterior import Posterior
from clustermass.ensemble.responses import DRAWS, SEED, Responses, responses
from clustermass.errors import InputError
from clustermass.io.files import reading
from clustermass.io.log import LOGGER, renamed, track
from clustermass.io.netcdf import check_finite, read_netcdf, write_netcdf
from clustermass.io.provenance import provenance
from clustermass.network.predict import TrainedNetwork, predict, predict_draws, use_device

if TYPE_CHECKING:
    from clustermass.arrays import FloatArray
    from clustermass.config.models import Selection

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound="Ensemble")


def names_packed_file(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Return a method of an ensemble, in whose messages the packed file is named instead of the temporary folder."""

    @wraps(method)
    def call(self: S, *arguments: P.args, **named: P.kwargs) -> R:
        with self.packed_file_named():
            return method(self, *arguments, **named)

    return call


class Prediction(NamedTuple):
    """Predicted log10(M500c / Msun) and its standard deviations in dex.

    The members' predictions have the shape (member, cluster), and those of the ensemble (cluster,). All are float64.
    `sigma_redshift` is half the difference between the ensemble's `mu` at z + err and at z - err, where err is the
    redshift's standard error. It is 0 if no error is given.
    """

    member_mu: FloatArray
    member_sigma: FloatArray
    mu: FloatArray
    sigma: FloatArray
    sigma_aleatoric: FloatArray
    sigma_epistemic: FloatArray
    sigma_redshift: FloatArray


@dataclass(frozen=True)
class Ensemble(EnsembleFiles):
    """A trained ensemble, given by its files: `ensemble.nc`, `calibration.json`, `domain.nc` and the weights."""

    _unpacked: Path | None = field(default=None, repr=False, compare=False)
    _packed: Path | None = field(default=None, repr=False, compare=False)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the ensemble in an experiment's folder or in a packed file.

        A packed file is unpacked into a temporary folder, which is removed when the ensemble is no longer used.
        """
        if path.is_dir():
            return cls.from_folder(path)
        folder, opened = Path(tempfile.mkdtemp(prefix="clustermass-ensemble-")), None
        try:
            with renamed({f"{folder}/": f"{path}: "}):
                stated = unpack(path, folder)
                opened = replace(cls.from_folder(folder), _unpacked=folder, _packed=path)
            if opened.sha256() != stated:
                opened = None
                raise InputError(f"{path}: its ensemble.nc names other networks than its manifest.json. Pack it anew.")
        finally:
            if opened is None:
                shutil.rmtree(folder)
        weakref.finalize(opened, shutil.rmtree, folder, ignore_errors=True)
        return opened

    def packed_file_named(self) -> AbstractContextManager[None]:
        """Return a context in which messages name the packed file, and not the folder into which it was unpacked."""
        return renamed({f"{self._unpacked}/": f"{self._packed}: "} if self._unpacked else {})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._unpacked:
            shutil.rmtree(self._unpacked)

    @classmethod
    def from_folder(cls, folder: Path) -> Self:
        """Return the ensemble in an experiment's folder, with the networks that its `ensemble.nc` lists.

        The folder may also hold networks of an earlier run with more members; these aren't used. InputError if
        `ensemble.nc` or the weights of a network are missing.
        """
        if not (folder / ENSEMBLE).is_file():
            raise InputError(
                f"{folder}: no trained ensemble there (ensemble.nc, members/). Name results/<run>/<experiment>."
            )
        members = read_netcdf(folder / ENSEMBLE, ("member",))["member"].values.astype(str).ravel().tolist()
        limits.MEMBERS.check(len(members), folder / ENSEMBLE)
        if len({*members}) < len(members) or not all(re.fullmatch(r"[\w-]+", name, re.ASCII) for name in members):
            raise InputError(f"{folder / ENSEMBLE}: names a member twice or by other signs than letters, digits and -.")
        weights = [folder / MEMBERS / f"{member}.safetensors" for member in members]
        missing = [path for path in weights if not path.is_file()]
        if missing:
            raise InputError(
                f"{missing[0]}: no such file, though ensemble.nc was made from it ({len(missing)} of {len(weights)} "
                "such files are missing). Copy the whole folder of the experiment, or run the workflow again."
            )
        return cls.from_weights(weights)

    @classmethod
    def from_weights(cls, weights: Sequence[Path]) -> Self:
        """Return the ensemble whose networks are the files `weights`, from the folder `members/` of an experiment.

        The method `predict` works without the experiment's other files.
        """
        if not weights:
            raise InputError("inference: no weights files. Train the ensemble first.")
        folder = weights[0].parent.parent
        return cls(folder / ENSEMBLE, folder / CALIBRATION, folder / DOMAIN, tuple(weights))

    def predict(
        self,
        image: np.ndarray,
        redshift: np.ndarray,
        redshift_err: np.ndarray | None = None,
        measurements: Mapping[str, np.ndarray] | None = None,
        device: str = "auto",
        controlled: bool = False,
        phi: np.ndarray | None = None,
    ) -> Prediction:
        """Return the log10 M500c that every member predicts for clusters, and the mean and sigma of the ensemble.

        The images `image` (cluster, band, y, x) must be preprocessed like the training images (see `check_grid`).
        `redshift` and its standard error `redshift_err` have the shape (cluster,). Without `redshift_err`, the
        redshifts are taken as exact. `measurements` maps the names of measured quantities to arrays (cluster,); the
        quantities are described in `clustermass.dataset.standardise.side_inputs`. `device` is ``auto``, ``cpu`` or
        ``gpu``.

        Networks of a control give no usable masses, and are refused unless `controlled` is True. In this case, the
        information that was removed in the training of the control is also removed from the arguments.

        `phi` holds the parameters of the physics, each in its own unit: (parameter,) for all clusters, or (cluster,
        parameter). Only conditioned networks take it. Without it, they predict the masses for phi0, the prior's means.

        InputError if a file isn't a network of clustermass, if the images don't fit the networks, or if a redshift
        isn't positive and finite.
        """
        redshift = np.asarray(redshift, np.float64)
        grid = redshift[:, None] if redshift_err is None else _redshift_grid(redshift, np.asarray(redshift_err, float))
        mu, sigma = self.predict_grid(image, grid, measurements, device, controlled, phi)
        sigma_redshift = np.zeros(redshift.size)
        if redshift_err is not None:
            below, above = mu[..., 1:].mean(axis=0).T
            sigma_redshift = np.abs(above - below) / 2
        return Prediction(mu[..., 0], sigma[..., 0], *combine(mu[..., 0], sigma[..., 0]), sigma_redshift)

    @names_packed_file
    def predict_grid(
        self,
        image: np.ndarray,
        redshift: np.ndarray,
        measurements: Mapping[str, np.ndarray] | None = None,
        device: str = "auto",
        controlled: bool = False,
        phi: np.ndarray | None = None,
    ) -> tuple[FloatArray, FloatArray]:
        """Return the members' log10 M500c, and its sigma in dex, at k assumed redshifts of each cluster.

        `redshift` has the shape (cluster, k). The other arguments are those of `predict`. Both results are float64
        (member, cluster, k).
        """
        use_device(device)

        def predicted(network: TrainedNetwork, cubes: Any, at: Any, measured: Any) -> tuple[np.ndarray, np.ndarray]:
            return predict(network, cubes, at, measured, _standardised(network, phi, len(at)))

        return self._apply(image, redshift, measurements, controlled, predicted)

    def _apply(
        self,
        image: np.ndarray,
        redshift: np.ndarray,
        measurements: Mapping[str, np.ndarray] | None,
        controlled: bool,
        predicted: Callable[..., tuple[np.ndarray, np.ndarray]],
    ) -> tuple[FloatArray, FloatArray]:
        """Return the means and the standard deviations that `predicted` gives for each member, (member, cluster, k)."""
        cubes = np.asarray(image)
        applied = [
            _apply(TrainedNetwork.load(path), path, cubes, redshift, measurements or {}, controlled, predicted)
            for path in track(self.weights, "members applied")
        ]
        mu, sigma = (np.stack(columns) for columns in zip(*applied, strict=True))
        return mu, sigma

    @property
    def prior(self) -> PhysicsPrior | None:
        """Prior of the parameters of the physics that the networks are conditioned on; None if they aren't."""
        return TrainedNetwork.load(self.weights[0]).prior

    @names_packed_file
    def responses(
        self,
        image: np.ndarray,
        redshift: np.ndarray,
        measurements: Mapping[str, np.ndarray] | None = None,
        device: str = "auto",
        recalibration: Recalibration | None = None,
        number: int = DRAWS,
        seed: int = SEED,
    ) -> Responses:
        """Return how the masses of clusters respond to the parameters of the physics, at fixed data.

        The arguments are those of `predict`. Sigma is recalibrated by `recalibration`, if it is given. The slopes and
        the averages are those over `number` draws from the prior, which depend on `seed`. InputError in the cases of
        `predict`, if there are too few draws, or if the networks aren't conditioned.
        """
        use_device(device)
        prior = self.prior
        if prior is None:
            raise InputError(
                f"{self.weights[0]}: the network isn't conditioned on the physics. Name an ensemble that was trained "
                "on a sky with a prior, by networks with `conditioned: true`."
            )
        draws = prior.draws(number, seed)

        def predicted(network: TrainedNetwork, cubes: Any, at: Any, measured: Any) -> tuple[np.ndarray, np.ndarray]:
            return predict_draws(network, cubes, at, measured, draws)

        combined = combine(*self._apply(image, np.asarray(redshift, np.float64), measurements, False, predicted))
        sigma = (recalibration or Recalibration()).sigma(combined.sigma)
        return responses(combined.mu, sigma, draws, prior)

    @names_packed_file
    def check_grid(self, images: xr.Dataset) -> None:
        """Raise InputError unless `images` have the same pixels (``x``, ``y``) and energy bands as the training images.

        InputError also if the members were trained on images that were cut or preprocessed differently.
        """
        first = TrainedNetwork.load(self.weights[0])
        for path in self.weights:
            network = TrainedNetwork.load(path)
            check_same_training(path, network, first)
            with reading(path, "network"):
                _check_bands(images, network, path)
                for name, trained in network.grid.items():
                    _check_axis(images[name].values, name, trained, path)

    @names_packed_file
    def posterior(self, cluster: str) -> Posterior:
        """Return the recalibrated posterior of the cluster with this id; InputError if `ensemble.nc` lacks the id."""
        table = read_netcdf(self.ensemble, ("member_mu", "member_sigma"))
        row = np.flatnonzero(table["cluster"].values.astype(str) == cluster)
        if not row.size:
            raise InputError(f"{self.ensemble}: holds no cluster {cluster!r}.")
        mu, sigma = (table[name].values[:, row] for name in ("member_mu", "member_sigma"))
        return self.posteriors(mu, sigma)[0]

    @names_packed_file
    def posteriors(self, member_mu: FloatArray, member_sigma: FloatArray) -> list[Posterior]:
        """Return the recalibrated posterior of each cluster, given the members' predictions (member, cluster)."""
        centre, width = read_calibration(self.calibration).recalibration.components(member_mu, member_sigma)
        return [Posterior(*both) for both in zip(centre.T, width.T, strict=True)]

    @names_packed_file
    def save(self, path: Path) -> str:
        """Write the ensemble to one packed file; return its `digest`.

        Mass catalogues that are made with the ensemble state this digest as ENSHASH.
        """
        return pack_ensemble(self, path)


def _check_bands(images: xr.Dataset, network: TrainedNetwork, path: Path) -> None:
    if "band_bounds" not in images or not network.edges_ev:
        return
    edges = 1000 * np.unique(images["band_bounds"].values)
    if edges.size != len(network.edges_ev) or not np.allclose(edges, network.edges_ev, rtol=0, atol=1e-3):
        raise InputError(
            f"{path}: the network wants images in {in_kev(network.edges_ev)}, and these have {in_kev(edges.tolist())}. "
            "Set images.bands to those of the training, or train networks for these."
        )


def _check_axis(given: np.ndarray, name: str, trained: Sequence[float], path: Path) -> None:
    if given.shape != (len(trained),) or not np.allclose(given, trained, rtol=0, atol=1e-6):
        raise InputError(
            f"{path}: the network was trained on {name} = {trained[0]:g} ... {trained[-1]:g} ({len(trained)}), the "
            f"images have {given[0]:g} ... {given[-1]:g} ({len(given)}). Use the same preprocessing."
        )


def _redshift_grid(redshift: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return z, z - error (at least `MIN_REDSHIFT` or, if smaller, z) and z + error, (cluster, 3)."""
    bad = np.flatnonzero(~(np.isfinite(error) & (error >= 0)))
    if bad.size:
        raise InputError(f"redshift_err: row {bad[0]} has {error[bad[0]]}. Give the standard error, 0 if it is exact.")
    lower = np.maximum(redshift - error, np.minimum(redshift, MIN_REDSHIFT))
    return np.stack([redshift, lower, redshift + error], axis=1)


def _standardised(network: TrainedNetwork, phi: np.ndarray | None, clusters: int) -> np.ndarray | None:
    """Return the parameters of the physics as a network takes them, (cluster, parameter), or None without `phi`."""
    if phi is None:
        return None
    if network.prior is None:
        raise InputError("the network isn't conditioned on the physics: leave phi out.")
    made = network.prior.standardised(phi)
    return np.broadcast_to(made, (clusters, made.shape[-1]))


def _apply(
    network: TrainedNetwork,
    path: Path,
    image: np.ndarray,
    redshift: np.ndarray,
    measurements: Mapping[str, np.ndarray],
    controlled: bool,
    predicted: Callable[..., tuple[np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray]:
    """Return the means and the standard deviations that the function `predicted` gives for one member.

    The arguments of `predicted` are the network, and the images, redshifts and measurements as the network takes them.
    """
    if network.control and not controlled:
        raise InputError(
            f"{path}: a network of the control {network.control.name!r}, from whose data something was taken. "
            "It gives no masses: name the ensemble of an experiment without control."
        )
    cubes = network_order(image)
    if cubes.shape[1:] != network.shape:
        raise InputError(
            f"{path}: the network takes images of (y, x, band) = {network.shape}, not {cubes.shape[1:]}. "
            "Use the preprocessing and the bands that it was trained with."
        )
    with reading(path, "network"):
        if network.control:
            cubes = network.control.images(cubes, range(len(cubes)))
            redshift = network.control.redshift(redshift, "new")
            measurements = network.control.measurements(measurements)
        try:
            return predicted(network, cubes, redshift, measurements)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error


def predict_sky(
    smoothed: Sequence[Path],
    weights: Sequence[Path],
    sky: str,
    selection: Selection,
    redshift_noise: float,
    seed: int,
    output: Path,
    device: str = "auto",
    trained: Sequence[Path] = (),
    split: Path | None = None,
) -> None:
    """Predict the masses of all selected clusters of another simulated sky, and write them to `output` (`ensemble.nc`).

    All these clusters are test clusters. `smoothed` are the images of all realizations, preprocessed like the training
    images. `weights` are the files of the members. `selection`, `redshift_noise` and `seed` are those of the training.

    If `split` (the file with the training sky's subsets) is given, clusters whose halo belongs to the training or
    validation set are dropped. These haloes are read from the training sky's images `trained`. One realization is in
    memory at a time. Conditioned networks get the parameters of the physics of each realization. If the sky doesn't
    state them, they predict the masses for phi0. InputError if a file is missing or damaged, if images aren't finite or
    differ from the training images in pixels or bands, or if no cluster is left.
    """
    ensemble, parts, kept = Ensemble.from_weights(weights), [], [*COLUMNS, "log10_m500c"]
    known = None if split is None else TrainedHaloes.read(trained, split)
    for path, sample in zip(smoothed, each_selected(smoothed, selection, trained=known), strict=True):
        check_finite(sample, ("image",), path)
        if sample.sizes["cluster"]:
            ensemble.check_grid(sample)
            ids = sample["cluster"].values.astype(str)
            # clusters of another sky may have the same ids, but must get other noise
            named = np.array([f"{sky} {name}" for name in ids])
            redshift = noisy_redshift(sample["redshift"].values, named, redshift_noise, seed)
            image, measurements = sample["image"].values, measurements_of(sample)
            phi = _phi_of(sample, ensemble, sky)
            predicted = ensemble.predict(image, redshift, None, measurements, device, controlled=True, phi=phi)
            members = {"mu": predicted.member_mu, "sigma": predicted.member_sigma}
            part = {name: (("member", "cluster"), values) for name, values in members.items()}
            parts.append(sample[kept].assign(part))
            LOGGER.info("predict_sky: %d clusters of realization %s", ids.size, sample["realization"].values[0])
    whole = xr.concat(parts, dim="cluster")
    whole = whole.isel(cluster=order_of(whole["cluster"].values.astype(str)))
    table = {name: whole[name].values for name in kept} | {"split": np.full(whole.sizes["cluster"], "test")}
    names, ids = [path.stem for path in weights], whole["cluster"].values.astype(str)
    dataset = ensemble_dataset(whole["mu"].values, whole["sigma"].values, names, ids, table)
    parameters = {"selection": selection, "redshift_noise": redshift_noise, "sky": sky}
    made = provenance("predict_sky", parameters, [*weights, *smoothed], seed=seed)
    write_netcdf(dataset, output, f"Predictions of an ensemble of {len(weights)} networks for the sky {sky}", made)


def _phi_of(sample: xr.Dataset, ensemble: Ensemble, sky: str) -> FloatArray | None:
    """Return the parameters of the physics that conditioned networks get, (cluster, parameter).

    The result is None, which means phi0, if the networks or the sky have no such parameters. If the sky lacks some of
    the networks' parameters, a warning says so, and the result is None, too.
    """
    if (own := PhysicsPrior.of(sample)) is None or (prior := ensemble.prior) is None:
        return None
    if lacking := sorted({*prior.names} - {*own.names}):
        text = "%s: its prior lacks %s, on which the networks are conditioned; all of its masses are those for phi0"
        LOGGER.warning(text, sky, ", ".join(lacking))
        return None
    columns = [own.names.index(name) for name in prior.names]
    return np.asarray(sample["phi"].values[:, columns], dtype=float)
