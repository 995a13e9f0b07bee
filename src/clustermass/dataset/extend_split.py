"""The split of a further set of images of a sky: clusters that the first set has, too, stay where they are."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from clustermass.dataset.split import SUBSETS, group_names, overlapping_boxes, read_clusters, subset_of
from clustermass.io.log import LOGGER
from clustermass.io.netcdf import read_netcdf, write_netcdf
from clustermass.io.provenance import provenance

_NEEDED = ("ra", "dec", "realization", "halo_id")
#: the subset of a cluster that touches several: none that is trained on may touch one that judges
_FIRST = ("test", "val", "train")


def extend_split(
    images: Sequence[Path],
    split: Path,
    output: Path,
    fractions: Mapping[str, float],
    seed: int,
    box_arcsec: float,
) -> None:
    """Write `split(cluster)` and `group(cluster)` for the clusters of another set of images than `split` was made of.

    Parameters
    ----------
    images
        The set's files, one a realization; any order gives the same result.
    split
        File of `splits.split_sample` for the default images of the same sky.
    output
        netCDF file to write: subset and group of all clusters of either set.
    fractions, seed, box_arcsec
        As that split was made with; see `extended`.

    Raises
    ------
    InputError
        A file is unreadable or lacks a variable, or a cluster id occurs twice.
    """
    clusters, first = read_clusters(images, _NEEDED), read_netcdf(split, require=("split", "group"))
    subset, group = extended(clusters, first, fractions, seed, box_arcsec)
    _log(clusters, first, subset)
    ids = np.concatenate([first["cluster"].values.astype(str), clusters["cluster"].values.astype(str)])
    columns = {
        "split": np.concatenate([first["split"].values.astype(str), subset]),
        "group": np.concatenate([first["group"].values.astype(str), group]),
    }
    kept = np.unique(ids, return_index=True)[1]  # those of both sets stand in both, with one subset
    table = xr.Dataset({name: ("cluster", values[kept]) for name, values in columns.items()}, {"cluster": ids[kept]})
    parameters = {"fractions": dict(fractions), "seed": seed, "box_arcsec": box_arcsec}
    facts = provenance("extend_split", parameters, [*sorted(images), split])
    write_netcdf(table, output, "Subset and group of every cluster of the sky", facts)


def extended(
    clusters: xr.Dataset, first: xr.Dataset, fractions: Mapping[str, float], seed: int, box_arcsec: float
) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
    """Subset and group (cluster,) of the clusters of a set.

    A cluster of the first set keeps both. Of the others, one that shares a halo, or photons of its default image box,
    with clusters of the first set is a test cluster if one of those is, else a validation cluster if one is, else a
    training cluster, and joins the group of that neighbour whose id sorts first. So no training cluster of the set
    shares a halo or a photon of that box with a validation or test cluster of the first set. The rest are divided
    among themselves as in `splits.split_sample`.

    Parameters
    ----------
    clusters
        `ra`, `dec` (deg), `realization`, `halo_id` (cluster,) with ids, sorted by them.
    first
        `split` and `group` (cluster,) of the first set's clusters.
    fractions, seed
        Shares of the subsets, and root seed of the run.
    box_arcsec
        Side of the default image box in arcsec.
    """
    ids = clusters["cluster"].values.astype(str)
    names = first["cluster"].values.astype(str).tolist()
    row = {name: number for number, name in enumerate(names)}
    rows = np.array([row.get(name, -1) for name in ids.tolist()], dtype=int)
    known = rows >= 0
    subset, group = np.full(ids.size, "", dtype="U5"), np.full(ids.size, "", dtype=f"U{_width(ids, first)}")
    subset[known] = first["split"].values.astype(str)[rows[known]]
    group[known] = first["group"].values.astype(str)[rows[known]]
    pairs = touching(clusters, box_arcsec)
    # each new cluster beside each first one that it touches; in the order of their ids
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[~known[both[:, 0]] & known[both[:, 1]]]
    both = both[np.lexsort((both[:, 1], [_FIRST.index(name) for name in subset[both[:, 1]]], both[:, 0]))]
    joined, place = np.unique(both[:, 0], return_index=True)
    subset[joined], group[joined] = subset[both[place, 1]], group[both[place, 1]]
    rest = np.flatnonzero(subset == "")
    if rest.size:
        group[rest] = group_names(clusters.isel(cluster=rest), box_arcsec)
        subset[rest] = [subset_of(name, fractions, seed) for name in group[rest].tolist()]
    return subset, group


def _width(ids: NDArray[np.str_], first: xr.Dataset) -> int:
    return max(len(name) for name in (*ids.tolist(), *first["group"].values.astype(str).tolist()))


def touching(clusters: xr.Dataset, box_arcsec: float) -> NDArray[np.intp]:
    """Pairs of clusters, (pairs, 2), that share a halo, or sky of their boxes within one realization."""
    halo = clusters["halo_id"].values
    pairs = [np.array([(a, b) for a, b in _same(halo)], dtype=np.intp).reshape(-1, 2)]
    realizations = clusters["realization"].values.astype(str)
    for name in np.unique(realizations):
        members = np.flatnonzero(realizations == name)
        overlap = overlapping_boxes(clusters["ra"].values[members], clusters["dec"].values[members], box_arcsec)
        pairs.append(members[overlap])
    return np.concatenate(pairs)


def _same(halo: NDArray[np.int64]) -> list[tuple[int, int]]:
    """All pairs of clusters of one halo; negative ids mean no halo."""
    members: dict[int, list[int]] = {}
    for number, name in enumerate(halo.tolist()):
        if name >= 0:
            members.setdefault(name, []).append(number)
    return [(a, b) for group in members.values() for i, a in enumerate(group) for b in group[i + 1 :]]


def _log(clusters: xr.Dataset, first: xr.Dataset, subset: NDArray[np.str_]) -> None:
    new = ~np.isin(clusters["cluster"].values.astype(str), first["cluster"].values.astype(str))
    LOGGER.info("%d clusters of the default images keep their subsets; %d are further ones", (~new).sum(), new.sum())
    for name in SUBSETS:
        of_it = subset == name
        LOGGER.info("%s: %d clusters, %d of them further ones", name, of_it.sum(), (of_it & new).sum())
