"""Masses of clusters with unknown or doubtful redshifts, as functions of the assumed redshift."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import xarray as xr

from clustermass.apply.catalogue import iau_names
from clustermass.apply.columns import QUANTILES, mass_columns
from clustermass.apply.field import cut_for, folder_for
from clustermass.apply.masses import AppliedEnsemble, exposed, id_src
from clustermass.arrays import FloatArray
from clustermass.catalogues.surveys import MAX_REDSHIFT
from clustermass.dataset.training_data import measurements_of
from clustermass.ensemble.aggregate import combine
from clustermass.ensemble.ensemble import Prediction
from clustermass.errors import InputError
from clustermass.images.preprocessing import preprocessed
from clustermass.io.netcdf import VARIABLES

if TYPE_CHECKING:
    from clustermass.apply.field import CutField
    from clustermass.config.sky_models import Sky
    from clustermass.images.preprocessing import Recipe

#: columns of the mass catalogue that are given as functions of redshift
CURVES = ("LOGM500", "LOGM500_ERR", *QUANTILES)


def masses_over_redshift(applied: AppliedEnsemble, sky: Sky, redshift: FloatArray, acronym: str) -> xr.Dataset:
    """Return the masses that a field's clusters would have at each of the given redshifts.

    Each value in `redshift` is assumed for all clusters in turn, and is taken as exact. The result holds:

    - `CURVES`, each float64 (cluster, z) in dex. A cluster has no mass (NaN) if too little of its image is exposed.
    - the coordinates `cluster` (the column NAME of the mass catalogue), ID_SRC, RA and DEC, each (cluster,), and `z`
    - the coordinate `trained` (z,), which is False outside the redshifts of the training clusters

    InputError if a redshift isn't between 0 and `MAX_REDSHIFT`, and in the cases of
    `clustermass.apply.field.masses_of_field`.
    """
    grid = np.atleast_1d(np.asarray(redshift, dtype=float))
    if grid.ndim != 1 or not grid.size or not ((grid > 0) & (grid <= MAX_REDSHIFT)).all():
        raise InputError(f"z_grid: must be redshifts above 0, at most {MAX_REDSHIFT:g}, such as np.linspace(0.1, 1).")
    with folder_for(sky) as folder:
        field = cut_for(applied.network, applied.trained.weights[0], sky, folder, with_redshift=False)
        parts = [_curves(applied, part, field, grid, acronym) for part in field.parts]
    lowest, highest = applied.training.ranges["redshift"]
    curves = xr.concat(parts, "cluster", data_vars="minimal", coords="minimal", compat="override", join="override")
    return curves.sortby("ID_SRC").assign_coords(trained=("z", (grid >= lowest) & (grid <= highest)))


def _curves(applied: AppliedEnsemble, part: xr.Dataset, field: CutField, grid: FloatArray, acronym: str) -> xr.Dataset:
    # images that are scaled to the redshift differ from one redshift to the next
    scaled = applied.network.preprocessing.get("scale_to_redshift") is not None
    blocks = [_masses(applied, part, field, block) for block in (grid[:, None] if scaled else grid[None, :])]
    masses = {name: np.concatenate([block[name] for block in blocks], axis=1) for name in CURVES}
    ra, dec = (part[name].values.astype(float) for name in ("ra", "dec"))
    of_cluster = {"ID_SRC": id_src(part), "RA": ra, "DEC": dec}
    return xr.Dataset(
        {name: (("cluster", "z"), values, _described(name)) for name, values in masses.items()},
        {name: ("cluster", values) for name, values in of_cluster.items()}
        | {"cluster": iau_names("SIM" if part.attrs["simulated"] else acronym, ra, dec)}
        | {"z": ("z", grid, _described("redshift"))},
    )


def _masses(applied: AppliedEnsemble, part: xr.Dataset, field: CutField, redshift: FloatArray) -> dict[str, FloatArray]:
    """Return `CURVES` at k redshifts, (cluster, k). If images are scaled, the first redshift sets the scale."""
    shape = (part.sizes["cluster"], redshift.size)
    assumed = part.assign(redshift=("cluster", np.full(shape[0], redshift[0])))
    enough = exposed(assumed.assign(covered_fraction=("cluster", applied.covered(assumed, field.exposure))))
    smoothed, _ = preprocessed(assumed, cast("Recipe", applied.network.preprocessing), "images of the field")
    applied.trained.check_grid(smoothed)
    inputs = smoothed["image"].values, np.tile(redshift, (shape[0], 1)), measurements_of(smoothed), applied.device
    mu, sigma = (values.reshape(len(values), -1) for values in applied.trained.predict_grid(*inputs))
    predicted = Prediction(mu, sigma, *combine(mu, sigma), np.zeros(mu.shape[1]))
    columns = mass_columns(predicted, applied.calibration)
    return {name: np.where(enough[:, None], columns[name].reshape(shape), np.nan) for name in CURVES}


def _described(name: str) -> dict[str, str]:
    unit, description = VARIABLES[name.lower()]
    return {"units": unit, "long_name": description}
