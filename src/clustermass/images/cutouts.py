"""From photons to images: the counts in energy bands around each detection."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from clustermass.arrays import FloatArray
from clustermass.catalogues.tables import read_product
from clustermass.errors import InputError
from clustermass.events.eventlist import ALL_MODULES, EventList, Selection, mean_exposure_s, modules_of
from clustermass.events.read import PIECE_ROWS, stream_events
from clustermass.images.exposure import FROM_MAP, GOOD_TIME, ExposureMap, box_exposure
from clustermass.images.geometry import ImageGeometry, band_coordinates, image_pixels, pixel_numbers, project, storable
from clustermass.images.occupied import photon_coverage
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
#: a box leaves the field if its covered fraction is below this
_WHOLE = 0.999
#: height of a strip of constant declination in deg; a fraction of a 20' box
_STRIP_DEG = 0.05
#: distance of two strips in the sorting key: more than 360, so that no rounding carries a photon into the next strip
_STRIDE = 400.0
_MOST = np.iinfo(np.uint16).max


class Detections(NamedTuple):
    """Detections that get an image, in the order of the catalogue; arrays of shape (clusters,)."""

    id_src: NDArray[np.int64]
    ra: FloatArray
    dec: FloatArray
    measured: dict[str, FloatArray]
    #: of a user's field: exposure in s that replaces the map's (NaN = unknown; None = the map's), and its origin
    exposure_s: FloatArray | None
    exp_from: NDArray[np.str_] | None


class Labels(NamedTuple):
    """True mass, identity and position of each detection's halo, (clusters,); NaN and `halo_id` -1 without a halo."""

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
) -> None:
    """Write `images.nc` of one realization: an image of every detection above both limits in block `images`.

    Takes an event list of any dialect and a vignetting-corrected exposure map in s, which is scaled by the share of the
    modules `events_block["modules"]` in the list's good time. Without a map, the exposure comes from the good time
    intervals (the mean of the seven modules, not corrected for vignetting), and the covered fraction is the share of
    a box's cells that hold photons. Detections whose box leaves the field are kept, with a `covered_fraction` below 1.
    Cluster ids are `<realization>_<ID_SRC>`. An observed sky has neither `truth` nor `matches`. InputError if something
    is wrong with a file or a setting.
    """
    geometry = ImageGeometry.from_config(images)
    detections = _read_detections(Path(catalogue), images["det_like_min"], images["ext_like_min"])
    labels = _read_labels(truth, matches, detections.id_src)
    ra, dec = _image_centres(detections, labels, images)
    _check_memory(ra.size, geometry)
    stack = ImageStack(ra, dec, geometry)
    band = geometry.edges_ev[0], geometry.edges_ev[-1]
    chosen = events_block.get("modules", ALL_MODULES)
    selection = Selection(events_block["flag_mask"], events_block["pattern"], band, chosen)
    counts, photons, modules = count_list(Path(events), selection, stack)
    seconds, covered = _exposure(exposure, stack, photons, modules)
    if exposure is not None:
        seconds *= selection.share()
    _log_coverage(covered, counts)
    per_cluster: dict[str, NDArray[Any]] = {**detections.measured, "ra": ra, "dec": dec}
    per_cluster |= {"exposure_s": seconds, "covered_fraction": covered}
    if labels is not None:
        per_cluster |= {"log10_m500c": labels.log10_m500c, "halo_id": labels.halo_id}
    if detections.exposure_s is not None:
        per_cluster["exposure_s"] = detections.exposure_s
    origin = FROM_MAP if exposure is not None else GOOD_TIME
    per_cluster["exp_from"] = np.full(ra.size, origin) if detections.exp_from is None else detections.exp_from
    per_cluster["realization"] = np.full(ra.size, realization)
    offsets = geometry.base_offsets_arcsec()
    dataset = xr.Dataset(
        {
            "counts": (("cluster", "band", "y", "x"), counts),
            **{name: ("cluster", values) for name, values in per_cluster.items()},
            **band_coordinates(geometry.edges_ev),
        },
        coords={"x": offsets, "y": offsets, "cluster": [f"{realization}_{number}" for number in detections.id_src]},
    )
    inputs = [path for path in (events, exposure, catalogue, truth, matches) if path is not None]
    settings = {"images": dict(images), "events": dict(events_block), "realization": realization}
    simulated = photons.simulated or labels is not None
    write_netcdf(dataset, output, _TITLE, provenance("extract_images", settings, inputs, simulated=simulated))


def _check_memory(clusters: int, geometry: ImageGeometry) -> None:
    """Raise InputError if the images of all clusters would take more than half of the machine's memory."""
    needed = clusters * geometry.bands * geometry.base_pixels**2 * np.dtype(np.uint16).itemsize
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > memory / 2:
        raise InputError(
            f"{clusters} images of {geometry.bands} bands need {needed / 1e9:.1f} GB, more than half of this machine's "
            f"memory ({memory / 1e9:.1f} GB). Divide the table of clusters, or raise images.det_like_min."
        )


def _read_detections(path: Path, det_like_min: float, ext_like_min: float) -> Detections:
    """Return the detections in `catalogue.fits` above both limits of likelihood; InputError if there is none."""
    table = read_product(path, "CATALOGUE", ("ID_SRC", "RA", "DEC", *MEASURED))
    id_src = table.whole_numbers("ID_SRC")
    ra, dec = table.positions()
    measured = {name: table.numbers(column) for column, name in MEASURED.items()}
    det, ext = measured["det_like"], measured["ext_like"]
    # a likelihood of NaN is above no limit
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
    seconds = table.numbers("EXPOSURE")[keep] if "EXPOSURE" in own else None
    origin = np.array(table.texts("EXP_FROM"))[keep] if "EXP_FROM" in own else None
    kept = {name: values[keep] for name, values in measured.items()}
    return Detections(id_src[keep], ra[keep], dec[keep], kept, seconds, origin)


def _read_labels(truth: Path | None, matches: Path | None, id_src: NDArray[np.int64]) -> Labels | None:
    """Return each detection's halo, or None without both files; InputError if only one is given or they disagree."""
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
    """Return right ascension and declination of the image centres in deg, float64 (clusters,) each.

    `images.centre` decides: 'detected' = position in the catalogue; 'halo' = true position of the halo, or the detected
    one where there is no halo. InputError for 'halo' if the sky has no truth, or for an unknown value.
    """
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
    """Add the selected photons of an event list to `stack`, piece by piece: memory doesn't grow with the list.

    Returns the counts of `stack`, the last piece of the list (for its metadata), and the modules with selected photons.
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


class ImageStack:
    """Counts, uint16 (clusters, band, y, x), around positions (deg, (clusters,)), added up from pieces of a list."""

    def __init__(self, ra: FloatArray, dec: FloatArray, geometry: ImageGeometry) -> None:
        self.ra, self.dec, self.geometry = ra, dec, geometry
        size = geometry.base_pixels
        self.counts: NDArray[np.uint16] = np.zeros((ra.size, geometry.bands, size, size), dtype=np.uint16)
        self._cells = BoxCells(ra, dec, geometry)
        self._photons = np.zeros(ra.size, dtype=np.int64)

    def add(self, events: EventList) -> None:
        """Add the photons of `events` to the counts; InputError if a pixel holds more than 65535 photons."""
        if len(events) == 0:
            return
        index = SkyIndex(events, self.geometry, self._cells.rows(events))
        for number, centre in enumerate(zip(self.ra.tolist(), self.dec.tolist(), strict=True)):
            pixels = index.base_pixels(*centre)
            image = self.counts[number].reshape(-1)
            self._photons[number] += pixels.size
            if self._photons[number] <= _MOST:  # in no pixel can there be more than in the whole box
                np.add.at(image, pixels, np.uint16(1))
            else:
                image[:] = storable(image + np.bincount(pixels, minlength=image.size))


class SkyIndex:
    """Photons (of `rows`, None = all) in the energy bands, sorted by strips of declination, then by right ascension."""

    def __init__(self, events: EventList, geometry: ImageGeometry, rows: NDArray[np.int64] | None = None) -> None:
        self._geometry = geometry
        part = slice(None) if rows is None else rows
        ra, dec, band = events.ra[part], events.dec[part], geometry.band_numbers(events.pi_ev[part])
        used = band >= 0
        ra, dec, band = ra[used], dec[used], band[used]
        key = _strip(dec) * _STRIDE + ra
        order = np.argsort(key)
        self._key, self.ra, self.dec, self.band = key[order], ra[order], dec[order], band[order]

    def near_box(self, ra: float, dec: float) -> NDArray[np.int64]:
        """Return the row numbers of all photons in the box around a position, and of a few outside it."""
        low, high, right_ascensions = self._geometry.around_box(ra, dec)
        strips = np.arange(float(_strip(low)), float(_strip(high)) + 1) * _STRIDE
        starts = np.concatenate([np.searchsorted(self._key, strips + start) for start, _ in right_ascensions])
        stops = np.concatenate([np.searchsorted(self._key, strips + stop, "right") for _, stop in right_ascensions])
        return np.concatenate([np.arange(start, stop) for start, stop in zip(starts, stops, strict=True)])

    def base_pixels(self, ra: float, dec: float) -> NDArray[np.int64]:
        """Return the pixels of the flattened image (band, y, x) about a position in deg, one for each photon, int64.

        Photons outside the image are left out; the order is arbitrary. Base pixels are evtool's full-resolution pixels
        summed in blocks: for whole numbers X, floor(floor(X / 80) / 3) = floor(X / 240). Offsets are rounded down to
        whole sky pixels, as SIXTE's radec2xy does.
        """
        rows, geometry = self.near_box(ra, dec), self._geometry
        size, rebin = geometry.base_pixels, geometry.pixel_sky * geometry.base_rebin
        x, y = project(self.ra[rows], self.dec[rows], ra, dec)
        i, j = (image_pixels(np.floor(offset), 0.0, rebin, size) for offset in (x, y))
        return pixel_numbers(self.band[rows], j, i, (geometry.bands, size, size))


class BoxCells:
    """Coarse cells of the sky that touch boxes around positions (deg); most photons of a field are outside them."""

    def __init__(self, ra: FloatArray, dec: FloatArray, geometry: ImageGeometry) -> None:
        self._touched = np.zeros((round(180 / _STRIP_DEG) + 1, round(360 / _STRIP_DEG) + 1), dtype=bool)
        for centre in zip(ra.tolist(), dec.tolist(), strict=True):
            low, high, right_ascensions = geometry.around_box(*centre)
            strips = slice(int(_strip(low)), int(_strip(high)) + 1)
            for start, stop in right_ascensions:
                self._touched[strips, int(start / _STRIP_DEG) : int(stop / _STRIP_DEG) + 1] = True

    def rows(self, events: EventList) -> NDArray[np.int64]:
        """Return the row numbers, int64, of the photons in these cells, which include all photons in boxes."""
        strip, cell = _strip(events.dec).astype(np.int32), (events.ra / _STRIP_DEG).astype(np.int32)
        return np.flatnonzero(self._touched.reshape(-1)[strip * self._touched.shape[1] + cell])


def _strip(dec: ArrayLike) -> FloatArray:
    return np.floor((np.asarray(dec) + 90.0) / _STRIP_DEG)
