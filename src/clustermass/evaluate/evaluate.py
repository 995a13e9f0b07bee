"""How good the ensemble is, and against what: `metrics.json`, and `predictions.nc` with what was judged."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.ensemble.calibration import Calibration, read_calibration
from clustermass.ensemble.out_of_distribution import summary_of
from clustermass.errors import InputError
from clustermass.evaluate.bootstrap import groups_of
from clustermass.evaluate.coverage import calibration, calibration_by_bin, calibration_of_pit
from clustermass.evaluate.metrics import Summary, by_bin, compare, mean_or_none
from clustermass.evaluate.predictions import calibrated_predictions, conformal_coverage, write_predictions
from clustermass.io.files import write_json
from clustermass.io.log import LOGGER
from clustermass.io.netcdf import read_netcdf
from clustermass.io.provenance import provenance

SUBSETS = ("train", "val", "test")
#: bins of metrics.json: name, variable, edges (masses as log10(M500c / Msun), counts as ML_CTS)
BINS = (
    ("by_mass_bin", "log10_m500c", (13.0, 13.5, 14.0, 14.5, 15.0, 15.5)),
    ("by_predicted_mass_bin", "mu", (-np.inf, 13.5, 14.0, 14.5, np.inf)),
    ("by_redshift_bin", "redshift", (0.0, 0.15, 0.3, 0.45, 0.6, np.inf)),
    ("by_counts_bin", "ml_cts", (0.0, 50.0, 100.0, 200.0, 500.0, np.inf)),
    ("by_likelihood_bin", "ext_like", (0.0, 10.0, 20.0, 60.0, np.inf)),
)
#: both likelihoods above this make the paper's high-quality sample
HIGH_LIKELIHOOD = 60.0
ENSEMBLE_VARIABLES = (
    *("mu", "sigma", "member_mu", "member_sigma", "split", "log10_m500c", "redshift"),
    *("det_like", "ext_like", "ml_cts"),
)
CALIBRATED = ("sigma_calibrated", "pit", "conformal_low", "conformal_high")


def evaluate(
    ensemble: Path,
    baselines: Path,
    calibration: Path,
    metrics: Path,
    predictions: Path,
    block: Mapping[str, Any],
    seed: int,
    split: Path | None = None,
    ood: Path | None = None,
) -> None:
    """Compare the ensemble with the truth and with the baselines, on the same clusters.

    Parameters
    ----------
    ensemble, baselines
        `ensemble.nc` and `baselines.nc` of one experiment, on its own sky or on another one.
    calibration
        `calibration.json` of the experiment: how sigma is recalibrated, and the conformal intervals.
    metrics
        `metrics.json` to write: sample sizes, summaries of test, val and train, `high_likelihood`, `calibration` (of
        the recalibrated test set, whole and in bins; `raw`, of the full `mixture`, `conformal`), `ensemble`,
        `baselines` and `ratios` (test set), `baselines_left_out` (why, by name), `provenance`. Numbers that too few
        clusters allow are null.
    predictions
        `predictions.nc` to write, see `predictions.calibrated_predictions`.
    block
        `evaluation` of the configuration: `bootstrap`, the number of resamplings.
    seed
        Root of the bootstrap's random numbers.
    split
        The sky's split: its groups are resampled whole. None = the groups in `baselines`, else single clusters.
    ood
        File of `judge_domain` of the same test clusters; summed up as `domain` in `metrics`. None = no such block.

    Raises
    ------
    InputError
        A file is missing, damaged or lacks a variable; the two don't hold the same clusters; a prediction isn't finite.
    """
    found, others = _joined(ensemble, baselines)
    calibrated = read_calibration(calibration)
    predicted = calibrated_predictions(found, calibrated)
    table = found.assign({name: predicted[name] for name in CALIBRATED})
    group = _groups(table, others, split)
    resamplings = int(block["bootstrap"])
    subsets = {name: table["split"].values.astype(str) == name for name in SUBSETS}
    compared = {
        name: _subset(table, others, group, chosen, resamplings, seed, name) for name, chosen in subsets.items()
    }
    high = (table["det_like"].values > HIGH_LIKELIHOOD) & (table["ext_like"].values > HIGH_LIKELIHOOD)
    best = _subset(table, others, group, subsets["test"] & high, resamplings, seed, "high_likelihood")
    test = table.isel(cluster=subsets["test"])
    inputs = [ensemble, baselines, calibration, *([ood] if ood else [])]
    content = {
        **{f"n_{name}": int(chosen.sum()) for name, chosen in subsets.items()},
        "test": compared["test"][0],
        "train": compared["train"][0],
        "val": compared["val"][0],
        "high_likelihood": {"threshold": HIGH_LIKELIHOOD, **best[0], "baselines": best[1], "ratios": best[2]},
        "calibration": _calibration(test, calibrated),
        "ensemble": _ensemble(test),
        "baselines": compared["test"][1],
        "ratios": compared["test"][2],
        "baselines_left_out": json.loads(others.attrs.get("left_out", "{}")),
        **({"domain": summary_of(ood)} if ood else {}),
        "provenance": provenance("evaluate", dict(block), inputs, seed=seed),
    }
    _log(content)
    write_predictions(predicted, ensemble, calibration, predictions)
    write_json(content, metrics)


def _joined(ensemble: Path, baselines: Path) -> tuple[xr.Dataset, xr.Dataset]:
    """Read both files, the baselines in the ensemble's order of clusters."""
    table, others = read_netcdf(ensemble, ENSEMBLE_VARIABLES), read_netcdf(baselines, ("mu", "split"))
    ids, other_ids = table["cluster"].values.astype(str), others["cluster"].values.astype(str)
    only_one = np.setxor1d(ids, other_ids)
    if only_one.size:
        raise InputError(
            f"{ensemble} and {baselines} hold different clusters ({only_one.size}; {only_one[0]} is one). "
            "They come from different runs: delete both and run again."
        )
    others = others.sel(cluster=table["cluster"].values)
    for path, values in ((ensemble, table["mu"]), (ensemble, table["sigma"]), (baselines, others["mu"])):
        if not np.isfinite(values.values).all():
            raise InputError(f"{path}: {values.name} holds numbers that aren't finite. Delete the file and run again.")
    return table, others


def _groups(table: xr.Dataset, others: xr.Dataset, split: Path | None) -> NDArray[np.str_]:
    ids = table["cluster"].values.astype(str)
    if split is None:
        return np.asarray(others["group"].values.astype(str) if "group" in others else ids)
    return groups_of(ids, split)


def _subset(
    table: xr.Dataset,
    others: xr.Dataset,
    group: NDArray[np.str_],
    chosen: NDArray[np.bool_],
    resamplings: int,
    seed: int,
    where: str,
) -> tuple[Summary, dict[str, Summary], dict[str, Summary]]:
    """Summary of the network, of the baselines, and their ratios for the clusters in `chosen`."""
    part = table.isel(cluster=chosen)
    truth = part["log10_m500c"].values.astype(float)
    residual = part["mu"].values - truth
    rivals = {str(name): others["mu"].sel(predictor=name).values[chosen] - truth for name in others["predictor"].values}
    network, baselines, ratios = compare(residual, rivals, group[chosen], resamplings, seed, where)
    sigma = part["sigma_calibrated"].values.astype(float)
    network |= {"n_groups": int(np.unique(group[chosen]).size), "mean_sigma_dex": mean_or_none(sigma)}
    for key, variable, edges in BINS:
        network[key] = by_bin(part[variable].values.astype(float), residual, sigma, edges)
    if "isolated" in others:
        isolated = others["isolated"].values[chosen]
        for key, value in (("isolated", 1), ("with_neighbour", 0)):
            network[key] = _neighbourhood(residual, rivals, group[chosen], isolated == value, resamplings, seed, where)
    return network, baselines, ratios


def _neighbourhood(
    residual: FloatArray,
    rivals: Mapping[str, FloatArray],
    group: NDArray[np.str_],
    inside: NDArray[np.bool_],
    resamplings: int,
    seed: int,
    where: str,
) -> Summary:
    rivals = {name: other[inside] for name, other in rivals.items()}
    network, baselines, ratios = compare(residual[inside], rivals, group[inside], resamplings, seed, f"{where} alone")
    return {**network, "baselines": baselines, "ratios": ratios}


def _calibration(test: xr.Dataset, applied: Calibration) -> Summary:
    """Calibration of the test clusters: recalibrated (whole and in bins), raw, of the mixture, of the intervals."""
    mu, raw, sigma, truth = (
        test[name].values.astype(float) for name in ("mu", "sigma", "sigma_calibrated", "log10_m500c")
    )
    bins = {
        key: calibration_by_bin(test[variable].values.astype(float), (mu, sigma, truth), edges)
        for key, variable, edges in BINS
    }
    return {
        **calibration(mu, sigma, truth),
        "recalibration": {"form": applied.form, **asdict(applied.recalibration), "n_val": applied.number},
        "raw": calibration(mu, raw, truth),
        "mixture": calibration_of_pit(test["pit"].values),
        "conformal": conformal_coverage(test),
        **bins,
    }


def _ensemble(test: xr.Dataset) -> dict[str, float | int | None]:
    """Members' sigma over the ensemble's, over members and test clusters (end of sec. 4 of Krippendorf et al. 2023)."""
    ratio = (test["member_sigma"] / test["sigma"]).values
    keys = ("member_over_ensemble_sigma_mean", "member_over_ensemble_sigma_std")
    values = (float(ratio.mean()), float(ratio.std())) if ratio.size else (None, None)
    scatter = (test["member_mu"] - test["log10_m500c"]).std("cluster").values if ratio.size else np.array([])
    return {
        "n_members": int(test.sizes["member"]),
        **dict(zip(keys, values, strict=True)),
        "member_scatter_dex_mean": float(scatter.mean()) if scatter.size else None,
    }


def _log(metrics: Mapping[str, Any]) -> None:
    test, ratio = metrics["test"], metrics["ratios"].get("network_over_count_rate_recalibrated", {"value": None})
    if test["scatter_dex"] is None:
        LOGGER.info("evaluate: %d test clusters are too few to tell a scatter", metrics["n_test"])
        return
    LOGGER.info(
        "evaluate: %d test clusters, scatter %.4f dex (%.0f %%), bias %+.4f dex",
        metrics["n_test"],
        test["scatter_dex"],
        test["scatter_ln_percent"],
        test["bias_dex"],
    )
    if ratio["value"] is not None:
        LOGGER.info("evaluate: %.3f of the recalibrated count rate's scatter", ratio["value"])
