"""Which clusters belong together: what shares a halo or photons is drawn, left out and resampled as one."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clustermass.datasets import read_netcdf
from clustermass.errors import InputError


def groups_of(ids: NDArray[np.str_], split: Path) -> NDArray[np.str_]:
    """Group of each cluster, (cluster,), from the sky's split.

    Raises
    ------
    InputError
        The file is missing or lacks a cluster.
    """
    table = read_netcdf(split, ("group",))
    of_cluster = dict(zip(table["cluster"].values.astype(str), table["group"].values.astype(str), strict=True))
    missing = [name for name in ids if name not in of_cluster]
    if missing:
        raise InputError(f"{split}: lacks {len(missing)} clusters of the ensemble ({missing[0]} is one). Run again.")
    return np.array([of_cluster[name] for name in ids], dtype=str)
