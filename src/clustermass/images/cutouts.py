"""From photons to images: the counts around every detection, in energy bands on the base grid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.catalogues.detections import Detections, Labels, image_centres, read_detections, read_labels
from clustermass.errors import InputError
from clustermass.events.eventlist import EventList, mean_exposure_s, modules_of
from clustermass.events.read import PIECE_ROWS, stream_events
from clustermass.events.select import Selection
from clustermass.images.exposure import box_exposure, photon_coverage, read_exposure
from clustermass.images.geometry import ImageGeometry, band_coordinates
from clustermass.images.sky_index import ImageStack
from clustermass.io.log import LOGGER, track
from clustermass.io.netcdf import write_netcdf
from clustermass.io.provenance import provenance

if TYPE_CHECKING:
    from clustermass.config.models import Events, Images

TITLE = "Counts of photons around detections, in energy bands"
#: a box leaves the field if its covered fraction is below this
_WHOLE = 0.999


def extract_images(
    events: Path,
    exposure: Path | None,
    catalogue: Path,
    output: Path,
    images: Images,
    realization: str,
    events_block: Events,
    truth: Path | None = None,
    matches: Path | None = None,
) -> None:
    """Write `images.nc` of one realization: an image of every detection above the likelihoods of `images`.

    Detections whose box leaves the field are kept, with a `covered_fraction` below 1.

    Parameters
    ----------
    events
        Event list, any dialect.
    exposure
        Vignetting-corrected exposure map, s. None = the exposure comes from the good time intervals (the mean of the
        seven modules, not corrected for vignetting), and the covered fraction from where there are photons.
    catalogue
        `catalogue.fits`.
    output
        `images.nc`; written atomically.
    images
        Config block `images`: box_pixels, pixel_arcsec, base_rebin, bands, centre, det_like_min, ext_like_min.
    realization
        Label of the realization; the cluster ids are `<realization>_<ID_SRC>`.
    events_block
        Config block `events`: flag_mask, pattern.
    truth, matches
        `truth.fits` and `matches.fits` of a simulated sky; None = an observed sky.

    Raises
    ------
    InputError
        Something is wrong with a file or a setting; the message says what, where, and what to do.
    """
    geometry = ImageGeometry.from_config(images)
    detections = read_detections(Path(catalogue), images["det_like_min"], images["ext_like_min"])
    labels = _labels(truth, matches, detections)
    ra, dec = image_centres(detections, labels, images)
    energies = (geometry.edges_ev[0], geometry.edges_ev[-1])
    selection = Selection(events_block["flag_mask"], events_block["pattern"], energies)
    counts, photons, modules = count_list(Path(events), selection, ImageStack(ra, dec, geometry))
    seconds, covered = _exposure(exposure, photons, modules, ra, dec, counts, geometry)
    _log_coverage(covered, counts)
    variables = {**detections.measured, "ra": ra, "dec": dec, "exposure_s": seconds, "covered_fraction": covered}
    dataset = _dataset(counts, geometry, variables, labels)
    dataset = dataset.assign_coords(cluster=[f"{realization}_{number}" for number in detections.id_src])
    dataset["realization"] = ("cluster", np.full(detections.id_src.size, realization))
    inputs = [path for path in (events, exposure, catalogue, truth, matches) if path is not None]
    settings = {"images": dict(images), "events": dict(events_block), "realization": realization}
    simulated = photons.simulated or labels is not None
    write_netcdf(dataset, output, TITLE, provenance("extract_images", settings, inputs, simulated=simulated))


def _labels(truth: Path | None, matches: Path | None, detections: Detections) -> Labels | None:
    if truth is None and matches is None:
        return None
    if truth is None or matches is None:
        raise InputError(f"{truth or matches}: truth and matches go together; give both (simulated sky) or none.")
    return read_labels(Path(truth), Path(matches), detections.id_src)


def count_list(path: Path, selection: Selection, stack: ImageStack) -> tuple[NDArray[np.uint16], EventList, set[int]]:
    """Count the selected photons of an event list piece by piece: memory doesn't grow with the list.

    Returns
    -------
    tuple
        The counts of `stack`; the last piece of the list, for its metadata; the modules with selected photons.

    Raises
    ------
    InputError
        What `stream_events`, `Selection.conclude` and `ImageStack.add` raise.
    """
    modules: set[int] = set()
    for piece in track(stream_events(path), f"{path}: pieces of {PIECE_ROWS} rows"):
        photons = selection.keep(piece)
        modules.update(modules_of(photons))
        stack.add(photons)
    selection.conclude()
    return stack.counts, piece, modules


def _exposure(
    path: Path | None,
    events: EventList,
    modules: Iterable[int],
    ra: FloatArray,
    dec: FloatArray,
    counts: NDArray[np.uint16],
    geometry: ImageGeometry,
) -> tuple[FloatArray, FloatArray]:
    if path is not None:
        return box_exposure(*read_exposure(Path(path)), ra, dec, geometry)
    seconds = mean_exposure_s(events, modules)
    if seconds is None:
        raise InputError(
            f"{events.name}: has neither good time intervals nor EXPOSURE nor TSTART and TSTOP, and no exposure map is "
            "given. Give an exposure map."
        )
    LOGGER.warning(
        "no exposure map: %.1f s of exposure (mean of seven modules, without vignetting) everywhere", seconds
    )
    return np.full(ra.size, seconds), photon_coverage(counts)


def _log_coverage(covered: FloatArray, counts: NDArray[np.uint16]) -> None:
    empty = ~counts.any(axis=(1, 2, 3))
    LOGGER.info(
        "%d images of %d photons on average; the boxes of %d leave the field (lowest covered fraction %.3f); %d hold "
        "no photon",
        covered.size, counts.sum(dtype=np.int64) / covered.size, (covered < _WHOLE).sum(), covered.min(), empty.sum(),
    )  # fmt: skip
    if empty.all():
        raise InputError(
            "None of the images holds a photon: the catalogue and the event list are of different parts of the sky. "
            "Compare their RA and DEC."
        )


def _dataset(
    counts: NDArray[np.uint16], geometry: ImageGeometry, variables: Mapping[str, FloatArray], labels: Labels | None
) -> xr.Dataset:
    offsets = geometry.base_offsets_arcsec()
    dataset = xr.Dataset(
        {
            "counts": (("cluster", "band", "y", "x"), counts),
            **{name: ("cluster", values) for name, values in variables.items()},
            **band_coordinates(geometry.edges_ev),
        },
        coords={"x": offsets, "y": offsets},
    )
    if labels is not None:
        dataset["log10_m500c"] = ("cluster", labels.log10_m500c)
        dataset["halo_id"] = ("cluster", labels.halo_id)
    return dataset
