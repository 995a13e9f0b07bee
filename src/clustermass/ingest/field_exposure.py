"""The exposure of a user's field: where it is taken from for each cluster, and whether it is plausible."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from astropy.table import Table
from astropy.wcs.utils import proj_plane_pixel_scales
from numpy.typing import NDArray

from clustermass.catalogues.tables import warn_of_rows
from clustermass.config.resolve import exposure_files
from clustermass.errors import InputError
from clustermass.events.eventlist import EventList, mean_exposure_s
from clustermass.events.write import StoredEvents
from clustermass.images.band_images import ImagePhotons
from clustermass.images.exposure import (
    FROM_MAP,
    GIVEN,
    GOOD_TIME,
    LEAST_S,
    MOST_S,
    STATED,
    UNKNOWN,
    ExposureMap,
    read_exposure,
)
from clustermass.images.frames import to_pixels
from clustermass.images.occupied import POINTING_DEG2, occupied_cells
from clustermass.ingest.edge_exposure import of_exposed_part
from clustermass.ingest.in_field import REACH_ARCMIN, in_field, meant
from clustermass.io.log import LOGGER

if TYPE_CHECKING:
    from clustermass.config.sky_models import RealizationFiles

#: a warning is logged for exposures outside these multiples of the good time; the lower one is for single pointings
_OF_GOOD_TIME = (0.1, 1.5)


class FieldExposure(NamedTuple):
    """Exposure of a field: a map, and exposures of the rows of the catalogue that lie in the field."""

    map: ExposureMap
    #: which rows of the catalogue lie in the field, bool (rows of the catalogue,)
    rows: NDArray[np.bool_]
    #: exposures in s that replace those of the map, float32 (rows,), NaN = unknown; None = the map is used
    seconds: NDArray[np.float32] | None
    #: one of `FROM_MAP`, ..., `UNKNOWN` for each row
    origin: NDArray[np.str_]


def field_exposure(
    files: RealizationFiles,
    photons: StoredEvents,
    centre: tuple[float, float],
    detections: Table,
    band_images: ImagePhotons | None,
    share: float = 1.0,
) -> FieldExposure:
    """Return the exposure of a realization's field. `detections` are the rows of its catalogue.

    `photons` are the selected photons, and `centre` is their mean position in deg. `band_images` are images that the
    user gave instead of event lists; it is None if the user gave event lists.

    The exposure of a cluster is the first of these that is known:

    - the user's maps
    - the configured `exposure_s`
    - the cluster's ML_EXP, which `of_exposed_part` corrects at the edge of the field
    - the mean good time of the seven modules, if the field is a single pointing

    The user's exposures are those of all modules in the event lists. They are multiplied by `share`, the share of the
    exposure that belongs to the chosen modules. InputError if no row lies in the field, or no cluster has an exposure.
    """
    good_time = mean_exposure_s(photons.head, photons.modules)
    name = photons.head.name
    if good_time and good_time > MOST_S:
        LOGGER.warning("%s: its good time of %.3g s is longer than the mission; it counts as unknown", name, good_time)
        good_time = None
    if paths := exposure_files(files):
        exposure = _maps(paths, photons.head.shared, band_images, share)
        inside = _inside(exposure, detections, files)
        detections = detections[inside]
        area = sum(float((image > 0).sum() * np.prod(proj_plane_pixel_scales(wcs))) for image, wcs in exposure.planes)
        here = exposure.at(np.asarray(detections["RA"]), np.asarray(detections["DEC"]))
        if (here > 0).any():
            _compare(name, "the exposure map", float(np.median(here[here > 0])), float(here.max()), good_time, area)
        return FieldExposure(exposure, inside, None, np.full(len(detections), FROM_MAP))
    if band_images:
        (cells, area), wcs = band_images.occupied(), band_images.wcs
    else:
        cells, area, wcs = occupied_cells(photons, centre)
    inside = _inside(ExposureMap(((cells.astype(np.float32), wcs),)), detections, files)
    seconds, origin = _of_rows(files, detections[inside], good_time, area, photons.head, share)
    if (stated := origin == STATED).any():
        x, y = to_pixels(wcs, np.asarray(detections["RA"])[inside], np.asarray(detections["DEC"])[inside])
        pixel_arcmin = 60 * float(proj_plane_pixel_scales(wcs).mean())
        own = np.where(stated, seconds, np.float32(np.nan))
        seconds = np.where(stated, of_exposed_part(own, x, y, cells, pixel_arcmin), seconds)
    typical = float(np.nanmedian(seconds))
    LOGGER.warning(
        "%s: no exposure map. Exposure of the clusters: %s; median %.0f s. Exposed is taken to be what holds photons, "
        "%.2f deg2",
        name, ", ".join(f"{word} {(origin == word).sum()}" for word in dict.fromkeys(origin.tolist())), typical, area,
    )  # fmt: skip
    _compare(name, f"the exposure ({origin[0]})", typical, float(np.nanmax(seconds)), good_time, area)
    flat = np.where(cells, np.float32(typical), 0).astype(np.float32)
    return FieldExposure(ExposureMap(((flat, wcs),)), inside, seconds, origin)


def _inside(exposure: ExposureMap, detections: Table, files: RealizationFiles) -> NDArray[np.bool_]:
    """Return whether each detection has exposure within `REACH_ARCMIN`, bool (rows,); InputError if none has."""
    positions = np.asarray(detections["RA"]), np.asarray(detections["DEC"])
    rows = in_field(exposure.planes, *positions)
    if not rows.any():
        guess = meant(exposure.planes, *positions)
        hint = f"They do if {guess}." if guess else "Do the two belong together, and are the positions ICRS in deg?"
        outside = f"none of its {len(detections)} rows lies in the field of {files['events'][0]}"
        raise InputError(f"{files['catalogue']}: {outside}. {hint}")
    LOGGER.info(
        "%s: %d of %d rows lie in the exposed field or within %g' of it; the others are left out",
        files["catalogue"], rows.sum(), rows.size, REACH_ARCMIN,
    )  # fmt: skip
    return rows


def _maps(paths: list[str], one_observation: bool, band_images: ImagePhotons | None, share: float) -> ExposureMap:
    """Return the user's maps, multiplied by `share`, as one map.

    Where maps overlap, their exposures are added or, if `one_observation` is true, the largest exposure is used.
    """
    read = [(image * np.float32(share), wcs) for image, wcs in (read_exposure(Path(path)) for path in paths)]
    if band_images:
        read = [(band_images.within(image, wcs), wcs) for image, wcs in read]
    added = len(read) > 1 and not one_observation
    if len(read) > 1:
        how = "the event lists share no photon: the sum counts" if added else "the larger exposure counts"
        LOGGER.info("%d exposure maps; where they overlap, %s", len(read), how)
    return ExposureMap(tuple(read), added)


def _of_rows(
    files: RealizationFiles, detections: Table, good_time: float | None, area: float, head: EventList, share: float
) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    """Return the exposure in s of each row, and its origin, in a field of `area` deg2 without a map."""
    given, rows = files.get("exposure_s"), len(detections)
    if given:
        if not LEAST_S <= given <= MOST_S:
            size, unit = ("short", "ks") if given < LEAST_S else ("long", "ms")
            raise InputError(f"exposure_s is {given:g} s, too {size} for any cluster. Was it in {unit}? Give seconds.")
        return np.full(rows, given * share, dtype=np.float32), np.full(rows, GIVEN)
    stated = np.asarray(detections["ML_EXP"], dtype=np.float32)
    known = (stated >= LEAST_S) & (stated <= MOST_S)
    what = f"with ML_EXP below {LEAST_S:g} s or above {MOST_S:g} s, which is unknown then (another unit?)"
    warn_of_rows(Path(files["catalogue"]), (stated > 0) & ~known, what)
    pointing = good_time is not None and area <= POINTING_DEG2 and not head.scan
    if not known.any() and not pointing:
        too_large = f"its {area:.1f} deg2 are more than one pointing"
        scan = too_large if area > POINTING_DEG2 else "it is part of a scan (OBS_MODE)"
        why = "it has no good time intervals that can be right" if good_time is None else scan
        raise InputError(
            f"{head.name}: the exposure is unknown ({why}). Name an exposure map or exposure_s for the realization, or "
            "give the catalogue a column ML_EXP."
        )
    rest = np.float32(good_time if pointing and good_time else np.nan)
    stated = stated * np.float32(share)
    return np.where(known, stated, rest), np.where(known, STATED, GOOD_TIME if pointing else UNKNOWN)


def _compare(name: str, what: str, typical: float, highest: float, good_time: float | None, area: float) -> None:
    least, most = _OF_GOOD_TIME
    if good_time is None:
        return
    if typical > most * good_time:
        LOGGER.warning(
            "%s: %s is %.0f s, longer than the good time of the event list, %.0f s (mean of seven modules). Do the two "
            "belong together? Is the exposure in s, and that of all modules together?",
            name, what, typical, good_time,
        )  # fmt: skip
    elif area <= POINTING_DEG2 and highest < least * good_time:
        LOGGER.warning(
            "%s: %s is at most %.0f s, but the good time of the event list is %.0f s (mean of seven modules). Right "
            "only if the list is a part of a scan; else see whether the exposure is in s",
            name, what, highest, good_time,
        )  # fmt: skip
