"""Fit all baselines on the clusters that the networks are trained on; predict the same clusters, or another sky's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from clustermass.arrays import FloatArray
from clustermass.baselines.measurements import Sky, fit_sky_selection, measure_sky
from clustermass.baselines.scaling_relations import (
    best_on_validation,
    count_rate_relation,
    fit_best_form,
    gas_forms,
    luminosity_relation,
    polynomial_forms,
)
from clustermass.baselines.selection_function import LogOdds, predict_luminosity_selected
from clustermass.dataset.sample import fitting_split, join_split
from clustermass.dataset.split import first_training_clusters, group_names
from clustermass.errors import InputError
from clustermass.io.log import LOGGER
from clustermass.io.netcdf import write_netcdf
from clustermass.io.provenance import provenance

if TYPE_CHECKING:
    from clustermass.config.models import Baselines, Selection

#: predictions are rounded to this many decimals of a dex: the digits below depend on the machine's linear algebra
DECIMALS = 6
#: boosted trees that are grown; the validation set decides how many are kept
MAX_TREES = 800
#: baselines by the measurements that they need
BY_COUNT_RATE = ("count_rate_efeds", "count_rate_recalibrated")
BY_LUMINOSITY = ("luminosity_published", "luminosity_selected", "luminosity_recalibrated", "luminosity_temperature")
BY_FEATURES = ("ridge_features", "boosted_trees")
TITLE = "Masses by relations and regressions, to compare the networks with"


def fit_baselines(
    sky: Sky,
    split: Path,
    selection: Selection,
    block: Baselines,
    seed: int,
    output: Path,
    train_clusters: int | None = None,
    train_selection: Selection | None = None,
) -> None:
    """Fit every baseline on the training set, choose its form on the validation set, predict all clusters.

    Only the luminosity baselines read the truth beyond the label: they stand for perfect measurements of L500 and kT.
    `isolated` comes from the truth as well, for the report; no predictor uses it.

    Parameters
    ----------
    sky, split
        The training sky, and the subset (train, val, test) of each cluster.
    selection, train_selection
        Of the experiment, see `load_sample`.
    block, seed
        `baselines` of the configuration, and the seed of the boosted trees.
    output
        `baselines.nc`: mu (predictor, cluster), split, log10_m500c, isolated, group (cluster). Baselines that need what
        the sky lacks are left out; the attribute `left_out` says why.
    train_clusters
        Number of training clusters, the same ones that the networks are trained on; None = all.

    Raises
    ------
    InputError
        An input is missing or damaged, the selection is empty, there are too few training clusters, or a count rate
        isn't positive.
    """
    table = _training_sky(sky, split, selection, seed, train_clusters, train_selection)
    log_odds = fit_sky_selection(sky, table)
    mu = predict_all(table.assign(split=("cluster", fitting_split(table))), block, seed, log_odds)
    parameters: dict[str, object] = {"selection": selection, "baselines": block, "cosmology": sky.cosmology}
    parameters |= {"train_clusters": train_clusters, "train_selection": train_selection}
    inputs, left = [split, *sky.files()], left_out(table, log_odds)
    made = provenance("fit_baselines", parameters, inputs, seed=str(seed), left_out=left)
    write_netcdf(_dataset(table, mu), output, TITLE, made)


def fit_baselines_for_sky(
    sky: Sky,
    other: Sky,
    split: Path,
    selection: Selection,
    block: Baselines,
    seed: int,
    box_arcsec: float,
    output: Path,
    train_clusters: int | None = None,
    train_selection: Selection | None = None,
) -> None:
    """Fit every baseline like `fit_baselines`, and predict all selected clusters of another sky.

    Nothing is fitted to the clusters of `other`; all are test clusters of its `baselines.nc`, and those whose image
    boxes of `box_arcsec` overlap make a group, as in a split. Features of both skies are measured in the cosmology of
    `sky`.
    """
    own = _training_sky(sky, split, selection, seed, train_clusters, train_selection)
    own["split"] = ("cluster", fitting_split(own))
    new = measure_sky(other, selection, sky.cosmology)
    number = new.sizes["cluster"]
    new["split"] = ("cluster", np.full(number, "test"))
    new["group"] = ("cluster", group_names(new, box_arcsec))
    both = _joined(own.isel(cluster=own["split"].values != "test"), new)
    log_odds = fit_sky_selection(sky, own)
    mu = {name: mu[-number:] for name, mu in predict_all(both, block, seed, log_odds).items()}
    parameters: dict[str, object] = {"selection": selection, "baselines": block, "cosmology": sky.cosmology}
    parameters |= {"other_cosmology": other.cosmology, "box_arcsec": box_arcsec}
    parameters |= {"train_clusters": train_clusters, "train_selection": train_selection}
    inputs, left = [split, *sky.files(), *other.files()], left_out(both, log_odds)
    made = provenance("fit_baselines_for_sky", parameters, inputs, seed=str(seed), left_out=left)
    write_netcdf(_dataset(new, mu), output, TITLE, made)


def _training_sky(
    sky: Sky,
    split: Path,
    selection: Selection,
    seed: int,
    train_clusters: int | None,
    train_selection: Selection | None,
) -> xr.Dataset:
    table = join_split(measure_sky(sky, selection, sky.cosmology, train_selection), split)
    if train_clusters is not None:
        table["split"] = ("cluster", first_training_clusters(table, train_clusters, seed))
    return table


def _joined(own: xr.Dataset, new: xr.Dataset) -> xr.Dataset:
    """Clusters of two skies, one after the other; a measurement or feature that one sky lacks isn't used at all."""
    own = own.drop_vars(["selected", "for_training", "fit_val"], errors="ignore")  # how it was divided
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
    table: xr.Dataset, block: Baselines, seed: int, log_odds: LogOdds | None = None
) -> dict[str, FloatArray]:
    """Predicted log10(M500c / Msun), (cluster,), by name of the predictor.

    `table` is that of `measure_sky`, with `split`; luminosities that are NaN everywhere are unknown, as is the
    selection function where `log_odds` is None.
    """
    without = left_out(table, log_odds)
    for name, reason in without.items():
        LOGGER.warning("fit_baselines: %s is left out: %s", name, reason)
    split = table["split"].values.astype(str)
    # test labels are taken away here, so that no fit below can use them
    label = np.where(split == "test", np.nan, table["log10_m500c"].values.astype(float))
    z = table["redshift"].values.astype(float)

    def fit(name: str, forms: Mapping[str, FloatArray]) -> FloatArray:
        return fit_best_form(name, forms, label, split)

    mu = {"prior": fit("prior", polynomial_forms(np.log1p(z)))}
    if "count_rate_efeds" not in without:
        relation, rate = count_rate_relation(z, block["count_rate_efeds"]), _positive(table, "ml_rate", _BAD_RATE)
        mu["count_rate_efeds"] = relation.log10_mass(rate)
        mu["count_rate_recalibrated"] = fit("count_rate_recalibrated", relation.refit_forms(rate))
    if "luminosity_published" not in without:
        published, l500 = block["luminosity_published"], _positive(table, "l500", _BAD_LUMINOSITY)
        relation = luminosity_relation(z, published)
        mu["luminosity_published"] = relation.log10_mass(l500)
        if log_odds is not None:
            scatter = published["scatter_ln"]
            mu["luminosity_selected"] = predict_luminosity_selected(l500, z, relation, scatter, log_odds)
        mu["luminosity_recalibrated"] = fit("luminosity_recalibrated", relation.refit_forms(l500))
        if "luminosity_temperature" not in without:
            mu["luminosity_temperature"] = fit("luminosity_temperature", gas_forms(z, table["kt"].values, l500))
    if "ridge_features" not in without:
        features = _features(table)
        mu["ridge_features"] = predict_ridge(features, label, split, block["ridge_alpha"])
        mu["boosted_trees"] = predict_boosted_trees(features, label, split, seed)
    return mu


def left_out(table: xr.Dataset, log_odds: LogOdds | None) -> dict[str, str]:
    """Baselines that can't be fitted on these clusters, and why."""
    reasons: dict[str, str] = {}
    if np.isnan(table["ml_rate"].values.astype(float)).all():
        reasons |= dict.fromkeys(BY_COUNT_RATE, "the catalogue has no count rates (ML_RATE)")
    if not (table["l500"].values > 0).any():
        reasons |= dict.fromkeys(BY_LUMINOSITY, "the simulation has no luminosities (L500)")
    elif not ("kt" in table and (table["kt"].values > 0).all()):
        reasons |= {"luminosity_temperature": "the simulation lacks temperatures (KT) of clusters"}
    if log_odds is None:
        reasons.setdefault("luminosity_selected", "hardly any halo is selected, or hardly any is not")
    if not np.isfinite(table["features"].values).all(axis=0).any():
        reasons |= dict.fromkeys(BY_FEATURES, "the images hold no counts of photons to measure features on")
    return reasons


_BAD_RATE = (
    "catalogue.fits: ML_RATE of {number} selected detections isn't positive (cluster {cluster} is one). Correct or "
    "remove those rows, or leave the column out."
)
_BAD_LUMINOSITY = (
    "truth.fits: L500 of {number} matched haloes isn't positive (cluster {cluster} is one). Give every halo its "
    "luminosity in erg/s, or leave the column out."
)


def _positive(table: xr.Dataset, name: str, message: str) -> FloatArray:
    values = np.asarray(table[name].values, dtype=float)
    bad = np.flatnonzero(~(values > 0))
    if bad.size:
        raise InputError(message.format(number=bad.size, cluster=table["cluster"].values[bad[0]]))
    return values


def _features(table: xr.Dataset) -> FloatArray:
    """Features (cluster, feature) that every cluster has: a catalogue may lack a column."""
    features, names = table["features"].values, table["feature"].values.astype(str)
    known = np.asarray(np.isfinite(features).all(axis=0))
    LOGGER.info("fit_baselines: %d features of %d clusters", known.sum(), len(features))
    if not known.all():
        LOGGER.warning("fit_baselines: left out, unknown for some clusters: %s", ", ".join(names[~known]))
    return features[:, known]


@threadpool_limits.wrap(limits=1)  # the same bits on any number of cores, and no threads that wait for a busy one
def predict_ridge(
    features: FloatArray, log10_m500c: FloatArray, split: NDArray[np.str_], alphas: Sequence[float]
) -> FloatArray:
    """Ridge regression on standardised features, fitted to the training set; the validation set chooses the penalty.

    Takes features (cluster, feature), labels that are read for training and validation clusters only, and the penalties
    `alphas` (`baselines.ridge_alpha`). Returns log10(M500c / Msun), float64 (cluster,).
    """
    train, fits = split == "train", dict[float, FloatArray]()
    for alpha in alphas:
        model = make_pipeline(StandardScaler(), Ridge(alpha=float(alpha)))
        fits[alpha] = model.fit(features[train], log10_m500c[train]).predict(features)
    return best_on_validation("ridge_features: penalty", fits, log10_m500c, split)


@threadpool_limits.wrap(limits=1)  # as above
def predict_boosted_trees(
    features: FloatArray, log10_m500c: FloatArray, split: NDArray[np.str_], seed: int
) -> FloatArray:
    """Boosted trees, fitted to the training set; the validation set chooses their number. See `predict_ridge`."""
    train = split == "train"
    model = HistGradientBoostingRegressor(
        learning_rate=0.04,
        max_iter=MAX_TREES,
        max_leaf_nodes=8,
        min_samples_leaf=20,
        l2_regularization=1.0,
        max_features=0.3,
        early_stopping=False,
        random_state=seed,
    ).fit(features[train], log10_m500c[train])
    by_number = dict(enumerate(model.staged_predict(features), start=1))
    return best_on_validation("boosted_trees: number of trees", by_number, log10_m500c, split)
