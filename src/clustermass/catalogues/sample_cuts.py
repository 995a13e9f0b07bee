"""Which clusters of a user's catalogue are kept, cut by cut."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from clustermass.errors import InputError
from clustermass.progress import LOGGER

_NEEDED = {"f_cont_max": "F_CONT", "in_area90": "IN_AREA90"}


def select_clusters(catalogue: Table, path: Path, cuts: Mapping[str, Any] | None) -> Table:
    """Return the rows that pass every cut; the log tells how many each leaves.

    Parameters
    ----------
    catalogue
        Of `catalogues.user.read_catalogue`.
    path
        Its file, for messages.
    cuts
        Block `catalogue_selection` of a sky: `f_cont_max` (F_CONT must be below it; negative values are clusters
        confirmed by other means, an unknown one is none), `in_area90` (true: IN_AREA90 must be 1). None: all.

    Raises
    ------
    InputError
        A column that a cut needs isn't there, or no row passes.
    """
    cuts = {key: value for key, value in (cuts or {}).items() if value not in (None, False)}
    missing = [_NEEDED[key] for key in cuts if _NEEDED[key] not in catalogue.colnames]
    if missing:
        raise InputError(
            f"{path}: has no column for {', '.join(missing)}, by which catalogue_selection would cut. Name it under "
            "catalogue_columns, or a table that has it under joined_catalogues, or drop the cut."
        )
    kept = np.ones(len(catalogue), dtype=bool)
    steps = [f"{kept.size} rows"]
    for label, passed in _passed(catalogue, cuts):
        kept &= passed
        steps.append(f"{label}: {kept.sum()} left")
    if not kept.any():
        raise InputError(f"{path}: no row passes catalogue_selection ({'; '.join(steps)}). Loosen it.")
    if cuts:
        LOGGER.info("%s: %s", path, "; ".join(steps))
    return catalogue[kept]


def _passed(catalogue: Table, cuts: Mapping[str, Any]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    if "f_cont_max" in cuts:
        limit = float(cuts["f_cont_max"])
        yield f"F_CONT < {limit:g}", np.asarray(catalogue["F_CONT"]) < limit
    if "in_area90" in cuts:
        yield "IN_AREA90", np.asarray(catalogue["IN_AREA90"]) == 1
