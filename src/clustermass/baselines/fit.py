"""All baselines on the very clusters that the networks learn from and are judged on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from clustermass.baselines.boosted import predict_boosted_trees
from clustermass.baselines.count_rate import predict_count_rate_efeds, predict_count_rate_recalibrated
from clustermass.baselines.features import cluster_features
from clustermass.baselines.luminosity import (
    predict_luminosity_published,
    predict_luminosity_recalibrated,
    published_luminosity,
)
from clustermass.baselines.prior import predict_prior
from clustermass.baselines.ridge import predict_ridge
from clustermass.baselines.truth import read_truth, realization_of
from clustermass.cosmology import FloatArray
from clustermass.datasets import write_netcdf
from clustermass.errors import InputError
from clustermass.progress import LOGGER
from clustermass.provenance import provenance
from clustermass.sample import load_sample

#: predictions are rounded to this many decimals of a dex: the digits below depend on the machine's linear algebra
DECIMALS = 6


def fit_baselines(
    images: Sequence[Path],
    truth: Sequence[Path],
    split: Path,
    selection: Mapping[str, Any],
    block: Mapping[str, Any],
    cosmology: Mapping[str, float],
    seed: int,
    output: Path,
) -> None:
    """Fit every baseline on the training set, choose its form on the validation set, predict all clusters.

    Only the luminosity baselines read the truth beyond the label: they stand for a perfect measurement of L500.
    `isolated` comes from the truth as well, for the report; no predictor sees it.

    Parameters
    ----------
    images, truth
        `images.nc` and `truth.fits` of every realization of the sky, in the same order.
    split
        Which cluster belongs to train, val and test.
    selection
        Of the experiment, as `sample.load_sample` takes it.
    block
        `baselines` of the configuration.
    cosmology
        Of the sky: `h0_km_s_mpc`, `omega_m`.
    seed
        Of the boosted trees.
    output
        `baselines.nc`: mu (predictor, cluster), split, log10_m500c, isolated, group (cluster). If the simulation
        doesn't tell the luminosities, or the catalogue no count rates, the baselines by them are left out.

    Raises
    ------
    InputError
        An input is missing or damaged, the selection is empty, there are too few training clusters, or a count rate
        isn't positive.
    """
    sample = load_sample(images, split, selection)
    haloes = read_truth({realization_of(path): of_it for path, of_it in zip(images, truth, strict=True)})
    rows = haloes.rows(sample["realization"].values.astype(str), sample["halo_id"].values.astype(np.int64))
    predictions = predict_all(sample, haloes.l500[rows], block, cosmology, seed)
    dataset = xr.Dataset(
        {
            "mu": (("predictor", "cluster"), np.round(np.stack(list(predictions.values())), DECIMALS)),
            "isolated": ("cluster", haloes.isolated[rows]),
            **{name: ("cluster", sample[name].values) for name in ("split", "group", "log10_m500c") if name in sample},
        },
        coords={"predictor": list(predictions), "cluster": sample["cluster"].values},
    )
    parameters = {"selection": selection, "baselines": block, "cosmology": cosmology}
    made_by = provenance("fit_baselines", parameters, [split], seed=str(seed))
    write_netcdf(dataset, output, "Masses by relations and regressions, to compare the networks with", made_by)


def predict_all(
    sample: xr.Dataset, l500: FloatArray, block: Mapping[str, Any], cosmology: Mapping[str, float], seed: int
) -> dict[str, FloatArray]:
    """Predicted log10(M500c / Msun), (cluster,), by name of the predictor.

    Parameters
    ----------
    sample
        Selected clusters of `images.nc` with `split`.
    l500
        True L(0.5-2 keV, < R500) in erg/s in the sky's cosmology, (cluster,); NaN everywhere = not known.
    block, cosmology, seed
        As for `fit_baselines`.
    """
    split = sample["split"].values.astype(str)
    # test labels are taken away here, so that no fit below can see them
    label = np.where(split == "test", np.nan, sample["log10_m500c"].values.astype(float))
    redshift = sample["redshift"].values.astype(float)
    predictions = {
        "prior": predict_prior(redshift, label, split),
        **_by_count_rate(sample, label, split, block["count_rate_efeds"]),
        **_by_luminosity(sample, l500, label, split, block["luminosity_published"], cosmology),
    }
    features = _known_features(sample, cosmology)
    predictions["ridge_features"] = predict_ridge(features, label, split, block["ridge_alpha"])
    predictions["boosted_trees"] = predict_boosted_trees(features, label, split, seed)
    return predictions


def _known_features(sample: xr.Dataset, cosmology: Mapping[str, float]) -> FloatArray:
    """Features (cluster, feature) but those that some cluster lacks, because its catalogue doesn't hold the column."""
    features, names = cluster_features(sample, cosmology)
    known = np.asarray(np.isfinite(features).all(axis=0))
    unknown = [name for name, is_known in zip(names, known, strict=True) if not is_known]
    LOGGER.info("fit_baselines: %d features of %d clusters", known.sum(), len(features))
    if unknown:
        LOGGER.warning("fit_baselines: left out, not known of every cluster: %s", ", ".join(unknown))
    return features[:, known]


def _by_count_rate(
    sample: xr.Dataset, label: FloatArray, split: NDArray[np.str_], block: Mapping[str, Any]
) -> dict[str, FloatArray]:
    rate, redshift = np.asarray(sample["ml_rate"].values, dtype=float), sample["redshift"].values.astype(float)
    if np.isnan(rate).all():
        LOGGER.warning("fit_baselines: the catalogue tells no count rates (ML_RATE); baselines by them are left out")
        return {}
    bad = np.flatnonzero(~(rate > 0))
    if bad.size:
        raise InputError(
            f"catalogue.fits: ML_RATE of {bad.size} selected detections isn't positive (cluster "
            f"{sample['cluster'].values[bad[0]]} is one). Correct or remove those rows, or leave the column out."
        )
    return {
        "count_rate_efeds": predict_count_rate_efeds(rate, redshift, block),
        "count_rate_recalibrated": predict_count_rate_recalibrated(rate, redshift, label, split, block),
    }


def _by_luminosity(
    sample: xr.Dataset,
    l500: FloatArray,
    label: FloatArray,
    split: NDArray[np.str_],
    block: Mapping[str, Any],
    cosmology: Mapping[str, float],
) -> dict[str, FloatArray]:
    known = l500 > 0
    if not known.any():
        LOGGER.info("fit_baselines: the simulation tells no luminosities; luminosity baselines are left out")
        return {}
    if not known.all():
        cluster = sample["cluster"].values[~known][0]
        raise InputError(
            f"truth.fits: L500 of {int((~known).sum())} matched haloes isn't positive (cluster {cluster} is one). "
            "Give every halo its luminosity in erg/s, or leave the column out."
        )
    redshift = sample["redshift"].values.astype(float)
    published = published_luminosity(l500, redshift, cosmology)
    return {
        "luminosity_published": predict_luminosity_published(published, redshift, block),
        "luminosity_recalibrated": predict_luminosity_recalibrated(published, redshift, label, split, block),
    }
