"""Masses of new clusters from the weights of an ensemble."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from clustermass.dataset.training_data import MIN_REDSHIFT, network_order
from clustermass.errors import InputError
from clustermass.io.log import track
from clustermass.network.device import use_device
from clustermass.network.predict import predict as apply
from clustermass.network.trained_network import TrainedNetwork


def predict(
    weights: Sequence[Path],
    image: np.ndarray,
    redshift: np.ndarray,
    redshift_err: np.ndarray | None = None,
    measurements: Mapping[str, np.ndarray] | None = None,
    device: str = "auto",
    controlled: bool = False,
) -> dict[str, np.ndarray]:
    """Predict log10 M500c with every member of an ensemble.

    Parameters
    ----------
    weights
        safetensors files of `clustermass.network.train_members.train_member`.
    image
        (cluster, band, y, x), preprocessed like the training images; see `check_grid`.
    redshift
        (cluster,), positive.
    redshift_err
        (cluster,) standard error of the redshift, 0 = exact.
    measurements
        (cluster,) each, see `clustermass.dataset.standardise.side_inputs`.
    device
        ``auto``, ``cpu`` or ``gpu``.
    controlled
        The clusters are there to judge the networks by: networks of a control are applied too, under that control.

    Returns
    -------
    dict
        ``mu``, ``sigma``: (member, cluster) float64, dex. With `redshift_err` also ``sigma_redshift`` (cluster,): half
        the difference of the ensemble's mu at z + err and z - err, which comes nearly free with the others.

    Raises
    ------
    InputError
        No weights, a file isn't one of ours, or of a control without `controlled`, the images don't fit the network,
        or a redshift isn't positive and finite.
    """
    use_device(device)
    redshift = np.asarray(redshift, np.float64)
    grid = redshift[:, None] if redshift_err is None else _redshift_grid(redshift, np.asarray(redshift_err, np.float64))
    if not weights:
        raise InputError("inference: no weights files. Train the ensemble first.")
    mu, sigma = [], []
    for path in track(weights, "members applied"):
        member = TrainedNetwork.load(path)
        if member.control and not controlled:
            raise InputError(
                f"{path}: a network of the control {member.control.name!r}, from whose data something was taken. "
                "It gives no masses: name the ensemble of an experiment without control."
            )
        member_mu, member_sigma = _member(member, path, image, grid, measurements or {})
        mu.append(member_mu)
        sigma.append(member_sigma)
    every_mu, every_sigma = np.stack(mu), np.stack(sigma)
    result = {"mu": every_mu[..., 0], "sigma": every_sigma[..., 0]}
    if redshift_err is not None:
        below, above = every_mu[..., 1:].mean(axis=0).T
        result["sigma_redshift"] = np.abs(above - below) / 2
    return result


def _redshift_grid(redshift: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Redshifts (cluster, 3): as they are, an error lower (but not below `MIN_REDSHIFT`), an error higher."""
    bad = np.flatnonzero(~(np.isfinite(error) & (error >= 0)))
    if bad.size:
        raise InputError(f"redshift_err: row {bad[0]} has {error[bad[0]]}. Give the standard error, 0 if it is exact.")
    lower = np.maximum(redshift - error, np.minimum(redshift, MIN_REDSHIFT))
    return np.stack([redshift, lower, redshift + error], axis=1)


def _member(
    network: TrainedNetwork, path: Path, image: np.ndarray, redshift: np.ndarray, measurements: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (cluster, k) of one member, for redshifts (cluster, k)."""
    cubes = network_order(np.asarray(image))
    if cubes.shape[1:] != network.shape:
        raise InputError(
            f"{path}: the network takes images of (y, x, band) = {network.shape}, not {cubes.shape[1:]}. "
            "Use the preprocessing and the bands that it was trained with."
        )
    if network.control:
        cubes = network.control.images(cubes, range(len(cubes)))
        redshift = network.control.redshift(redshift, "new")
        measurements = network.control.measurements(measurements)
    return apply(network, cubes, redshift, measurements)


def check_grid(weights: Sequence[Path], images: xr.Dataset) -> None:
    """Make sure that `images` has the pixels and energy bands that the networks were trained on.

    Raises
    ------
    InputError
        A coordinate ``x``, ``y`` (arcsec) or ``band`` (keV) differs.
    """
    for path in weights:
        for name, trained in TrainedNetwork.load(path).grid.items():
            found = images[name].values
            if found.shape != (len(trained),) or not np.allclose(found, trained, rtol=0, atol=1e-6):
                raise InputError(
                    f"{path}: the network was trained on {name} = {trained[0]:g} ... {trained[-1]:g} ({len(trained)}), "
                    f"the images have {found[0]:g} ... {found[-1]:g} ({len(found)}). Use the same preprocessing."
                )
