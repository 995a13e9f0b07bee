"""What a network is told of a cluster beside its image: redshift, exposure, and what the catalogue measured."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from clustermass.errors import InputError


class SideInput(NamedTuple):
    """The quantity that an input is made of, by the name that it has in `images.nc`, and how."""

    quantity: str
    function: Callable[[np.ndarray], np.ndarray]


#: by the name in the configuration; every cluster must have these
NEEDED = {
    "z": SideInput("redshift", np.asarray),
    "log_z": SideInput("redshift", np.log),
    "log_exposure": SideInput("exposure_s", np.log),
}
#: measured by the source detection at the instrument's full resolution; a cluster may lack them
MEASURED = {
    "log_rate": SideInput("ml_rate", np.log),
    "log_extent": SideInput("ext", np.log),
    "log_background": SideInput("ml_bkg", np.log),
}
SIDE_INPUTS = NEEDED | MEASURED
#: what is to be handed over of a cluster beside its redshift
FACTS = ("exposure_s", "ml_rate", "ext", "ml_bkg")


def ordered(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Needed and measured inputs among `names`, as they are laid out: needed ones, measured ones, "is measured".

    Raises
    ------
    InputError
        A name is none of `SIDE_INPUTS`.
    """
    unknown = [name for name in names if name not in SIDE_INPUTS]
    if unknown:
        raise InputError(f"network.side_inputs: {unknown[0]!r} is unknown. Choose from {', '.join(SIDE_INPUTS)}.")
    return [name for name in names if name in NEEDED], [name for name in names if name in MEASURED]


def widths(names: Sequence[str]) -> tuple[int, int]:
    """Columns of needed and of measured inputs; the latter include the one that says whether they are known."""
    needed, measured = ordered(names)
    return len(needed), len(measured) + bool(measured)


def side_inputs(redshift: np.ndarray, facts: Mapping[str, np.ndarray], names: Sequence[str]) -> np.ndarray:
    """Side inputs before standardisation.

    Parameters
    ----------
    redshift
        (...), positive.
    facts
        Of `FACTS`, by name, each of a shape that fits `redshift`; what no name asks for may be absent, and so may
        what is measured. Exposures in s and positive.
    names
        Of `SIDE_INPUTS`.

    Returns
    -------
    np.ndarray
        (..., input) float64, needed inputs first. The measured ones are all NaN for a cluster that lacks one of them
        (absent, not finite, or not positive).

    Raises
    ------
    InputError
        A name is none of `SIDE_INPUTS`, or a needed quantity is absent, or not positive and finite.
    """
    needed, measured = ordered(names)
    known = {**facts, "redshift": np.asarray(redshift, np.float64)}
    columns = []
    for name in needed:
        quantity, function = NEEDED[name]
        if quantity not in known:
            raise InputError(f"network.side_inputs: {name} needs {quantity} of every cluster, but none is known.")
        columns.append(function(_positive(known[quantity], quantity)))
    if measured:
        values = [np.asarray(known.get(MEASURED[name].quantity, np.nan), np.float64) for name in measured]
        complete = math.prod(np.isfinite(value) & (value > 0) for value in values) > 0
        columns += [
            np.where(complete, MEASURED[name].function(np.where(complete, value, 1.0)), np.nan)
            for name, value in zip(measured, values, strict=True)
        ]
    shape = known["redshift"].shape
    each = [np.broadcast_to(column, shape) for column in columns]
    return np.stack(each, axis=-1) if each else np.zeros((*shape, 0))


def _positive(values: np.ndarray, what: str) -> np.ndarray:
    values = np.asarray(values, np.float64)
    bad = np.flatnonzero(~(np.isfinite(values) & (values > 0)).ravel())
    if bad.size:
        raise InputError(
            f"{what}: {bad.size} value(s) aren't positive and finite, the first at row {bad[0]} "
            f"({values.ravel()[bad[0]]}). The network needs it of every cluster: drop the others."
        )
    return values
