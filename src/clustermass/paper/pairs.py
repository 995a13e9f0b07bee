"""Comparison of two experiments on the same test clusters. The error of the scatter ratio includes training noise."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from scipy.stats import chi2

from clustermass.arrays import FloatArray, generator
from clustermass.ensemble.scores import MIN_CLUSTERS
from clustermass.errors import InputError
from clustermass.evaluate.metrics import interval68, resampled_moments, residual_scores
from clustermass.io.files import write_json
from clustermass.io.log import track
from clustermass.io.netcdf import read_netcdf
from clustermass.io.provenance import provenance

#: weight of the typical noise of training in `noise_of`, as degrees of freedom
WEIGHT_OF_TYPICAL = 4.0
#: ranges of true log10(M500c / Msun) for which the paper states biases
ENDS = {"low_mass": (13.0, 13.5), "high_mass": (14.5, 15.0)}


class Predictions(NamedTuple):
    """The files of an experiment that `compare_pairs` reads for one sky."""

    experiment: str
    sky: str
    predictions: Path  # predictions.nc, whose test clusters are compared
    ensemble: Path  # ensemble.nc, with the predictions of single members
    baselines: Path  # baselines.nc, with the groups of the clusters


def compare_pairs(
    predictions: Sequence[Predictions], compared_with: Mapping[str, str], output: Path, resamplings: int, seed: int
) -> None:
    """Write `pairs.json`, which compares each experiment with its reference. It has a row for each experiment and sky.

    `compared_with` maps the name of an experiment to the name of its reference. A row holds the names `experiment`,
    `sky` and `against` (the reference), the number `n` of common test clusters, and the following:

    - `own` and `other`: scatter and bias of the experiment and of its reference. In both blocks, `bias_by_truth` holds
      the mean residuals in the two ranges `ENDS` of true mass.
    - `scatter_ratio` (own divided by other) and `bias_difference_dex`. Their intervals `<name>_ci68` are from a paired
      bootstrap of whole groups, and show the errors due to the choice of clusters.
    - `bias_nearer_zero_by_truth`: by how much the absolute bias of the experiment is smaller than that of its
      reference, in the two ranges of true mass, with the standard error of paired differences
    - `training_noise`: by how much the scatter of a single network differs from training to training, as a relative
      standard deviation. It is given for `own`, for `other`, and as `typical` for all experiments with the same
      reference.
    - `scatter_ratio_error`: the error of the ratio, which combines the errors due to clusters and due to training

    For fewer than three common clusters the ratio is None. InputError if a file is missing, damaged or incomplete.
    """
    table, rows = {one[:2]: one for one in predictions}, []
    for one in track(predictions, "experiments compared"):
        other = table.get((compared_with[one.experiment], one.sky))
        if other is not None and other is not one:
            rows.append(_compared(one, other, resamplings, seed))
    rows = [{**row, **_training_noise(row, rows)} for row in rows]
    files = [path for one in predictions for path in one[2:]]
    parameters = {"against": dict(compared_with), "resamplings": resamplings}
    write_json({"rows": rows, "provenance": provenance("compare_pairs", parameters, files, seed=seed)}, output)


def _compared(one: Predictions, other: Predictions, resamplings: int, seed: int) -> dict[str, Any]:
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
    ends = {name: (truth >= low) & (truth < high) for name, (low, high) in ENDS.items()}
    sides = {
        name: {
            **residual_scores(residual),
            "scatter_dex_ci68": interval68(scatters),
            "bias_dex_ci68": interval68(means),
            "bias_by_truth": {end: _mean(residual[inside], "bias_dex") for end, inside in ends.items()},
        }
        for name, residual, means, scatters in zip(("own", "other"), residuals, mean, scatter, strict=True)
    }
    # decrease of the absolute bias, cluster by cluster
    signed = {end: np.sign(residuals[:, in_].sum(axis=1))[:, None] * residuals[:, in_] for end, in_ in ends.items()}
    return {
        **row,
        **sides,
        "member_scatter_dex": {"own": _member_scatters(one, own), "other": _member_scatters(other, theirs)},
        "scatter_ratio": float(residuals[0].std()) / float(residuals[1].std()),
        "scatter_ratio_ci68": interval68(scatter[0] / scatter[1]),
        "bias_nearer_zero_by_truth": {end: _mean(other - own, "by_dex") for end, (own, other) in signed.items()},
        "bias_difference_dex": float(residuals[0].mean()) - float(residuals[1].mean()),
        "bias_difference_dex_ci68": interval68(mean[0] - mean[1]),
    }


def _test_clusters(one: Predictions) -> xr.Dataset:
    predicted = read_netcdf(one.predictions, ("mu", "split", "log10_m500c"))
    table = predicted[["mu", "log10_m500c"]].isel(cluster=predicted["split"].values.astype(str) == "test")
    groups = read_netcdf(one.baselines, ("group",))["group"].sel(cluster=table["cluster"].values)
    return table.assign(group=("cluster", groups.values.astype(str)))


def _member_scatters(one: Predictions, table: xr.Dataset) -> list[float]:
    members = read_netcdf(one.ensemble, ("member_mu",))["member_mu"].sel(cluster=table["cluster"].values)
    return [float(scatter) for scatter in (members - table["log10_m500c"]).std("cluster").values]


def _mean(values: FloatArray, key: str) -> dict[str, float | int | None]:
    """Return the number `n` of values, their mean as `key`, and its `error_dex`; both are None for n < 3."""
    if values.size < MIN_CLUSTERS:
        return {"n": values.size, key: None, "error_dex": None}
    return {"n": values.size, key: float(values.mean()), "error_dex": float(values.std() / np.sqrt(values.size))}


def _training_noise(row: dict[str, Any], rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return a dict with the entries `training_noise` and `scatter_ratio_error` of `row` (see `compare_pairs`).

    `rows` are all rows of pairs.json. The noise of an ensemble is assumed to be the noise of a member, divided by the
    square root of the number of members.
    """
    if row["scatter_ratio"] is None:
        return {"training_noise": None, "scatter_ratio_error": None}
    family = [one for one in rows if one["against"] == row["against"] and "own" in one]
    base = {one["sky"]: one["member_scatter_dex"]["other"] for one in family}  # each reference once
    typical = typical_noise([*(one["member_scatter_dex"]["own"] for one in family), *base.values()])
    members, (low, high) = row["member_scatter_dex"], row["scatter_ratio_ci68"]
    noise = {side: noise_of(members[side], typical) for side in ("own", "other")}
    training = np.sqrt(sum(noise[side] ** 2 / len(members[side]) for side in noise))
    error = float(np.hypot((high - low) / 2, row["scatter_ratio"] * training))
    return {"training_noise": {**noise, "typical": typical}, "scatter_ratio_error": error}


def typical_noise(scatters: Sequence[Sequence[float]]) -> float | None:
    """Return the typical relative standard deviation between the scatters of an experiment's members.

    `scatters` holds the members' scatters (dex) of several experiments. For each experiment, the variance of their
    logarithms is computed, and divided by the median that such a variance has for Gaussian noise of unit variance. The
    result is the square root of the median of these ratios. A few unstable trainings hardly change it. None if no
    experiment has two members.
    """
    variances = [_variance(members) for members in scatters if len(members) > 1]
    scaled = [variance * dof / chi2.median(dof) for variance, dof in variances]
    return float(np.sqrt(np.median(scaled))) if scaled else None


def noise_of(scatters: Sequence[float], typical: float | None) -> float:
    """Return the relative standard deviation of the scatters (dex) of an experiment's members; 0 if `typical` is None.

    If there are only a few members, their variance is uncertain. Therefore the result is the root of an average of this
    variance and the square of `typical` (see `typical_noise`), with degrees of freedom as weights (moderated variance,
    Smyth 2004, doi:10.2202/1544-6115.1027).
    """
    if typical is None:
        return 0.0
    variance, dof = _variance(scatters) if len(scatters) > 1 else (0.0, 0)
    return float(np.sqrt((dof * variance + WEIGHT_OF_TYPICAL * typical**2) / (dof + WEIGHT_OF_TYPICAL)))


def _variance(scatters: Sequence[float]) -> tuple[float, int]:
    """Return the variance of the natural logarithms of scatters, and its degrees of freedom."""
    return float(np.var(np.log(scatters), ddof=1)), len(scatters) - 1
