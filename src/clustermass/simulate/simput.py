"""A simulated sky as a SIMPUT 1.1 catalogue, so that SIXTE can observe the same haloes, AGN and background.

SIMPUT describes the radiation of a source as it arrives at the telescope. Therefore the spectra are absorbed, and so
are the 0.5-2 keV fluxes that normalise them. The flux of a cluster is the flux of its whole profile. The n haloes have
the same SRC_ID, 1 to n, as in the truth table. SRC_ID must be positive, so the AGN with the number -k gets n + k. The
keyword NHALOES holds n. SIXTE gives each event the SRC_ID of its source. The last source is the background of the sky:
a uniform image that covers the field and its surroundings. Particles are left out, because they belong to the
instrument. SIXTE adds them (`Background=yes`) if the instrument's XML describes them.

Images are not convolved with the PSF. libsimput reads at most 1000 images from a file, so not every cluster has an
image of its own. A cluster has its own image if the image of another cluster would misplace many of its photons,
compared with their Poisson noise. Every other cluster uses the most similar one of these images, scaled by IMGSCAL and
turned by IMGROTA.

Of the clusters with more than 30 expected counts in a realization of the default sky, two thirds have an image of their
own. The errors of the others are small: for 95 % of the clusters, the share of the flux inside any circle is wrong by
at most 2 %, and the axis ratio by at most 0.03. For all clusters, the limits are 4.5 % and 0.05.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from clustermass.arrays import Float32Array, FloatArray, IntArray, bisect, random_streams
from clustermass.errors import InputError
from clustermass.io.fits import write_fits
from clustermass.io.log import LOGGER
from clustermass.simulate.central_agn import all_agn
from clustermass.simulate.field import Field
from clustermass.simulate.gas import EmittingHaloes, Gas
from clustermass.simulate.photons import sky_background
from clustermass.simulate.population import realization_haloes
from clustermass.simulate.prior import draw_sky
from clustermass.simulate.profiles import RadialProfiles
from clustermass.simulate.realization import header_cards
from clustermass.simulate.sources import PointSources, joined_positions
from clustermass.simulate.spectra import ERG_PER_KEV, ClusterSpectra, plasma_power, power_law, transmission
from clustermass.simulate.telescope import response_to

if TYPE_CHECKING:
    from clustermass.config.sky_models import Background, Sky

#: largest number of images of clusters in a file; libsimput ends with an error beyond 1000 images
IMAGES_MAX = 990
#: pixels along a side of an image (even), and points along a side of a pixel over which brightness is averaged
IMAGE_PIXELS, _SUBPIXELS = 160, 4
#: shares of the flux; the radii that enclose these shares describe the shape of a profile
_SHARES = np.arange(0.05, 0.96, 0.05)
#: energies of every spectrum, keV, with fine steps where lines are. The range is that of the response files and one
#: step more: libsimput warns of a spectrum that ends where they end. Above 10 keV absorption is extrapolated.
ENERGY_KEV: FloatArray = np.concatenate([np.arange(100, 3000, 5), np.arange(3000, 12051, 50)]) / 1000
#: band of the fluxes, keV
BAND_KEV = (0.5, 2.0)
#: steps of the grid of cluster spectra in ln(kT / keV) and redshift
_LOG_KT_STEP, _REDSHIFT_STEP = 0.1, 0.02
_IMAGE_NAME, _BACKGROUND_NAME = "IMG{:03d}", "BACKGROUND"
#: the background extends this far beyond the field, deg; a telescope that points into the field sees nothing farther
_MARGIN_DEG = 1.2
_BACKGROUND_PIXEL_DEG = 0.125


def write_realization_simput(sky: Sky, cosmology: Mapping[str, float], name: str, realization: str, path: Path) -> None:
    """Write one realization of the sky `name` (haloes, AGN and background) as a SIMPUT file.

    `realization.simulate_realization` simulates the same sources. In a sky with a prior, its true
    parameters count. InputError if there are neither haloes nor AGN.
    """
    generators = random_streams(sky["seed"], name, realization)
    header = header_cards(sky, cosmology, name, realization)
    sky = draw_sky(sky, name, realization).true
    field, nh_cm2 = Field.from_config(sky["field"]), sky["absorption"]["nh_cm2"]
    spectra = ClusterSpectra.build(sky["clusters"]["redshift_max"], nh_cm2, response_to(sky["telescope"]["pi_max_ev"]))
    haloes, bright = realization_haloes(sky, cosmology, field, spectra, generators)
    clusters = haloes[bright]
    agn = all_agn(sky, cosmology, field, haloes, bright, generators)
    write_simput(path, field, clusters, agn, nh_cm2, sky["agn"]["photon_index"], header, sky["background"])


def write_simput(
    path: Path,
    field: Field,
    clusters: EmittingHaloes,
    agn: PointSources,
    nh_cm2: float,
    photon_index: float,
    header: Mapping[str, Any] | None = None,
    background: Background | None = None,
) -> None:
    """Write haloes, AGN and, if `background` is given, a background as a SIMPUT file.

    The spectrum of the AGN is a power law with `photon_index`. `nh_cm2` is the absorbing hydrogen column. The file has
    the extensions SRC_CAT (with the keywords in `header`) and SPECTRUM, at most 990 images of clusters, and an image of
    the background. InputError if there are neither haloes nor AGN.
    """
    number = len(clusters)
    if not number + len(agn):
        raise InputError(f"{path}: the field has neither haloes nor AGN, and a SIMPUT catalogue can't be empty.")
    images = share_images(clusters.gas, clusters.rate)
    names, emitted, rows = cluster_spectra(clusters.gas.kt_kev, clusters.haloes.redshift)
    emitted = np.append(emitted, power_law(ENERGY_KEV, photon_index)[None], axis=0)
    spectra = ArrivingSpectra.from_emitted([*names, "AGN"], emitted, nh_cm2)
    rows = np.append(rows, np.full(len(agn), len(names)))
    cards = {**(header or {}), "NHALOES": (number, "SRC_ID of haloes are 1 to this, then AGN")}
    drawn = [
        _image_hdu(*cluster_image(clusters.gas, int(host)), _IMAGE_NAME.format(i + 1))
        for i, host in enumerate(images.hosts)
    ]
    sky_flux = np.empty(0)
    if background is not None and (density := sky_background(background, nh_cm2, ENERGY_KEV)).any():
        image, arcmin2 = background_image(field)
        drawn.append(_image_hdu(image, _BACKGROUND_PIXEL_DEG, _BACKGROUND_NAME))
        spectra, flux = spectra.with_background(density)
        sky_flux, rows = np.array([flux * arcmin2]), np.append(rows, len(spectra.names) - 1)
    table = _catalogue(field, clusters, agn, sky_flux, images, spectra, rows, cards)
    write_fits(fits.HDUList([fits.PrimaryHDU(), table, _spectrum_hdu(spectra), *drawn]), path)
    numbers = number, len(agn), len(sky_flux), len(spectra.names), len(drawn)
    LOGGER.info("SIMPUT: %d haloes, %d AGN, %d background, %d spectra, %d images", *numbers)


def _catalogue(
    field: Field,
    clusters: EmittingHaloes,
    agn: PointSources,
    sky_flux: FloatArray,
    images: SharedImages,
    spectra: ArrivingSpectra,
    rows: IntArray,
    header: Mapping[str, Any],
) -> fits.BinTableHDU:
    """Return the extension SRC_CAT: clusters, then AGN, then the background.

    `sky_flux` is the flux of the background. It is empty if there is no background. `rows` holds the row of each
    source's spectrum, (source,).
    """
    haloes, gas, backgrounds = clusters.haloes, clusters.gas, len(sky_flux)
    ra, dec = field.to_sky(*joined_positions(haloes, agn))
    flux = np.concatenate([clusters.flux * gas.total_over_inside, agn.flux, sky_flux]) * spectra.passed[rows]
    names = [f"halo{i}" for i in clusters.source_ids] + [f"agn{-i}" for i in agn.source_ids]
    shown = [_IMAGE_NAME.format(i) for i in images.image + 1] + [_BACKGROUND_NAME] * backgrounds
    shown = [f"[{name},1]" for name in shown]
    unlike_clusters = len(agn) + backgrounds
    # libsimput reads no other spelling of the units
    columns: list[tuple[str, str, str | None, Sequence[Any] | NDArray[Any]]] = [
        ("SRC_ID", "J", None, np.arange(1, len(rows) + 1)),
        ("SRC_NAME", "A", None, names + ["background"] * backgrounds),
        ("RA", "D", "deg", np.append(ra, [field.ra_deg] * backgrounds)),
        ("DEC", "D", "deg", np.append(dec, [field.dec_deg] * backgrounds)),
        # libsimput turns pixels from +x towards -y. As x grows to the West, this is from East to North, as
        # position_angle is counted; an ellipse looks the same after half a turn.
        ("IMGROTA", "E", "deg", np.append(np.degrees(gas.position_angle), np.zeros(unlike_clusters))),
        ("IMGSCAL", "E", None, np.append(images.scale, np.ones(unlike_clusters))),
        ("E_MIN", "E", "keV", np.full(len(rows), BAND_KEV[0])),
        ("E_MAX", "E", "keV", np.full(len(rows), BAND_KEV[1])),
        ("FLUX", "E", "erg/s/cm**2", flux),
        ("SPECTRUM", "A", None, [f"[SPECTRUM,1][NAME=='{spectra.names[row]}']" for row in rows]),
        ("IMAGE", "A", None, [*shown[: len(haloes)], *["NULL"] * len(agn), *shown[len(haloes) :]]),
        ("TIMING", "A", None, ["NULL"] * len(rows)),
    ]
    made = []
    for name, form, unit, values in columns:
        width = str(max(map(len, values))) if form == "A" else ""
        made.append(fits.Column(name, width + form, unit=unit, array=np.asarray(values)))
    table = fits.BinTableHDU.from_columns(made, name="SRC_CAT")
    # FK5 and ICRS agree to 0.03 arcsec; libsimput's own catalogues state FK5
    table.header.update({**_class("SRC_CAT"), "RADESYS": "FK5", "EQUINOX": 2000.0, "CREATOR": "clustermass", **header})
    return table


def _class(name: str) -> dict[str, str]:
    return {"HDUCLASS": "HEASARC/SIMPUT", "HDUCLAS1": name, "HDUVERS": "1.1.0"}


@dataclass(frozen=True)
class SharedImages:
    """Which image each cluster uses, and how much the image must be scaled to the size of the cluster."""

    hosts: IntArray  #: row of the cluster from which each image was made, (image,)
    image: IntArray  #: row in `hosts` of each cluster's image, (cluster,)
    scale: FloatArray  #: IMGSCAL: size of the image divided by the size of the cluster, (cluster,)


def share_images(gas: Gas, counts: FloatArray, images_max: int = IMAGES_MAX) -> SharedImages:
    """Return which clusters get an image of their own, and which image each cluster uses.

    The cluster with the most counts gets the first image. Each further image goes to the cluster that is fitted worst
    by the images chosen so far. The misfit of a cluster is the squared distance between its shape and the shape of its
    image (`_shapes`), times its expected counts. `counts` (cluster,) may have any unit. There are at most `images_max`
    images, and at most one for each cluster.
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
    """Return numbers that describe the shape of each cluster's image, and ln of the image's size in arcmin.

    The first array is (cluster, feature), and the second is (cluster,).

    The growth curve of a cluster is the share of its flux inside each radius. There is one feature for each of some
    fixed shares of the flux. If r is the radius that encloses such a share, the feature is ln(r / size) times the mean
    slope of all growth curves there. The last feature is ln(axis ratio) times a constant. With these factors, the
    distance between two shapes is the root mean square difference between their growth curves.
    """
    radius = np.stack([_log_radius(gas.profiles, share) for share in _SHARES], axis=1)
    slope = (np.gradient(_SHARES) / np.gradient(radius, axis=1)).mean(axis=0)
    # the size that minimises the distance between two shapes of the same axis ratio
    size = radius @ slope**2 / (slope**2).sum()
    features = (radius - size[:, None]) * slope / np.sqrt(len(_SHARES))
    # a change d of ln(axis ratio) displaces by d / 2 along the axes, and by d / sqrt(8) in the rms over all angles
    stretch = np.log(gas.axis_ratio) * np.sqrt((slope**2).mean()) / np.sqrt(8)
    return np.concatenate([features, stretch[:, None]], axis=1), size + np.log(gas.scale_arcmin)


def _log_radius(profiles: RadialProfiles, share: float) -> FloatArray:
    """Return ln of the radius (in the profiles' unit) that encloses `share` of each profile's total, (profile,)."""
    low = np.full(len(profiles.total), np.log(profiles.nodes[0]) - 5)
    high = np.full(len(profiles.total), np.log(profiles.nodes[-1]))
    return bisect(lambda middle: profiles.enclosed(np.exp(middle)) < share * profiles.total, low, high, 45)


def cluster_image(gas: Gas, row: int) -> tuple[Float32Array, float]:
    """Return an image of cluster `row`, not convolved with the PSF, and the width of the image's pixels in deg.

    The image (y, x) is just large enough for the whole profile. Its major axis is along x, and its sum is 1.
    """
    profiles = gas.profiles[np.array([row])]
    # a share just below 1, because rounding could shift the radius of the share 1 away from the cut
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


def background_image(field: Field) -> tuple[Float32Array, float]:
    """Return an image of a uniform sky, and the solid angle of this image in arcmin2.

    The image (y, x) covers `field` and `_MARGIN_DEG` around it, in a TAN projection about the field's centre. The value
    of a pixel is proportional to its solid angle. The sum of the image is 1.
    """
    width, height = (side / 2 + _MARGIN_DEG for side in (field.width_deg, field.height_deg))
    reach = np.tan(np.radians(width)), np.tan(np.radians(height)) / np.cos(np.radians(width))
    step = np.radians(_BACKGROUND_PIXEL_DEG)
    x, y = (np.arange(-half + 0.5, half) * step for half in (int(np.ceil(side / step)) for side in reach))
    longitude = np.arctan(x)
    latitude = np.arctan(y[:, None] * np.cos(longitude))
    inside = (np.abs(longitude) <= np.radians(width)) & (np.abs(latitude) <= np.radians(height))
    # at a distance t from the centre a pixel covers cos(t)^3 of the solid angle of the central one
    arcmin2 = np.where(inside, (1 + x**2 + y[:, None] ** 2) ** -1.5, 0.0) * (60 * _BACKGROUND_PIXEL_DEG) ** 2
    return (arcmin2 / arcmin2.sum()).astype(np.float32), float(arcmin2.sum())


def _image_hdu(image: Float32Array, pixel_deg: float, name: str) -> fits.ImageHDU:
    """Return an image (y, x) as the FITS extension `name`. x grows to the West, and y to the North."""
    hdu = fits.ImageHDU(image, name=name, ver=1)
    rows, columns = image.shape
    hdu.header.update({
        **_class("IMAGE"), "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT1": "deg", "CUNIT2": "deg",
        "CRPIX1": columns / 2 + 0.5, "CRPIX2": rows / 2 + 0.5, "CDELT1": -pixel_deg, "CDELT2": pixel_deg,
        "CRVAL1": (0.0, "ignored: a source has its own position"), "CRVAL2": 0.0, "RADESYS": "FK5", "EQUINOX": 2000.0,
    })  # fmt: skip
    return hdu


@dataclass(frozen=True)
class ArrivingSpectra:
    """Photon spectra as they arrive at the telescope, after absorption by hydrogen. Each has a unique name."""

    names: list[str]
    density: FloatArray  #: photon/s/cm2/keV at `ENERGY_KEV`, for 1 erg/s/cm2 in `BAND_KEV`, (spectrum, energy)
    passed: FloatArray  #: absorbed flux divided by unabsorbed flux in `BAND_KEV`, (spectrum,)

    @classmethod
    def from_emitted(cls, names: list[str], emitted: FloatArray, nh_cm2: float) -> ArrivingSpectra:
        """Return the photon spectra `emitted` (spectrum, energy) after absorption. Any normalisation is allowed."""
        absorbed = emitted * transmission(ENERGY_KEV, nh_cm2)
        flux = _band_flux(absorbed)
        return cls(names, absorbed / flux[:, None], flux / _band_flux(emitted))

    def with_background(self, density: FloatArray) -> tuple[ArrivingSpectra, float]:
        """Return these spectra with the spectrum of the background as the last one, and the background's flux.

        `density` is the background's absorbed spectrum at `ENERGY_KEV` in photon/s/cm2/keV/arcmin2. The flux is in
        erg/s/cm2/arcmin2.
        """
        flux = float(_band_flux(density[None])[0])
        spectra = np.append(self.density, density[None] / flux, axis=0)
        return ArrivingSpectra([*self.names, _BACKGROUND_NAME], spectra, np.append(self.passed, 1.0)), flux


def _spectrum_hdu(spectra: ArrivingSpectra) -> fits.BinTableHDU:
    """Return the FITS extension SPECTRUM. The names of spectra have a fixed length, because libsimput needs this."""
    energies, vector = np.broadcast_to(ENERGY_KEV, spectra.density.shape), f"{len(ENERGY_KEV)}E"
    columns = [
        fits.Column("ENERGY", vector, unit="keV", array=energies.astype(np.float32)),
        fits.Column("FLUXDENSITY", vector, unit="photon/s/cm**2/keV", array=spectra.density.astype(np.float32)),
        fits.Column("NAME", f"{max(map(len, spectra.names))}A", array=np.array(spectra.names)),
    ]
    table = fits.BinTableHDU.from_columns(columns, name="SPECTRUM", ver=1)
    table.header.update(_class("SPECTRUM"))
    return table


def _band_flux(density: FloatArray) -> FloatArray:
    """Return the 0.5-2 keV flux of each photon spectrum in erg/s/cm2, (spectrum,).

    `density` has the shape (spectrum, energy) and is in photon/s/cm2/keV.
    """
    first, last = np.searchsorted(ENERGY_KEV, BAND_KEV)
    energy = ENERGY_KEV[first : last + 1]
    return np.asarray(np.trapezoid(density[:, first : last + 1] * energy, energy, axis=1)) * ERG_PER_KEV


def cluster_spectra(kt_kev: FloatArray, redshift: FloatArray) -> tuple[list[str], FloatArray, IntArray]:
    """Return the emitted spectra that the clusters share, and which of them each cluster has.

    The three results are the names of the spectra, the spectra (spectrum, energy), and the row of each cluster's
    spectrum, (cluster,). Each cluster gets the spectrum of the nearest point of a grid in temperature and redshift. In
    a realization of the default sky, this changes the count rates by at most 0.2 % for two thirds of the clusters, by
    at most 0.7 % for 95 % and by at most 3 % for all of them. The sum of all rates changes by at most 0.1 %.
    """
    nearest = np.stack([np.rint(np.log(kt_kev) / _LOG_KT_STEP), np.rint(redshift / _REDSHIFT_STEP)], axis=1)
    points, rows = np.unique(nearest, axis=0, return_inverse=True)
    temperatures, redshifts = np.exp(points[:, 0] * _LOG_KT_STEP), points[:, 1] * _REDSHIFT_STEP
    emitted = np.empty((len(points), len(ENERGY_KEV)))
    for row, (kt, z) in enumerate(zip(temperatures, redshifts, strict=True)):
        emitted[row] = plasma_power(ENERGY_KEV * (1 + z), float(kt)) / ENERGY_KEV
    names = [f"kT{kt:.2f}z{z:.2f}" for kt, z in zip(temperatures, redshifts, strict=True)]
    return names, emitted, rows.reshape(-1)
