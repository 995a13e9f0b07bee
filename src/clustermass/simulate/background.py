"""Smooth background: thermal foreground of the Galaxy, unresolved AGN and particles, each a share of the counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clustermass.arrays import FloatArray
from clustermass.errors import InputError
from clustermass.simulate.spectra import CountSpectra, plasma_power, power_law, transmission
from clustermass.simulate.telescope import PHOTON_KEV, detection_band_fraction, fold

if TYPE_CHECKING:
    from clustermass.config.sky_models import Background as BackgroundBlock

#: keV; local hot bubble and Galactic halo, about those of Ponti et al. 2023 (A&A 674, A195) for the eFEDS field
LOCAL_BUBBLE_KEV, GALACTIC_HALO_KEV = 0.10, 0.22
#: photon index of the extragalactic background (De Luca & Molendi 2004)
EXTRAGALACTIC_INDEX = 1.45


@dataclass(frozen=True)
class Background:
    """Count spectra of the smooth background; their `rate` is count / (s arcmin2) over all detector energies.

    Attributes
    ----------
    sky
        Photons through the mirrors, per second of vignetting-corrected exposure.
    particle
        Events that bypass the mirrors, per second of the exposure without vignetting.
    """

    sky: CountSpectra
    particle: CountSpectra

    @classmethod
    def from_config(cls, parameters: BackgroundBlock, nh_cm2: float) -> Background:
        """Build it from the config block `background`.

        Parameters
        ----------
        parameters
            `rate_per_arcmin2_ks` in the detection band 0.2-2.3 keV, `shares` of it.
        nh_cm2
            Hydrogen column of the halo and extragalactic parts, cm-2.

        Raises
        ------
        InputError
            All shares are 0.
        """
        shares: Mapping[str, Any] = parameters["shares"]
        total = sum(float(share) for share in shares.values())
        if total <= 0:
            raise InputError("background.shares: all are 0. Give at least one a positive value.")
        level = float(parameters["rate_per_arcmin2_ks"]) / 1000 / total
        counts = {name: np.atleast_2d(level * float(shares[name]) * part) for name, part in _components(nh_cm2).items()}
        particle = counts.pop("particle")
        return cls(CountSpectra.from_counts(np.sum(list(counts.values()), axis=0)), CountSpectra.from_counts(particle))


def _components(nh_cm2: float) -> dict[str, FloatArray]:
    """Count spectra with one count in the detection band each."""
    absorbed = transmission(PHOTON_KEV, nh_cm2)
    folded = {
        "local_bubble": fold(plasma_power(PHOTON_KEV, LOCAL_BUBBLE_KEV) / PHOTON_KEV),
        "galactic_halo": fold(plasma_power(PHOTON_KEV, GALACTIC_HALO_KEV) / PHOTON_KEV * absorbed),
        "extragalactic": fold(power_law(PHOTON_KEV, EXTRAGALACTIC_INDEX) * absorbed),
    }
    folded["particle"] = np.ones_like(folded["extragalactic"])
    return {name: counts / (counts.sum() * detection_band_fraction(counts)) for name, counts in folded.items()}
