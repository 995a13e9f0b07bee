"""The sample of an experiment: the selected clusters of all realizations of a sky, with their subsets and groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from clustermass.arrays import FloatArray, unit_vectors
from clustermass.dataset.physics import SHARED
from clustermass.dataset.split import SUBSETS, UNUSED, order_of, read_clusters, read_split
from clustermass.errors import InputError
from clustermass.io.log import LOGGER
from clustermass.io.netcdf import opened_netcdf, read_netcdf

if TYPE_CHECKING:
    from clustermass.config.models import Selection

#: keys of the selection that are lower limits, with the variable that must lie above each
_ABOVE = {"det_like_min": "det_like", "ext_like_min": "ext_like"}
_GRID = ("band", "band_bounds", "x", "y", *SHARED)
_TRAINED = "of haloes that were trained on"
#: two clusters have the same halo if their image centres and their true masses (float32) differ by less than this
_SAME_ARCSEC, _SAME_DEX = 120.0, 2e-6


def load_sample(
    images: Sequence[Path],
    split: Path | None = None,
    selection: Selection | None = None,
    train_selection: Selection | None = None,
) -> xr.Dataset:
    """Return the selected clusters of all realizations of a sky as one dataset, sorted by cluster id.

    - `images` are the realizations' `images.nc` or `smoothed/*.nc`, in any order.
    - `selection` keeps clusters that have a true mass and a redshift and are inside its limits: log10_m500c_min <=
      log10_m500c < log10_m500c_max, det_like > det_like_min and ext_like > ext_like_min. Each limit is optional. If
      `selection` is None, every cluster is kept, also without a true mass, as in observed fields.
    - `train_selection` holds those limits that are different for training clusters.
    - If `split` (a file that `split_sample` wrote) is given, `join_split` adds subsets and groups.

    All data are read into memory. While the files are joined, memory holds the data of one file twice. InputError if a
    file is missing or damaged, if files differ in grids or variables, if a cluster occurs twice or isn't in `split`, or
    if no cluster is left.
    """
    sample = _concatenate(list(each_selected(images, selection, train_selection)))
    return sample if split is None else join_split(sample, split)


def each_selected(
    images: Sequence[Path],
    selection: Selection | None,
    train_selection: Selection | None = None,
    trained: TrainedHaloes | None = None,
) -> Iterator[xr.Dataset]:
    """Yield the selected clusters of each file of images in turn, so that only one file has to be in memory.

    If there is a `train_selection`, clusters inside either selection are kept. The variable `selected` (cluster,) then
    says whether a cluster is inside `selection`, and the variable `for_training` whether it is inside
    `train_selection`. Clusters whose halo is in `trained` are dropped, with a warning. A dataset may be empty.
    InputError in the cases of `load_sample`. If all datasets are empty, InputError after the last one.
    """
    if not images:
        raise InputError("No files of images: the sky has no realization.")
    dropped: Counter[str] = Counter()
    first: xr.Dataset | None = None
    total = left = 0
    for path in images:
        part = read_netcdf(path, require=("cluster", "redshift"))
        first = part.isel(cluster=slice(0)).copy(deep=True) if first is None else first
        _check_alike(first, images[0], part, path)
        total += part.sizes["cluster"]
        part = part if selection is None else _selected(part, selection, train_selection, path, dropped)
        if trained is not None:
            known = trained.among(part)
            dropped[_TRAINED] += int(known.sum())
            part = part.isel(cluster=np.flatnonzero(~known))
        left += part.sizes["cluster"]
        yield part
    cuts = ", ".join(f"{count} {reason}" for reason, count in dropped.items()) or "none"
    LOGGER.info("sample: %d detections in %d files; dropped: %s; left: %d", total, len(images), cuts, left)
    if dropped[_TRAINED]:
        LOGGER.warning("%d clusters are %s: they would test nothing, and are dropped", dropped[_TRAINED], _TRAINED)
    if left == 0:
        raise InputError(
            f"The selection {dict(selection or {})} leaves none of {total} detections (dropped: {cuts}). "
            "Widen the selection, or simulate more."
        )


class TrainedHaloes(NamedTuple):
    """Haloes of an ensemble's training and validation clusters, each array (halo,).

    They serve to recognise the same haloes in another sky.
    """

    ra: FloatArray  #: coordinates of the image's centre, deg
    dec: FloatArray
    log10_m500c: FloatArray  #: true mass

    @classmethod
    def read(cls, images: Sequence[Path], split: Path) -> TrainedHaloes:
        """Return the haloes of all training and validation clusters of a sky. No selection of an experiment is applied.

        `images` are the files of the sky's images, smoothed or not. `split` is the file with the sky's subsets.
        """
        table = read_clusters(images, cls._fields)
        subset = read_split(split, table["cluster"].values.astype(str))["split"].values
        used = (subset != "test") & np.isfinite(table["log10_m500c"].values)
        return cls(*(table[name].values[used] for name in cls._fields))

    def among(self, sample: xr.Dataset) -> NDArray[np.bool_]:
        """Return whether each cluster of `sample` has one of these haloes, bool (cluster,).

        Haloes are recognised by position and mass, not by ids.
        """
        chord = 2 * np.sin(np.radians(_SAME_ARCSEC / 3600) / 2)
        here = unit_vectors(sample["ra"].values.astype(float), sample["dec"].values.astype(float))
        near = cKDTree(unit_vectors(self.ra, self.dec)).query_ball_point(here, chord)
        mass = sample["log10_m500c"].values
        return np.array(
            [
                bool((np.abs(self.log10_m500c[rows] - own) <= _SAME_DEX).any())
                for rows, own in zip(near, mass, strict=True)
            ],
            dtype=bool,
        )


def select(sample: xr.Dataset, selection: Selection) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """Return whether each cluster is inside `selection`, bool (cluster,), and how many are dropped for which reason.

    `sample` holds `log10_m500c`, `det_like`, `ext_like` and `redshift`, (cluster,) each. `load_sample` describes
    `selection`. The second result is a dict from reasons to numbers of clusters.
    """
    mass = sample["log10_m500c"].values
    cuts = {"without a halo": np.isfinite(mass), "without redshift": np.isfinite(sample["redshift"].values)}
    for key, value in selection.items():
        if value is None:
            continue
        if key == "log10_m500c_min":
            cuts[f"with log10_m500c < {value:g}"] = mass >= value
        elif key == "log10_m500c_max":
            cuts[f"with log10_m500c >= {value:g}"] = mass < value
        elif key in _ABOVE:
            cuts[f"with {_ABOVE[key]} <= {value:g}"] = sample[_ABOVE[key]].values > value
        else:
            raise InputError(f"selection.{key} is no cut: log10_m500c_min, log10_m500c_max, {', '.join(_ABOVE)} are.")
    keep = np.ones(mass.size, dtype=bool)
    dropped = {}
    for reason, passes in cuts.items():
        dropped[reason] = int((keep & ~passes).sum())
        keep &= passes
    return keep, dropped


def _selected(
    part: xr.Dataset, selection: Selection, train_selection: Selection | None, path: Path, dropped: Counter[str]
) -> xr.Dataset:
    missing = [name for name in ("log10_m500c", *_ABOVE.values()) if name not in part.variables]
    if missing:
        raise InputError(f"{path}: lacks {', '.join(missing)}; a training sample needs a simulated sky with truth.")
    keep, counts = select(part, selection)
    if train_selection is not None:
        for_training, _ = select(part, {**selection, **train_selection})
        part = part.assign(selected=("cluster", keep), for_training=("cluster", for_training))
        counts["of them kept for training"] = int((for_training & ~keep).sum())
        keep = keep | for_training
    dropped.update(counts)
    return part.isel(cluster=np.flatnonzero(keep))


def _concatenate(parts: list[xr.Dataset]) -> xr.Dataset:
    """Return `parts` joined along `cluster`, sorted by id. Each is removed once copied, to save memory."""
    first = parts[0]
    ids = np.concatenate([part["cluster"].values.astype(str) for part in parts])
    order = order_of(ids)
    names = [str(name) for name in first.variables if "cluster" in first[name].dims and name != "cluster"]
    joined = {name: (first[name].dims, _empty(first[name], parts, name)) for name in names}
    places = np.split(np.argsort(order), np.cumsum([part.sizes["cluster"] for part in parts]))
    for number, rows in enumerate(places[:-1]):
        part, parts[number] = parts[number], xr.Dataset()
        for name in names:
            joined[name][1][rows] = part[name].values
    return xr.Dataset(joined, {"cluster": ids[order]}).merge(first[[name for name in _GRID if name in first]])


def _empty(variable: xr.DataArray, parts: Sequence[xr.Dataset], name: str) -> np.ndarray:
    shape = (sum(part.sizes["cluster"] for part in parts), *variable.shape[1:])
    if variable.dtype.kind not in "OSU":
        return np.empty(shape, variable.dtype)
    # strings come from netCDF as objects or with each file's own width
    width = max((len(str(value)) for part in parts for value in part[name].values.flat), default=1)
    return np.empty(shape, f"U{max(width, 1)}")


def _check_alike(first: xr.Dataset, first_path: Path, part: xr.Dataset, path: Path) -> None:
    lacking = set(first.variables) ^ set(part.variables)
    if lacking:
        raise InputError(f"{first_path} and {path} differ: only one has {', '.join(sorted(map(str, lacking)))}.")
    for name in _GRID:
        if name in part.variables and not np.array_equal(part[name].values, first[name].values):
            raise InputError(f"{first_path} and {path} differ in {name}: made with other settings; run again.")


def join_split(sample: xr.Dataset, split: Path) -> xr.Dataset:
    """Add the variables `split` (the subset) and `group` of each cluster to `sample` in place, and return `sample`.

    Both are read from the sky's file `split`. InputError if the file lacks a cluster.

    If `sample` was made with a `train_selection`, the subset becomes "unused" for training clusters outside
    `train_selection`, and for validation and test clusters outside `selection`. The new variable `fit_val` is True for
    validation clusters inside `train_selection`, whether they are inside `selection` or not.
    """
    table = read_split(split, sample["cluster"].values)
    for name in ("split", "group"):
        sample[name] = ("cluster", table[name].values)
    if "for_training" in sample:
        subset, for_training = sample["split"].values, sample["for_training"].values
        used = np.where(subset == "train", for_training, sample["selected"].values)
        sample["fit_val"] = ("cluster", (subset == "val") & for_training)
        sample["split"] = ("cluster", np.where(used, subset, UNUSED))
    sizes = {name: int((sample["split"].values == name).sum()) for name in SUBSETS}
    LOGGER.info("sample: %s", ", ".join(f"{count} {name}" for name, count in sizes.items()))
    return sample


def realization_of(images: Path) -> str:
    """Return the name of the realization that an `images.nc` belongs to; InputError if the file is damaged."""
    with opened_netcdf(images) as dataset:
        return str(dataset["realization"].values[0])


def fitting_split(sample: xr.Dataset) -> NDArray[np.str_]:
    """Return the subset that each cluster has in the fitting of networks and baselines, (cluster,).

    This differs from the variable `split` only if `sample` has the variable `fit_val` (see `join_split`): the
    validation set then consists of the clusters that `fit_val` marks.
    """
    split = sample["split"].values.astype(str)
    if "fit_val" not in sample:
        return split
    return np.where(sample["fit_val"].values, "val", np.where(split == "val", UNUSED, split))
