"""Images of clusters in memory, and figures of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import xarray as xr

from clustermass.apply.catalogue import iau_names
from clustermass.apply.field import cut_field, folder_for, sky_of_files
from clustermass.apply.masses import id_src
from clustermass.checked import Positive, checked
from clustermass.config.bands import band_edges
from clustermass.config.models import Images
from clustermass.config.resolve import choose, default_config, merge
from clustermass.config.validate import check_block
from clustermass.errors import InputError
from clustermass.interface.inputs import Catalogue, Events, Exposure, PathLike, as_files
from clustermass.io.netcdf import VARIABLES
from clustermass.io.room import check_memory

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: variables of `images.nc` that are kept
_KEPT = ("counts", "band_bounds", "ra", "dec", "exposure_s", "covered_fraction", "det_like", "ext_like", "ml_cts")


@checked
def images_of(
    events: Events,
    catalogue: Catalogue,
    exposure: Exposure = None,
    *,
    exposure_s: Positive | None = None,
    columns: Mapping[str, str] | None = None,
    catalogue_bands: Sequence[int] | None = None,
    acronym: str = "eFEDS",
    changes: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Return a Dataset with the images of the clusters of a field.

    `Ensemble.masses` describes the arguments before `changes`. Redshifts aren't needed. `changes` are other values of
    keys in the block `images` of the configuration, for instance ``{"base_rebin": 1}`` for pixels of 4" or
    ``{"bands": [500, 2000]}`` (eV). Without `changes`, the images are those from which the inputs of the default
    networks are made.

    The images are the variable `counts`, an array uint16 (cluster, band, y, x). The coordinates are `cluster` (the
    column NAME of the mass catalogue), `id_src`, `band` in keV, and `x` and `y`, the offsets from the image's centre to
    the West and North in arcsec. The attribute `simulated` is 1 for a simulated field, otherwise 0. All images are in
    memory.

    If the Dataset is called `images`, ``images.clustermass.plot()`` returns a figure of the images, and
    ``images.to_netcdf("images.nc")`` saves them. When the file is read in a new process, run
    ``from clustermass import images_of`` first, so that the Dataset has the method `clustermass.plot`.

    InputError if an input is missing or faulty, if a key is unknown or its value impossible, or if the images don't fit
    into memory.
    """
    config = default_config()
    for unknown in set(changes or {}) - set(config["images"]):
        raise InputError(f"images_of: {unknown} is no key of images.{choose(unknown, config['images'])}")
    block = cast("Images", merge(config["images"], changes or {}))
    check_block(block, Images, "images_of")
    with as_files(events, catalogue, exposure) as (lists, table, maps):
        sky = sky_of_files(lists, table, maps, exposure_s, columns, catalogue_bands)
        edges, parts = band_edges(block["bands"]), list[xr.Dataset]()
        with folder_for(sky) as folder:
            field = cut_field(sky, block, config["events"], edges, folder, with_redshift=False)
            for part in field.parts:
                parts.append(part)
                check_memory(sum(one.nbytes for one in parts), table)  # joining the parts takes this much memory
    kept = [part[[*_KEPT]].assign_coords(id_src=("cluster", id_src(part))) for part in parts]
    images = xr.concat(kept, "cluster", data_vars="minimal", coords="minimal", compat="override", join="override")
    simulated = bool(parts[0].attrs["simulated"])
    names = iau_names("SIM" if simulated else acronym, images["ra"].values, images["dec"].values)
    for name in images.variables:
        unit, description = VARIABLES.get(str(name), ("", ""))
        images[name].attrs = {"units": unit, "long_name": description}
    return images.assign_coords(cluster=names).assign_attrs(simulated=int(simulated)).sortby("id_src")


@xr.register_dataset_accessor("clustermass")
class ImagesAccessor:
    """Methods of `images.clustermass`, where `images` is a Dataset from `images_of`."""

    def __init__(self, images: xr.Dataset) -> None:
        self._images = images

    @checked
    def plot(self, clusters: str | int | Sequence[str | int] | None = None, style: PathLike | None = None) -> Figure:
        """Return a figure of the images of `clusters`: an id, a name, a part of a name, or a list of these.

        By default, the figure shows the 12 clusters with the largest ML_CTS, the counts of the cluster alone. If the
        catalogue lacks ML_CTS, it shows the 12 clusters with the most photons in the box that the default networks see;
        photons of neighbours count, too. `style` is a Matplotlib style sheet.
        InputError if no cluster or several clusters fit a name, if the list is empty, or if the Dataset isn't from
        `images_of`.
        """
        from clustermass.interface.plots import images_figure

        return images_figure(self._images, clusters, style=style)
