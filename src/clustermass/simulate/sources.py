"""Sources of a field: haloes (mass function of Tinker et al. 2008) and AGN (number counts of Moretti et al. 2003).

The number of haloes is drawn from a Poisson distribution, and their positions are unclustered. The spectrum of all AGN
is the same power law. If the configuration asks for it, some of the AGN lie around haloes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import cumulative_trapezoid

from clustermass.arrays import FloatArray, IdArray, Rows
from clustermass.cosmology import flat_lcdm
from clustermass.simulate.field import Field
from clustermass.simulate.spectra import CountSpectra, power_law, transmission
from clustermass.simulate.telescope import Response

if TYPE_CHECKING:
    from clustermass.config.source_models import Agn, Clusters

_SR_PER_DEG2 = (np.pi / 180) ** 2
_REDSHIFT_STEPS, _MASS_STEPS = 120, 160


@dataclass(frozen=True)
class Haloes(Rows):
    """Haloes of one field: native position in deg, cosmological redshift, log10(M500c / Msun). Arrays are (halo,)."""

    longitude: FloatArray
    latitude: FloatArray
    redshift: FloatArray
    log10_m500c: FloatArray


def halo_density(redshift: FloatArray, log10_m500c: FloatArray, cosmology: Mapping[str, float]) -> FloatArray:
    """Return the number of haloes per deg2, unit redshift and dex of M500c, (redshift, mass).

    The mass function is that of Tinker et al. 2008, ApJ 688, 709.
    """
    from colossus.lss import mass_function

    little_h = set_colossus(cosmology)
    mass = 10**log10_m500c * little_h
    per_ln_mass = np.stack(
        [mass_function.massFunction(mass, z, mdef="500c", model="tinker08", q_out="dndlnM") for z in redshift]
    )
    volume = flat_lcdm(cosmology).differential_comoving_volume(redshift).value * _SR_PER_DEG2
    return np.asarray(per_ln_mass * little_h**3 * np.log(10) * volume[:, None])


def set_colossus(cosmology: Mapping[str, float]) -> float:
    """Set the package colossus to the cosmology of a config block, and return h.

    Masses in colossus are in Msun/h.
    """
    from colossus.cosmology import cosmology as colossus_cosmology

    keys = {"H0": "h0_km_s_mpc", "Om0": "omega_m", "Ob0": "omega_b", "sigma8": "sigma8", "ns": "ns"}
    values = {name: cosmology[key] for name, key in keys.items()}
    colossus_cosmology.setCosmology("clustermass", flat=True, relspecies=False, persistence="", **values)
    return cosmology["h0_km_s_mpc"] / 100


def draw_haloes(field: Field, parameters: Clusters, cosmology: Mapping[str, float], rng: np.random.Generator) -> Haloes:
    """Return random haloes of `field` for the config block `clusters`. Their positions are uniform on the sphere."""
    redshift = np.linspace(parameters["redshift_min"], parameters["redshift_max"], _REDSHIFT_STEPS + 1)
    mass = np.linspace(parameters["log10_m500c_min"], parameters["log10_m500c_max"], _MASS_STEPS + 1)
    density = halo_density(redshift, mass, cosmology)
    above = cumulative_trapezoid(density, mass, initial=0)
    counts = cumulative_trapezoid(above[:, -1], redshift, initial=0)
    number = int(rng.poisson(counts[-1] * field.area_deg2))
    z = np.interp(rng.random(number) * counts[-1], counts, redshift)
    # the mass is drawn at one of the two neighbouring redshifts of the grid, which is chosen at random
    position = (z - redshift[0]) / (redshift[1] - redshift[0])
    row = np.minimum((position + rng.random(number)).astype(int), len(redshift) - 1)
    uniform, log10_mass = rng.random(number), np.empty(number)
    for i in np.unique(row):
        here = row == i
        log10_mass[here] = np.interp(uniform[here] * above[i, -1], above[i], mass)
    return Haloes(*field.draw(rng, number), z, log10_mass)


#: Moretti et al. 2003 (ApJ 588, 696), soft band 0.5-2 keV: slopes (bright, faint), flux of the break, unit of flux
_SLOPE_BRIGHT, _SLOPE_FAINT, _BREAK_CGS, _UNIT_CGS = 1.82, 0.60, 1.48e-14, 2e-15


@dataclass(frozen=True)
class PointSources(Rows):
    """Point sources: native position in deg, unabsorbed 0.5-2 keV flux in erg/s/cm2. Arrays are (source,)."""

    longitude: FloatArray
    latitude: FloatArray
    flux: FloatArray

    @property
    def source_ids(self) -> IdArray:
        """Return the SRC_ID of each source (-1, -2, ...). In `Photons.source`, this number marks its photons."""
        return -np.arange(1, len(self.flux) + 1, dtype=np.int32)


def joined_positions(haloes: Haloes, agn: PointSources) -> tuple[FloatArray, FloatArray]:
    """Return native longitude and latitude in deg of all haloes, followed by those of all AGN."""
    return np.append(haloes.longitude, agn.longitude), np.append(haloes.latitude, agn.latitude)


def counts_above(flux_cgs: ArrayLike, normalisation_per_deg2: float) -> FloatArray:
    """Return the number of sources per deg2 above `flux_cgs` (erg/s/cm2, 0.5-2 keV): Moretti et al. 2003, Eq. 2."""
    flux = np.asarray(flux_cgs, dtype=float)
    faint = _BREAK_CGS ** (_SLOPE_BRIGHT - _SLOPE_FAINT) * flux**_SLOPE_FAINT
    return normalisation_per_deg2 * _UNIT_CGS**_SLOPE_BRIGHT / (flux**_SLOPE_BRIGHT + faint)


def host_weight(haloes: Haloes, parameters: Agn) -> FloatArray:
    """Return the relative mean number of AGN around each halo, M500c (1 + z)^`clustered_evolution`, (halo,)."""
    return np.asarray(10.0**haloes.log10_m500c * (1 + haloes.redshift) ** parameters["clustered_evolution"])


def draw_agn(
    field: Field, parameters: Agn, haloes: Haloes, r500_arcmin: FloatArray, rng: np.random.Generator
) -> PointSources:
    """Return random AGN of `field` for the config block `agn`.

    `haloes` are the haloes above the flux limit. `r500_arcmin` holds their R500c, (halo,).

    Each AGN is put near a halo with the probability `clustered_fraction`. The probability that a halo is chosen is
    proportional to its `host_weight`. The AGN's projected distance r from the halo is uniform between 0 and
    `clustered_r500` times R500c, so that the surface density of AGN falls as 1 / r. All other AGN are uniform on the
    sky.
    """
    flux = np.geomspace(parameters["flux_min_cgs"], parameters["flux_max_cgs"], 2000)
    above = counts_above(flux, parameters["normalisation_per_deg2"])
    number = int(rng.poisson((above[0] - above[-1]) * field.area_deg2))
    drawn = above[-1] + (above[0] - above[-1]) * rng.random(number)
    log_flux = np.interp(-np.log(drawn), -np.log(above), np.log(flux)) if number else np.empty(0)
    longitude, latitude = field.draw(rng, number)
    clustered = (
        np.flatnonzero(rng.random(number) < parameters["clustered_fraction"]) if len(haloes) else np.empty(0, int)
    )
    if len(clustered):
        weight = np.cumsum(host_weight(haloes, parameters))
        host = np.searchsorted(weight, weight[-1] * rng.random(len(clustered)))
        radius = r500_arcmin[host] / 60 * parameters["clustered_r500"] * rng.random(len(clustered))
        phase = 2 * np.pi * rng.random(len(clustered))
        latitude[clustered] = haloes.latitude[host] + radius * np.sin(phase)
        longitude[clustered] = haloes.longitude[host] + radius * np.cos(phase) / np.cos(np.radians(latitude[clustered]))
    return PointSources(longitude, latitude, np.exp(log_flux))


def agn_spectrum(photon_index: float, nh_cm2: float, response: Response) -> CountSpectra:
    """Return the count spectrum of an absorbed power law with an unabsorbed flux of 1 erg/s/cm2 (0.5-2 keV)."""
    energy = response.photon_kev
    return CountSpectra.from_photons(power_law(energy, photon_index) * transmission(energy, nh_cm2), response)
