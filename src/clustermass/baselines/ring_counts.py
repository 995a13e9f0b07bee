"""Photons of clusters in rings about their centres and in energy bands: those expected from the model of the sky."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from clustermass.arrays import FloatArray
from clustermass.simulate.gas import EmittingHaloes
from clustermass.simulate.photons import Background
from clustermass.simulate.spectra import ClusterSpectra, CountSpectra
from clustermass.simulate.telescope import KingPsf, response_to

if TYPE_CHECKING:
    from clustermass.config.sky_models import Sky

#: edges of the rings in arcsec
RING_EDGES_ARCSEC = np.array([0.0, 8, 16, 24, 36, 52, 80, 120, 170, 240, 340, 480])
#: radii in arcsec between which the shares of a profile are computed
_RADII = np.concatenate([[0.0], np.geomspace(1.5, 1500.0, 64)])
#: axis ratios, radii (arcsec), points per interval of radii, phases and PSF quantiles at which the PSF is averaged
_RATIOS = np.linspace(0.2, 1.0, 9)
_STARTS = np.geomspace(0.2, 4000.0, 200)
_POINTS, _PHASES, _QUANTILES = 4, 16, 1000


@dataclass(frozen=True)
class RingModel:
    """The mean numbers of photons in the rings `RING_EDGES_ARCSEC` and in energy bands."""

    spectra: ClusterSpectra
    band_shares: FloatArray  #: share of the photons of each spectrum in each band, (band, spectrum)
    landing: FloatArray  #: probability that a photon between two of `_RADII` lands in a ring, (interval, table)
    softness: FloatArray  #: weight of the PSF of the lowest band in that of each band, (band,)
    sky_background: FloatArray  #: count/s/arcmin2 in each band, (band,)
    particle_background: FloatArray  #: the same for particles

    @classmethod
    def from_config(cls, sky: Sky, bands_ev: FloatArray) -> RingModel:
        """Return the model of a sky for energy bands with the edges `bands_ev` in eV, (band + 1,)."""
        nh_cm2, response = sky["absorption"]["nh_cm2"], response_to(sky["telescope"]["pi_max_ev"])
        spectra = ClusterSpectra.build(sky["clusters"]["redshift_max"], nh_cm2, response)
        background = Background.from_config(sky["background"], nh_cm2, response)
        return cls(
            spectra,
            _shares(spectra.spectra, bands_ev),
            *_landing(KingPsf(**sky["psf"]), (bands_ev[1:] + bands_ev[:-1]) / 2),
            background.sky.rate[0] * _shares(background.sky, bands_ev)[:, 0],
            background.particle.rate[0] * _shares(background.particle, bands_ev)[:, 0],
        )

    def rates(self, clusters: EmittingHaloes) -> FloatArray:
        """Return the mean count rate of each cluster in each ring and band in count/s, (cluster, ring, band).

        The rings are centred on the cluster. The rate is that per second of vignetting-corrected exposure. A cluster's
        ellipticity is included, and so is the PSF, whose width is interpolated linearly between the bands' energies.
        """
        gas, redshift = clusters.gas, clusters.haloes.redshift
        inside = np.stack([gas.profiles.enclosed(radius / 60 / gas.scale_arcmin) for radius in _RADII[1:]], axis=1)
        shares = np.diff(inside, axis=1, prepend=0.0) / gas.profiles.total[:, None]
        in_rings = (shares @ self.landing).reshape(len(shares), len(_RATIOS), 2, -1)
        step = _RATIOS[1] - _RATIOS[0]
        row = np.clip(((gas.axis_ratio - _RATIOS[0]) / step).astype(int), 0, len(_RATIOS) - 2)
        rounder = ((gas.axis_ratio - _RATIOS[row]) / step)[:, None, None]
        cluster = np.arange(len(row))
        soft, hard = np.moveaxis(in_rings[cluster, row] * (1 - rounder) + in_rings[cluster, row + 1] * rounder, 1, 0)
        rings = hard[..., None] + (soft - hard)[..., None] * self.softness
        bands = [self.spectra.interpolate(values, gas.kt_kev, redshift) for values in self.band_shares]
        return np.asarray(rings * (np.stack(bands, axis=1) * clusters.rate[:, None])[:, None])

    def background(self, exposure_s: FloatArray, particle_exposure_s: FloatArray) -> FloatArray:
        """Return the mean number of background events in each ring and band, (ring, band).

        The two arguments are the mean exposure of each ring to photons and to particles in s, (ring,).
        """
        area = np.pi * np.diff(RING_EDGES_ARCSEC**2) / 3600
        photons = (area * exposure_s)[:, None] * self.sky_background
        return np.asarray(photons + (area * particle_exposure_s)[:, None] * self.particle_background)


def _shares(spectra: CountSpectra, bands_ev: FloatArray) -> FloatArray:
    """Return the share of each spectrum's photons in each band, (band, spectrum)."""
    probability = np.linspace(0.0, 1.0, spectra.quantiles.shape[1])
    below = np.stack([np.interp(bands_ev, row, probability) for row in spectra.quantiles.astype(float)], axis=1)
    return np.diff(below, axis=0)


def _landing(psf: KingPsf, energy_ev: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the fields `landing` and `softness` of `RingModel`. `energy_ev` holds the energy of each band, (band,).

    The first result is (interval, axis ratio * 2 * ring). Its values are for the PSF at the lowest and at the highest
    of the energies. The radii in `_RADII` are the geometric mean radii of ellipses, as in the profiles of clusters.
    """
    scatter = np.stack([_psf_radii(psf, energy) for energy in energy_ev])
    starts = [_inside(_STARTS, radii) for radii in (scatter[0], scatter[-1])]
    points = np.sqrt(_RADII[:-1] ** 2 + np.diff(_RADII**2) * (np.arange(_POINTS)[:, None] + 0.5) / _POINTS)
    phase = np.pi / 2 * (np.arange(_PHASES) + 0.5) / _PHASES
    stretch = np.sqrt(np.cos(phase) ** 2 / _RATIOS[:, None] + np.sin(phase) ** 2 * _RATIOS[:, None])
    log_radius = np.log(points.T[:, None, :, None] * stretch[:, None])  # (interval, axis ratio, point, phase)
    inside = [
        np.stack([np.interp(log_radius, np.log(_STARTS), edge).mean(axis=(-2, -1)) for edge in table.T], axis=-1)
        for table in starts
    ]
    landing = np.diff(np.stack(inside, axis=2), axis=-1)
    width = np.median(scatter, axis=1)
    softness = (width - width[-1]) / (width[0] - width[-1]) if width[0] != width[-1] else np.ones(len(width))
    return landing.reshape(len(landing), -1), softness


def _inside(starts: FloatArray, scatter: FloatArray) -> FloatArray:
    """Return the probability that a photon lands inside each edge of the rings, (start, edge).

    A photon starts at one of the distances `starts` from the centre. It is moved by one of the distances `scatter` in a
    random direction.
    """
    start, step = starts[:, None], scatter[None, :]
    parts = [((edge**2 - start**2 - step**2) / (2 * start * step)).clip(-1, 1) for edge in RING_EDGES_ARCSEC]
    return np.stack([1 - np.arccos(cosine).mean(axis=1) / np.pi for cosine in parts], axis=1)


class _Quantiles:
    """Stands for a random generator. Its uniform numbers are equidistant."""

    def random(self, number: int, dtype: Any = float) -> FloatArray:
        return ((np.arange(number) + 0.5) / number).astype(dtype)


def _psf_radii(psf: KingPsf, energy_ev: float) -> FloatArray:
    """Return equally probable distances in arcsec by which the PSF moves photons of an energy, (quantile,)."""
    energies = np.full(_QUANTILES, energy_ev, dtype=np.float32)
    return psf.draw_radius(cast("np.random.Generator", _Quantiles()), energies).astype(float)
