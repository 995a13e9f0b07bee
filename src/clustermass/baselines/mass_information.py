"""What is known of a cluster's mass besides its own photons: the mass function, the confirmation and the AGN."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.simulate.sources import halo_density

if TYPE_CHECKING:
    from clustermass.config.sky_models import Sky

_MASSES, _REDSHIFTS = 161, 121


@dataclass(frozen=True)
class MassFunction:
    """Density of haloes in log10 M500c at each redshift, as in the simulated sky."""

    log10_m500c: FloatArray  #: (mass,)
    redshift: FloatArray  #: (redshift,)
    density: FloatArray  #: its integral over log10 mass is 1 at each redshift, (redshift, mass)

    @classmethod
    def from_config(cls, sky: Sky, cosmology: Mapping[str, float]) -> MassFunction:
        """Return the mass function of a sky. If it has a `population`, this is the distribution of its clusters."""
        population = sky.get("population")
        block = population or sky["clusters"]
        mass = np.linspace(block["log10_m500c_min"], block["log10_m500c_max"], _MASSES)
        redshift = np.linspace(block["redshift_min"], block["redshift_max"], _REDSHIFTS)
        uniform = population is not None and population["distribution"] == "uniform"
        density = np.ones((_REDSHIFTS, _MASSES)) if uniform else halo_density(redshift, mass, cosmology)
        return cls(mass, redshift, density / np.trapezoid(density, mass, axis=1).reshape(-1, 1))

    def at(self, redshift: float) -> FloatArray:
        """Return the density at a redshift, interpolated linearly, (mass,)."""
        position = np.clip(np.interp(redshift, self.redshift, np.arange(_REDSHIFTS)), 0, _REDSHIFTS - 1.001)
        row = int(position)
        return self.density[row] + (position - row) * (self.density[row + 1] - self.density[row])


class PropertyShare:
    """The probability that a halo has a property, as a function of its mass and redshift.

    The property has a few possible values, which are whole numbers. The logarithms of the ratios of their probabilities
    are quadratic in log10 mass and redshift, fitted to haloes of the sky.
    """

    def __init__(self, log10_m500c: FloatArray, redshift: FloatArray, value: NDArray[Any]) -> None:
        """Fit to haloes with these masses, redshifts and values of the property, (halo,) each."""
        from sklearn.linear_model import LogisticRegression

        self._values = np.unique(value)
        if len(self._values) > 1:
            self._model = LogisticRegression(C=1e4, max_iter=2000)
            self._model.fit(_terms(log10_m500c, redshift), value)

    def density(self, log10_m500c: FloatArray, redshift: float, value: int) -> FloatArray:
        """Return the probability of a `value` at masses (mass,) and one redshift, (mass,).

        It is 1 if all haloes of the fit had the same value.
        """
        if len(self._values) == 1:
            return np.ones(len(log10_m500c))
        shares = self._model.predict_proba(_terms(log10_m500c, np.full(len(log10_m500c), redshift)))
        return np.asarray(shares[:, list(self._model.classes_).index(value)])


def _terms(log10_m500c: FloatArray, redshift: FloatArray) -> FloatArray:
    mass, time = (log10_m500c - 14) / 0.4, (redshift - 0.4) / 0.25
    return np.stack([mass, time, mass**2, mass * time, time**2], axis=1)
