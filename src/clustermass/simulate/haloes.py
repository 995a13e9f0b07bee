"""Haloes of a field: Poisson draws from the mass function of Tinker et al. 2008, unclustered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clustermass.arrays import FloatArray, Rows
from clustermass.cosmology import flat_lcdm
from clustermass.simulate.field import Field

if TYPE_CHECKING:
    from clustermass.config.sky_models import Clusters

_SR_PER_DEG2 = (np.pi / 180) ** 2
_REDSHIFT_STEPS, _MASS_STEPS = 120, 160


@dataclass(frozen=True)
class Haloes(Rows):
    """Haloes of one field.

    Attributes
    ----------
    longitude, latitude
        Native position in the field, deg.
    redshift
        Cosmological redshift.
    log10_m500c
        log10(M500c / Msun).
    """

    longitude: FloatArray
    latitude: FloatArray
    redshift: FloatArray
    log10_m500c: FloatArray


def halo_density(redshift: FloatArray, log10_m500c: FloatArray, cosmology: Mapping[str, float]) -> FloatArray:
    """Haloes per deg2, unit redshift and dex of mass: Tinker et al. 2008 (ApJ 688, 709) at 500 times critical.

    Parameters
    ----------
    redshift, log10_m500c
        Grids, shapes (z,) and (mass,); masses are log10(M500c / Msun).
    cosmology
        Config block `cosmology`.

    Returns
    -------
    Array (z, mass).
    """
    from colossus.cosmology import cosmology as colossus_cosmology
    from colossus.lss import mass_function

    little_h = cosmology["h0_km_s_mpc"] / 100
    colossus_cosmology.setCosmology(
        "clustermass",
        flat=True,
        H0=cosmology["h0_km_s_mpc"],
        Om0=cosmology["omega_m"],
        Ob0=cosmology["omega_b"],
        sigma8=cosmology["sigma8"],
        ns=cosmology["ns"],
        relspecies=False,
        persistence="",
    )
    mass = 10**log10_m500c * little_h
    per_ln_mass = np.stack(
        [mass_function.massFunction(mass, z, mdef="500c", model="tinker08", q_out="dndlnM") for z in redshift]
    )
    volume = flat_lcdm(cosmology).differential_comoving_volume(redshift).value * _SR_PER_DEG2
    return np.asarray(per_ln_mass * little_h**3 * np.log(10) * volume[:, None])


def draw_haloes(field: Field, parameters: Clusters, cosmology: Mapping[str, float], rng: np.random.Generator) -> Haloes:
    """Draw the haloes of `field`: Poisson number, positions uniform on the sphere.

    Parameters
    ----------
    field
        The field.
    parameters
        Config block `clusters`: `log10_m500c_min`, `log10_m500c_max`, `redshift_min`, `redshift_max`.
    cosmology
        Config block `cosmology`.
    rng
        Generator of this component's stream.
    """
    redshift = np.linspace(parameters["redshift_min"], parameters["redshift_max"], _REDSHIFT_STEPS + 1)
    mass = np.linspace(parameters["log10_m500c_min"], parameters["log10_m500c_max"], _MASS_STEPS + 1)
    density = halo_density(redshift, mass, cosmology)
    above = _cumulative(density, mass)
    counts = _cumulative(above[None, :, -1], redshift)[0]
    number = int(rng.poisson(counts[-1] * field.area_deg2))
    z = np.interp(rng.random(number) * counts[-1], counts, redshift)
    log10_mass = _draw_mass(rng, z, redshift, mass, above)
    longitude, latitude = field.draw(rng, number)
    return Haloes(longitude, latitude, z, log10_mass)


def _cumulative(density: FloatArray, grid: FloatArray) -> FloatArray:
    """Trapezoidal integral from the start of `grid` along the last axis."""
    steps = 0.5 * (density[..., 1:] + density[..., :-1]) * np.diff(grid)
    return np.concatenate([np.zeros((*density.shape[:-1], 1)), np.cumsum(steps, axis=-1)], axis=-1)


def _draw_mass(
    rng: np.random.Generator, z: FloatArray, redshift: FloatArray, mass: FloatArray, above: FloatArray
) -> FloatArray:
    """Draw masses from the mass function of a grid redshift, chosen at random between the two neighbours."""
    position = (z - redshift[0]) / (redshift[1] - redshift[0])
    row = np.minimum((position + rng.random(len(z))).astype(int), len(redshift) - 1)
    uniform = rng.random(len(z))
    drawn = np.empty(len(z))
    for i in np.unique(row):
        here = row == i
        drawn[here] = np.interp(uniform[here] * above[i, -1], above[i], mass)
    return drawn
