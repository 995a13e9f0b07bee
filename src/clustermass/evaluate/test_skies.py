"""A trained ensemble on all selected clusters of another sky: a larger test set, or one of another kind."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from clustermass.dataset.sample import each_selected
from clustermass.dataset.split import order_of
from clustermass.dataset.training_data import measurements_of, noisy_redshift
from clustermass.ensemble.aggregate import COLUMNS, ensemble_dataset
from clustermass.ensemble.ensemble import Ensemble
from clustermass.io.log import LOGGER
from clustermass.io.netcdf import check_finite, write_netcdf
from clustermass.io.provenance import provenance

KEPT = (*COLUMNS, "log10_m500c")


class _Part(NamedTuple):
    """One realization: predictions (member, cluster), ids and columns (cluster,)."""

    mu: np.ndarray
    sigma: np.ndarray
    cluster: np.ndarray
    columns: dict[str, np.ndarray]


def predict_sky(
    smoothed: Sequence[Path],
    weights: Sequence[Path],
    sky: str,
    selection: Mapping[str, Any],
    redshift_noise: float,
    seed: int,
    output: Path,
    device: str = "auto",
) -> None:
    """Predict every selected cluster of a simulated sky, one realization after the other, and write `ensemble.nc`.

    Parameters
    ----------
    smoothed
        `smoothed/<preprocessing>.nc` of every realization, preprocessed like the training images.
    weights
        The members' safetensors.
    sky
        Its name, which enters the noise of the redshifts.
    selection, redshift_noise, seed
        As the ensemble was trained with.
    output
        Like the `ensemble.nc` of the training sky; every cluster is a test cluster.
    device
        auto, cpu or gpu.

    Raises
    ------
    InputError
        A file is missing or damaged, images aren't finite or aren't like those of the training, or no cluster is left.
    """
    ensemble, parts = Ensemble.from_weights(weights), []
    for path, sample in zip(smoothed, each_selected(smoothed, selection), strict=True):
        check_finite(sample, ("image",), path)
        if sample.sizes["cluster"]:
            ensemble.check_grid(sample)
            ids = sample["cluster"].values.astype(str)
            # another sky has clusters of the same ids, but noise of its own
            named = np.array([f"{sky} {name}" for name in ids])
            redshift = noisy_redshift(sample["redshift"].values, named, redshift_noise, seed)
            image, measurements = sample["image"].values, measurements_of(sample)
            predicted = ensemble.predict(image, redshift, None, measurements, device, controlled=True)
            columns = {name: sample[name].values for name in KEPT}
            parts.append(_Part(predicted.member_mu, predicted.member_sigma, ids, columns))
            LOGGER.info("predict_sky: %d clusters of realization %s", ids.size, sample["realization"].values[0])
    dataset = _joined(parts, [path.stem for path in weights])
    parameters = {"selection": selection, "redshift_noise": redshift_noise, "sky": sky}
    made = provenance("predict_sky", parameters, [*weights, *smoothed], seed=seed)
    write_netcdf(dataset, output, f"Predictions of an ensemble of {len(weights)} networks for the sky {sky}", made)


def _joined(parts: Sequence[_Part], names: Sequence[str]) -> xr.Dataset:
    """All parts in one dataset like `ensemble.nc`, sorted by cluster id."""
    cluster = np.concatenate([part.cluster for part in parts])
    order = order_of(cluster)
    columns = {name: np.concatenate([part.columns[name] for part in parts])[order] for name in KEPT}
    columns["split"] = np.full(cluster.size, "test")
    mu, sigma = (np.concatenate([getattr(part, name) for part in parts], axis=1)[:, order] for name in ("mu", "sigma"))
    return ensemble_dataset(mu, sigma, names, cluster[order], columns)
