"""Fit all baselines to the clusters that networks are trained on, and predict masses for this or another sky."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.polynomial.hermite_e import hermegauss
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from threadpoolctl import threadpool_limits

from clustermass.arrays import FloatArray, bisect
from clustermass.baselines.measurements import Sky, measure_sky
from clustermass.baselines.scaling_relations import (
    ScalingRelation,
    best_on_validation,
    count_rate_relation,
    fit_best_form,
    gas_forms,
    luminosity_relation,
    polynomial_forms,
    published_luminosity,
)
from clustermass.dataset.sample import TrainedHaloes, fitting_split, join_split
from clustermass.dataset.split import first_training_clusters, group_names
from clustermass.errors import InputError
from clustermass.io.log import LOGGER
from clustermass.io.netcdf import write_netcdf
from clustermass.io.provenance import provenance

if TYPE_CHECKING:
    from clustermass.config.models import Baselines, Selection

#: number of decimals to which predictions in dex are rounded; further decimals depend on the machine
DECIMALS = 6
#: variables of the clusters in `baselines.nc`
OF_CLUSTERS = ("isolated", "contaminated", "split", "group", "log10_m500c")
#: number of boosted trees that are fitted; the validation set decides how many of them are used
MAX_TREES = 800
#: names of the baselines that need count rates, of those that need luminosities, and of those that need features
BY_COUNT_RATE = ("count_rate_efeds", "count_rate_recalibrated")
BY_LUMINOSITY = ("luminosity_published", "luminosity_selected", "luminosity_recalibrated", "luminosity_temperature")
BY_FEATURES = ("ridge_features", "boosted_trees")
#: number of nodes of the Gauss-Hermite quadrature over the scatter of luminosity
NODES = 40
#: limits of log10(M500c / Msun) between which masses are searched, and number of bisections (to 1e-9 dex)
BRACKET, HALVINGS = (10.0, 18.0), 33
#: smallest number of selected haloes with which the selection is fitted, and smallest number of other haloes
MIN_HALOES = 20

#: function of log10 L and redshift that returns ln of the odds that a halo is selected
LogOdds = Callable[[FloatArray, FloatArray], FloatArray]


def fit_baselines(
    sky: Sky,
    split: Path,
    selection: Selection,
    block: Baselines,
    seed: int,
    output: Path,
    train_clusters: int | None = None,
    train_selection: Selection | None = None,
    other: Sky | None = None,
    box_arcsec: float = 0.0,
) -> None:
    """Fit every baseline to the training set, choose its form with the validation set, and write `baselines.nc`.

    `sky` is the training sky, and `split` the file of its subsets. The experiment's `selection` and `train_selection`
    are described in `clustermass.dataset.sample.load_sample`. `block` is the block `baselines` of the configuration.
    `seed` is the seed of the boosted trees, and of the choice of `train_clusters` training clusters. If
    `train_clusters` is None, all training clusters are used.

    The masses of all selected clusters of `sky` are predicted or, if another sky `other` is given, those of all
    selected clusters of `other`:

    - All clusters of `other` are test clusters, except those whose halo is in the training or validation set, which are
      left out.
    - Two clusters of `other` are in the same group if they share a halo, or if their image boxes of side `box_arcsec`
      overlap.
    - Features of both skies are measured in the cosmology of `sky`.

    The baselines that use luminosity or temperature get the true L500 and kT, without measurement errors. The other
    baselines use no true values except the masses to which they are fitted.

    `baselines.nc` holds the predicted log10(M500c / Msun) as `mu` (predictor, cluster). It also holds the variables
    `split` (the subset), `log10_m500c` (the true mass), `isolated`, `contaminated` and `group`, each (cluster,).
    `isolated` and `contaminated` are computed from the truth, and are used only in reports. If the sky lacks a
    quantity, baselines that need it are left out; the attribute `left_out` says why.

    InputError if an input is missing or damaged, if the selection is empty, if there are too few training clusters, or
    if a count rate isn't positive.
    """
    table = join_split(measure_sky(sky, selection, sky.cosmology, train_selection), split)
    if train_clusters is not None:
        table["split"] = ("cluster", first_training_clusters(table, train_clusters, seed))
    log_odds = fit_sky_selection(sky, table)
    whole = table.assign(split=("cluster", fitting_split(table)))
    parameters: dict[str, object] = {"selection": selection, "baselines": block, "cosmology": sky.cosmology}
    parameters |= {"train_clusters": train_clusters, "train_selection": train_selection}
    step, inputs = "fit_baselines", [split, *sky.files()]
    if other is not None:
        table = measure_sky(other, selection, sky.cosmology, trained=TrainedHaloes.read(sky.images, split))
        table["split"] = ("cluster", np.full(table.sizes["cluster"], "test"))
        table["group"] = ("cluster", group_names(table, box_arcsec))
        whole = _joined(whole.isel(cluster=whole["split"].values != "test"), table)
        parameters |= {"other_cosmology": other.cosmology, "box_arcsec": box_arcsec}
        step, inputs = "fit_baselines_for_sky", [*inputs, *other.files()]
    mu = {name: mu[-table.sizes["cluster"] :] for name, mu in predict_all(whole, block, seed, log_odds).items()}
    dataset = xr.Dataset(
        {
            "mu": (("predictor", "cluster"), np.round(np.stack(list(mu.values())), DECIMALS)),
            **{name: ("cluster", table[name].values) for name in OF_CLUSTERS},
        },
        coords={"predictor": list(mu), "cluster": table["cluster"].values},
    )
    made = provenance(step, parameters, inputs, seed=str(seed), left_out=left_out(whole, log_odds))
    write_netcdf(dataset, output, "Masses by relations and regressions, to compare the networks with", made)


def _joined(own: xr.Dataset, new: xr.Dataset) -> xr.Dataset:
    """Return the clusters of two skies with the features that both have.

    A measurement that one sky lacks is NaN for all clusters.
    """
    own = own.drop_vars(["selected", "for_training", "fit_val"], errors="ignore")  # marks of its own selection
    both = xr.concat([own, new], dim="cluster", join="inner")
    for name in ("l500", "kt", "ml_rate"):
        if np.isnan(own[name].values).all() or np.isnan(new[name].values).all():
            both[name] = both[name] * np.nan
    return both


def predict_all(
    table: xr.Dataset, block: Baselines, seed: int, log_odds: LogOdds | None = None
) -> dict[str, FloatArray]:
    """Return a dict from the name of each baseline to the predicted log10(M500c / Msun), (cluster,).

    `table` is a result of `measure_sky` to which the subsets of the clusters were added (`split`). `log_odds` is the
    result of `fit_selection`. Baselines that can't be fitted (`left_out`) aren't in the dict.
    """
    without = left_out(table, log_odds)
    for name, reason in without.items():
        LOGGER.warning("fit_baselines: %s is left out: %s", name, reason)
    split = table["split"].values.astype(str)
    # the masses of test clusters are taken away here, so that no fit below can use them
    label = np.where(split == "test", np.nan, table["log10_m500c"].values.astype(float))
    z = table["redshift"].values.astype(float)

    def fit(name: str, forms: Mapping[str, FloatArray]) -> FloatArray:
        return fit_best_form(name, forms, label, split)

    mu = {"prior": fit("prior", polynomial_forms(np.log1p(z)))}
    if "count_rate_efeds" not in without:
        relation, advice = count_rate_relation(z, block["count_rate_efeds"]), "Correct or remove those rows"
        rate = _positive(table, "ml_rate", "catalogue.fits: ML_RATE", "selected detections", advice)
        mu["count_rate_efeds"] = relation.log10_mass(rate)
        mu["count_rate_recalibrated"] = fit("count_rate_recalibrated", relation.refit_forms(rate))
    if "luminosity_published" not in without:
        published = block["luminosity_published"]
        relation, advice = luminosity_relation(z, published), "Give every halo its luminosity in erg/s"
        l500 = _positive(table, "l500", "truth.fits: L500", "matched haloes", advice)
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
    """Return the baselines that can't be fitted to the clusters in `table`, as a dict from names to reasons."""
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


def _positive(table: xr.Dataset, name: str, column: str, rows: str, advice: str) -> FloatArray:
    values = np.asarray(table[name].values, dtype=float)
    bad = np.flatnonzero(~(values > 0))
    if bad.size:
        one = table["cluster"].values[bad[0]]
        raise InputError(
            f"{column} of {bad.size} {rows} isn't positive (cluster {one} is one). {advice}, or leave the column out."
        )
    return values


def _features(table: xr.Dataset) -> FloatArray:
    """Return the features in `table`, (cluster, feature), without those that are unknown for some clusters."""
    features, names = table["features"].values, table["feature"].values.astype(str)
    complete = np.asarray(np.isfinite(features).all(axis=0))
    LOGGER.info("fit_baselines: %d features of %d clusters", complete.sum(), len(features))
    if not complete.all():
        LOGGER.warning("fit_baselines: left out, unknown for some clusters: %s", ", ".join(names[~complete]))
    return features[:, complete]


@threadpool_limits.wrap(limits=1)  # gives the same bits on any number of cores, and no thread waits for others
def predict_ridge(
    features: FloatArray, log10_m500c: FloatArray, split: NDArray[np.str_], alphas: Sequence[float]
) -> FloatArray:
    """Return log10(M500c / Msun) of all clusters from a ridge regression on standardised features, float64 (cluster,).

    `features` are (cluster, feature), before standardisation. The regression is fitted to the training set. Of the
    penalties `alphas` (`baselines.ridge_alpha`), the one that is best on the validation set is used. Masses of test
    clusters aren't read.
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
    """Return log10(M500c / Msun) from boosted trees; the arguments are those of `predict_ridge`.

    The number of trees is the one that is best on the validation set.
    """
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


def fit_sky_selection(sky: Sky, table: xr.Dataset) -> LogOdds | None:
    """Return the result of `fit_selection` for the haloes of a sky.

    A halo counts as selected if its cluster is in `table`. If `table` has the variable `selected`, this must also be
    True for the cluster.
    """
    haloes = sky.haloes()
    if "selected" in table:  # the other clusters are only for training
        table = table.isel(cluster=table["selected"].values)
    selected = np.zeros(len(haloes.l500), dtype=bool)
    selected[haloes.rows(table)] = True
    return fit_selection(published_luminosity(haloes.l500, haloes.redshift, sky.cosmology), haloes.redshift, selected)


def fit_selection(l500: FloatArray, redshift: FloatArray, selected: NDArray[np.bool_]) -> LogOdds | None:
    """Return a function of log10 L and redshift: ln(p / (1 - p)), where p is the probability that a halo is selected.

    `l500` is the true luminosity in erg/s, and `selected` says whether a halo is selected; all arguments are (halo,).
    The function is a quadratic polynomial in log10 L and ln(1 + z). It is fitted by logistic regression to all haloes
    with a positive luminosity; masses aren't used. The result is None if fewer than `MIN_HALOES` haloes are selected,
    or if fewer than `MIN_HALOES` aren't selected.
    """

    def features(log10_l: FloatArray, z: FloatArray) -> FloatArray:
        return np.stack([log10_l, np.log1p(z)], axis=1)

    bright = l500 > 0
    selected = selected[bright]
    if min(selected.sum(), (~selected).sum()) < MIN_HALOES:
        return None
    quadratic = PolynomialFeatures(2, include_bias=False)
    model = make_pipeline(StandardScaler(), quadratic, LogisticRegression(C=1e4, max_iter=1000))
    model.fit(features(np.log10(l500[bright]), redshift[bright]), selected)

    def log_odds(log10_l: FloatArray, z: FloatArray) -> FloatArray:
        log10_l, z = np.broadcast_arrays(log10_l, z)
        return np.asarray(model.decision_function(features(log10_l.ravel(), z.ravel()))).reshape(z.shape)

    return log_odds


def predict_luminosity_selected(
    l500: FloatArray, redshift: FloatArray, relation: ScalingRelation, scatter_ln: float, log_odds: LogOdds
) -> FloatArray:
    """Return masses from a luminosity relation that is corrected for the selection of bright clusters.

    ln L is assumed to be Gaussian about the relation, with the standard deviation `scatter_ln`. The mean of ln L among
    the selected clusters of a given mass and redshift is then

        <ln L | M, z, selected> = int ln L p(sel | L, z) N(ln L) dln L / int p(sel | L, z) N(ln L) dln L.

    Here N is the Gaussian, and the probability p of being selected is from `log_odds`. The result is the log10(M500c /
    Msun) at which this mean equals the cluster's ln L, float64 (cluster,). `l500` is in erg/s, in the cosmology of the
    relation. Krippendorf et al. (2023, section 4) found that the correction is small.
    """
    nodes, weights = hermegauss(NODES)
    offsets, z = nodes * scatter_ln / np.log(10), redshift[:, None]

    def mean_among_selected(log10_m: FloatArray) -> FloatArray:
        log10_l = relation.log10_observable(log10_m)[:, None] + offsets
        log_probability = -np.logaddexp(0, -log_odds(log10_l, z))
        weight = weights * np.exp(log_probability - log_probability.max(axis=1, keepdims=True))
        return np.asarray((weight * log10_l).sum(axis=1) / weight.sum(axis=1))

    low, high = (np.full(len(l500), edge) for edge in BRACKET)
    log10_l500 = np.log10(l500)
    return bisect(lambda log10_m: mean_among_selected(log10_m) < log10_l500, low, high, HALVINGS)
