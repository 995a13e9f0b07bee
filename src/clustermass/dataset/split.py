"""Divide a simulated sky into training, validation and test sets that share no halo and no photon."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NotRequired, TypedDict

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from clustermass.arrays import check_pairs, near_pairs
from clustermass.errors import InputError
from clustermass.io.log import LOGGER
from clustermass.io.netcdf import opened_netcdf, read_netcdf, write_netcdf
from clustermass.io.provenance import provenance

if TYPE_CHECKING:
    from clustermass.config.models import Folds

SUBSETS = ("train", "val", "test")
TITLE = "Subset and group of every cluster of the sky"
UNUSED = "unused"  # subset of clusters that `train_clusters` or `train_selection` leave out
#: margin that is added to the side of boxes: more than rounding and projection shift a box, far less than a pixel
_MARGIN_ARCSEC = 1.0
#: boxes whose centres are farther apart than this many sides can't overlap, however they are turned
_REACH = 1.75
_NEEDED = ("ra", "dec", "realization", "halo_id")
#: variable of skies with a prior of the physics: the number of each cluster's universe
_UNIVERSE = "universe"
#: a new cluster gets the first of these subsets that holds a default cluster which the new one touches
_FIRST = ("test", "val", "train")


class Division(TypedDict):
    """How the clusters of a sky are divided: into subsets of given shares, or into k folds if `folds` is given."""

    fractions: Mapping[str, float]
    folds: NotRequired[Folds]
    seed: int
    #: side of the image boxes in arcsec
    box_arcsec: float


def split_sample(images: Sequence[Path], output: Path, division: Division) -> None:
    """Assign every cluster of a sky to a subset (train, val or test) and a group, and write both to the file `output`.

    - **Groups.** Two clusters are connected if they share a halo (in any realization), or if their image boxes overlap
      within one realization. A group holds all clusters that are connected, directly or through others. The name of a
      group is the smallest id of its clusters. In a sky with a prior of the physics, all clusters of a universe are
      connected, because they share the parameters of the physics.
    - **Subsets.** All clusters of a group are in the same subset, except in folds by mass. The subset is determined by
      a hash of the seed and the group's name. Therefore a cluster keeps its subset if the selection changes, or if
      realizations are added. Exception: if a new realization connects two groups, the joint group gets the subset of
      the group with the smaller name.

    `images` are the realizations' `images.nc`, in any order. InputError if a file is unreadable or lacks true masses,
    if a cluster id occurs twice, if the shares aren't positive or don't add up to 1, or if a subset has no cluster with
    a mass.
    """
    fractions = division["fractions"]
    shares = [float(fractions.get(name, 0)) for name in SUBSETS]
    if set(fractions) != set(SUBSETS) or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
        raise InputError(f"split is {dict(fractions)}, but needs positive train, val and test that add up to 1.")
    clusters = read_clusters(images, (*_needed(images), "log10_m500c"))
    groups, mass = group_names(clusters, division["box_arcsec"]), clusters["log10_m500c"].values
    split = subsets(groups, division, mass)
    _report(np.isfinite(mass), groups, split, fractions)
    table = xr.Dataset({"split": ("cluster", split), "group": ("cluster", groups)}, {"cluster": clusters["cluster"]})
    write_netcdf(table, output, TITLE, provenance("split_sample", division, sorted(images)))


def extend_split(images: Sequence[Path], split: Path, output: Path, division: Division) -> None:
    """Write subset and group of every cluster of an image set (further images of a sky, such as larger ones).

    `split` is the file that `split_sample` wrote for the default images, with the same `division`. `output` holds the
    clusters of the default images and of the image set. `extended` divides the new clusters. InputError if a file is
    unreadable or lacks a variable, or if a cluster id occurs twice.
    """
    clusters, first = read_clusters(images, _needed(images)), read_netcdf(split, require=("split", "group"))
    subset, group = extended(clusters, first, division)
    ids, earlier = clusters["cluster"].values, first["cluster"].values.astype(str)
    new = ~np.isin(ids, earlier)
    LOGGER.info("%d clusters of the default images keep their subsets; %d are further ones", (~new).sum(), new.sum())
    for name in SUBSETS:
        inside = subset == name
        LOGGER.info("%s: %d clusters, %d of them further ones", name, inside.sum(), (inside & new).sum())
    further = {"split": subset[new], "group": group[new]}
    both = {name: np.concatenate([first[name].values.astype(str), values]) for name, values in further.items()}
    columns = {name: ("cluster", values) for name, values in both.items()}
    table = xr.Dataset(columns, {"cluster": np.concatenate([earlier, ids[new]])}).sortby("cluster")
    write_netcdf(table, output, TITLE, provenance("extend_split", division, [*sorted(images), split]))


def extended(clusters: xr.Dataset, first: xr.Dataset, division: Division) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
    """Return subset and group of the clusters of an image set, (cluster,) each.

    `clusters` is a table as for `group_names`, sorted by id. `first` holds subset and group of the clusters of the
    default images. These default clusters keep their subset and group. All other clusters are new. Whether clusters
    touch each other is decided by `touching`, with boxes of the default size.

    - If a new cluster touches default clusters, it gets subset and group of one of them: of a test cluster if there is
      one, otherwise of a validation cluster, otherwise of a training cluster. Among several such clusters, the one with
      the smallest id is taken. Therefore no new training cluster touches a default validation or test cluster.
    - In a sky with a prior of the physics, a new cluster gets subset and group of the default clusters of its universe.
    - If a new cluster has neither, its subset follows from its group, as in `split_sample`. This also
      holds if the default clusters are divided into folds by mass.
    """
    rows = rows_of(clusters["cluster"].values, first)
    old = rows >= 0
    subset, group = (np.full(rows.size, "", dtype=object) for _ in range(2))
    for values, name in ((subset, "split"), (group, "group")):
        values[old] = first[name].values.astype(str)[rows[old]]
    pairs = touching(clusters, division["box_arcsec"])
    # pairs of a new cluster and a cluster of the first set that it touches
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    pairs = pairs[~old[pairs[:, 0]] & old[pairs[:, 1]]]
    rank = np.array([_FIRST.index(name) for name in subset[pairs[:, 1]]], dtype=np.intp)
    pairs = pairs[np.lexsort((pairs[:, 1], rank, pairs[:, 0]))]
    joined, place = np.unique(pairs[:, 0], return_index=True)
    subset[joined], group[joined] = subset[pairs[place, 1]], group[pairs[place, 1]]
    if _UNIVERSE in clusters:
        default = dict(zip(clusters[_UNIVERSE].values[old].tolist(), np.flatnonzero(old).tolist(), strict=True))
        same = np.array([default.get(number, -1) for number in clusters[_UNIVERSE].values.tolist()], dtype=np.intp)
        alike = ~old & (same >= 0)
        subset[alike], group[alike] = subset[same[alike]], group[same[alike]]
    rest = np.flatnonzero(subset == "")
    if rest.size:
        group[rest] = group_names(clusters.isel(cluster=rest), division["box_arcsec"])
        subset[rest] = subsets(group[rest].astype(str), division)
    return subset.astype(str), group.astype(str)


def _needed(images: Sequence[Path]) -> tuple[str, ...]:
    """Return the variables by which clusters are grouped. The first of `images` shows whether there are universes."""
    if not images:
        return _NEEDED
    with opened_netcdf(images[0]) as dataset:
        return (*_NEEDED, _UNIVERSE) if _UNIVERSE in dataset else _NEEDED


def read_clusters(images: Sequence[Path], variables: Sequence[str]) -> xr.Dataset:
    """Return `variables` of all clusters in the files, sorted by id, (cluster,) each.

    Memory holds one file at a time. InputError if there is no file, if a file is unreadable or lacks a variable, or if
    a cluster id occurs twice.
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
    """Return the row numbers sorted by the rows' cluster `ids`. InputError if an id occurs twice."""
    order = np.argsort(ids, kind="stable")
    twice = ids[order][1:][ids[order][1:] == ids[order][:-1]]
    if twice.size:
        raise InputError(f"Cluster {twice[0]} occurs twice ({twice.size} so): is a file of images given twice?")
    return order


def group_names(clusters: xr.Dataset, box_arcsec: float) -> NDArray[np.str_]:
    """Return the name of each cluster's group, (cluster,).

    A group holds all clusters that touch each other, directly or through others (see `touching`), or that have the same
    `universe` (if there is this variable). Its name is the smallest cluster id in it. `clusters` holds `ra` and `dec`
    of the image centres in degrees, `realization` and `halo_id` (-1 = no halo), (cluster,) each, and the coordinate
    `cluster` with the ids.
    """
    ids = clusters["cluster"].values.astype(str)
    pairs = touching(clusters, box_arcsec)
    if _UNIVERSE in clusters:
        number = clusters[_UNIVERSE].values
        order = np.argsort(number, kind="stable")
        chain = np.stack([order[:-1], order[1:]], axis=1)
        pairs = np.concatenate([pairs, chain[number[chain[:, 0]] == number[chain[:, 1]]]])
    graph = coo_array((np.ones(len(pairs), dtype=bool), (pairs[:, 0], pairs[:, 1])), shape=(ids.size, ids.size))
    component = connected_components(graph, directed=False)[1]
    order = np.argsort(ids)
    first = np.unique(component[order], return_index=True)[1]
    return ids[order][first][component]


def touching(clusters: xr.Dataset, box_arcsec: float) -> NDArray[np.intp]:
    """Return the row numbers of all pairs of clusters that touch each other, (pair, 2).

    Two clusters touch each other if they share a halo, or if their image boxes overlap within one realization.
    """
    halo_id = clusters["halo_id"].values
    rows = np.flatnonzero(halo_id >= 0)
    _, halo, number = np.unique(halo_id[rows], return_inverse=True, return_counts=True)
    check_pairs(float(np.square(number, dtype=float).sum()), "clusters with the same halo")
    member = coo_array((np.ones(rows.size, dtype=np.int32), (rows, halo)), shape=(halo_id.size, rows.size)).tocsr()
    here, there = (member @ member.T).nonzero()
    pairs = [np.stack([here, there], axis=1)[here < there].astype(np.intp)]
    realizations = clusters["realization"].values.astype(str)
    for name in np.unique(realizations):
        members = np.flatnonzero(realizations == name)
        ra, dec = (clusters[axis].values[members] for axis in ("ra", "dec"))
        pairs.append(members[overlapping_boxes(ra, dec, box_arcsec)])
    return np.concatenate(pairs)


def overlapping_boxes(ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64], box_arcsec: float) -> NDArray[np.intp]:
    """Return the row numbers of all pairs of overlapping square boxes, (pair, 2).

    `ra_deg` and `dec_deg` are the boxes' centres, (box,). The sides of a box are along its local RA and Dec, in the
    orthographic projection (SIN) of the images. Boxes are rotated against each other because meridians converge. The
    function is also valid across RA 0 and at high declinations. All overlapping boxes are found; boxes that narrowly
    miss each other may be returned, too.
    """
    ra, dec, box = np.radians(ra_deg), np.radians(dec_deg), np.radians((box_arcsec + _MARGIN_ARCSEC) / 3600)
    pairs = near_pairs(ra_deg, dec_deg, 2 * np.sin(_REACH * box / 2))
    here, there = pairs[:, 0], pairs[:, 1]
    turn_ra = ra[there] - ra[here]
    x = np.cos(dec[there]) * np.sin(turn_ra)
    y = np.sin(dec[there]) * np.cos(dec[here]) - np.cos(dec[there]) * np.sin(dec[here]) * np.cos(turn_ra)
    turn = turn_ra * np.sin((dec[here] + dec[there]) / 2)
    reach = box / 2 * (1 + np.abs(np.cos(turn)) + np.abs(np.sin(turn)))
    return np.asarray(pairs[(np.abs(x) <= reach) & (np.abs(y) <= reach)], dtype=np.intp)


def subsets(
    groups: NDArray[np.str_], division: Division, log10_m500c: NDArray[np.float64] | None = None
) -> NDArray[np.str_]:
    """Return the subset of each cluster, (cluster,).

    Without `division["folds"]`, the subset is that of the cluster's group (`subset_of`). With this block, `fold_of`
    divides either groups (`by: group`) or clusters sorted by mass (`by: mass`) into folds. The fold with the number
    `test` is the test set, the next fold is the validation set, and all others are the training set.
    """
    folds, seed = division.get("folds"), division["seed"]
    if folds is None:
        return np.array([subset_of(name, division["fractions"], seed) for name in groups.tolist()])
    number, test = folds["number"], folds["test"]
    fold = fold_of(number, log10_m500c if folds["by"] == "mass" and log10_m500c is not None else groups, seed)
    return np.where(fold == test, "test", np.where(fold == (test + 1) % number, "val", "train"))


def subset_of(group: str, fractions: Mapping[str, float], seed: int) -> str:
    """Return the subset of a group. It follows from a hash of `seed` and the group's name, and from the shares."""
    uniform = int.from_bytes(_digest(f"{seed}:{group}")[:8], "big") / 2**64
    edges = np.cumsum([fractions[name] for name in SUBSETS[:-1]])
    return SUBSETS[int(np.searchsorted(edges, uniform, side="right"))]


def fold_of(number: int, order: NDArray[np.float64] | NDArray[np.str_], seed: int) -> NDArray[np.intp]:
    """Return the fold of each cluster, a number from 0 to `number` - 1, (cluster,).

    `order` (cluster,) holds log10 masses or names of groups. In the case of masses, clusters are sorted by mass and
    assigned to the folds in turn (Ntampaka et al. 2019). In the case of names, a hash of `seed` and the name determines
    the fold of the whole group.
    """
    if order.dtype.kind == "U":
        names, row = np.unique(order, return_inverse=True)
        digests = [_digest(f"{seed}:folds:{name}") for name in names.tolist()]
        return np.array([int.from_bytes(digest[:8], "big") % number for digest in digests], dtype=np.intp)[row]
    return np.argsort(np.argsort(order, kind="stable")) % number


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def first_training_clusters(sample: xr.Dataset, number: int, seed: int) -> NDArray[np.str_]:
    """Return the subset of each cluster if the training set is reduced to `number` clusters, (cluster,).

    Training clusters are sorted by a hash of `seed` and the name of their group. The first `number` clusters are kept,
    and the others get the subset "unused". Therefore a smaller training set is part of every larger one. Kept groups
    are complete, except perhaps the last one. InputError if there are fewer than `number` training clusters.
    """
    split, ids = sample["split"].values.astype(str), sample["cluster"].values.astype(str)
    train = np.flatnonzero(split == "train").tolist()
    if number > len(train):
        raise InputError(
            f"train_clusters is {number}, but the training set holds {len(train)} clusters. Lower it, or simulate "
            "more realizations."
        )
    groups = sample["group"].values.astype(str)
    place = {group: _digest(f"{seed}:train_clusters:{group}") for group in set(groups)}
    train.sort(key=lambda row: (place[groups[row]], ids[row]))
    chosen = split.astype("U6")
    chosen[train[number:]] = UNUSED
    LOGGER.info("training on %d of %d clusters", number, len(train))
    return chosen


def read_split(split: Path, ids: NDArray[np.str_]) -> xr.Dataset:
    """Return the subset and the group of each of the clusters `ids`, read from the file `split` of a sky.

    The variables of the result are `split` and `group`, both (cluster,). InputError if the file lacks a cluster.
    """
    table = read_netcdf(split, require=("split", "group"))
    rows = rows_of(ids, table)
    missing = ids[rows < 0]
    if missing.size:
        raise InputError(
            f"{split}: lacks {missing.size} clusters of the sample ({missing[0]} is one). It belongs to other images: "
            "delete it and run again."
        )
    return table.isel(cluster=rows).astype(str)


def rows_of(ids: NDArray[np.str_], table: xr.Dataset) -> NDArray[np.intp]:
    """Return, for each of the cluster `ids`, the row of this cluster in `table`, or -1 if the table lacks it."""
    row = {name: number for number, name in enumerate(table["cluster"].values.astype(str).tolist())}
    return np.array([row.get(name, -1) for name in ids.astype(str).tolist()], dtype=np.intp)


def _report(
    labelled: NDArray[np.bool_], groups: NDArray[np.str_], split: NDArray[np.str_], fractions: Mapping[str, float]
) -> None:
    counts = {name: int((labelled & (split == name)).sum()) for name in SUBSETS}
    for name in SUBSETS:
        inside = split == name
        number = np.unique(groups[inside]).size
        LOGGER.info("%s: %d clusters in %d groups, %d labelled", name, inside.sum(), number, counts[name])
    largest, size = Counter(groups.tolist()).most_common(1)[0] if groups.size else ("none", 0)
    LOGGER.info("largest group: %d of %d clusters (%s)", size, groups.size, largest)
    if min(counts.values()) == 0:
        numbers = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise InputError(
            f"Too few clusters to split: {labelled.sum()} labelled ones in {np.unique(groups).size} groups give "
            f"{numbers}, but each subset needs one. Simulate more realizations or a larger field, or change the shares "
            f"{dict(fractions)}."
        )
