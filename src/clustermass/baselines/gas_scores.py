"""The model of a cluster's gas as a function of its mass and of independent standard normal numbers, its scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np
from scipy.special import ndtr

from clustermass.arrays import FloatArray, IntArray, Streams
from clustermass.baselines.ring_counts import RingModel
from clustermass.errors import InputError
from clustermass.simulate.gas import EmittingHaloes, with_gas
from clustermass.simulate.sources import Haloes

if TYPE_CHECKING:
    from clustermass.config.sky_models import Sky

#: most scores that a halo's gas may have
_MOST_SCORES = 64


class GivenScores:
    """Stands for a random generator: gives the columns of a table where the generator would draw random numbers.

    It has those methods of `numpy.random.Generator` that `draw_gas` uses. A method that it lacks is an AttributeError,
    so that no number is drawn at random by mistake.
    """

    def __init__(self, scores: FloatArray) -> None:
        self.scores, self.used = scores, 0

    def standard_normal(self, size: int | tuple[int, int]) -> FloatArray:
        """Return the next columns of the table, in the shape `size`, whose first number is that of the haloes."""
        columns = size[1] if isinstance(size, tuple) else 1
        start, self.used = self.used, self.used + columns
        return self.scores[:, start : self.used].reshape(size)

    def normal(self, loc: float, scale: float, size: int) -> FloatArray:
        """Return normal numbers with the mean `loc` and the standard deviation `scale`, (`size`,)."""
        return loc + scale * self.standard_normal(size)

    def random(self, size: int) -> FloatArray:
        """Return numbers between 0 and 1, (`size`,)."""
        return np.asarray(ndtr(self.standard_normal(size)))


@dataclass(frozen=True)
class GasModel:
    """Mean photons of clusters as a function of mass and scores, by the functions that draw the gas of a sky."""

    sky: Sky
    cosmology: Mapping[str, float]
    rings: RingModel
    number: int  #: of all scores of a halo
    used: IntArray  #: numbers of those scores on which photons in rings depend

    @classmethod
    def from_config(cls, sky: Sky, cosmology: Mapping[str, float], bands_ev: FloatArray) -> GasModel:
        """Return the model of a sky for energy bands with the edges `bands_ev` in eV, (band + 1,).

        InputError if the temperature of a halo depends on other haloes, as it does with
        `luminosity_temperature_correlation`.
        """
        clusters = sky["clusters"]
        if clusters["scaling"] == "profiles" and clusters["luminosity_temperature_correlation"] is not None:
            raise InputError(
                "clusters.luminosity_temperature_correlation: temperatures then depend on all haloes that are drawn, "
                "so that the posterior of a single cluster can't be computed. Set `scaling: relations` and "
                "`relations.correlation` instead."
            )
        model = cls(sky, cosmology, RingModel.from_config(sky, bands_ev), _MOST_SCORES, np.arange(_MOST_SCORES))
        typical = np.full(1, 14.3)
        given, zero = GivenScores(np.zeros((1, _MOST_SCORES))), np.zeros((1, _MOST_SCORES))
        model._haloes(0.3, typical, given)
        steps = np.concatenate([zero, np.eye(given.used, _MOST_SCORES), -np.eye(given.used, _MOST_SCORES)])
        rates = model.rates(0.3, np.repeat(typical, len(steps)), steps)
        changes = (np.abs(rates[1:] / rates[0] - 1) > 1e-9).any(axis=(1, 2)).reshape(2, -1).any(axis=0)
        return replace(model, number=given.used, used=np.flatnonzero(changes))

    def rates(self, redshift: float, log10_m500c: FloatArray, scores: FloatArray) -> FloatArray:
        """Return the mean count rates of clusters in rings and bands in count/s, (cluster, ring, band).

        All clusters have the same redshift. `log10_m500c` is (cluster,). `scores` holds values of the scores `used`,
        (cluster, used score); all others are 0. The rates are those of `RingModel.rates`. Clusters below the sky's
        flux limit have no photons, except those of a `population`.
        """
        every = np.zeros((len(scores), self.number))
        every[:, self.used] = scores
        clusters = self._haloes(redshift, log10_m500c, GivenScores(every))
        dark = (clusters.flux < self.sky["clusters"]["flux_min_cgs"]) & ("population" not in self.sky)
        return self.rings.rates(replace(clusters, rate=np.where(dark, 0.0, clusters.rate)))

    def _haloes(self, redshift: float, log10_m500c: FloatArray, given: GivenScores) -> EmittingHaloes:
        zero = np.zeros(len(log10_m500c))
        haloes = Haloes(zero, zero, zero + redshift, log10_m500c)
        streams = cast("Streams", {"gas": given, "shape": given})
        return with_gas(haloes, self.sky, self.cosmology, self.rings.spectra, streams)
