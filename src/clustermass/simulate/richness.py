"""Richness of haloes: how many red galaxies an optical survey finds in them, by which it confirms clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.polynomial.polynomial import polyvander2d

from clustermass.arrays import FloatArray

if TYPE_CHECKING:
    from clustermass.config.source_models import Richness

#: redshift of the mean relation; it is the median of the eFEDS clusters
PIVOT_REDSHIFT = 0.35
#: redshifts, and the number of galaxies in the aperture that don't belong to the halo (an estimate, which gives
#: unconfirmed candidates the richnesses that they have in eFEDS)
_BACKGROUND = (0.0, 0.2, 0.5, 0.8, 1.5), (1.0, 2.0, 4.0, 16.0, 25.0)


def draw_richness(
    log10_m500c: FloatArray,
    redshift: FloatArray,
    luminosity: FloatArray,
    parameters: Richness,
    rng: np.random.Generator,
) -> FloatArray:
    """Return random richnesses lambda of haloes, (halo,), for the config block `richness`.

    The richness is log-normal at fixed mass and redshift. A, M_0, B, C, sigma and rho are the keys `amplitude`,
    `log10_pivot`, `slope`, `evolution`, `scatter` and `luminosity_correlation`:

        ln lambda = ln A + B ln(M500c / M_0) + C ln((1 + z) / 1.35) + sigma [rho d + sqrt(1 - rho^2) n].

    Here n is a random normal number. d is the deviation of the halo's ln `luminosity` from the mean at its mass and
    redshift, in standard deviations. All arrays are (halo,). The unit of `luminosity` doesn't matter.
    """
    rho = parameters["luminosity_correlation"]
    normal = np.sqrt(1 - rho**2) * rng.standard_normal(len(redshift))
    if rho:
        normal += rho * _deviation(np.log(luminosity), log10_m500c, redshift)
    log_mass = np.log(10) * (log10_m500c - parameters["log10_pivot"])
    log_time = np.log((1 + redshift) / (1 + PIVOT_REDSHIFT))
    mean = np.log(parameters["amplitude"]) + parameters["slope"] * log_mass + parameters["evolution"] * log_time
    return np.asarray(np.exp(mean + parameters["scatter"] * normal))


def measure_richness(
    richness: FloatArray, redshift: FloatArray, parameters: Richness, rng: np.random.Generator
) -> FloatArray:
    """Return richnesses as a survey measures them, (halo,), with normal errors of `error` sqrt(lambda + background)."""
    background = np.interp(redshift, *_BACKGROUND)
    error = parameters["error"] * np.sqrt(richness + background)
    return np.asarray(richness + error * rng.standard_normal(len(richness)))


def _deviation(values: FloatArray, log10_mass: FloatArray, redshift: FloatArray) -> FloatArray:
    """Fit a smooth function of mass and redshift to `values`; return the residuals in standard deviations."""
    mass, time = log10_mass - np.mean(log10_mass), np.log(1 + redshift)
    terms = polyvander2d(mass, time, [3, 2])
    residual = values - terms @ np.linalg.lstsq(terms, values, rcond=None)[0]
    return np.asarray(residual / max(float(residual.std()), 1e-9))
