"""AGN in the centres of haloes, drawn from a luminosity function. The number counts do not include them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from scipy.integrate import cumulative_trapezoid

from clustermass.arrays import BoolArray, FloatArray, Streams
from clustermass.cosmology import luminosity_distance_cm
from clustermass.simulate.field import Field
from clustermass.simulate.gas import EmittingHaloes
from clustermass.simulate.population import agn_around_population
from clustermass.simulate.sources import Haloes, PointSources, draw_agn

if TYPE_CHECKING:
    from clustermass.config.sky_models import Sky
    from clustermass.config.source_models import Agn, CentralAgn

#: mass in Msun and redshift at which the config key `fraction` holds
_PIVOT_MASS, _PIVOT_REDSHIFT = 1e14, 0.35


def all_agn(
    sky: Sky,
    cosmology: Mapping[str, float],
    field: Field,
    haloes: EmittingHaloes,
    bright: BoolArray,
    rng: Streams,
) -> PointSources:
    """Return all AGN of `field`, drawn at random.

    First come the AGN that follow the number counts. If the sky has a `population`, the AGN around its clusters come
    next. The AGN in the centres of `haloes` are last. `haloes` and `bright` are the results of `realization_haloes`.
    """
    number = sky["population"]["number"] if "population" in sky else 0
    clusters, others = haloes[bright][:number], haloes[bright][number:]
    counted = draw_agn(field, sky["agn"], others.haloes, others.gas.r500_arcmin, rng["agn"])
    around = agn_around_population(field, sky["agn"], clusters, others.haloes, rng["population"])
    central = draw_central_agn(sky["agn"], haloes.haloes, haloes.gas.r500_arcmin, cosmology, rng["central_agn"])
    return PointSources.join(counted, around, central)


def occupied(log10_m500c: FloatArray, redshift: FloatArray, parameters: CentralAgn) -> FloatArray:
    """Return the probability that a halo has a central AGN, (halo,), according to the config block `agn.central`."""
    mass = 10**log10_m500c / _PIVOT_MASS
    growth = ((1 + redshift) / (1 + _PIVOT_REDSHIFT)) ** parameters["evolution"]
    return np.asarray(np.minimum(parameters["fraction"] * mass ** parameters["mass_slope"] * growth, 1.0))


def draw_central_agn(
    parameters: Agn,
    haloes: Haloes,
    r500_arcmin: FloatArray,
    cosmology: Mapping[str, float],
    rng: np.random.Generator,
) -> PointSources:
    """Return random AGN in the centres of haloes, with the properties given in the block `central` of `agn`.

    `parameters` is the config block `agn`. The luminosity L (0.5-2 keV rest frame) follows a double power law. With the
    photon index G, the flux at 0.5-2 keV observed is L (1 + z)^(2 - G) / (4 pi D_L^2). AGN fainter or brighter than the
    limits in `agn` are left out. `r500_arcmin` is R500c of each halo, (halo,).
    """
    central = parameters["central"]
    host = np.flatnonzero(rng.random(len(haloes)) < occupied(haloes.log10_m500c, haloes.redshift, central))
    luminosity = 10 ** _draw_log_luminosity(central, len(host), rng)
    redshift = haloes.redshift[host]
    area = 4 * np.pi * luminosity_distance_cm(redshift, cosmology) ** 2
    flux = luminosity * (1 + redshift) ** (2 - parameters["photon_index"]) / area
    east, north = central["offset_r500"] * r500_arcmin[host] / 60 * rng.standard_normal((2, len(host)))
    longitude = haloes.longitude[host] + east / np.cos(np.radians(haloes.latitude[host]))
    agn = PointSources(longitude, haloes.latitude[host] + north, flux)
    return agn[(flux >= parameters["flux_min_cgs"]) & (flux <= parameters["flux_max_cgs"])]


def _draw_log_luminosity(parameters: CentralAgn, number: int, rng: np.random.Generator) -> FloatArray:
    """Return random log10 luminosities in erg/s, (number,), from the double power law of the block `agn.central`."""
    log_luminosity = np.linspace(parameters["log10_luminosity_min"], parameters["log10_luminosity_max"], 1000)
    ratio = 10 ** (log_luminosity - parameters["log10_luminosity_break"])
    density = 1 / (ratio ** parameters["slope_faint"] + ratio ** parameters["slope_bright"])
    below = cumulative_trapezoid(density, log_luminosity, initial=0)
    return np.interp(rng.random(number) * below[-1], below, log_luminosity)
