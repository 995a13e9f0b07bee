"""Numbers that a step can't do without: a file that holds others is named before anything is made of them."""

from collections.abc import Iterable

import numpy as np
import xarray as xr

from clustermass.errors import InputError


def check_finite(data: xr.Dataset, names: Iterable[str], path: object) -> None:
    """Make sure that all values of some variables are finite.

    Parameters
    ----------
    data
        Holds the variables `names`, numbers of any shape.
    path
        Where they were read, for the message.

    Raises
    ------
    InputError
        One of them holds NaN or an infinity.
    """
    for name in names:
        if not np.isfinite(data[name].values).all():
            raise InputError(f"{path}: {name} holds numbers that aren't finite. Delete the file and run again.")
