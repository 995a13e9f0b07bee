"""Active galactic nuclei: number counts of Moretti et al. 2003, one power-law spectrum, some of them around haloes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from clustermass.arrays import FloatArray, IdArray, Rows
from clustermass.simulate.field import Field
from clustermass.simulate.haloes import Haloes
from clustermass.simulate.spectra import CountSpectra, power_law, transmission
from clustermass.simulate.telescope import PHOTON_KEV

if TYPE_CHECKING:
    from clustermass.config.sky_models import Agn

#: Moretti et al. 2003 (ApJ 588, 696), soft band 0.5-2 keV: bright and faint slopes and the flux of the break
_SLOPE_BRIGHT, _SLOPE_FAINT, _BREAK_CGS, _UNIT_CGS = 1.82, 0.60, 1.48e-14, 2e-15


@dataclass(frozen=True)
class PointSources(Rows):
    """Point sources: native position in deg and unabsorbed flux in erg/s/cm2, 0.5-2 keV."""

    longitude: FloatArray
    latitude: FloatArray
    flux: FloatArray

    @property
    def source_ids(self) -> IdArray:
        """SRC_ID of each source and its photons: -1, -2, ..."""
        return -np.arange(1, len(self.flux) + 1, dtype=np.int32)


def counts_above(flux_cgs: ArrayLike, normalisation_per_deg2: float) -> FloatArray:
    """Return the sources per deg2 brighter than `flux_cgs` (erg/s/cm2, 0.5-2 keV): Moretti et al. 2003, Eq. 2."""
    flux = np.asarray(flux_cgs, dtype=float)
    faint = _BREAK_CGS ** (_SLOPE_BRIGHT - _SLOPE_FAINT) * flux**_SLOPE_FAINT
    return normalisation_per_deg2 * _UNIT_CGS**_SLOPE_BRIGHT / (flux**_SLOPE_BRIGHT + faint)


def draw_agn(
    field: Field, parameters: Agn, haloes: Haloes, r500_arcmin: FloatArray, rng: np.random.Generator
) -> PointSources:
    """Draw the AGN of `field` from the config block `agn`.

    A share `clustered_fraction` of them lies around haloes, chosen in proportion to M500c, at projected distances
    uniform up to `clustered_r500` R500c (a surface density that falls as 1 / r); the rest is uniform on the sky.

    Parameters
    ----------
    field
        The field.
    parameters
        Config block `agn`.
    haloes, r500_arcmin
        The haloes that emit and their R500c in arcmin, shape (halo,).
    rng
        Generator of this component's stream.
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
        weight = np.cumsum(10.0**haloes.log10_m500c)
        host = np.searchsorted(weight, weight[-1] * rng.random(len(clustered)))
        radius = r500_arcmin[host] / 60 * parameters["clustered_r500"] * rng.random(len(clustered))
        phase = 2 * np.pi * rng.random(len(clustered))
        latitude[clustered] = haloes.latitude[host] + radius * np.sin(phase)
        longitude[clustered] = haloes.longitude[host] + radius * np.cos(phase) / np.cos(np.radians(latitude[clustered]))
    return PointSources(longitude, latitude, np.exp(log_flux))


def agn_spectrum(photon_index: float, nh_cm2: float) -> CountSpectra:
    """Absorbed power law for a flux of 1 erg/s/cm2 (0.5-2 keV, unabsorbed), folded; one spectrum."""
    return CountSpectra.from_photons(power_law(PHOTON_KEV, photon_index) * transmission(PHOTON_KEV, nh_cm2))
