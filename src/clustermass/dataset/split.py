"""Divide a simulated sky into training, validation and test sets that share no halo and no photon."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from clustermass.arrays import unit_vectors
from clustermass.errors import InputError
from clustermass.io.log import LOGGER
from clustermass.io.netcdf import read_netcdf, write_netcdf
from clustermass.io.provenance import provenance

SUBSETS = ("train", "val", "test")
UNUSED = "unused"  # subset of what an experiment's `train_clusters` and `train_selection` leave out
#: widens boxes a little, for what the projection about another centre and rounding may move (far below a pixel)
_MARGIN_ARCSEC = 1.0
#: no two boxes whose centres are farther apart than this many sides can overlap, however they are turned
_REACH = 1.75

_NEEDED = ("ra", "dec", "realization", "halo_id", "log10_m500c")


def split_sample(
    images: Sequence[Path], output: Path, fractions: Mapping[str, float], seed: int, box_arcsec: float
) -> None:
    """Assign every cluster of a sky to train, val or test and write `split(cluster)` and `group(cluster)`.

    A group is a connected component of clusters that share a halo (in any realization) or whose image boxes overlap
    within one realization; it is named after its smallest cluster id and never divided. A hash of seed and name alone
    decides the subset, so that adding realizations or filtering an experiment moves no cluster. One limit: where
    realizations share haloes, a new one may join two groups into one, which then goes where the smaller name goes.

    Parameters
    ----------
    images
        The realizations' `images.nc`; any order gives the same split.
    output
        netCDF file to write.
    fractions
        Shares of `train`, `val` and `test`; they add up to 1.
    seed
        Root seed of the run.
    box_arcsec
        Side of the image box in arcsec.

    Raises
    ------
    InputError
        A file is unreadable or lacks truth, a cluster id occurs twice, the shares don't add up to 1, or a subset
        gets no labelled cluster.
    """
    _check_fractions(fractions)
    clusters = read_clusters(images, _NEEDED)
    groups = group_names(clusters, box_arcsec)
    split = np.array([subset_of(name, fractions, seed) for name in groups])
    _report(clusters, groups, split, fractions)
    table = xr.Dataset({"split": ("cluster", split), "group": ("cluster", groups)}, {"cluster": clusters["cluster"]})
    parameters = {"fractions": dict(fractions), "seed": seed, "box_arcsec": box_arcsec}
    facts = provenance("split_sample", parameters, sorted(images))
    write_netcdf(table, output, "Subset and group of every cluster of the sky", facts)


def _check_fractions(fractions: Mapping[str, float]) -> None:
    shares = [float(fractions.get(name, 0)) for name in SUBSETS]
    if set(fractions) != set(SUBSETS) or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
        raise InputError(f"split is {dict(fractions)}, but needs positive train, val and test that add up to 1.")


def read_clusters(images: Sequence[Path], variables: Sequence[str]) -> xr.Dataset:
    """Read variables (cluster,) of all realizations, sorted by cluster id, with one file in memory at a time.

    Raises
    ------
    InputError
        There is no file, one is unreadable or lacks a variable, or a cluster id occurs twice.
    """
    if not images:
        raise InputError("No images to split: the sky has no realization.")
    wanted = ("cluster", *variables)
    parts = [{name: part[name].values for name in wanted} for part in (read_netcdf(p, wanted) for p in images)]
    table = {name: np.concatenate([part[name] for part in parts]) for name in wanted}
    ids = table.pop("cluster").astype(str)
    order = order_of(ids)
    return xr.Dataset({name: ("cluster", values[order]) for name, values in table.items()}, {"cluster": ids[order]})


def order_of(ids: NDArray[np.str_]) -> NDArray[np.intp]:
    """Return the rows in the order of their cluster ids; InputError names one that occurs twice."""
    order = np.argsort(ids, kind="stable")
    twice = ids[order][1:][ids[order][1:] == ids[order][:-1]]
    if twice.size:
        raise InputError(f"Cluster {twice[0]} occurs twice ({twice.size} so): is a file of images given twice?")
    return order


def group_names(clusters: xr.Dataset, box_arcsec: float) -> NDArray[np.str_]:
    """Name the group of every cluster: the smallest cluster id in its connected component.

    Parameters
    ----------
    clusters
        `ra`, `dec` (deg, image centres), `realization` and `halo_id` (-1 = none), each (cluster,), with the coordinate
        `cluster`.
    box_arcsec
        Side of the image box in arcsec.

    Returns
    -------
    array
        Strings of shape (cluster,).
    """
    ids = clusters["cluster"].values.astype(str)
    edges = [same_halo(clusters["halo_id"].values)]
    realizations = clusters["realization"].values.astype(str)
    for name in np.unique(realizations):
        members = np.flatnonzero(realizations == name)
        pairs = overlapping_boxes(clusters["ra"].values[members], clusters["dec"].values[members], box_arcsec)
        edges.append(members[pairs])
    joined = np.concatenate(edges)
    graph = coo_array((np.ones(len(joined), dtype=bool), (joined[:, 0], joined[:, 1])), shape=(ids.size, ids.size))
    component = connected_components(graph, directed=False)[1]
    order = np.argsort(ids)
    first = np.unique(component[order], return_index=True)[1]
    return ids[order][first][component]


def same_halo(halo_id: NDArray[np.int64]) -> NDArray[np.intp]:
    """Pairs of indices, shape (pairs, 2), that link all clusters of each halo in a chain; negative ids mean no halo."""
    order = np.argsort(halo_id, kind="stable")
    ranked = halo_id[order]
    linked = np.flatnonzero((ranked[1:] == ranked[:-1]) & (ranked[1:] >= 0))
    return np.stack([order[linked], order[linked + 1]], axis=1)


def overlapping_boxes(ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64], box_arcsec: float) -> NDArray[np.intp]:
    """Pairs of square boxes, sides along RA and Dec at their own centres, that share sky.

    Offsets are orthographic (SIN), as in the images, so that RA 0/360 and high declinations need no care. Of two boxes
    turned against each other by the convergence of the meridians, near misses count as overlaps, never the reverse.

    Parameters
    ----------
    ra_deg, dec_deg
        Centres in deg, shape (boxes,).
    box_arcsec
        Side in arcsec.

    Returns
    -------
    array
        Indices of shape (pairs, 2).
    """
    ra, dec, box = np.radians(ra_deg), np.radians(dec_deg), np.radians((box_arcsec + _MARGIN_ARCSEC) / 3600)
    pairs = cKDTree(unit_vectors(ra_deg, dec_deg)).query_pairs(2 * np.sin(_REACH * box / 2), output_type="ndarray")
    here, there = pairs[:, 0], pairs[:, 1]
    turn_ra = ra[there] - ra[here]
    x = np.cos(dec[there]) * np.sin(turn_ra)
    y = np.sin(dec[there]) * np.cos(dec[here]) - np.cos(dec[there]) * np.sin(dec[here]) * np.cos(turn_ra)
    turn = turn_ra * np.sin((dec[here] + dec[there]) / 2)
    reach = box / 2 * (1 + np.abs(np.cos(turn)) + np.abs(np.sin(turn)))
    return np.asarray(pairs[(np.abs(x) <= reach) & (np.abs(y) <= reach)], dtype=np.intp)


def subset_of(group: str, fractions: Mapping[str, float], seed: int) -> str:
    """Subset of a group, decided by SHA-256 of seed and name alone."""
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    uniform = int.from_bytes(digest[:8], "big") / 2**64
    edges = np.cumsum([fractions[name] for name in SUBSETS[:-1]])
    return SUBSETS[int(np.searchsorted(edges, uniform, side="right"))]


def folds(number: int, order: NDArray[np.float64] | NDArray[np.str_], seed: int) -> NDArray[np.intp]:
    """Fold (cluster,) of each cluster, 0 to `number` - 1, for k-fold evaluation.

    Parameters
    ----------
    number
        Number of folds.
    order
        (cluster,): log10 masses, by which the clusters are ordered and dealt to the folds in turn (Ntampaka et al.
        2019), or names of groups, each of which falls into one fold by a hash of `seed` and its name.
    """
    if order.dtype.kind == "U":
        names, row = np.unique(order, return_inverse=True)
        digests = [hashlib.sha256(f"{seed}:folds:{name}".encode()).digest() for name in names.tolist()]
        return np.array([int.from_bytes(digest[:8], "big") % number for digest in digests], dtype=np.intp)[row]
    fold = np.empty(order.size, dtype=np.intp)
    fold[np.argsort(order, kind="stable")] = np.arange(order.size) % number
    return fold


def split_of_folds(fold: NDArray[np.intp], test: int) -> NDArray[np.str_]:
    """Subset (cluster,) of each cluster: fold `test` is the test set, the next one validates, the others train."""
    number = int(fold.max()) + 1
    return np.where(fold == test, "test", np.where(fold == (test + 1) % number, "val", "train"))


def first_training_clusters(sample: xr.Dataset, number: int, seed: int) -> NDArray[np.str_]:
    """Return the subset (cluster,) of each cluster with all but `number` of the training clusters "unused".

    Training clusters are taken in the order of a hash of `seed` and their group, so that a smaller set lies within
    every larger one, groups stay together but for the last one, and no other cluster of the sample matters.

    Raises
    ------
    InputError
        There are fewer training clusters than `number`.
    """
    split, ids = sample["split"].values.astype(str), sample["cluster"].values.astype(str)
    train = np.flatnonzero(split == "train").tolist()
    if number > len(train):
        raise InputError(
            f"train_clusters is {number}, but the training set holds {len(train)} clusters. Lower it, or simulate "
            "more realizations."
        )
    groups = sample["group"].values.astype(str)
    place = {group: hashlib.sha256(f"{seed}:train_clusters:{group}".encode()).digest() for group in set(groups)}
    train.sort(key=lambda row: (place[groups[row]], ids[row]))
    chosen = split.astype("U6")
    chosen[train[number:]] = UNUSED
    LOGGER.info("training on %d of %d clusters", number, len(train))
    return chosen


def groups_of(ids: NDArray[np.str_], split: Path) -> NDArray[np.str_]:
    """Group of each cluster, (cluster,), from the sky's split; InputError if the file is missing or lacks a cluster."""
    table = read_netcdf(split, ("group",))
    of_cluster = dict(zip(table["cluster"].values.astype(str), table["group"].values.astype(str), strict=True))
    missing = [name for name in ids if name not in of_cluster]
    if missing:
        raise InputError(f"{split}: lacks {len(missing)} clusters of the ensemble ({missing[0]} is one). Run again.")
    return np.array([of_cluster[name] for name in ids], dtype=str)


def fitting_split(sample: xr.Dataset) -> NDArray[np.str_]:
    """Subset (cluster,) of each cluster while something is fitted.

    That is `split`, but with a `train_selection` the validation clusters are those inside it (`learnt_val`), while
    those in `split` are of the selection that is tested in the end.
    """
    split = sample["split"].values.astype(str)
    if "learnt_val" not in sample:
        return split
    return np.where(sample["learnt_val"].values, "val", np.where(split == "val", UNUSED, split))


def _report(
    clusters: xr.Dataset, groups: NDArray[np.str_], split: NDArray[np.str_], fractions: Mapping[str, float]
) -> None:
    labelled = np.isfinite(clusters["log10_m500c"].values)
    counts = {name: int((labelled & (split == name)).sum()) for name in SUBSETS}
    for name in SUBSETS:
        inside = split == name
        number = np.unique(groups[inside]).size
        LOGGER.info("%s: %d clusters in %d groups, %d labelled", name, inside.sum(), number, counts[name])
    largest, size = Counter(groups.tolist()).most_common(1)[0] if groups.size else ("none", 0)
    LOGGER.info("largest group: %d of %d clusters (%s)", size, groups.size, largest)
    if min(counts.values()) == 0:
        found = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise InputError(
            f"Too few clusters to split: {labelled.sum()} labelled ones in {np.unique(groups).size} groups give "
            f"{found}, but each subset needs one. Simulate more realizations or a larger field, or change the shares "
            f"{dict(fractions)}."
        )
