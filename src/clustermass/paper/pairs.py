"""Experiments against each other on the same clusters: what a change is worth, and whether the sample can tell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.ensemble.scores import MIN_CLUSTERS
from clustermass.errors import InputError
from clustermass.evaluate.bootstrap import interval68, resampled_moments
from clustermass.evaluate.metrics import residual_scores
from clustermass.io.files import write_json
from clustermass.io.log import track
from clustermass.io.netcdf import read_netcdf
from clustermass.io.provenance import provenance
from clustermass.paper.training_noise import noise_of, typical_noise
from clustermass.rng import generator


@dataclass(frozen=True)
class Judged:
    """An experiment's predictions for one sky.

    Attributes
    ----------
    experiment, sky
        Their names; the sky by its own name, whether the experiment learnt from it or not.
    predictions, ensemble, baselines
        `predictions.nc`, `ensemble.nc` for its members, and `baselines.nc` for its `group`; the test clusters are
        compared.
    """

    experiment: str
    sky: str
    predictions: Path
    ensemble: Path
    baselines: Path


def compare_pairs(
    judged: Sequence[Judged], against: Mapping[str, str], output: Path, resamplings: int, seed: int
) -> None:
    """Write `pairs.json`: of each experiment and sky the ratio of its scatter to that of another one.

    Parameters
    ----------
    judged
        All that is compared.
    against
        Of each experiment the one that it is compared with.
    output
        List of rows: `experiment`, `sky`, `against`, `n` test clusters that both were judged on, both scatters and
        biases with intervals, `scatter_ratio` and `bias_difference_dex` with `_ci68`, `bias_by_truth`, the mean
        residual of both from 13.0 to 13.5 and from 14.5 to 15.0, and `bias_nearer_zero_by_truth`, by how much it is
        smaller without regard to sign, with its error from the same clusters. Intervals come from a bootstrap of
        whole groups, the same draws for both: they tell how much other clusters would change. How much other
        trainings would is `training_noise`, of both and typical of all compared with the same (`training_noise.py`);
        `scatter_ratio_error` is both together. Nothing but None where fewer than three clusters are common.
    resamplings, seed
        Of the bootstrap.

    Raises
    ------
    InputError
        A file is missing, damaged or lacks a variable.
    """
    table = {(one.experiment, one.sky): one for one in judged}
    rows = []
    for one in track(judged, "experiments compared"):
        other = table.get((against[one.experiment], one.sky))
        if other is not None and other is not one:
            rows.append(_compared(one, other, resamplings, seed))
    rows = [{**row, **_with_training(row, rows)} for row in rows]
    files = [path for one in judged for path in (one.predictions, one.ensemble, one.baselines)]
    parameters = {"against": dict(against), "resamplings": resamplings}
    write_json({"rows": rows, "provenance": provenance("compare_pairs", parameters, files, seed=seed)}, output)


def _with_training(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Add the noise of training to the ratio's error.

    An ensemble's noise is taken to fall with the root of its number of members; where they differ by more than
    noise alone, it falls faster.
    """
    if row["scatter_ratio"] is None:
        return {"training_noise": None, "scatter_ratio_error": None}
    family = [of for of in rows if of["against"] == row["against"] and "own" in of]
    base = {of["sky"]: of["member_scatter_dex"]["other"] for of in family}  # once, not once a row
    typical = typical_noise([*(of["member_scatter_dex"]["own"] for of in family), *base.values()])
    members = row["member_scatter_dex"]
    noise = {side: noise_of(members[side], typical) for side in ("own", "other")}
    low, high = row["scatter_ratio_ci68"]
    training = np.sqrt(sum(noise[side] ** 2 / len(members[side]) for side in noise))
    error = float(np.hypot((high - low) / 2, row["scatter_ratio"] * training))
    return {"training_noise": {**noise, "typical": typical}, "scatter_ratio_error": error}


def _compared(one: Judged, other: Judged, resamplings: int, seed: int) -> dict[str, Any]:
    own, theirs = _test_clusters(one), _test_clusters(other)
    ids = np.intersect1d(own["cluster"].values, theirs["cluster"].values)
    own, theirs = own.sel(cluster=ids), theirs.sel(cluster=ids)
    truth = own["log10_m500c"].values
    if not np.array_equal(truth, theirs["log10_m500c"].values):
        raise InputError(f"{one.predictions} and {other.predictions}: clusters of the same name differ in mass.")
    residuals = np.stack([own["mu"].values - truth, theirs["mu"].values - truth])
    row = {"experiment": one.experiment, "sky": one.sky, "against": other.experiment, "n": int(ids.size)}
    if ids.size < MIN_CLUSTERS:
        return {**row, "scatter_ratio": None, "scatter_ratio_ci68": None}
    random = generator(seed, "pairs", one.experiment, one.sky)
    mean, scatter = resampled_moments(residuals, own["group"].values, resamplings, random)
    sides = {}
    for name, residual, means, scatters in zip(("own", "other"), residuals, mean, scatter, strict=True):
        intervals = {"scatter_dex_ci68": interval68(scatters), "bias_dex_ci68": interval68(means)}
        sides[name] = {**residual_scores(residual), **intervals, "bias_by_truth": _bias_by_truth(residual, truth)}
    return {
        **row,
        **sides,
        "member_scatter_dex": {"own": _member_scatters(one, own), "other": _member_scatters(other, theirs)},
        "scatter_ratio": float(residuals[0].std()) / float(residuals[1].std()),
        "scatter_ratio_ci68": interval68(scatter[0] / scatter[1]),
        "bias_nearer_zero_by_truth": _nearer_zero(residuals, truth),
        "bias_difference_dex": float(residuals[0].mean()) - float(residuals[1].mean()),
        "bias_difference_dex_ci68": interval68(mean[0] - mean[1]),
    }


def _test_clusters(one: Judged) -> xr.Dataset:
    predicted = read_netcdf(one.predictions, ("mu", "split", "log10_m500c"))
    table = predicted[["mu", "log10_m500c"]].isel(cluster=predicted["split"].values.astype(str) == "test")
    groups = read_netcdf(one.baselines, ("group",))["group"].sel(cluster=table["cluster"].values)
    return table.assign(group=("cluster", groups.values.astype(str)))


def _member_scatters(one: Judged, table: xr.Dataset) -> list[float]:
    """Scatter of each member about its mean, dex, on the clusters of `table`."""
    members = read_netcdf(one.ensemble, ("member_mu",))["member_mu"].sel(cluster=table["cluster"].values)
    return [float(scatter) for scatter in (members - table["log10_m500c"]).std("cluster").values]


def _bias_by_truth(residual: FloatArray, truth: FloatArray) -> dict[str, dict[str, float | int | None]]:
    """Bias where the paper states it."""
    return {name: _mean(residual[inside], "bias_dex") for name, inside in _ends(truth).items()}


def _nearer_zero(residuals: FloatArray, truth: FloatArray) -> dict[str, dict[str, float | int | None]]:
    """By how much the first one's bias is smaller than the other's, without regard to sign, cluster by cluster."""
    found = {}
    for name, inside in _ends(truth).items():
        own, other = (np.sign(residual.sum()) * residual for residual in residuals[:, inside])
        found[name] = _mean(other - own, "by_dex")
    return found


def _ends(truth: FloatArray) -> dict[str, NDArray[np.bool_]]:
    """Clusters of both ends of the paper's range of mass: below 10^13.5 and from 10^14.5 to 10^15 Msun."""
    ranges = {"low_mass": (13.0, 13.5), "high_mass": (14.5, 15.0)}
    return {name: (truth >= low) & (truth < high) for name, (low, high) in ranges.items()}


def _mean(values: FloatArray, key: str) -> dict[str, float | int | None]:
    """Mean and its standard error, None of fewer than three clusters."""
    if values.size < MIN_CLUSTERS:
        return {"n": values.size, key: None, "error_dex": None}
    return {"n": values.size, key: float(values.mean()), "error_dex": float(values.std() / np.sqrt(values.size))}
