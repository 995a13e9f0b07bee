"""Conversions of masses: to another overdensity, to another cosmology, and to units with h.

Masses of clustermass are M500c in Msun, in the cosmology of the training sky (H0 and OMEGA_M in the header of a mass
catalogue). An argument `mass` is a Quantity, or a column of a Table that has a unit. A cosmology is a dict with keys of
the block `cosmology` of the configuration, such as `h0_km_s_mpc`. None stands for the cosmology of the default sky.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from astropy import units as u
from astropy.cosmology import units as cu
from astropy.table import Column
from numpy.typing import ArrayLike

from clustermass.arrays import FloatArray
from clustermass.checked import Cosmology, Distances, Positive, checked
from clustermass.config.resolve import default_config
from clustermass.cosmology import efunc, luminosity_distance_cm
from clustermass.errors import InputError
from clustermass.simulate.sources import set_colossus

__all__ = ["to_cosmology", "to_definition", "with_h"]


@checked
def to_definition(
    mass: u.Quantity | Column,
    redshift: ArrayLike,
    definition: str = "200c",
    concentration: str = "diemer19",
    cosmology: Cosmology | None = None,
) -> u.Quantity:
    """Return masses of another definition, in Msun, computed from masses M500c for NFW profiles.

    `mass` and `redshift` are broadcast against each other. `definition` is a mass definition in the notation of the
    package colossus: 200c, 200m, vir, 2500c, ... `concentration` is colossus' name of a model of the mean concentration
    at given mass and redshift. The default is the model of Diemer & Joyce (2019). Concentrations of single haloes
    scatter about the mean by 0.16 dex. Therefore M200c scatters by 0.03 dex at given M500c. The uncertainties of
    clustermass don't include this scatter. `cosmology` needs h0_km_s_mpc, omega_m, omega_b, sigma8 and ns. InputError
    if colossus doesn't know the definition or the model.

    >>> from astropy import units as u
    >>> print(f"{to_definition(1e14 * u.Msun, 0.3):.3e}")
    1.439e+14 solMass
    """
    from colossus.halo import mass_adv

    msun, z = _masses(mass, redshift)
    with _colossus(cosmology or default_config()["cosmology"]) as little_h:

        def converted(one: float, at: float) -> float:
            given = one * little_h, at, "500c", definition
            known = np.isfinite(one) and np.isfinite(at)
            return mass_adv.changeMassDefinitionCModel(*given, c_model=concentration)[0] / little_h if known else np.nan

        try:
            return np.vectorize(converted, otypes=[float])(msun, z)[()] * u.Msun
        except Exception as error:  # colossus raises nothing more special for unknown names
            raise InputError(f"to_definition: {error}") from error


@checked
def to_cosmology(
    mass: u.Quantity | Column,
    redshift: ArrayLike,
    cosmology: Distances,
    trained: Distances | None = None,
    slope: Positive | None = None,
) -> u.Quantity:
    """Return approximate masses M500c in another cosmology, in Msun, for clusters with the same photons and redshifts.

    `trained` is the cosmology of `mass`, and `cosmology` is the other one. Both are flat LCDM, given by h0_km_s_mpc and
    omega_m. The photons fix the flux, and therefore L500 / D_L^2. The scaled emission measure of the gas as a function
    of r / R500c is assumed to depend on mass and redshift, but not on the cosmology. Therefore L500 is proportional to
    M^slope E(z)^(5/3) h^(-4/3). With primes for the other cosmology, this means

        slope log10(M' / M) = 2 log10(D_L' / D_L) - (5/3) log10(E' / E) + (4/3) log10(h' / h).

    `slope` is d ln L / d ln M, by default that of the simulated sky (`clusters.relations.slope`). If the slope is 1.8
    instead of 1.5, the shift is smaller by a sixth. Two effects aren't included: the change of the angle of R500c, and
    the change of the mass function. (The networks' masses are drawn towards masses that are frequent in the mass
    function.) Only networks trained on a sky with the other cosmology include these effects
    (docs/explanation/training.md).

    >>> from astropy import units as u
    >>> print(f"{to_cosmology(1e14 * u.Msun, 0.3, {'h0_km_s_mpc': 70.0, 'omega_m': 0.3}):.3e}")
    9.924e+13 solMass
    """
    config = default_config()
    old = trained or config["cosmology"]
    msun, z = _masses(mass, redshift)
    steepness = slope or config["skies"]["embedded"]["clusters"]["relations"]["slope"]
    distance = np.log10(luminosity_distance_cm(z, cosmology) / luminosity_distance_cm(z, old))
    expansion = np.log10(efunc(z, cosmology) / efunc(z, old))
    little_h = np.log10(cosmology["h0_km_s_mpc"] / old["h0_km_s_mpc"])
    shift = (2 * distance - 5 / 3 * expansion + 4 / 3 * little_h) / steepness
    return msun * 10**shift * u.Msun


@checked
def with_h(mass: u.Quantity | Column, h0_km_s_mpc: Positive) -> u.Quantity:
    """Return masses in Msun / h, the unit of simulated halo catalogues. The numbers are h times those in Msun.

    >>> from astropy import units as u
    >>> print(with_h(1e14 * u.Msun, 70.0))
    70000000000000.0 solMass / littleh
    """
    return _in_msun(mass).to(u.Msun / cu.littleh, cu.with_H0(h0_km_s_mpc * u.km / u.s / u.Mpc))


def _in_msun(mass: u.Quantity | Column) -> u.Quantity:
    """Return masses in Msun; masked ones become NaN. InputError unless `mass` has a unit of mass."""
    values = np.ma.filled(mass, np.nan)
    if not isinstance(values, u.Quantity | Column) or not u.Unit(values.unit or "").is_equivalent(u.Msun):
        raise InputError("mass: must have a unit of mass, such as 10**table['LOGM500'] * u.Msun.")
    return u.Quantity(values, u.Msun)


def _masses(mass: u.Quantity | Column, redshift: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return masses in Msun and redshifts with the same shape; masked ones become NaN."""
    known: FloatArray = np.ma.asarray(redshift, dtype=float).filled(np.nan)
    msun, z = np.broadcast_arrays(_in_msun(mass).to_value(u.Msun), known)
    if (z <= 0).any():
        raise InputError("redshift: must be above 0.")
    return np.asarray(msun, dtype=float), np.asarray(z, dtype=float)


@contextmanager
def _colossus(cosmology: Cosmology) -> Iterator[float]:
    """Set the cosmology of colossus within a `with` block, and yield h. Afterwards the former cosmology is restored."""
    from colossus.cosmology import cosmology as colossus_cosmology

    before = colossus_cosmology.current_cosmo
    try:
        yield set_colossus(cosmology)
    finally:
        colossus_cosmology.current_cosmo = before
