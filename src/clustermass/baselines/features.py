"""Features of clusters for regressions: aperture photometry, hardness ratios, profiles, and values of the catalogue."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from clustermass.arrays import FloatArray
from clustermass.cosmology import arcmin_per_mpc, efunc, luminosity_distance_cm

#: outer radii of the annuli in arcsec; the last two annuli measure the local background
OUTER_RADII = np.array([24, 36, 48, 60, 72, 84, 96, 120, 144, 168, 192, 240, 300, 390, 480.0])
BACKGROUND_ANNULI = 2
OCTANTS = 8
#: radius in arcsec within which an octant has too few pixels to be compared with the others
SMALLEST_COMPARED_RADIUS = 60.0
#: number of octants of an annulus, the brightest ones, that are left out of robust sums
DISCARDED_OCTANTS = 2
#: number of clusters that are processed at a time, to limit the memory (a float32 image takes 1 MB)
BLOCK = 128


class AnnulusCounts(NamedTuple):
    """Counts in annuli, float64 (cluster, band, annulus), and areas of the annuli in arcmin2, float64 (annulus,).

    The counts are given twice: `plain` are all counts, and in `robust` point sources are suppressed.
    """

    plain: FloatArray
    #: counts in which the mean of the other octants replaces the brightest ones, to suppress point sources
    robust: FloatArray
    area: FloatArray

    def background(self) -> FloatArray:
        """Return the surface brightness of `robust` counts in the outermost annuli, counts/arcmin2, (cluster, band)."""
        outer = slice(-BACKGROUND_ANNULI, None)
        return np.asarray(self.robust[..., outer].sum(axis=-1) / self.area[outer].sum(), dtype=float)


def annulus_counts(counts: NDArray[Any], x: FloatArray, y: FloatArray) -> AnnulusCounts:
    """Return `counts` (cluster, band, y, x), summed over annuli with the outer radii `OUTER_RADII`.

    `x` and `y` are the offsets of the pixels from the centre in arcsec.
    """
    east, north = np.meshgrid(-x, y)
    radius = np.hypot(east, north).ravel()
    inside = radius < OUTER_RADII[-1]
    octant = np.floor(np.arctan2(north, east).ravel() / (2 * np.pi) * OCTANTS).astype(int) % OCTANTS
    cell = (np.searchsorted(OUTER_RADII, radius, side="right") * OCTANTS + octant)[inside]
    members = np.zeros((cell.size, OUTER_RADII.size * OCTANTS), dtype=np.float32)
    members[np.arange(cell.size), cell] = 1
    pixels = members.sum(axis=0, dtype=float).reshape(OUTER_RADII.size, OCTANTS)
    plain, robust = [], []
    for first in range(0, len(counts), BLOCK):
        block = counts[first : first + BLOCK]
        photons = block.reshape(*block.shape[:2], -1)[..., inside].astype(np.float32)
        sums = (photons @ members).astype(float).reshape(*block.shape[:2], *pixels.shape)
        plain.append(sums.sum(axis=-1))
        robust.append(_robust(sums, pixels))
    arcmin2_of_pixel = abs((x[1] - x[0]) * (y[1] - y[0])) / 3600
    return AnnulusCounts(np.concatenate(plain), np.concatenate(robust), pixels.sum(axis=1) * float(arcmin2_of_pixel))


def _robust(sums: FloatArray, pixels: FloatArray) -> FloatArray:
    """Return the counts of annuli, (cluster, band, annulus), with the brightest octants replaced.

    Each annulus is divided into eight octants. `sums` holds the counts of octants, (cluster, band, annulus, octant),
    and `pixels` holds the numbers of pixels of octants, (annulus, octant). In each annulus, the `DISCARDED_OCTANTS`
    brightest octants get the mean brightness of the others. The innermost annuli, up to the radius
    `SMALLEST_COMPARED_RADIUS`, keep all octants.
    """
    brightness = sums.sum(axis=1) / np.maximum(pixels, 1)
    order = np.argsort(brightness, axis=-1, kind="stable")
    kept = np.zeros(brightness.shape, dtype=bool)
    np.put_along_axis(kept, order[..., : OCTANTS - DISCARDED_OCTANTS], True, axis=-1)
    kept[:, OUTER_RADII <= SMALLEST_COMPARED_RADIUS] = True
    scale = pixels.sum(axis=-1) / np.maximum((kept * pixels).sum(axis=-1), 1)
    return np.asarray((sums * kept[:, None]).sum(axis=-1) * scale[:, None], dtype=float)


def within(profile: FloatArray, radius: ArrayLike) -> FloatArray:
    """Return the counts within a radius, (cluster, band).

    `profile` holds the counts in annuli, (cluster, band, annulus), and `radius` the radii in arcsec, (cluster,). Counts
    are assumed to be spread evenly over the area of an annulus.
    """
    cumulative = np.concatenate([np.zeros_like(profile[..., :1]), profile.cumsum(axis=-1)], axis=-1)
    edges = np.concatenate([[0.0], OUTER_RADII**2])
    area = np.clip(np.asarray(radius, dtype=float) ** 2, 0, edges[-1])
    upper = np.clip(np.searchsorted(edges, area, side="left"), 1, edges.size - 1)
    weight = (area - edges[upper - 1]) / (edges[upper] - edges[upper - 1])
    rows = np.arange(len(cumulative))
    low, high = cumulative[rows, :, upper - 1], cumulative[rows, :, upper]
    return np.asarray(low + weight[:, None] * (high - low), dtype=float)


#: fixed apertures in arcsec and physical ones in kpc
APERTURES_ARCSEC = (36.0, 60.0, 96.0, 144.0, 192.0, 300.0)
APERTURES_KPC = (150.0, 300.0, 500.0, 750.0, 1000.0)
#: apertures in kpc for the hardness ratios
SPECTRAL_KPC = (300.0, 500.0, 1000.0)
#: bands that are summed for the hardness ratios: (first, last + 1), by default 0.25-0.66-1.07-1.48-2.3 keV
COLOURS = ((0, 2), (2, 4), (4, 6), (6, 10))
#: added to the counts of a hardness ratio, because the ratios of faint clusters would otherwise be mostly noise
HARDNESS_PRIOR = 10.0
#: annuli of `OUTER_RADII` are summed into wider annuli for the profiles, which begin at these indices
PROFILE_ANNULI = (0, 2, 4, 7, 9, 11, 12)
#: number of bands of the profiles, each of which is a sum of neighbouring bands
PROFILE_BANDS = 5


def cluster_features(sample: xr.Dataset, cosmology: Mapping[str, float]) -> tuple[FloatArray, list[str]]:
    """Return the features of every cluster, float64 (cluster, feature), and their names.

    `sample` is the content of an `images.nc`: counts (cluster, band, y, x), and the clusters' columns from the
    catalogue. True masses aren't used. `cosmology` serves to convert kpc to arcsec, and rates to luminosities. The
    kinds of features are:

    - values of the catalogue, such as the redshift, most of them as logarithms
    - apertures: log10 of net counts per ks
    - luminosities: log10 of a rate times D_L^2 / E(z)^2
    - annuli in bands: square roots of counts
    - hardness ratios: (hard - soft) / (hard + soft + `HARDNESS_PRIOR`)
    - squares and products of some of these features

    A feature is NaN if the cluster lacks a quantity from which the feature is computed.
    """
    profile = annulus_counts(sample["counts"].values, sample["x"].values, sample["y"].values)
    scale = arcmin_per_mpc(sample["redshift"].values, cosmology) * 60 / 1000  # arcsec per kpc
    exposure_ks = np.maximum(sample["exposure_s"].values.astype(float), 1.0) / 1000
    features = _catalogue(sample) | _apertures(profile, scale, exposure_ks) | _colours(profile, scale)
    features |= _profile(profile)
    features |= _luminosities(features, sample["redshift"].values, cosmology) | _interactions(features)
    return np.stack(list(features.values()), axis=1), list(features)


def _catalogue(sample: xr.Dataset) -> dict[str, FloatArray]:
    columns = [str(name) for name in sample.data_vars if sample[name].dtype.kind == "f"]
    value = {name: sample[name].values.astype(float) for name in columns}
    z = value["redshift"]
    features = {"z": z, "z_squared": z**2, "ln_z": np.log(np.maximum(z, 1e-3)), "covered": value["covered_fraction"]}
    features["ln_z_squared"] = features["ln_z"] ** 2
    positive = ("ml_rate", "ml_cts", "ml_bkg", "exposure_s", "det_like", "ext_like", "ext")
    return features | {f"log_{name}": np.log10(np.maximum(value[name], 1e-4)) for name in positive}


def _net(profile: AnnulusCounts, counts: FloatArray, radius: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return background-subtracted counts within `radius` (arcsec), and their Poisson error, (cluster, band) each."""
    area = np.pi * np.minimum(radius, OUTER_RADII[-1])[:, None] ** 2 / 3600
    inside = within(counts, radius)
    return inside - profile.background() * area, np.sqrt(inside + 1)


def _apertures(profile: AnnulusCounts, scale: FloatArray, exposure_ks: FloatArray) -> dict[str, FloatArray]:
    """Return log10 of the net counts per ks in each aperture, (cluster,), by its name. `scale` is in arcsec per kpc.

    Net counts N with the noise s are replaced by (N + sqrt(N^2 + s^2)) / 2, which is positive.
    """
    radii = {f"{r:.0f}arcsec": np.full_like(scale, r) for r in APERTURES_ARCSEC}
    radii |= {f"{r:.0f}kpc": r * scale for r in APERTURES_KPC}
    features = {}
    for name, radius in radii.items():
        for kind, counts in (("plain", profile.plain), ("robust", profile.robust)):
            net, error = _net(profile, counts, radius)
            total, noise = net.sum(axis=1), np.sqrt((error**2).sum(axis=1))
            features[f"{kind}_{name}"] = np.log10((total + np.hypot(total, noise)) / 2 / exposure_ks)
    return features


def _colours(profile: AnnulusCounts, scale: FloatArray) -> dict[str, FloatArray]:
    features = {}
    for kpc in SPECTRAL_KPC:
        net, _ = _net(profile, profile.robust, kpc * scale)
        colours = np.stack([net[:, first:last].sum(axis=1) for first, last in COLOURS], axis=1)
        for i in range(len(COLOURS) - 1):
            soft, hard = np.maximum(colours[:, i], 0), np.maximum(colours[:, i + 1 :].sum(axis=1), 0)
            features[f"hardness{i}_{kpc:.0f}kpc"] = (hard - soft) / (hard + soft + HARDNESS_PRIOR)
    return features


def _profile(profile: AnnulusCounts) -> dict[str, FloatArray]:
    annuli = np.add.reduceat(profile.robust, PROFILE_ANNULI, axis=2)
    width = -(-annuli.shape[1] // PROFILE_BANDS)
    bands = np.add.reduceat(annuli, range(0, annuli.shape[1], width), axis=1)
    return {
        f"annulus{a}_band{b}": np.sqrt(bands[:, b, a]) for a in range(bands.shape[2]) for b in range(bands.shape[1])
    }


def _luminosities(
    named: Mapping[str, FloatArray], redshift: FloatArray, cosmology: Mapping[str, float]
) -> dict[str, FloatArray]:
    """Return log10(rate * (D_L / Gpc)^2 / E(z)^2) for each rate in `named`; decision trees can't compute it."""
    gpc = luminosity_distance_cm(np.maximum(redshift, 1e-3), cosmology) / 3.0857e27
    shift = 2 * np.log10(gpc / efunc(redshift, cosmology))
    rates = [name for name in named if name == "log_ml_rate" or (name.endswith("kpc") and "hardness" not in name)]
    return {f"luminosity_{name}": named[name] + shift for name in rates}


def _interactions(named: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Return squares and products of features, for ridge regression, which is linear in its inputs."""
    bright = {name: named[name] for name in ("log_ml_rate", "robust_500kpc", "robust_96arcsec", "hardness1_500kpc")}
    squares = {f"{name}_squared": value**2 for name, value in bright.items()}
    with_z = {f"{name}_ln_z": value * named["ln_z"] for name, value in bright.items()}
    return squares | with_z | {"rate_hardness": bright["log_ml_rate"] * bright["hardness1_500kpc"]}
