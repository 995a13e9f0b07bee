"""Accuracy against the number of networks: ensembles of the first 1, 2, 5, ... members on the same test clusters."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from clustermass.arrays import FloatArray
from clustermass.dataset.split import read_split
from clustermass.ensemble.aggregate import combine
from clustermass.ensemble.scores import MIN_CLUSTERS, Json, negative_log_likelihood
from clustermass.errors import InputError
from clustermass.evaluate.model_selection import compare
from clustermass.io.files import write_json
from clustermass.io.log import LOGGER
from clustermass.io.netcdf import read_netcdf
from clustermass.io.provenance import provenance

#: sizes of ensembles, as far as there are so many members; all members are always included
SIZES = (1, 2, 5, 10, 20, 30)


def members_curve(members: Sequence[Path], split: Path, output: Path, resamplings: int, seed: int) -> None:
    """Score ensembles of the first members on the test clusters; write JSON. Nothing is trained.

    Sigma is as the networks predict it, not recalibrated. `members` are the files `members/{member}.nc` in order; the
    groups of the sky's `split` are resampled whole. Written are `n_test`, `n_groups`; `sizes`: by number of members the
    measures of `compare` (with the same resamplings for all) and `member_over_ensemble_sigma`, see `sigma_ratio`;
    `alone`: mean and standard deviation over the single members of `scatter_dex` and `nll`; `provenance`. InputError if
    no member is given, a file is missing or lacks a variable, the members differ in their clusters, or there are too
    few.
    """
    table = _test_clusters(members)
    group = read_split(split, table["cluster"].values)["group"].values
    mu, sigma, truth = (table[name].values.astype(float) for name in ("mu", "sigma", "log10_m500c"))
    sizes = sorted({size for size in (*SIZES, len(members)) if size <= len(members)})
    ensembles = {str(size): combine(mu[:size], sigma[:size]) for size in sizes}
    true = {"log10_m500c": ("cluster", truth), "group": ("cluster", group)}
    tables = {
        name: xr.Dataset({"mu": ("cluster", each.mu), "sigma": ("cluster", each.sigma), **true})
        for name, each in ensembles.items()
    }
    measures = compare(tables, resamplings, seed)
    for name, scores in measures.items():
        LOGGER.info("members_curve: %s members, scatter %.4f dex", name, scores["scatter_dex"]["value"])
    alone = {
        "scatter_dex": (mu - truth).std(axis=1),
        "nll": negative_log_likelihood(mu - truth, sigma).mean(axis=1),
    }
    content = {
        "n_test": int(truth.size),
        "n_groups": int(np.unique(group).size),
        "sizes": {
            name: {**scores, "member_over_ensemble_sigma": sigma_ratio(sigma[: int(name)], ensembles[name].sigma)}
            for name, scores in measures.items()
        },
        "alone": {name: {"mean": float(each.mean()), "std": float(each.std())} for name, each in alone.items()},
        "provenance": provenance("members_curve", {"bootstrap": resamplings}, [*members, split], seed=seed),
    }
    write_json(content, output)


def sigma_ratio(member_sigma: FloatArray, ensemble_sigma: FloatArray) -> Json:
    """Members' sigma (member, cluster) over the ensemble's (cluster,): end of section 4 of Krippendorf et al. (2023).

    They state 0.951 +- 0.039, "averaged over all clusters in the test sample", without saying over what the second
    number is a standard deviation. Both readings are given: `mean` and `std` over members and clusters, and
    `std_of_members`, of the members' means over the clusters.
    """
    ratio = member_sigma / ensemble_sigma
    of_members = float(ratio.mean(axis=1).std())
    return {"mean": float(ratio.mean()), "std": float(ratio.std()), "std_of_members": of_members}


def _test_clusters(members: Sequence[Path]) -> xr.Dataset:
    """Predictions `mu`, `sigma` (member, cluster) and `log10_m500c` (cluster,) of the test clusters."""
    if not members:
        raise InputError("members_curve: no member is given. Set ensemble.members to 1 or more.")
    parts = []
    for path in members:
        member = read_netcdf(path, ("mu", "sigma", "split", "log10_m500c"))
        part = member[["mu", "sigma", "log10_m500c"]].isel(cluster=member["split"].values.astype(str) == "test")
        parts.append(part)
        if not part["log10_m500c"].identical(parts[0]["log10_m500c"]):
            raise InputError(
                f"{path}: its test clusters aren't those of {members[0]}. They were trained on different samples: "
                "delete both and train again."
            )
    if parts[0].sizes["cluster"] < MIN_CLUSTERS:
        raise InputError(
            f"{members[0]}: {parts[0].sizes['cluster']} test clusters are too few for a scatter. Simulate more."
        )
    predicted = xr.concat([part[["mu", "sigma"]] for part in parts], dim="member")
    return predicted.assign(log10_m500c=parts[0]["log10_m500c"])
