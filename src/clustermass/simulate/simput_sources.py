"""Images and spectra of a SIMPUT file.

Images are shapes of a few clusters, which the others share with a size and a rotation: libsimput reads no more than 200
images of a file. Each cluster takes the image of the one that looks most like it, scaled by IMGSCAL and turned by
IMGROTA. Which clusters have an image of their own is decided by the number of photons that the wrong image would
misplace, in units of their Poisson noise.

In a realization of the default sky, the share of the flux inside any circle is off by at most 1.3 % for half of the
clusters of more than 30 expected counts, 3 % for 95 % of them and 6 % for all; the axis ratio by 0.02, 0.07 and 0.13.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.io import fits

from clustermass.arrays import Float32Array, FloatArray, IntArray
from clustermass.simulate.gas import Gas, RadialProfiles
from clustermass.simulate.spectra import ERG_PER_KEV, plasma_power, power_law, transmission

#: most images of one file; libsimput ends with an error beyond 200
IMAGES_MAX = 190
#: pixels along a side (even), and points along each at which the brightness of a pixel is averaged
IMAGE_PIXELS, _SUBPIXELS = 160, 4
#: shares of the flux whose radii describe a shape
_SHARES = np.arange(0.05, 0.96, 0.05)


@dataclass(frozen=True)
class SharedImages:
    """Which image each cluster shows.

    Attributes
    ----------
    hosts
        Row of the cluster that each image was made of, shape (image,).
    image
        Row in `hosts` of each cluster's image, shape (cluster,).
    scale
        IMGSCAL of each cluster: size of the image over that of the cluster, shape (cluster,).
    """

    hosts: IntArray
    image: IntArray
    scale: FloatArray


def share_images(gas: Gas, counts: FloatArray, images_max: int = IMAGES_MAX) -> SharedImages:
    """Choose the clusters that lend their images, one after the other where the mismatch so far is most significant.

    Parameters
    ----------
    gas
        Profiles, sizes and axis ratios of the clusters.
    counts
        Expected counts of each cluster in any unit, shape (cluster,): the weight of its mismatch.
    images_max
        Number of images, or of the clusters if they are fewer.
    """
    if not len(counts):
        return SharedImages(np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp), np.empty(0))
    shape, log_size = _shapes(gas)
    image = np.zeros(len(counts), dtype=np.intp)
    mismatch = np.full(len(counts), np.inf)
    hosts: list[int] = []
    for number in range(min(images_max, len(counts))):
        host = int(np.argmax(counts * mismatch)) if number else int(np.argmax(counts))
        hosts.append(host)
        distance = np.square(shape - shape[host]).sum(axis=1)
        closer = distance < mismatch
        image[closer], mismatch[closer] = number, distance[closer]
    rows = np.array(hosts, dtype=np.intp)
    return SharedImages(rows, image, np.exp(log_size[rows[image]] - log_size))


def _shapes(gas: Gas) -> tuple[FloatArray, FloatArray]:
    """Return shapes (cluster, feature) and ln of sizes in arcmin (cluster,).

    Features are ln(radius) of fixed shares of the flux without the size, times the mean slope of the growth curve, and
    ln(axis ratio), so that the distance of two shapes is the root mean square displacement in units of enclosed flux.
    """
    radius = np.stack([_log_radius(gas.profiles, share) for share in _SHARES], axis=1)
    slope = (np.gradient(_SHARES) / np.gradient(radius, axis=1)).mean(axis=0)
    # the size that minimises the distance of two shapes of one axis ratio
    size = radius @ slope**2 / (slope**2).sum()
    features = (radius - size[:, None]) * slope / np.sqrt(len(_SHARES))
    # stretching displaces by half the change of ln(axis ratio) along the axes, by its rms 1 / sqrt(2) on average
    stretch = np.log(gas.axis_ratio) * np.sqrt((slope**2).mean()) / np.sqrt(8)
    return np.concatenate([features, stretch[:, None]], axis=1), size + np.log(gas.scale_arcmin)


def _log_radius(profiles: RadialProfiles, share: float) -> FloatArray:
    """Return ln of the radius that encloses `share` of each profile's total, in its own units, by bisection."""
    low = np.full(len(profiles.total), np.log(profiles.nodes[0]) - 5)
    high = np.full(len(profiles.total), np.log(profiles.nodes[-1]))
    for _ in range(45):
        middle = 0.5 * (low + high)
        inside = profiles.enclosed(np.exp(middle)) < share * profiles.total
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return high


def cluster_image(gas: Gas, row: int) -> tuple[Float32Array, float]:
    """Draw the brightness of one cluster, major axis along x.

    Parameters
    ----------
    gas
        The clusters' gas.
    row
        Which cluster.

    Returns
    -------
    Image (y, x) of sum 1 without the PSF, and the side of a pixel in deg. The image just holds the whole profile.
    """
    profiles = gas.profiles[np.array([row])]
    # the total is reached at the cut, and there only; rounding must not put it elsewhere
    edge = float(np.exp(_log_radius(profiles, 1 - 1e-9)[0]))
    stretch = np.sqrt(gas.axis_ratio[row])
    points = IMAGE_PIXELS // 2 * _SUBPIXELS
    offset = (np.arange(points) + 0.5) / points * edge / stretch
    # the four quadrants are alike; radii are geometric means along the ellipse, as in photons.cluster_photons
    radius = np.hypot(offset * stretch, (offset / stretch)[:, None])
    nodes, brightness = np.log(profiles.nodes), np.log(profiles.brightness[0])
    value = np.where(radius <= edge, np.exp(np.interp(np.log(radius), nodes, brightness)), 0.0)
    quadrant = value.reshape(IMAGE_PIXELS // 2, _SUBPIXELS, IMAGE_PIXELS // 2, _SUBPIXELS).sum(axis=(1, 3))
    half = np.concatenate([quadrant[:, ::-1], quadrant], axis=1)
    image = np.concatenate([half[::-1], half])
    pixel_deg = 2 * edge / stretch * gas.scale_arcmin[row] / 60 / IMAGE_PIXELS
    return (image / image.sum()).astype(np.float32), float(pixel_deg)


def image_name(number: int) -> str:
    """Name of the extension of image `number`, counted from 0."""
    return f"IMG{number + 1:03d}"


def image_hdu(gas: Gas, row: int, number: int, cards: Mapping[str, Any]) -> fits.ImageHDU:
    """Return the image of one cluster as extension `number`, with header `cards`."""
    image, pixel_deg = cluster_image(gas, row)
    hdu = fits.ImageHDU(image, name=image_name(number), ver=1)
    centre = IMAGE_PIXELS / 2 + 0.5
    projection: dict[str, Any] = {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CUNIT1": "deg",
        "CUNIT2": "deg",
        "CRPIX1": centre,
        "CRPIX2": centre,
        "CRVAL1": (0.0, "ignored: a source has its own position"),
        "CRVAL2": 0.0,
        "CDELT1": -pixel_deg,
        "CDELT2": pixel_deg,
        "RADESYS": "FK5",
        "EQUINOX": 2000.0,
    }
    hdu.header.update({**cards, **projection})
    return hdu


#: energies of every spectrum, keV: steps as fine as the embedded sky's where the lines are, ends those of eROSITA's
#: response files, so that SIXTE finds a value in each of their bins (above 10 keV the absorption is extrapolated)
ENERGY_KEV: FloatArray = np.concatenate([np.arange(100, 3000, 5), np.arange(3000, 12001, 50)]) / 1000
#: band of the fluxes, keV
BAND_KEV = (0.5, 2.0)
#: steps of the grid in ln(kT / keV) and redshift; a cluster takes the nearest point
_LOG_KT_STEP, _REDSHIFT_STEP = 0.1, 0.02


@dataclass(frozen=True)
class ArrivingSpectra:
    """Spectra behind the hydrogen column.

    Attributes
    ----------
    names
        Unique name of each spectrum.
    density
        Photons on `ENERGY_KEV` for 1 erg/s/cm2 between 0.5 and 2 keV, absorbed; photon/s/cm2/keV, (spectrum, energy).
    passed
        Absorbed over unabsorbed flux between 0.5 and 2 keV, shape (spectrum,).
    """

    names: list[str]
    density: FloatArray
    passed: FloatArray

    @classmethod
    def from_emitted(cls, names: list[str], emitted: FloatArray, nh_cm2: float) -> "ArrivingSpectra":
        """Absorb unabsorbed photon spectra of any normalisation, shape (spectrum, energy)."""
        absorbed = emitted * transmission(ENERGY_KEV, nh_cm2)
        flux = band_flux(absorbed)
        return cls(names, absorbed / flux[:, None], flux / band_flux(emitted))

    def joined(self, other: "ArrivingSpectra") -> "ArrivingSpectra":
        """Return these spectra followed by those of `other`."""
        return ArrivingSpectra(
            self.names + other.names,
            np.concatenate([self.density, other.density]),
            np.concatenate([self.passed, other.passed]),
        )

    def hdu(self, cards: Mapping[str, Any]) -> fits.BinTableHDU:
        """Return the extension SPECTRUM with header `cards`; names are of fixed length, as libsimput needs."""
        width = max(len(name) for name in self.names)
        energies = np.broadcast_to(ENERGY_KEV, self.density.shape)
        vector = f"{len(ENERGY_KEV)}E"
        columns = [
            fits.Column("ENERGY", vector, unit="keV", array=energies.astype(np.float32)),
            fits.Column("FLUXDENSITY", vector, unit="photon/s/cm**2/keV", array=self.density.astype(np.float32)),
            fits.Column("NAME", f"{width}A", array=np.array(self.names)),
        ]
        table = fits.BinTableHDU.from_columns(columns, name="SPECTRUM", ver=1)
        table.header.update(cards)
        return table


def band_flux(density: FloatArray) -> FloatArray:
    """Flux in erg/s/cm2 between 0.5 and 2 keV of photon/s/cm2/keV on `ENERGY_KEV`, shape (spectrum, energy)."""
    first, last = np.searchsorted(ENERGY_KEV, BAND_KEV)
    energy = ENERGY_KEV[first : last + 1]
    return np.asarray(np.trapezoid(density[:, first : last + 1] * energy, energy, axis=1)) * ERG_PER_KEV


def cluster_spectra(kt_kev: FloatArray, redshift: FloatArray, nh_cm2: float) -> tuple[ArrivingSpectra, IntArray]:
    """Return the spectra that some clusters need, and the row of each cluster's.

    Parameters
    ----------
    kt_kev, redshift
        Of the clusters, shape (cluster,).
    nh_cm2
        Hydrogen column, cm-2.

    Returns
    -------
    Spectra at the points of the grid that are nearest to a cluster, and rows of shape (cluster,). In a realization of
    the default sky the count rates are those of the embedded sky to 0.2 % (two thirds of the clusters), 0.7 % (95 %),
    3 % (all) and 0.1 % in sum.
    """
    nearest = np.stack([np.rint(np.log(kt_kev) / _LOG_KT_STEP), np.rint(redshift / _REDSHIFT_STEP)], axis=1)
    points, rows = np.unique(nearest, axis=0, return_inverse=True)
    temperatures, redshifts = np.exp(points[:, 0] * _LOG_KT_STEP), points[:, 1] * _REDSHIFT_STEP
    emitted = np.empty((len(points), len(ENERGY_KEV)))
    for row, (kt, z) in enumerate(zip(temperatures, redshifts, strict=True)):
        emitted[row] = plasma_power(ENERGY_KEV * (1 + z), float(kt)) / ENERGY_KEV
    names = [f"kT{kt:.2f}z{z:.2f}" for kt, z in zip(temperatures, redshifts, strict=True)]
    return ArrivingSpectra.from_emitted(names, emitted, nh_cm2), rows.reshape(-1)


def agn_spectra(photon_index: float, nh_cm2: float) -> ArrivingSpectra:
    """Return the one spectrum of all AGN."""
    return ArrivingSpectra.from_emitted(["AGN"], power_law(ENERGY_KEV, photon_index)[None], nh_cm2)
