"""The model of the eROSITA telescopes: effective area, energy redistribution, point-spread function.

The effective area applies on the optical axis. Vignetting is included only in the exposure maps, which hold equivalent
on-axis seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import ArrayLike

from clustermass.arrays import Float32Array, FloatArray

#: on-axis effective area of the seven telescope modules with filter; photon energy keV, area cm2. Least-squares fit to
#: the official eROSITA on-axis ARF of 2023-01-17 (TM0); straight lines between the nodes agree with it to 1 % + 12 cm2,
#: and above 3.25 keV to 1 % + 3 cm2.
EFFECTIVE_AREA: tuple[tuple[float, float], ...] = (
    (0.103, 11), (0.128, 9), (0.165, 34), (0.204, 102), (0.246, 256), (0.281, 435), (0.284, 396), (0.286, 225),
    (0.294, 135), (0.297, 129), (0.305, 163), (0.316, 281), (0.352, 480), (0.398, 706), (0.404, 692), (0.409, 609),
    (0.415, 630), (0.433, 771), (0.525, 1206), (0.546, 1034), (0.607, 1324), (0.757, 1782), (0.937, 2109),
    (1.204, 2431), (1.548, 2525), (1.556, 2424), (1.563, 2115), (1.672, 2174), (1.826, 2161), (1.856, 2078),
    (2.014, 1983), (2.113, 1815), (2.156, 1683), (2.193, 1498), (2.241, 814), (2.256, 671), (2.264, 616), (2.329, 503),
    (2.350, 513), (2.448, 650), (2.582, 704), (2.661, 695), (2.762, 619), (2.929, 683), (3.095, 684), (3.241, 651),
    (3.398, 646), (3.532, 637), (4.053, 583), (5.482, 362), (6.379, 259), (7.368, 174), (8.456, 110), (9.688, 63),
    (11.249, 24),
)  # fmt: skip

#: energy resolution: photon energy keV, full width at half maximum eV. Measured on the official on-axis RMF of
#: 2023-01-17.
RESOLUTION_FWHM: tuple[tuple[float, float], ...] = (
    (0.1, 54), (0.28, 58), (0.53, 64), (0.70, 66), (0.93, 70), (1.25, 75), (1.49, 78), (1.74, 82), (2.0, 86), (3.0, 98),
    (4.0, 111), (5.0, 122), (6.4, 135), (8.0, 147), (10.0, 158), (12.0, 168),
)  # fmt: skip

#: photon energy keV, share of the photons with a small charge loss (exponential, mean `CHARGE_LOSS_EV`), share with a
#: loss uniform from none to all; jumps are the absorption edges of oxygen and silicon. This table and the three numbers
#: below are a fit to the RMF's cumulative response at 0.16-3 keV.
CHARGE_LOSS: tuple[tuple[float, float, float], ...] = (
    (0.100, 0.92, 0.0), (0.280, 0.95, 0.0068), (0.540, 0.87, 0.0049), (0.545, 0.87, 0.0222), (0.620, 0.85, 0.0154),
    (0.750, 0.81, 0.0102), (0.950, 0.78, 0.0073), (1.250, 0.72, 0.0053), (1.838, 0.68, 0.0040),
    (1.842, 0.91, 0.0349), (1.900, 0.74, 0.0259), (2.000, 0.68, 0.0160), (2.200, 0.65, 0.0110), (3.000, 0.63, 0.0086),
)  # fmt: skip
CHARGE_LOSS_EV = 22.2
#: shift of the full-charge peak above the photon energy, eV: calibration sets the mean, not the peak, to this energy
_FULL_CHARGE_SHIFT_EV = 10.9
#: standard deviation that charge loss contributes to the width of the peak, eV
_CHARGE_LOSS_WIDTH_EV = 15.4

#: step of both grids of energies, eV
_STEP_EV = 5.0
#: detector energies, eV, of the band for source detection, rates and background levels
DETECTION_BAND_EV = (200.0, 2300.0)


def effective_area_cm2(energy_kev: ArrayLike) -> FloatArray:
    """Return the on-axis effective area of all seven modules in cm2 at photon energies in keV."""
    nodes, area = np.array(EFFECTIVE_AREA, dtype=float).T
    return np.interp(np.asarray(energy_kev, dtype=float), nodes, area)


def redistribution_below(detector_ev: ArrayLike, photon_kev: ArrayLike) -> FloatArray:
    """Return the probability that a photon of `photon_kev` (0.1-12 keV) gets a detector energy below `detector_ev`.

    The distribution of detector energies is a Gaussian for some photons. For others, which lose a little charge, it is
    this Gaussian smeared to lower energies by an exponential. For a small share of photons, it is flat from zero to the
    photon energy. `CHARGE_LOSS` holds the shares of the second and the third kind of photons at each photon energy. The
    arguments are broadcast.
    """
    from scipy.special import log_ndtr, ndtr

    energy = np.asarray(photon_kev, dtype=float)
    nodes, fwhm = np.array(RESOLUTION_FWHM, dtype=float).T
    sigma = np.sqrt(np.interp(energy, nodes, fwhm) ** 2 / (8 * np.log(2)) - _CHARGE_LOSS_WIDTH_EV**2)
    nodes, some, any_amount = np.array(CHARGE_LOSS, dtype=float).T
    losing, shelf = np.interp(energy, nodes, some), np.interp(energy, nodes, any_amount)
    offset = (np.asarray(detector_ev, dtype=float) - 1000 * energy - _FULL_CHARGE_SHIFT_EV) / sigma
    scale = sigma / CHARGE_LOSS_EV
    tail = np.exp(offset * scale + scale**2 / 2 + log_ndtr(-offset - scale))
    on_shelf = np.clip(np.asarray(detector_ev) / (1000 * energy), 0, 1)
    return np.asarray((1 - shelf) * (ndtr(offset) + losing * tail) + shelf * on_shelf)


@dataclass(frozen=True)
class Response:
    """Response of the telescopes to photons, on grids of photon energies and of detector energies (PI bins).

    All simulated events lie between 200 eV and `pi_max_ev`. Photon energies reach 650 eV above `pi_max_ev`, because a
    photon may be measured at a lower energy than its own.
    """

    pi_max_ev: float = 2350.0

    @cached_property
    def pi_edges_ev(self) -> FloatArray:
        """Return the edges of the PI bins in eV, (PI bin + 1,)."""
        return np.arange(200.0, self.pi_max_ev + 1, _STEP_EV)

    @cached_property
    def photon_kev(self) -> FloatArray:
        """Return the centres of the bins of photon energies in keV, (photon energy,)."""
        return np.arange(0.1025, self.pi_max_ev / 1000 + 0.65, _STEP_EV / 1000)

    @cached_property
    def redistribution(self) -> FloatArray:
        """Return the probability of each PI bin at each photon energy, (photon energy, PI bin). A row sums to <= 1."""
        below = redistribution_below(self.pi_edges_ev, self.photon_kev[:, None])
        return np.maximum(np.diff(below, axis=1), 0)  # rounding makes it -1e-16 where it is zero

    def fold(self, photon_spectrum: FloatArray) -> FloatArray:
        """Fold photon spectra with the response; return their count/s in each PI bin, shape (..., PI bin).

        `photon_spectrum` is in photon / (s cm2 keV) at the energies `photon_kev`, shape (..., photon energy).
        """
        return (photon_spectrum * effective_area_cm2(self.photon_kev) * (_STEP_EV / 1000)) @ self.redistribution

    def detection_band_fraction(self, count_spectrum: FloatArray) -> FloatArray:
        """Return the fraction of the counts of spectra (..., PI bin) that lies in the detection band, 0.2-2.3 keV."""
        inside = self.pi_edges_ev[1:] <= DETECTION_BAND_EV[1]
        total = count_spectrum.sum(-1)
        return np.asarray(count_spectrum[..., inside].sum(-1) / np.where(total > 0, total, 1.0))


@cache
def response_to(pi_max_ev: float) -> Response:
    """Return the response up to a detector energy in eV. Its tables are kept for later calls."""
    return Response(pi_max_ev)


@dataclass(frozen=True)
class KingPsf:
    """King point-spread function (1 + (r / core)^2)^-slope, cut at `radius_max_arcsec`. Its integral is 1.

    Its fields are the keys of the config block `psf`. The core radius is `core_arcsec` at 1 keV, and `core_arcsec` (E /
    keV)^`energy_slope` at the photon energy E. By default, `core_arcsec` is 7.6 and `slope` is 1.5. The wings then fall
    as r^-3, and the half-energy width is 26 arcsec, as for eROSITA on average over the field of view (Predehl et al.
    2021).
    """

    core_arcsec: float
    slope: float
    energy_slope: float
    radius_max_arcsec: float

    @property
    def _total(self) -> float:
        return float(1 - (1 + (self.radius_max_arcsec / self.core_arcsec) ** 2) ** (1 - self.slope))

    def __call__(self, radius_arcsec: ArrayLike) -> FloatArray:
        """Return the PSF per arcsec2 at `radius_arcsec` for photons of 1 keV. Its integral over the plane is 1."""
        radius = np.asarray(radius_arcsec, dtype=float)
        peak = (self.slope - 1) / (np.pi * self.core_arcsec**2 * self._total)
        profile = peak * (1 + (radius / self.core_arcsec) ** 2) ** -self.slope
        return np.where(radius <= self.radius_max_arcsec, profile, 0.0)

    def enclosed(self, radius_arcsec: ArrayLike) -> FloatArray:
        """Return the fraction of photons of 1 keV that land inside `radius_arcsec`."""
        radius = np.minimum(np.asarray(radius_arcsec, dtype=float), self.radius_max_arcsec)
        return np.asarray((1 - (1 + (radius / self.core_arcsec) ** 2) ** (1 - self.slope)) / self._total)

    def draw_radius(self, rng: np.random.Generator, energy_ev: Float32Array) -> Float32Array:
        """Return a random distance from the source in arcsec for each of the photons with energies `energy_ev`."""
        core = self._core(energy_ev)
        cut = 1 - (1 + np.square(np.float32(self.radius_max_arcsec) / core)) ** np.float32(1 - self.slope)
        outside = 1 - cut * rng.random(len(core), dtype=np.float32)
        return core * np.sqrt(np.maximum(outside ** np.float32(1 / (1 - self.slope)) - 1, 0))

    def _core(self, energy_ev: Float32Array) -> Float32Array:
        """Return the core radius in arcsec for each photon, computed from its detector energy `energy_ev`."""
        table = self.core_arcsec * (np.arange(1, 321) * 0.01) ** self.energy_slope
        return np.asarray(table.astype(np.float32)[np.clip(energy_ev * 0.1, 0, 319).astype(np.int32)])
