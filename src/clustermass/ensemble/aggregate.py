"""Combine the predictions of the members of an ensemble, and summarise the clusters that it was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import xarray as xr
from scipy.special import ndtr

from clustermass.arrays import FloatArray, bisect
from clustermass.dataset.split import read_clusters, rows_of
from clustermass.errors import InputError
from clustermass.io.files import reading
from clustermass.io.netcdf import check_finite, json_attribute, read_netcdf, write_netcdf
from clustermass.io.provenance import provenance

if TYPE_CHECKING:
    from clustermass.config.models import Cosmology

#: variables (cluster,) that are copied from the files of images
COLUMNS = (
    *("redshift", "redshift_err", "det_like", "ext_like", "ml_rate", "ml_cts", "exposure_s"),
    *("halo_id", "realization"),
)


class Combined(NamedTuple):
    """Prediction of an ensemble: `mu` is log10(M500c / Msun), and `sigma` its standard deviation in dex.

    `sigma_aleatoric` and `sigma_epistemic` are the two parts of `sigma`. All four are float64 (cluster,).
    """

    mu: np.ndarray
    sigma: np.ndarray
    sigma_aleatoric: np.ndarray
    sigma_epistemic: np.ndarray


def combine(member_mu: np.ndarray, member_sigma: np.ndarray) -> Combined:
    """Return the ensemble's prediction, given the members' means and standard deviations (member, cluster) in dex.

    The prediction is the mean mu* and the standard deviation sigma* of the mixture of the members' Gaussians
    (Krippendorf et al. 2023, Eqs. 2 and 3): mu* = mean(mu_i) and sigma*^2 = mean(sigma_i^2 + mu_i^2) - mu*^2. The
    variance sigma*^2 is the sum of sigma_aleatoric^2 = mean(sigma_i^2) and sigma_epistemic^2 = mean(mu_i^2) - mu*^2.
    """
    mu = member_mu.mean(axis=0)
    aleatoric = (member_sigma**2).mean(axis=0)
    epistemic = ((member_mu - mu) ** 2).mean(axis=0)  # = mean mu_i^2 - mu*^2 without its rounding errors
    return Combined(mu, np.sqrt(aleatoric + epistemic), np.sqrt(aleatoric), np.sqrt(epistemic))


def aggregate_ensemble(
    members: Sequence[Path],
    output: Path,
    images: Sequence[Path],
    cosmology: Cosmology | None = None,
    weights: Sequence[Path] = (),
    weighting: str = "none",
) -> None:
    """Write `ensemble.nc`: the predictions of the ensemble and of its members, and properties of the clusters.

    `members` are the files of the members' predictions, and `weights` those of the members' weights, in the same order.
    The clusters' properties are the redshifts, measurements and haloes in `COLUMNS`, which are read from the files
    `images`. `ensemble.nc` also records the training sky's cosmology and how training clusters were weighted. Hashes of
    the files `weights` are recorded, too, so that a later replacement of such a file is noticed. InputError in the
    cases of `read_members`, and if a cluster isn't in the images or has another true mass there.
    """
    table = read_members(members)
    truth = {name: table[name].values for name in ("split", "log10_m500c")}
    columns, names = _columns(images, table) | truth, [Path(path).stem for path in members]
    dataset = ensemble_dataset(table["mu"].values, table["sigma"].values, names, table["cluster"].values, columns)
    header = {"cosmology": dict(cosmology or {})} | ({} if weighting == "none" else {"weighting": weighting})
    made = provenance("aggregate_ensemble", {}, [*members, *weights, *images], **header)
    write_netcdf(dataset, output, f"Predictions of an ensemble of {len(members)} networks", made)


def read_members(members: Sequence[Path]) -> xr.Dataset:
    """Return the members' predictions and the clusters' subsets and true masses, read from the files `members`.

    The shape of `mu` and `sigma` is (member, cluster), and the shape of `split` and `log10_m500c` is (cluster,).
    InputError if there is no file, if a prediction isn't finite, or if the files differ in clusters, subsets or true
    masses.
    """
    if not members:
        raise InputError("ensemble: no member to join. Set ensemble.members to 1 or more.")
    loaded = [read_netcdf(path, ("mu", "sigma", "split", "log10_m500c")) for path in members]
    first = loaded[0]
    for path, member in zip(members, loaded, strict=True):
        check_finite(member, ("mu", "sigma"), path)
        for name in ("cluster", "split", "log10_m500c"):
            if not np.array_equal(member[name].values, first[name].values):
                raise InputError(
                    f"{path}: its {name} differs from that of {members[0]}. "
                    "They were trained on different samples: delete both and train again."
                )
    stacked = {name: np.stack([member[name].values for member in loaded]) for name in ("mu", "sigma")}
    return first.assign({name: (("member", "cluster"), values) for name, values in stacked.items()})


def _columns(images: Sequence[Path], members: xr.Dataset) -> dict[str, np.ndarray]:
    """Return the `COLUMNS` of the clusters in `members`, in their order. One of `images` is in memory at a time."""
    table, ids = read_clusters(images, ("log10_m500c", *COLUMNS)), members["cluster"].values.astype(str)
    rows = rows_of(ids, table)
    missing = ids[rows < 0]
    if missing.size:
        raise InputError(f"Cluster {missing[0]} of the members isn't in the images ({missing.size} so). Train again.")
    other = ids[table["log10_m500c"].values[rows] != members["log10_m500c"].values]
    if other.size:
        raise InputError(f"Cluster {other[0]} has another true mass in the images than in the members. Train again.")
    return {name: table[name].values[rows] for name in COLUMNS}


def ensemble_dataset(
    member_mu: np.ndarray,
    member_sigma: np.ndarray,
    names: Sequence[str],
    cluster: np.ndarray,
    columns: Mapping[str, np.ndarray],
) -> xr.Dataset:
    """Return the contents of `ensemble.nc`.

    `member_mu` and `member_sigma` are the members' predictions in dex, (member, cluster). `names` are the names of the
    members, and `cluster` the ids of the clusters, (cluster,). `columns` maps each of `COLUMNS`, `split` and
    `log10_m500c` to its values, (cluster,).
    """
    texts = {name: column.astype(str) if column.dtype.kind in "OU" else column for name, column in columns.items()}
    per_cluster = combine(member_mu, member_sigma)._asdict() | texts
    members = {"member_mu": member_mu, "member_sigma": member_sigma}
    return xr.Dataset(
        {name: (("member", "cluster"), values) for name, values in members.items()}
        | {name: ("cluster", values) for name, values in per_cluster.items()},
        coords={"cluster": cluster.astype(str), "member": list(names)},
    )


#: quantiles of a mixture, from 1e-15 to 1 - 1e-15, are searched up to `BRACKET_SIGMA` sigma beyond its outermost
#: components; after `HALVINGS` bisections of this range double precision is exhausted
BRACKET_SIGMA, HALVINGS = 8.0, 64


def mixture_cdf(value: FloatArray, mu: FloatArray, sigma: FloatArray) -> FloatArray:
    """Return the cumulative probabilities at `value` for the clusters' mixtures of Gaussians, (cluster,).

    The shape of `value` is (cluster,). The Gaussians' means `mu` and standard deviations `sigma` have the shape
    (member, cluster).
    """
    return np.asarray(ndtr((value - mu) / sigma).mean(axis=0), dtype=float)


def mixture_quantile(probability: FloatArray | float, mu: FloatArray, sigma: FloatArray) -> FloatArray:
    """Return the quantiles at `probability` for the clusters' mixtures of Gaussians, (cluster,).

    The Gaussians' means `mu` and standard deviations `sigma` have the shape (member, cluster). `probability` is one
    number for all clusters, or an array (cluster,). It must lie between 1e-15 and 1 - 1e-15.
    """
    low = (mu - BRACKET_SIGMA * sigma).min(axis=0)
    high = (mu + BRACKET_SIGMA * sigma).max(axis=0)
    return bisect(lambda value: mixture_cdf(value, mu, sigma) < probability, low, high, HALVINGS)


#: dict from each bit of FLAG_RANGE to the variable that the bit is about
RANGE_BITS = {1: "redshift", 2: "ml_cts", 4: "exposure_s", 8: "log10_m500c"}


class Training(NamedTuple):
    """Summary of an ensemble's training clusters, from which flags and errors of new clusters are computed."""

    number: int
    #: smallest and largest value of each variable in `RANGE_BITS`; NaN if the training clusters have no value
    ranges: dict[str, tuple[float, float]]
    #: root mean square of the redshift errors divided by 1 + z, see `mean_error`
    redshift_error: float


def read_training(ensemble: Path) -> Training:
    """Return the summary of the training clusters in an `ensemble.nc`.

    InputError if the file is damaged or holds no training cluster.
    """
    table = read_netcdf(ensemble, ("split", "redshift_err", *RANGE_BITS.values()))
    with reading(ensemble, "training clusters"):
        train = table.isel(cluster=table["split"].values.astype(str) == "train")
        if not train.sizes["cluster"]:
            raise InputError(f"{ensemble}: holds no training cluster. Delete it and run again.")
        ranges = {}
        for name in RANGE_BITS.values():
            values = train[name].values.astype(float)
            finite = values[np.isfinite(values)]
            ranges[name] = (float(finite.min()), float(finite.max())) if finite.size else (np.nan, np.nan)
        redshift, error = (train[name].values.astype(float) for name in ("redshift", "redshift_err"))
        return Training(train.sizes["cluster"], ranges, mean_error(redshift, error))


def read_cosmology(ensemble: Path) -> Cosmology:
    """Return the training sky's cosmology, read from an `ensemble.nc`. InputError if H0 or omega_m is impossible."""
    cosmology = json_attribute(read_netcdf(ensemble).attrs, "cosmology", ensemble)
    h0, omega_m = (cosmology.get(name) for name in ("h0_km_s_mpc", "omega_m"))
    if not (isinstance(h0, float | int) and 0 < h0 < 1000 and isinstance(omega_m, float | int) and 0 < omega_m < 1):
        raise InputError(f"{ensemble}: its cosmology has no possible h0_km_s_mpc and omega_m. Run the workflow again.")
    return cast("Cosmology", cosmology)


def mean_error(redshift: FloatArray, error: FloatArray) -> float:
    """Return the root mean square of `error` / (1 + `redshift`) of all clusters. An error that is NaN counts as 0."""
    return float(np.sqrt(np.mean((np.nan_to_num(error) / (1 + redshift)) ** 2)))
