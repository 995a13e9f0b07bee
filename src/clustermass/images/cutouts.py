"""Make images from photons: the counts in energy bands around each detection."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.catalogues.tables import read_product
from clustermass.errors import InputError
from clustermass.events.eventlist import ALL_MODULES, EventList, Selection, mean_exposure_s, modules_of
from clustermass.events.read import PIECE_ROWS, stream_events
from clustermass.images.exposure import FROM_MAP, GOOD_TIME, ExposureMap, box_exposure
from clustermass.images.geometry import ImageGeometry, band_coordinates
from clustermass.images.occupied import photon_coverage
from clustermass.images.sky_index import ImageStack, PhotonsByCell, neighbours
from clustermass.io.fits import opened_fits
from clustermass.io.log import LOGGER, track
from clustermass.io.netcdf import write_netcdf
from clustermass.io.provenance import provenance

if TYPE_CHECKING:
    from clustermass.config.models import Events, Images

_TITLE = "Counts of photons around detections, in energy bands"
#: column of catalogue.fits -> variable of images.nc
MEASURED = {"Z": "redshift", "Z_ERR": "redshift_err"} | {
    name: name.lower() for name in ("DET_LIKE", "EXT_LIKE", "EXT", "ML_RATE", "ML_CTS", "ML_BKG")
}
#: bytes for the counts of clusters that are cut out together; images made of these counts take about the same again
PART_BYTES = 100_000_000
#: a box with a covered fraction below this counts as reaching beyond the field
_WHOLE = 0.999


class Detections(NamedTuple):
    """Detections that get an image, in the order of the catalogue. Arrays have the shape (clusters,)."""

    id_src: NDArray[np.int64]
    ra: FloatArray
    dec: FloatArray
    measured: dict[str, FloatArray]
    #: in a user's field, exposures in s that replace the map's exposures (NaN = unknown; None = the map is used)
    exposure_s: FloatArray | None
    exp_from: NDArray[np.str_]  #: origin of the exposures

    def take(self, rows: NDArray[Any]) -> Detections:
        """Return the detections that `rows` selects by row numbers or booleans."""
        measured = {name: values[rows] for name, values in self.measured.items()}
        seconds = None if self.exposure_s is None else self.exposure_s[rows]
        return Detections(self.id_src[rows], self.ra[rows], self.dec[rows], measured, seconds, self.exp_from[rows])


class Labels(NamedTuple):
    """True mass, id and position of each detection's halo, (clusters,).

    For a detection without a halo, `halo_id` is -1, and all other values are NaN.
    """

    log10_m500c: FloatArray
    halo_id: NDArray[np.int64]
    ra: FloatArray
    dec: FloatArray


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
    nh_cm2: float | None = None,
) -> None:
    """Write `images.nc` of one realization, with an image of each detection above the likelihood limits in `images`.

    - `events` is an event list of eSASS, of SIXTE or of this package.
    - `exposure` is a vignetting-corrected exposure map in s. If `events_block["modules"]` leaves modules out, the map
      is multiplied by the share of the list's good time that the other modules have. If `exposure` is None, the
      exposure is the mean good time of the seven modules, without vignetting, and the covered fraction is the share of
      the box's 5 x 5 cells that hold photons.
    - `truth` and `matches` are the haloes of a simulated sky, and their matches with detections. They are None for an
      observed sky. If `truth` has a table PHI, the drawn parameters of the physics become `phi` (cluster, parameter).
    - `nh_cm2` is the hydrogen column density of the field in cm-2, for a catalogue without the column NH. Without
      either, there is no variable `nh`.

    Detections whose box reaches beyond the field are kept, with a `covered_fraction` below 1. Cluster ids are
    `<realization>_<ID_SRC>`. InputError if something is wrong with a file or a setting.
    """
    geometry = ImageGeometry.from_config(images)
    detections = _read_detections(Path(catalogue), images, FROM_MAP if exposure is not None else GOOD_TIME)
    labels = _read_labels(truth, matches, detections.id_src)
    ra, dec = _image_centres(detections, labels, images)
    _check_memory(ra.size, geometry)
    stack = ImageStack(ra, dec, geometry)
    selection = _selection(events_block, geometry)
    counts, photons, modules = count_list(Path(events), selection, stack)
    seconds, covered = _exposure(exposure, stack, photons, modules)
    if exposure is not None:
        seconds *= selection.share()
    _log_coverage(covered, photons_of(counts))
    dataset = _dataset(detections._replace(ra=ra, dec=dec), counts, seconds, covered, geometry, realization, labels)
    if "nh" not in dataset and nh_cm2 is not None:
        dataset["nh"] = "cluster", np.full(dataset.sizes["cluster"], nh_cm2)
    dataset = _with_universe(dataset, truth)
    inputs = [path for path in (events, exposure, catalogue, truth, matches) if path is not None]
    settings = {"images": dict(images), "events": dict(events_block), "realization": realization}
    simulated = photons.simulated or labels is not None
    write_netcdf(dataset, output, _TITLE, provenance("extract_images", settings, inputs, simulated=simulated))


def cut_in_parts(
    events: Path,
    exposure: ExposureMap,
    catalogue: Path,
    images: Images,
    realization: str,
    events_block: Events,
    folder: Path,
    part_bytes: int = PART_BYTES,
) -> Iterator[xr.Dataset]:
    """Yield what `extract_images` writes for an observed sky, one part of the clusters at a time, to limit memory.

    The counts of a part take at most `part_bytes`. The clusters of a part are neighbours on the sky. Until the last
    part has been yielded, the photons near boxes are stored in a temporary file in `folder`. The attribute `simulated`
    of a part says whether its photons are simulated. InputError in the same cases as for `extract_images`.
    """
    geometry = ImageGeometry.from_config(images)
    detections = _read_detections(Path(catalogue), images, FROM_MAP)
    selection = _selection(events_block, geometry)
    found, covered = [], []
    with closing(PhotonsByCell(folder, detections.ra, detections.dec, geometry)) as photons:
        for piece in track(stream_events(events), f"{events}: pieces of {PIECE_ROWS} rows"):
            photons.add(selection.keep(piece))
        selection.conclude()
        most = max(1, part_bytes // geometry.image_bytes)
        for rows in track(neighbours(detections.ra, detections.dec, most), f"parts of {most} clusters"):
            part = detections.take(rows)
            counts = photons.count(part.ra, part.dec)
            seconds, exposed = box_exposure(exposure, part.ra, part.dec, geometry)
            found.append(photons_of(counts))
            covered.append(exposed)
            dataset = _dataset(part, counts, seconds * selection.share(), exposed, geometry, realization)
            yield dataset.assign_attrs(simulated=piece.simulated)
    _log_coverage(np.concatenate(covered), np.concatenate(found))


def _selection(events_block: Events, geometry: ImageGeometry) -> Selection:
    band, chosen = (geometry.edges_ev[0], geometry.edges_ev[-1]), events_block.get("modules", ALL_MODULES)
    return Selection(events_block["flag_mask"], events_block["pattern"], band, chosen)


def _dataset(
    detections: Detections,
    counts: NDArray[np.uint16],
    seconds: FloatArray,
    covered: FloatArray,
    geometry: ImageGeometry,
    realization: str,
    labels: Labels | None = None,
) -> xr.Dataset:
    per_cluster: dict[str, NDArray[Any]] = {**detections.measured, "ra": detections.ra, "dec": detections.dec}
    per_cluster |= {"exposure_s": seconds, "covered_fraction": covered}
    if labels is not None:
        per_cluster |= {"log10_m500c": labels.log10_m500c, "halo_id": labels.halo_id}
    if detections.exposure_s is not None:
        per_cluster["exposure_s"] = detections.exposure_s
    per_cluster |= {"exp_from": detections.exp_from, "realization": np.full(len(counts), realization)}
    offsets = geometry.base_offsets_arcsec()
    return xr.Dataset(
        {
            "counts": (("cluster", "band", "y", "x"), counts),
            **{name: ("cluster", values) for name, values in per_cluster.items()},
            **band_coordinates(geometry.edges_ev),
        },
        coords={"x": offsets, "y": offsets, "cluster": [f"{realization}_{number}" for number in detections.id_src]},
    )


def _with_universe(dataset: xr.Dataset, truth: Path | None) -> xr.Dataset:
    """Return `dataset` with the parameters in the table PHI of `truth`, if it has one: the same for each cluster."""
    if truth is None:
        return dataset
    with opened_fits(truth) as hdus:
        if "PHI" not in hdus:
            return dataset
        phi, universe = hdus["PHI"].data, int(hdus["PHI"].header["UNIVERSE"])
        value, mean, sd = (np.array(phi[name], dtype=float) for name in ("VALUE", "MEAN", "SD"))
        uniform = np.array(phi["UNIFORM"], dtype=np.int8)
        names = np.array([str(name) for name in phi["NAME"]], dtype=str)
    clusters = dataset.sizes["cluster"]
    return dataset.assign_coords(parameter=names).assign(
        phi=(("cluster", "parameter"), np.tile(value, (clusters, 1))),
        phi_mean=("parameter", mean),
        phi_sd=("parameter", sd),
        phi_uniform=("parameter", uniform),
        universe=("cluster", np.full(clusters, universe, dtype=np.int32)),
    )


def photons_of(counts: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Return the number of photons in each image, (cluster,). `counts` has the shape (cluster, band, y, x)."""
    return np.asarray(counts.sum(axis=(1, 2, 3), dtype=np.int64))


def _check_memory(clusters: int, geometry: ImageGeometry) -> None:
    needed = clusters * geometry.image_bytes
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > memory / 2:
        raise InputError(
            f"{clusters} images of {geometry.bands} bands need {needed / 1e9:.1f} GB, more than half of this machine's "
            f"memory ({memory / 1e9:.1f} GB). For masses of your own field, train by the workflow and then call "
            "`clustermass masses`, which cuts images in parts. In the workflow, divide the table of clusters among "
            "several realizations, or raise images.det_like_min."
        )


def _read_detections(path: Path, images: Images, exp_from: str) -> Detections:
    """Return the detections above the likelihood limits. `exp_from` is used if the file states no origin."""
    det_like_min, ext_like_min = images["det_like_min"], images["ext_like_min"]
    table = read_product(path, "CATALOGUE", ("ID_SRC", "RA", "DEC", *MEASURED))
    id_src = table.whole_numbers("ID_SRC")
    ra, dec = table.positions()
    measured = {name: table.numbers(column) for column, name in MEASURED.items()}
    det, ext = measured["det_like"], measured["ext_like"]
    # a likelihood of NaN doesn't exceed any limit
    detected, extended = det > det_like_min, ext > ext_like_min
    keep = detected & extended
    LOGGER.info(
        "%s: %d detections; dropped: %d with DET_LIKE <= %g, %d of the others with EXT_LIKE <= %g; left: %d",
        path, keep.size, (~detected).sum(), det_like_min, (detected & ~extended).sum(), ext_like_min, keep.sum(),
    )  # fmt: skip
    if not keep.any():
        finite = (values[np.isfinite(values)] for values in (det, ext))
        highest = [f"{values.max():.4g}" if values.size else "none" for values in finite]
        raise InputError(
            f"{path}: none of {keep.size} detections has DET_LIKE > {det_like_min:g} and EXT_LIKE > {ext_like_min:g} "
            f"(highest DET_LIKE: {highest[0]}; highest EXT_LIKE: {highest[1]}). Lower images.det_like_min or "
            "images.ext_like_min, or give a deeper catalogue."
        )
    own = set(table.table.colnames)
    measured |= {"nh": table.numbers("NH")} if "NH" in own else {}
    seconds = table.numbers("EXPOSURE") if "EXPOSURE" in own else None
    origin = np.array(table.texts("EXP_FROM")) if "EXP_FROM" in own else np.full(keep.size, exp_from)
    return Detections(id_src, ra, dec, measured, seconds, origin).take(keep)


def _read_labels(truth: Path | None, matches: Path | None, id_src: NDArray[np.int64]) -> Labels | None:
    """Return true mass, id and position of each detection's halo, or None without files."""
    if truth is None and matches is None:
        return None
    if truth is None or matches is None:
        raise InputError(f"{truth or matches}: truth and matches go together; give both (simulated sky) or none.")
    haloes = read_product(Path(truth), "TRUTH", ("SRC_ID", "HALO_ID", "RA", "DEC", "LOG10_M500C"))
    pairs = read_product(Path(matches), "MATCHES", ("ID_SRC", "SRC_ID"))
    halo_rows = {int(number): row for row, number in enumerate(haloes.whole_numbers("SRC_ID"))}
    halo_of = dict(zip(pairs.whole_numbers("ID_SRC").tolist(), np.asarray(pairs.table["SRC_ID"]).tolist(), strict=True))
    absent = sorted(set(halo_of.values()) - set(halo_rows))
    if absent:
        raise InputError(f"{matches}: SRC_ID {absent[0]} is no halo of {truth}. Make both files anew together.")
    rows = np.array([halo_rows.get(halo_of.get(number, -1), -1) for number in id_src.tolist()], dtype=np.int64)
    matched = rows >= 0
    LOGGER.info("%s: %d of %d detections have a halo", matches, matched.sum(), matched.size)
    halo_id = np.full(rows.size, -1, dtype=np.int64)
    halo_id[matched] = np.asarray(haloes.table["HALO_ID"], dtype=np.int64)[rows[matched]]
    mass, ra, dec = np.full((3, rows.size), np.nan)
    for values, name in ((mass, "LOG10_M500C"), (ra, "RA"), (dec, "DEC")):
        values[matched] = haloes.numbers(name)[rows[matched]]
    return Labels(mass, halo_id, ra, dec)


def _image_centres(detections: Detections, labels: Labels | None, images: Images) -> tuple[FloatArray, FloatArray]:
    """Return RA and DEC of the image centres in deg, (clusters,): detected or, if `centre` says so, true positions."""
    if images["centre"] == "detected":
        return detections.ra, detections.dec
    if images["centre"] != "halo":
        raise InputError(f"images.centre is {images['centre']!r}, but must be detected or halo.")
    if labels is None:
        raise InputError(
            "images.centre is halo, but an observed sky has no true positions. Set images.centre to detected."
        )
    unmatched = labels.halo_id < 0
    LOGGER.info("images.centre halo: %d detections without a halo keep their detected centre", unmatched.sum())
    return np.where(unmatched, detections.ra, labels.ra), np.where(unmatched, detections.dec, labels.dec)


def count_list(path: Path, selection: Selection, stack: ImageStack) -> tuple[NDArray[np.uint16], EventList, set[int]]:
    """Add the selected photons of an event list to `stack`, piece by piece, so that memory doesn't grow with the list.

    Returns the counts of `stack`, the last piece of the list (for its metadata), and the modules that have selected
    photons.
    """
    modules: set[int] = set()
    for piece in track(stream_events(path), f"{path}: pieces of {PIECE_ROWS} rows"):
        photons = selection.keep(piece)
        modules.update(modules_of(photons))
        stack.add(photons)
    selection.conclude()
    return stack.counts, piece, modules


def _exposure(
    path: Path | None, stack: ImageStack, events: EventList, modules: set[int]
) -> tuple[FloatArray, FloatArray]:
    if path is not None:
        return box_exposure(ExposureMap.read(Path(path)), stack.ra, stack.dec, stack.geometry)
    seconds = mean_exposure_s(events, modules)
    if seconds is None:
        raise InputError(
            f"{events.name}: has neither good time intervals nor EXPOSURE nor TSTART and TSTOP, and no exposure map is "
            "given. Give an exposure map."
        )
    LOGGER.warning("no exposure map: %.1f s (mean of seven modules, without vignetting) everywhere", seconds)
    return np.full(stack.ra.size, seconds), photon_coverage(stack.counts)


def _log_coverage(covered: FloatArray, photons: NDArray[np.int64]) -> None:
    empty = photons == 0
    LOGGER.info(
        "%d images of %d photons on average; the boxes of %d leave the field (lowest covered fraction %.3f); %d hold "
        "no photon",
        covered.size, photons.sum() / covered.size, (covered < _WHOLE).sum(), covered.min(), empty.sum(),
    )  # fmt: skip
    if empty.all():
        raise InputError(
            "None of the images holds a photon: the catalogue and the event list are of different parts of the sky. "
            "Compare their RA and DEC."
        )
