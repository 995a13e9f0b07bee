"""Hand-made features of a cluster's image and catalogue row: what an X-ray astronomer would measure by aperture."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from clustermass.baselines.apertures import AnnulusCounts, annulus_counts, within
from clustermass.cosmology import FloatArray, arcmin_per_mpc, efunc, luminosity_distance_cm

#: fixed apertures in arcsec and physical ones in kpc
APERTURES_ARCSEC = (36.0, 60.0, 96.0, 144.0, 192.0, 300.0)
APERTURES_KPC = (150.0, 300.0, 500.0, 750.0, 1000.0)
#: apertures in kpc whose spectral shape is described
SPECTRAL_KPC = (300.0, 500.0, 1000.0)
#: half-open ranges of bands that are added up for the hardness ratios (0.25-0.66, 0.66-1.07, 1.07-1.48, 1.48-2.3 keV)
COLOURS = ((0, 2), (2, 4), (4, 6), (6, 10))
#: counts of prior belief in a hardness ratio of zero, which keeps faint clusters' ratios from being all noise
HARDNESS_PRIOR = 10.0
#: annuli of `apertures.OUTER_RADII` that are added up for the per-band profile, by first index
PROFILE_ANNULI = (0, 2, 4, 7, 9, 11, 12)
#: the profile keeps this many bands, neighbours added up in pairs
PROFILE_BANDS = 5


def cluster_features(sample: xr.Dataset, cosmology: Mapping[str, float]) -> tuple[FloatArray, list[str]]:
    """Features of every cluster, with their names.

    Parameters
    ----------
    sample
        Clusters of an `images.nc`: counts (cluster, band, y, x) and the catalogue's values. Labels aren't read.
    cosmology
        `h0_km_s_mpc`, `omega_m`: turns kpc into arcsec.

    Returns
    -------
    features
        float64 (cluster, feature), all finite. Net counts are rates (per ks) in log10, floored at their noise;
        annuli by band are square roots of counts; luminosities are rates times D_L^2 / E(z)^2, log10; hardness ratios
        are (hard - soft) / (hard + soft + prior).
    names
        One a feature.
    """
    profile = annulus_counts(sample["counts"].values, sample["x"].values, sample["y"].values)
    scale = arcmin_per_mpc(sample["redshift"].values, cosmology) * 60 / 1000  # arcsec per kpc
    exposure_ks = np.maximum(sample["exposure_s"].values.astype(float), 1.0) / 1000
    named = {
        **_catalogue(sample),
        **_apertures(profile, scale, exposure_ks),
        **_colours(profile, scale),
        **_profile(profile),
    }
    named |= _luminosities(named, sample["redshift"].values, cosmology) | _interactions(named)
    return np.stack(list(named.values()), axis=1), list(named)


def _catalogue(sample: xr.Dataset) -> dict[str, FloatArray]:
    value = {
        str(name): sample[name].values.astype(float) for name in sample.data_vars if sample[name].dtype.kind == "f"
    }
    z = value["redshift"]
    features = {"z": z, "z_squared": z**2, "ln_z": np.log(np.maximum(z, 1e-3)), "covered": value["covered_fraction"]}
    features["ln_z_squared"] = features["ln_z"] ** 2
    positive = ("ml_rate", "ml_cts", "ml_bkg", "exposure_s", "det_like", "ext_like", "ext")
    return features | {f"log_{name}": np.log10(np.maximum(value[name], 1e-4)) for name in positive}


def _net(profile: AnnulusCounts, counts: FloatArray, radius: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Background-subtracted counts inside `radius` arcsec and their Poisson error, both (cluster, band)."""
    area = np.pi * np.minimum(radius, 480.0)[:, None] ** 2 / 3600
    inside = within(counts, radius)
    return inside - profile.background() * area, np.sqrt(inside + 1)


def _log_rate(net: FloatArray, error: FloatArray, exposure_ks: FloatArray) -> FloatArray:
    """log10 of net counts per ks, (n, band) summed; smooth, and never below the log of the noise."""
    total, noise = net.sum(axis=1), np.sqrt((error**2).sum(axis=1))
    return np.asarray(np.log10((total + np.hypot(total, noise)) / 2 / exposure_ks), dtype=float)


def _apertures(profile: AnnulusCounts, scale: FloatArray, exposure_ks: FloatArray) -> dict[str, FloatArray]:
    radii = {f"{r:.0f}arcsec": np.full_like(scale, r) for r in APERTURES_ARCSEC}
    radii |= {f"{r:.0f}kpc": r * scale for r in APERTURES_KPC}
    kinds = {"plain": profile.plain, "robust": profile.robust}
    return {
        f"{kind}_{name}": _log_rate(*_net(profile, counts, radius), exposure_ks)
        for name, radius in radii.items()
        for kind, counts in kinds.items()
    }


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
    """log10 of rate x (D_L / Gpc)^2 / E(z)^2: trees can't add up rate and redshift themselves."""
    gpc = luminosity_distance_cm(np.maximum(redshift, 1e-3), cosmology) / 3.0857e27
    shift = 2 * np.log10(gpc / efunc(redshift, cosmology))
    rates = [name for name in named if name == "log_ml_rate" or (name.endswith("kpc") and "hardness" not in name)]
    return {f"luminosity_{name}": named[name] + shift for name in rates}


def _interactions(named: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Products that let a linear model bend: observables with each other and with ln z."""
    bright = {name: named[name] for name in ("log_ml_rate", "robust_500kpc", "robust_96arcsec", "hardness1_500kpc")}
    squares = {f"{name}_squared": value**2 for name, value in bright.items()}
    with_z = {f"{name}_ln_z": value * named["ln_z"] for name, value in bright.items()}
    return squares | with_z | {"rate_hardness": bright["log_ml_rate"] * bright["hardness1_500kpc"]}
