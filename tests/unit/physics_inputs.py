"""A small sky with a prior of the physics, and its files of images."""

import json
from pathlib import Path

import numpy as np
import xarray as xr
from network_inputs import sky

from clustermass.dataset.physics import PhysicsPrior
from clustermass.io.netcdf import write_netcdf

PRIOR = PhysicsPrior(
    ["clusters.relations.log10_amplitude", "agn.clustered_fraction"], [43.5, 0.03], [0.08, 0.01], [False, True]
)
PER_UNIVERSE = 2


def images_of(realization: int, clusters: int, prior: PhysicsPrior | None = PRIOR) -> xr.Dataset:
    """Return images of one realization; two realizations share the parameters of a universe."""
    data, universe = sky(clusters, realization), (realization - 1) // PER_UNIVERSE + 1
    images = data.images.transpose(0, 3, 1, 2)
    rng = np.random.default_rng([5, realization])
    columns = {
        "ra": rng.uniform(0, 3, clusters),
        "dec": rng.uniform(0, 3, clusters),
        "redshift": data.redshift,
        "redshift_err": np.zeros(clusters),
        "det_like": np.full(clusters, 20.0),
        "ext_like": np.full(clusters, 20.0),
        "ml_rate": images.sum((1, 2, 3)) / 1000,
        "ml_cts": images.sum((1, 2, 3)),
        "exposure_s": np.full(clusters, 1200.0),
        "nh": np.full(clusters, 3e20 + 1e19 * realization),
        "halo_id": 1000 * realization + np.arange(clusters),
        "realization": np.full(clusters, f"{realization:02d}"),
        "log10_m500c": data.log10_m500c,
    }
    variables = {name: ("cluster", values) for name, values in columns.items()}
    coordinates = {"cluster": [f"{realization:02d}_{row}" for row in range(clusters)]}
    pixels = np.arange(8) * 24.0 - 84.0
    coordinates |= {"band": [0.3, 0.5], "y": pixels, "x": pixels}
    if prior:
        phi = prior.mean + prior.sd * np.random.default_rng([6, universe]).standard_normal(len(prior.names))
        variables |= {"phi_mean": ("parameter", prior.mean), "phi_sd": ("parameter", prior.sd)}
        variables["phi_uniform"] = ("parameter", [int(one) for one in prior.uniform])
        variables["phi"] = (("cluster", "parameter"), np.tile(phi, (clusters, 1)))
        variables["universe"] = ("cluster", np.full(clusters, universe))
        coordinates["parameter"] = prior.names
    return xr.Dataset({"image": (("cluster", "band", "y", "x"), images), **variables}, coordinates)


def write_images(folder: Path, sizes: list[int], prior: PhysicsPrior | None = PRIOR) -> list[Path]:
    """Write realizations 1, 2, ... with these numbers of clusters, and return their paths."""
    made = {"parameters": json.dumps({"half_width_arcsec": 96.0, "pixel_arcsec": 24.0, "transform": "sqrt"})}
    paths = [folder / f"{number:02d}.nc" for number in range(1, len(sizes) + 1)]
    for number, (size, path) in enumerate(zip(sizes, paths, strict=True), start=1):
        write_netcdf(images_of(number, size, prior), path, "test images", made)
    return paths
