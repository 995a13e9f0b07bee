"""A model of clusters for tests of the Bayes limit, and clusters drawn from it by the functions of the simulation."""

from functools import cache

import numpy as np
from scipy.integrate import cumulative_trapezoid

from clustermass.arrays import random_streams
from clustermass.baselines.gas_scores import GasModel
from clustermass.config.resolve import default_config, resolve_sky
from clustermass.simulate.gas import with_gas
from clustermass.simulate.sources import Haloes

BANDS_EV = np.array([200.0, 500.0, 800.0, 1200.0, 2300.0])
REDSHIFT = 0.3
#: masses in log10(M500c / Msun) and their density, a steep power law
MASSES = np.linspace(13.8, 15.0, 121)
DENSITY = 10.0 ** (-1.5 * (MASSES - MASSES[0]))
#: gas with few unknowns, whatever the defaults of the sky
PLAIN = {
    "scaling": "profiles",
    "interpolation": "power_law",
    "hydrostatic_bias_scatter": 0.0,
    "bias_scatter_core_slope": 0.0,
    "shape_radius_scatter": 0.0,
    "extra_luminosity_scatter_dex": 0.0,
    "luminosity_temperature_correlation": None,
}
#: with every ingredient of the gas that a sky may have
RICH = {
    "scaling": "relations",
    "interpolation": "spline",
    "hydrostatic_bias_scatter": 0.12,
    "bias_scatter_core_slope": 0.15,
    "shape_radius_scatter": 0.1,
}
COSMOLOGY = default_config()["cosmology"]


def sky(**clusters):
    embedded = resolve_sky(default_config()["skies"], "embedded")
    return {**embedded, "clusters": {**embedded["clusters"], **PLAIN, **clusters}}


@cache
def model(rich=False):
    return GasModel.from_config(sky(**(RICH if rich else {})), COSMOLOGY, BANDS_EV)


def masses(number, rng):
    below = cumulative_trapezoid(DENSITY, MASSES, initial=0)
    return np.interp(rng.random(number) * below[-1], below, MASSES)


def drawn(of, log10_m500c, seed=1):
    """Clusters at `REDSHIFT` whose gas is drawn with real random generators."""
    zero = np.zeros(len(log10_m500c))
    haloes = Haloes(zero, zero, zero + REDSHIFT, log10_m500c)
    return with_gas(haloes, of.sky, COSMOLOGY, of.rings.spectra, random_streams(seed, "sky", "01"))
