"""The uncertain parameters of the physics (phi) of a simulated sky, and their prior.

A sky with a prior draws phi once for each universe. Networks that are conditioned on phi get it in units of the prior's
standard deviations.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import ndtr

from clustermass.arrays import FloatArray, generator
from clustermass.errors import InputError

#: variables (parameter,) of a file of images that are the same in all universes
SHARED = ("parameter", "phi_mean", "phi_sd", "phi_uniform")


@dataclass(frozen=True)
class PhysicsPrior:
    """Names of the parameters phi, and mean and standard deviation of the prior of each, in the parameter's unit.

    The parameters are independent. Each is uniform or normal. The default sky, phi0, has the means.
    """

    names: list[str]
    mean: list[float]
    sd: list[float]
    uniform: list[bool]

    @classmethod
    def of(cls, sample: xr.Dataset) -> PhysicsPrior | None:
        """Return the prior in a dataset of images or None if its sky has no prior. InputError if an sd isn't above 0.

        `sample` holds `phi_mean`, `phi_sd` and `phi_uniform` (0 or 1), (parameter,), and the coordinate `parameter`
        with the names.
        """
        if "phi_mean" not in sample:
            return None
        names, mean, sd, uniform = (sample[name].values.tolist() for name in SHARED)
        return cls([str(name) for name in names], mean, sd, [bool(one) for one in uniform]).checked()

    def checked(self) -> PhysicsPrior:
        """Return the prior itself. InputError unless its numbers are finite, with sd > 0, and its names differ."""
        lengths = {len(one) for one in (self.names, self.mean, self.sd, self.uniform)}
        possible = len(lengths) == 1 and len(self.names) > 0 and min(self.sd) > 0
        possible = possible and all(map(math.isfinite, [*self.mean, *self.sd]))
        if not possible or len({*self.columns()}) < len(self.names):
            raise InputError(
                f"the prior of the parameters {', '.join(self.names)} is damaged: each needs a name of its own, a "
                "finite mean, and a standard deviation above 0. Simulate the sky again."
            )
        return self

    def columns(self) -> list[str]:
        """Return the names as parts of column names: upper case, with one underscore for all other signs."""
        return [re.sub(r"[^A-Z0-9]+", "_", name.upper(), flags=re.ASCII).strip("_") for name in self.names]

    def standardised(self, phi: FloatArray | Sequence[float]) -> NDArray[np.float32]:
        """Return parameters (..., parameter) in standard deviations from the prior's mean, float32.

        InputError unless there is a finite number for each parameter.
        """
        given = np.asarray(phi, np.float64)
        if given.shape[-1:] != (len(self.names),) or not np.isfinite(given).all():
            raise InputError(f"phi needs a finite number for each of {', '.join(self.names)}.")
        return ((given - self.mean) / self.sd).astype(np.float32)

    def covariance(self) -> FloatArray:
        """Return the covariance Sigma of the parameters, float64 (parameter, parameter)."""
        return np.diag(np.square(self.sd))

    def draws(self, number: int, seed: int) -> FloatArray:
        """Return standardised draws from the prior, float64 (draw, parameter).

        The draws come in pairs of opposite sign, so that their mean is exactly phi0. `number` is rounded up to an even
        number.
        """
        half = generator(seed, "physics").standard_normal((math.ceil(number / 2), len(self.names)))
        half = np.where(self.uniform, math.sqrt(12) * (ndtr(half) - 0.5), half)
        return np.concatenate([half, -half])


def cell_weights(cell: NDArray[np.str_]) -> FloatArray:
    """Return weights of clusters (cluster,) with a mean of 1, by which all cells have the same total weight.

    `cell` holds the name of each cluster's cell, which is its realization: one universe at one set of conditions.
    """
    _, row, number = np.unique(cell, return_inverse=True, return_counts=True)
    return np.asarray(row.size / (number.size * number), dtype=float)[row]
