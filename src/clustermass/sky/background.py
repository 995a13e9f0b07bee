"""Smooth background: thermal foreground of the Galaxy, unresolved AGN and particles, each a share of the counts."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from clustermass.errors import InputError
from clustermass.sky.instrument import PHOTON_KEV, detection_band_fraction, fold
from clustermass.sky.plasma import plasma_power
from clustermass.sky.spectra import CountSpectra, FloatArray, power_law, transmission

#: keV; local hot bubble and Galactic halo, about those of Ponti et al. 2023 (A&A 674, A195) for the eFEDS field
LOCAL_BUBBLE_KEV, GALACTIC_HALO_KEV = 0.10, 0.22
#: photon index of the extragalactic background (De Luca & Molendi 2004)
EXTRAGALACTIC_INDEX = 1.45


def background_spectrum(parameters: Mapping[str, Any], nh_cm2: float) -> CountSpectra:
    """Count spectrum of the background per arcmin2.

    Parameters
    ----------
    parameters
        Config block `background`: `rate_per_arcmin2_ks` in the detection band 0.2-2.3 keV, `shares` of it.
    nh_cm2
        Hydrogen column of the halo and extragalactic parts, cm-2.

    Returns
    -------
    One spectrum; its `rate` is count / (s arcmin2) over all detector energies.
    """
    shares = parameters["shares"]
    spectra = _components(nh_cm2)
    total = sum(float(shares[name]) for name in spectra)
    if total <= 0:
        raise InputError("background.shares: all are 0. Give at least one a positive value.")
    counts = sum(float(shares[name]) / total * spectrum for name, spectrum in spectra.items())
    return CountSpectra.from_counts(np.atleast_2d(counts) * float(parameters["rate_per_arcmin2_ks"]) / 1000)


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
