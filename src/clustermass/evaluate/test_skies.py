"""A trained ensemble on all selected clusters of another sky: a larger test set, or one of another kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from clustermass.config.models import Selection

KEPT = (*COLUMNS, "log10_m500c")


def predict_sky(
    smoothed: Sequence[Path],
    weights: Sequence[Path],
    sky: str,
    selection: Selection,
    redshift_noise: float,
    seed: int,
    output: Path,
    device: str = "auto",
) -> None:
    """Predict every selected cluster of a simulated sky, one realization after the other, and write `ensemble.nc`.

    The images (`smoothed/<preprocessing>.nc` of every realization) must be preprocessed like the training images;
    `weights` are the members' safetensors; selection, noise of the redshifts and seed are those of the training. The
    name of the sky enters the noise. Every cluster is a test cluster. InputError if a file is missing or damaged,
    images aren't finite or aren't like those of the training, or no cluster is left.
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
            members = {"mu": predicted.member_mu, "sigma": predicted.member_sigma}
            columns = {name: ("cluster", sample[name].values) for name in KEPT}
            part = {name: (("member", "cluster"), values) for name, values in members.items()}
            parts.append(xr.Dataset({**part, **columns}, {"cluster": ids}))
            LOGGER.info("predict_sky: %d clusters of realization %s", ids.size, sample["realization"].values[0])
    whole = xr.concat(parts, dim="cluster")
    ids = whole["cluster"].values.astype(str)
    whole, ids = whole.isel(cluster=order_of(ids)), np.sort(ids)
    kept = {**{name: whole[name].values for name in KEPT}, "split": np.full(ids.size, "test")}
    names = [path.stem for path in weights]
    dataset = ensemble_dataset(whole["mu"].values, whole["sigma"].values, names, ids, kept)
    parameters = {"selection": selection, "redshift_noise": redshift_noise, "sky": sky}
    made = provenance("predict_sky", parameters, [*weights, *smoothed], seed=seed)
    write_netcdf(dataset, output, f"Predictions of an ensemble of {len(weights)} networks for the sky {sky}", made)
