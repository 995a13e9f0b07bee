"""Scores of an ensemble and of the baselines (`metrics.json`), and calibrated predictions (`predictions.nc`)."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import xarray as xr

from clustermass.dataset.split import SUBSETS, read_split
from clustermass.ensemble.aggregate import mixture_cdf, mixture_quantile
from clustermass.ensemble.calibration import Calibration, read_calibration
from clustermass.ensemble.out_of_distribution import FALSE_ALARMS, sample_p
from clustermass.ensemble.scores import MIN_CLUSTERS, Json, calibration_scores, fraction, pit_scores
from clustermass.errors import InputError
from clustermass.evaluate.metrics import Comparison, Residuals, by_bin, compare, scores_with_sigma, sigma_ratio
from clustermass.io.files import write_json
from clustermass.io.log import LOGGER
from clustermass.io.netcdf import check_finite, read_netcdf, write_netcdf
from clustermass.io.provenance import provenance

#: bins of metrics.json. Each entry holds the key, the variable that is binned, and the edges. Masses are
#: log10(M500c / Msun), counts are ML_CTS.
BINS = (
    ("by_mass_bin", "log10_m500c", (13.0, 13.5, 14.0, 14.5, 15.0, 15.5)),
    ("by_predicted_mass_bin", "mu", (-np.inf, 13.5, 14.0, 14.5, np.inf)),
    ("by_redshift_bin", "redshift", (0.0, 0.15, 0.3, 0.45, 0.6, np.inf)),
    ("by_counts_bin", "ml_cts", (0.0, 50.0, 100.0, 200.0, 500.0, np.inf)),
    ("by_likelihood_bin", "ext_like", (0.0, 10.0, 20.0, 60.0, np.inf)),
)
#: parts of a subset. Each entry holds the key in metrics.json, the variable of baselines.nc, and the value that it has
PARTS = {
    "isolated": ("isolated", 1),
    "with_neighbour": ("isolated", 0),
    "uncontaminated": ("contaminated", 0),
    "contaminated": ("contaminated", 1),
}
#: the paper's high-quality sample has DET_LIKE and EXT_LIKE above this
HIGH_LIKELIHOOD = 60.0
#: probabilities at which quantiles of the predicted distribution are written
PROBABILITIES = (0.025, 0.16, 0.25, 0.5, 0.75, 0.84, 0.975)
#: scores of the single members on the test clusters; None if there is no test cluster
ENSEMBLE_SCORES = ("member_over_ensemble_sigma_mean", "member_over_ensemble_sigma_std", "member_scatter_dex_mean")
#: variables of ensemble.nc that are copied to predictions.nc
KEPT = ("mu", "sigma", "split", "log10_m500c", "redshift", "ml_cts")


def evaluate(
    ensemble: Path,
    baselines: Path,
    calibration: Path,
    metrics: Path,
    predictions: Path,
    resamplings: int,
    seed: int,
    split: Path | None = None,
    ood: Path | None = None,
) -> None:
    """Compare masses predicted by an ensemble and by baselines with true masses; write `metrics` and `predictions`.

    `ensemble` and `baselines` are `ensemble.nc` and `baselines.nc` of the same clusters, and `calibration` is the
    experiment's `calibration.json`. The bootstrap draws whole groups of clusters, `resamplings` times. The groups are
    read from the file `split` if it is given, otherwise from `baselines`. If neither holds groups, each cluster is a
    group of its own.

    The file `predictions` holds the result of `calibrated_predictions`. The file `metrics` holds the numbers of
    clusters, and the scores of the ensemble on the subsets `test`, `val` and `train`. Its other blocks are about the
    test set:

    - `high_likelihood`: scores of the clusters whose DET_LIKE and EXT_LIKE are both above 60
    - `calibration`: the scores that `_calibration` returns
    - `ensemble`: scores of the single members
    - `baselines`: scores of each baseline
    - `ratios`: the scatter of the ensemble divided by the scatter of each baseline
    - `baselines_left_out`: for each baseline that couldn't be computed, the reason
    - `domain`: the result of `summarise_ood` for the file `ood`; left out if `ood` is None

    Scores of fewer than three clusters are null. InputError if a file is missing, is damaged or lacks a variable, if
    the files hold different clusters, or if a prediction isn't finite.
    """
    table, others = _joined(ensemble, baselines)
    calibrated = read_calibration(calibration)
    predicted = calibrated_predictions(table, calibrated)
    table = table.assign(predicted.drop_vars([*KEPT, "quantile"]))
    table = table.assign({name: ("cluster", others[name].values) for name, _ in PARTS.values() if name in others})
    residuals = _residuals(table, others, split)
    subsets = {name: table["split"].values.astype(str) == name for name in SUBSETS}
    high = (table["det_like"].values > HIGH_LIKELIHOOD) & (table["ext_like"].values > HIGH_LIKELIHOOD)
    compared = {
        name: _compare(table.isel(cluster=chosen), residuals.subset(chosen), resamplings, seed, name)
        for name, chosen in {**subsets, "high_likelihood": subsets["test"] & high}.items()
    }
    test, best = compared["test"], compared["high_likelihood"]
    inputs = [ensemble, baselines, calibration, *([ood] if ood else [])]
    test_table = table.isel(cluster=subsets["test"])
    content = {
        **{f"n_{name}": int(chosen.sum()) for name, chosen in subsets.items()},
        **{name: compared[name].network for name in ("test", "train", "val")},
        "high_likelihood": {"threshold": HIGH_LIKELIHOOD, **_content(best)},
        "calibration": _calibration(test_table, calibrated),
        "ensemble": _ensemble(test_table),
        "baselines": test.baselines,
        "ratios": test.ratios,
        "baselines_left_out": json.loads(others.attrs.get("left_out", "{}")),
        **({"domain": summarise_ood(ood)} if ood else {}),
        "provenance": provenance("evaluate", {"bootstrap": resamplings}, inputs, seed=seed),
    }
    _log(test)
    made = provenance("evaluate", {}, [ensemble, calibration])
    write_netcdf(predicted, predictions, "Calibrated predictions of log10 M500c by an ensemble", made)
    write_json(content, metrics)


def _content(comparison: Comparison) -> Json:
    return {**comparison.network, "baselines": comparison.baselines, "ratios": comparison.ratios}


def _joined(ensemble: Path, baselines: Path) -> tuple[xr.Dataset, xr.Dataset]:
    table = read_netcdf(ensemble, (*KEPT, "member_mu", "member_sigma", "det_like", "ext_like"))
    others = read_netcdf(baselines, ("mu", "split"))
    ids, other_ids = table["cluster"].values.astype(str), others["cluster"].values.astype(str)
    only_one = np.setxor1d(ids, other_ids)
    if only_one.size:
        raise InputError(
            f"{ensemble} and {baselines} hold different clusters ({only_one.size}; {only_one[0]} is one). "
            "They come from different runs: delete both and run again."
        )
    check_finite(table, ("mu", "sigma"), ensemble)
    check_finite(others, ("mu",), baselines)
    return table, others.sel(cluster=table["cluster"].values)


def _residuals(table: xr.Dataset, others: xr.Dataset, split: Path | None) -> Residuals:
    ids, truth = table["cluster"].values.astype(str), table["log10_m500c"].values.astype(float)
    group = others["group"].values.astype(str) if "group" in others else ids
    if split is not None:
        group = read_split(split, ids)["group"].values
    baselines = {str(name): others["mu"].sel(predictor=name).values - truth for name in others["predictor"].values}
    return Residuals(table["mu"].values - truth, baselines, group)


def calibrated_predictions(table: xr.Dataset, calibration: Calibration) -> xr.Dataset:
    """Return the calibrated predictions of the clusters in `table`, which is the content of an `ensemble.nc`.

    Masses are log10(M500c / Msun). The result holds the variables `KEPT` of `table`, and these:

    - `sigma_calibrated` (cluster,): the recalibrated standard deviation in dex
    - `quantile` (probability, cluster): quantiles of the recalibrated mixture of the members' Gaussians
    - `pit` (cluster,): the cumulative probability of this mixture at the true mass
    - `conformal_low` and `conformal_high` (level, cluster): the ends of the conformal intervals at each level in
      percent, NaN if there were too few validation clusters
    """
    mu, sigma = calibration.recalibration.components(table["member_mu"].values, table["member_sigma"].values)
    centre, width = table["mu"].values, table["sigma"].values
    half_widths = np.outer(list(calibration.half_width.values()), width)
    quantiles = np.stack([mixture_quantile(probability, mu, sigma) for probability in PROBABILITIES])
    columns = {
        **{name: ("cluster", table[name].values) for name in KEPT},
        "sigma_calibrated": ("cluster", calibration.recalibration.sigma(width)),
        "quantile": (("probability", "cluster"), quantiles),
        "pit": ("cluster", mixture_cdf(table["log10_m500c"].values, mu, sigma)),
        "conformal_low": (("level", "cluster"), centre - half_widths),
        "conformal_high": (("level", "cluster"), centre + half_widths),
    }
    levels = np.array(list(calibration.half_width), dtype=np.int16)
    axes = {"cluster": table["cluster"].values, "probability": np.array(PROBABILITIES), "level": levels}
    return xr.Dataset(columns, coords=axes)


def _compare(table: xr.Dataset, residuals: Residuals, resamplings: int, seed: int, where: str) -> Comparison:
    """Return the scores of a subset: of all clusters, in the bins of `BINS`, and of the parts in `PARTS`."""
    comparison, sigma = compare(residuals, resamplings, seed, where), table["sigma_calibrated"].values.astype(float)
    network = comparison.network
    network |= {"n_groups": int(np.unique(residuals.group).size), **scores_with_sigma(residuals.network, sigma)}
    for key, variable, edges in BINS:
        values = table[variable].values.astype(float)
        network[key] = by_bin(values, edges, scores_with_sigma, residuals.network, sigma)
    for key, (name, value) in PARTS.items():
        if name not in table:
            continue
        part = residuals.subset(table[name].values == value)
        network[key] = _content(compare(part, resamplings, seed, f"{where} alone"))
    return comparison


def _calibration(test: xr.Dataset, applied: Calibration) -> Json:
    names = ("mu", "sigma", "sigma_calibrated", "log10_m500c")
    mu, raw, sigma, truth = (test[name].values.astype(float) for name in names)
    in_bins = {
        key: by_bin(test[variable].values.astype(float), edges, calibration_scores, mu, sigma, truth)
        for key, variable, edges in BINS
    }
    return {
        **calibration_scores(mu, sigma, truth),
        "recalibration": {"form": applied.form, **asdict(applied.recalibration), "n_val": applied.number},
        "raw": calibration_scores(mu, raw, truth),
        "mixture": pit_scores(test["pit"].values),
        "conformal": conformal_coverage(test),
        **in_bins,
    }


def conformal_coverage(predicted: xr.Dataset) -> dict[str, Json]:
    """Return the measured coverage of the conformal intervals, as a dict by level in percent, such as "68".

    Each entry holds `coverage` (the share of true masses inside the intervals), `coverage_ci68` (its binomial 68 %
    interval), and `mean_half_width_dex`. All three are None if there are no intervals at this level, or fewer than
    three clusters.
    """
    truth, scores = predicted["log10_m500c"].values, dict[str, Json]()
    for level in predicted["level"].values.tolist():
        low, high = (predicted[name].sel(level=level).values for name in ("conformal_low", "conformal_high"))
        scores[str(level)] = dict.fromkeys(("coverage", "coverage_ci68", "mean_half_width_dex"))
        if truth.size >= MIN_CLUSTERS and np.isfinite(low).all():
            inside = fraction("coverage", (low <= truth) & (truth <= high))
            scores[str(level)] = inside | {"mean_half_width_dex": float((high - low).mean() / 2)}
    return scores


def _ensemble(test: xr.Dataset) -> Json:
    scores = {"n_members": int(test.sizes["member"]), **dict.fromkeys(ENSEMBLE_SCORES)}
    if test.sizes["cluster"]:
        ratio = sigma_ratio(test["member_sigma"].values, test["sigma"].values)
        scatter = (test["member_mu"] - test["log10_m500c"]).std("cluster").values
        scores |= dict(zip(ENSEMBLE_SCORES, (ratio["mean"], ratio["std"], float(scatter.mean())), strict=True))
    return scores


def summarise_ood(scores: Path) -> Json:
    """Return a summary of the test clusters' out-of-distribution scores in `scores`, a file that `score_ood` wrote.

    - `n`, `n_validation`: number of test clusters, and of validation clusters
    - `false_alarm_rate`: share of flagged clusters that is expected by chance
    - `flagged`, `flagged_ci68`: share of flagged test clusters, and its 68 % interval; None without test clusters
    - `why`: for each quantity, the number of flagged clusters whose most unusual quantity it is
    - `sample_p`: p-value of the whole sample (see `out_of_distribution.sample_p`)
    """
    table = read_netcdf(scores, ("ood_p", "ood_why", "flag_ood"))
    number = int(table.attrs["n_validation"])
    flagged = table["flag_ood"].values != 0
    names, counts = np.unique(table["ood_why"].values.astype(str)[flagged], return_counts=True)
    return {
        "false_alarm_rate": FALSE_ALARMS,
        "n": int(flagged.size),
        "n_validation": number,
        **(fraction("flagged", flagged) if flagged.size else {"flagged": None, "flagged_ci68": None}),
        "why": dict(zip(names.tolist(), counts.tolist(), strict=True)),
        "sample_p": sample_p(table["ood_p"].values, number),
    }


def _log(test: Comparison) -> None:
    scores, ratio = test.network, test.ratios.get("network_over_count_rate_recalibrated", {"value": None})
    if scores["scatter_dex"] is None:
        LOGGER.info("evaluate: %d test clusters are too few for a scatter", scores["n"])
        return
    LOGGER.info(
        "evaluate: %d test clusters, scatter %.4f dex (%.0f %%), bias %+.4f dex",
        *(scores[name] for name in ("n", "scatter_dex", "scatter_ln_percent", "bias_dex")),
    )
    if ratio["value"] is not None:
        LOGGER.info("evaluate: %.3f of the recalibrated count rate's scatter", ratio["value"])
