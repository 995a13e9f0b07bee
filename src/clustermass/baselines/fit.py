"""All baselines on the very clusters that the networks learn from and are judged on, and on those of another sky."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.baselines.measurements import Sky, sky_evidence, sky_selection
from clustermass.baselines.regressions import predict_boosted_trees, predict_ridge
from clustermass.baselines.scaling_relations import (
    predict_count_rate_efeds,
    predict_count_rate_recalibrated,
    predict_luminosity_published,
    predict_luminosity_recalibrated,
    predict_luminosity_temperature,
    predict_prior,
)
from clustermass.baselines.selection_function import LogOdds, predict_luminosity_selected
from clustermass.dataset.sample import join_split
from clustermass.dataset.split import first_training_clusters, group_names, learning_split
from clustermass.errors import InputError
from clustermass.io.log import LOGGER
from clustermass.io.netcdf import write_netcdf
from clustermass.io.provenance import provenance

#: predictions are rounded to this many decimals of a dex: the digits below depend on the machine's linear algebra
DECIMALS = 6
#: baselines by what they need
BY_COUNT_RATE = ("count_rate_efeds", "count_rate_recalibrated")
BY_LUMINOSITY = ("luminosity_published", "luminosity_selected", "luminosity_recalibrated", "luminosity_temperature")
BY_FEATURES = ("ridge_features", "boosted_trees")
TITLE = "Masses by relations and regressions, to compare the networks with"


def fit_baselines(
    sky: Sky,
    split: Path,
    selection: Mapping[str, Any],
    block: Mapping[str, Any],
    seed: int,
    output: Path,
    train_clusters: int | None = None,
    train_selection: Mapping[str, Any] | None = None,
) -> None:
    """Fit every baseline on the training set, choose its form on the validation set, predict all clusters.

    Only the luminosity baselines read the truth beyond the label: they stand for perfect measurements of L500 and kT.
    `isolated` comes from the truth as well, for the report; no predictor sees it.

    Parameters
    ----------
    sky
        To learn from.
    split
        Which cluster belongs to train, val and test.
    selection
        Of the experiment, as `sample.load_sample` takes it.
    block
        `baselines` of the configuration.
    seed
        Of the boosted trees.
    output
        `baselines.nc`: mu (predictor, cluster), split, log10_m500c, isolated, group (cluster). If the simulation
        doesn't tell the luminosities, the catalogue no count rates, or the images no counts, the baselines by them are
        left out, and the attribute `left_out` says why.
    train_clusters
        Learn from as many training clusters only, the very ones that the networks learn from; None = all.
    train_selection
        What of `selection` is another for the clusters to learn from, of training and validation set; None = nothing.

    Raises
    ------
    InputError
        An input is missing or damaged, the selection is empty, there are too few training clusters, or a count rate
        isn't positive.
    """
    table = _learnt_from(sky, split, selection, seed, train_clusters, train_selection)
    fitted_to = table.assign(split=("cluster", learning_split(table)))
    parameters: dict[str, Any] = {"selection": selection, "baselines": block, "cosmology": sky.cosmology}
    parameters |= {"train_clusters": train_clusters, "train_selection": train_selection}
    log_odds = sky_selection(sky, table)
    left = left_out(table, log_odds)
    made_by = provenance("fit_baselines", parameters, [split, *sky.files()], seed=str(seed), left_out=left)
    write_netcdf(_dataset(table, predict_all(fitted_to, block, seed, log_odds)), output, TITLE, made_by)


def fit_baselines_for_sky(
    sky: Sky,
    other: Sky,
    split: Path,
    selection: Mapping[str, Any],
    block: Mapping[str, Any],
    seed: int,
    box_arcsec: float,
    output: Path,
    train_clusters: int | None = None,
    train_selection: Mapping[str, Any] | None = None,
) -> None:
    """Fit every baseline just as `fit_baselines` does, and predict all selected clusters of another sky.

    Parameters
    ----------
    sky, split, selection, block, seed, train_clusters, train_selection
        As for `fit_baselines`. Features of both skies are measured in the cosmology of the first.
    other
        The sky whose clusters are predicted; nothing is fitted to them.
    box_arcsec
        Side of the image box: clusters of the other sky whose boxes overlap make a group, as in a split.
    output
        `baselines.nc` of the other sky, like that of `fit_baselines`; every cluster is a test cluster.

    Raises
    ------
    InputError
        As for `fit_baselines`.
    """
    own = _learnt_from(sky, split, selection, seed, train_clusters, train_selection)
    own["split"] = ("cluster", learning_split(own))
    new = sky_evidence(other, selection, sky.cosmology)
    number = new.sizes["cluster"]
    new["split"] = ("cluster", np.full(number, "test"))
    new["group"] = ("cluster", group_names(new, box_arcsec))
    both = _together(own.isel(cluster=own["split"].values != "test"), new)
    log_odds = sky_selection(sky, own)
    predictions = {name: mu[-number:] for name, mu in predict_all(both, block, seed, log_odds).items()}
    parameters: dict[str, Any] = {"selection": selection, "baselines": block, "cosmology": sky.cosmology}
    parameters |= {"other_cosmology": other.cosmology, "box_arcsec": box_arcsec, "train_clusters": train_clusters}
    parameters |= {"train_selection": train_selection}
    left, inputs = left_out(both, log_odds), [split, *sky.files(), *other.files()]
    made_by = provenance("fit_baselines_for_sky", parameters, inputs, seed=str(seed), left_out=left)
    write_netcdf(_dataset(new, predictions), output, TITLE, made_by)


def _learnt_from(
    sky: Sky,
    split: Path,
    selection: Mapping[str, Any],
    seed: int,
    train_clusters: int | None,
    train_selection: Mapping[str, Any] | None,
) -> xr.Dataset:
    table = join_split(sky_evidence(sky, selection, sky.cosmology, train_selection), split)
    if train_clusters is not None:
        table["split"] = ("cluster", first_training_clusters(table, train_clusters, seed))
    return table


def _together(own: xr.Dataset, new: xr.Dataset) -> xr.Dataset:
    """Clusters of two skies, one after the other; a measurement or feature that one sky lacks isn't used at all."""
    own = own.drop_vars(["selected", "learnt", "learnt_val"], errors="ignore")  # how it was divided
    both = xr.concat([own, new], dim="cluster", join="inner")
    for name in ("l500", "kt", "ml_rate"):
        if np.isnan(own[name].values).all() or np.isnan(new[name].values).all():
            both[name] = both[name] * np.nan
    return both


def _dataset(table: xr.Dataset, predictions: Mapping[str, FloatArray]) -> xr.Dataset:
    return xr.Dataset(
        {
            "mu": (("predictor", "cluster"), np.round(np.stack(list(predictions.values())), DECIMALS)),
            **{name: ("cluster", table[name].values) for name in ("isolated", "split", "group", "log10_m500c")},
        },
        coords={"predictor": list(predictions), "cluster": table["cluster"].values},
    )


def predict_all(
    table: xr.Dataset, block: Mapping[str, Any], seed: int, selection: LogOdds | None = None
) -> dict[str, FloatArray]:
    """Predicted log10(M500c / Msun), (cluster,), by name of the predictor.

    Parameters
    ----------
    table
        What `evidence.evidence` returns, with `split`; luminosities that are NaN everywhere aren't known.
    block, seed
        As for `fit_baselines`.
    selection
        Of `evidence.sky_selection`; None = not known.
    """
    split = table["split"].values.astype(str)
    # test labels are taken away here, so that no fit below can see them
    label = np.where(split == "test", np.nan, table["log10_m500c"].values.astype(float))
    redshift = table["redshift"].values.astype(float)
    predictions = {
        "prior": predict_prior(redshift, label, split),
        **_by_count_rate(table, label, split, block["count_rate_efeds"]),
        **_by_luminosity(table, label, split, block["luminosity_published"], selection),
    }
    for name, reason in left_out(table, selection).items():
        LOGGER.warning("fit_baselines: %s is left out: %s", name, reason)
    features = _known_features(table)
    if features.shape[1]:
        predictions["ridge_features"] = predict_ridge(features, label, split, block["ridge_alpha"])
        predictions["boosted_trees"] = predict_boosted_trees(features, label, split, seed)
    return predictions


def left_out(table: xr.Dataset, selection: LogOdds | None) -> dict[str, str]:
    """Why baselines can't be had on these clusters, by their names; empty = all can.

    Parameters
    ----------
    table, selection
        As for `predict_all`.
    """
    reasons: dict[str, str] = {}
    if np.isnan(table["ml_rate"].values.astype(float)).all():
        reasons |= dict.fromkeys(BY_COUNT_RATE, "the catalogue tells no count rates (ML_RATE)")
    if not (table["l500"].values > 0).any():
        reasons |= dict.fromkeys(BY_LUMINOSITY, "the simulation tells no luminosities (L500)")
    elif not _temperatures_known(table):
        reasons |= {"luminosity_temperature": "the simulation tells no temperatures (KT) of all clusters"}
    if selection is None:
        reasons.setdefault("luminosity_selected", "hardly any halo is selected, or hardly any is not")
    if not np.isfinite(table["features"].values).all(axis=0).any():
        reasons |= dict.fromkeys(BY_FEATURES, "the images hold no counts of photons to measure features on")
    return reasons


def _known_features(table: xr.Dataset) -> FloatArray:
    """Features (cluster, feature) but those that some cluster lacks, because its catalogue doesn't hold the column."""
    features, names = table["features"].values, table["feature"].values.astype(str).tolist()
    known = np.asarray(np.isfinite(features).all(axis=0))
    unknown = [name for name, is_known in zip(names, known, strict=True) if not is_known]
    LOGGER.info("fit_baselines: %d features of %d clusters", known.sum(), len(features))
    if unknown:
        LOGGER.warning("fit_baselines: left out, not known of every cluster: %s", ", ".join(unknown))
    return features[:, known]


def _by_count_rate(
    table: xr.Dataset, label: FloatArray, split: NDArray[np.str_], block: Mapping[str, Any]
) -> dict[str, FloatArray]:
    rate, redshift = np.asarray(table["ml_rate"].values, dtype=float), table["redshift"].values.astype(float)
    if np.isnan(rate).all():
        return {}
    bad = np.flatnonzero(~(rate > 0))
    if bad.size:
        raise InputError(
            f"catalogue.fits: ML_RATE of {bad.size} selected detections isn't positive (cluster "
            f"{table['cluster'].values[bad[0]]} is one). Correct or remove those rows, or leave the column out."
        )
    return {
        "count_rate_efeds": predict_count_rate_efeds(rate, redshift, block),
        "count_rate_recalibrated": predict_count_rate_recalibrated(rate, redshift, label, split, block),
    }


def _by_luminosity(
    table: xr.Dataset, label: FloatArray, split: NDArray[np.str_], block: Mapping[str, Any], selection: LogOdds | None
) -> dict[str, FloatArray]:
    l500 = table["l500"].values
    known = l500 > 0
    if not known.any():
        return {}
    if not known.all():
        cluster = table["cluster"].values[~known][0]
        raise InputError(
            f"truth.fits: L500 of {int((~known).sum())} matched haloes isn't positive (cluster {cluster} is one). "
            "Give every halo its luminosity in erg/s, or leave the column out."
        )
    redshift = table["redshift"].values.astype(float)
    predictions = {"luminosity_published": predict_luminosity_published(l500, redshift, block)}
    if selection is not None:
        predictions["luminosity_selected"] = predict_luminosity_selected(l500, redshift, block, selection)
    predictions["luminosity_recalibrated"] = predict_luminosity_recalibrated(l500, redshift, label, split, block)
    if _temperatures_known(table):
        kt = table["kt"].values
        predictions["luminosity_temperature"] = predict_luminosity_temperature(l500, kt, redshift, label, split)
    return predictions


def _temperatures_known(table: xr.Dataset) -> bool:
    return "kt" in table and bool((table["kt"].values > 0).all())
