"""Measure all realizations of a sky, and write the measurements to a small file for the table and the figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.catalogues.tables import find_rows, read_product
from clustermass.errors import InputError
from clustermass.images.exposure import exposure_at, read_exposure
from clustermass.io.files import reading
from clustermass.io.log import LOGGER, track
from clustermass.io.netcdf import write_netcdf
from clustermass.io.provenance import provenance
from clustermass.sky_validation.surroundings import SEPARATION, surroundings

#: A candidate has DET_LIKE and EXT_LIKE above these limits, as in eFEDS. A candidate that matches a halo is selected.
DET_LIKE_MIN, EXT_LIKE_MIN = 5.0, 6.0
#: a candidate with F_CONT below it is confirmed as a cluster (Klein et al. 2022)
F_CONT_MAX = 0.3
#: limiting fluxes of the cumulative numbers of clusters, in erg/s/cm2 at 0.5-2 keV
FLUX = np.array(
    [*(float(f"{digits}e{power}") for power in (-15, -14, -13) for digits in (1, 1.5, 2, 3, 4, 5, 7)), 1e-12]
)[2:]
RATE = np.logspace(-2.5, 0.0, 26)  #: limiting rates of the cumulative numbers of point sources, count/s at 0.2-2.3 keV
BAND_EV = (200.0, 2300.0)  #: energy band of all ML_ columns, in eV
_MEASURED = ("DET_LIKE", "EXT_LIKE", "EXT", "ML_RATE", "ML_CTS", "ML_EXP", "ML_BKG")
#: dict from columns of the truth table to variables of the candidates
_TRUE = {"Z": "redshift", "LOG10_M500C": "log10_m500c", "L500": "l500", "FLUX500KPC": "flux_500kpc"}
_ARCMIN2_PER_DEG2 = 3600.0

#: units and meaning of every variable of measured.nc
VARIABLES = {
    "flux": ("erg s-1 cm-2", "limit of the flux inside R500c, 0.5-2 keV, unabsorbed"),
    "rate": ("count s-1", "limit of ML_RATE, 0.2-2.3 keV"),
    "separation": ("arcsec", "limit of the distance between two detections"),
    "area": ("degree2", "solid angle with exposure"),
    "exposed": ("ks arcmin2", "integral of the vignetting-corrected exposure"),
    "events": ("count", "events of the list"),
    "photons": ("count", "events in 0.2-2.3 keV"),
    "accounted": ("count", "background and fitted counts of all detections, 0.2-2.3 keV"),
    "haloes": ("1", "haloes with exposure above the lowest flux"),
    "detected": ("1", "haloes above the lowest flux that a detection is matched to"),
    "points_5": ("1", "point sources with DET_LIKE >= 5"),
    "points_6": ("1", "point sources with DET_LIKE >= 6"),
    "haloes_above": ("1", "haloes above the flux"),
    "detected_above": ("1", "haloes above the flux that a detection is matched to"),
    "selected_above": ("1", "haloes above the flux that are selected"),
    "points_above": ("1", "point sources with DET_LIKE >= 6 above the count rate"),
    "pairs_within": ("1", "pairs of extended candidates nearer to each other than the separation"),
    "points_within": ("1", "pairs of a selected candidate and a point source with DET_LIKE >= 6, nearer than that"),
    "field": ("1", "realization of the candidate, from 0"),
    "det_like": ("1", "DET_LIKE"),
    "ext_like": ("1", "EXT_LIKE"),
    "ext": ("arcsec", "EXT"),
    "ml_rate": ("count s-1", "ML_RATE, 0.2-2.3 keV"),
    "ml_cts": ("count", "ML_CTS, 0.2-2.3 keV"),
    "ml_exp": ("s", "ML_EXP"),
    "ml_bkg": ("count arcmin-2", "ML_BKG, 0.2-2.3 keV"),
    "spurious": ("1", "1 = the candidate isn't confirmed as a cluster, 0 = it is, or matches a halo"),
    "redshift": ("1", "true redshift of the candidate's halo; NaN = no halo"),
    "log10_m500c": ("1", "true log10(M500c / Msun) of the halo"),
    "l500": ("erg s-1", "true luminosity of the halo inside R500c, 0.5-2 keV rest frame"),
    "flux_500kpc": ("erg s-1 cm-2", "true flux of the halo inside 500 kpc, 0.5-2 keV, unabsorbed"),
    "point_60": ("1", "largest ML_CTS of the point sources within 60 arcsec, divided by ML_CTS of the candidate"),
    "point_120": ("1", "the same for the point sources within 120 arcsec"),
}


class RealizationFiles(NamedTuple):
    """The files of one realization from which the measurements are made."""

    events: Path
    exposure: Path
    catalogue: Path
    truth: Path
    matches: Path


def measure(realizations: Sequence[RealizationFiles]) -> xr.Dataset:
    """Return the measurements (`VARIABLES`) of all realizations of one sky.

    A variable with one number for each realization has the shape (realization,). Cumulative numbers have the shape
    (realization, flux) or (realization, rate). Numbers of pairs have the shape (realization, separation). Properties of
    extended candidates have the shape (candidate,), with the candidates of all realizations one after another. The
    variable `field` says which realization (0, 1, ...) a candidate is from. InputError if there is no realization, if
    the realizations are of different skies, or in the cases of `measure_realization`.
    """
    if not realizations:
        raise InputError("validation: no realization is given. Set realizations of the sky to 1 or more.")
    measured = [measure_realization(files) for files in track(realizations, "validation, realizations")]
    hashes = [one.attrs["sky_config_hash"] for one in measured]
    if other := next((row for row, one in enumerate(hashes) if one != hashes[0]), 0):
        raise InputError(
            f"{realizations[other].catalogue}: made with another configuration (CFGHASH {hashes[other]}) than "
            f"{realizations[0].catalogue} ({hashes[0]}). Delete the older realizations and run again."
        )
    numbers = [name for name in measured[0].data_vars if "candidate" not in measured[0][name].dims]
    data = xr.concat([one[numbers] for one in measured], "realization")
    sizes = [one.sizes["candidate"] for one in measured]
    data["field"] = "candidate", np.repeat(np.arange(len(measured)), sizes)
    data = data.merge(xr.concat([one.drop_vars(numbers) for one in measured], "candidate"), combine_attrs="drop")
    message = "validation: %d realizations, %d extended candidates, %d of them no halo"
    LOGGER.info(message, len(measured), data.sizes["candidate"], int(np.isnan(data["redshift"]).sum()))
    return data.assign_attrs(sky_config_hash=hashes[0])


def measure_realization(files: RealizationFiles) -> xr.Dataset:
    """Return the measurements (`VARIABLES`, except `field`) of one realization.

    Pixels without exposure don't count in the area. Haloes without exposure don't count as simulated, and neither do
    those fainter than `FLUX[0]`: they have no photons, and are in the truth table only if they are rich. InputError if
    a file is missing, damaged or lacks a column, if a value is not finite, or if the files do not belong together.
    """
    catalogue, config_hash = _columns(files.catalogue, "CATALOGUE", ("ID_SRC", "RA", "DEC", *_MEASURED), ("F_CONT",))
    truth, _ = _columns(files.truth, "TRUTH", ("SRC_ID", "RA", "DEC", "FLUX", *_TRUE))
    matches, _ = _columns(files.matches, "MATCHES", ("ID_SRC", "SRC_ID"))
    _check_positive(files.catalogue, catalogue["ML_EXP"], "ML_EXP")
    image, wcs = read_exposure(files.exposure)
    pixels = solid_angle_deg2(image.shape, wcs)
    halo = _halo_rows(files, catalogue["ID_SRC"], truth["SRC_ID"], matches)
    lit, found = truth["FLUX"] > FLUX[0], np.unique(halo[halo >= 0])
    exposed = lit & (exposure_at(image, wcs, truth["RA"], truth["DEC"]) > 0)
    det_like, extended = catalogue["DET_LIKE"], catalogue["EXT_LIKE"] > EXT_LIKE_MIN
    candidate, point = extended & (det_like > DET_LIKE_MIN), ~extended & (det_like >= 6)
    events, photons = _count_events(files.events)
    integral = float((image * pixels).sum()) * _ARCMIN2_PER_DEG2 / 1000
    background = float(np.median(1000 * catalogue["ML_BKG"] / catalogue["ML_EXP"])) * integral if halo.size else 0.0
    numbers = {
        "area": float(pixels[image > 0].sum()),
        "exposed": integral,
        "events": events,
        "photons": photons,
        "accounted": background + float(catalogue["ML_CTS"].sum()),
        "haloes": float(exposed.sum()),
        "detected": float(lit[found].sum()),
        "points_5": float((~extended & (det_like >= 5)).sum()),
        "points_6": float(point.sum()),
    }
    flux, points = truth["FLUX"], catalogue["ML_RATE"][point]
    cumulative = {
        "haloes_above": ("flux", above(flux[exposed], FLUX)),
        "detected_above": ("flux", above(flux[found], FLUX)),
        "selected_above": ("flux", above(flux[np.unique(halo[candidate & (halo >= 0)])], FLUX)),
        "points_above": ("rate", above(points, RATE)),
    }
    columns = {name.lower(): catalogue[name][candidate] for name in _MEASURED}
    _check_positive(files.catalogue, columns["ml_rate"], "ML_RATE of extended detections")
    real, row = halo[candidate] >= 0, np.maximum(halo[candidate], 0)
    columns |= {ours: np.where(real, truth[name][row], np.nan) for name, ours in _TRUE.items() if len(truth[name])}
    # a confirmed candidate without a halo shares its counterpart with a more likely candidate
    unconfirmed = ~(catalogue["F_CONT"][candidate] < F_CONT_MAX)
    columns["spurious"] = (~real & unconfirmed).astype(float)
    candidates = {name: ("candidate", values) for name, values in columns.items()}
    candidates |= surroundings(catalogue, candidate, candidate & (halo >= 0), point)
    dataset = xr.Dataset(
        {**numbers, **cumulative, **candidates}, {"flux": FLUX, "rate": RATE, "separation": SEPARATION}
    )
    return dataset.assign_attrs(sky_config_hash=config_hash)


def above(values: FloatArray, limits: FloatArray) -> FloatArray:
    """Return how many of the `values` exceed each of the `limits`, float64 (limit,)."""
    return np.asarray(len(values) - np.searchsorted(np.sort(values), limits, side="right"), dtype=float)


def solid_angle_deg2(shape: tuple[int, ...], wcs: WCS) -> FloatArray:
    """Return the solid angle in deg2 of each pixel of an image in SIN projection, float64 (y, x).

    At an angle t from the reference point, the solid angle of a pixel is its area in the plane of projection divided by
    cos t. It is 0 for pixels that lie outside the projected sphere.
    """
    y, x = np.indices(shape, dtype=float)
    scale = np.asarray(wcs.pixel_scale_matrix)
    offset = np.stack([x + 1 - wcs.wcs.crpix[0], y + 1 - wcs.wcs.crpix[1]])
    plane = np.radians(np.tensordot(scale, offset, axes=1))
    depth = np.sqrt(np.clip(1 - (plane**2).sum(axis=0), 0, None))
    with np.errstate(divide="ignore"):
        return np.where(depth > 0, abs(np.linalg.det(scale)) / depth, 0.0)


def _halo_rows(
    files: RealizationFiles, id_src: FloatArray, src_id: FloatArray, matches: Mapping[str, FloatArray]
) -> NDArray[np.int64]:
    """Return the row of each detection's halo in the truth table, or -1 if it has no halo, int64 (detection,).

    `id_src` are the numbers of all detections, and `src_id` the numbers of all haloes. `matches` holds the columns of
    the table that matches detections with haloes. InputError if a match names an unknown detection or halo.
    """
    detection, halo = find_rows(matches["ID_SRC"], id_src), find_rows(matches["SRC_ID"], src_id)
    if (lost := (detection < 0) | (halo < 0)).any():
        pair = f"ID_SRC {matches['ID_SRC'][lost][0]:.0f} or SRC_ID {matches['SRC_ID'][lost][0]:.0f}"
        raise InputError(
            f"{files.matches}: {pair} is unknown to {files.catalogue.name} or {files.truth.name} beside it. Delete the "
            "realization and run again."
        )
    rows = np.full(id_src.size, -1)
    rows[detection] = halo
    return rows


def _columns(
    path: Path, name: str, columns: tuple[str, ...], further: tuple[str, ...] = ()
) -> tuple[dict[str, FloatArray], str]:
    """Return the `columns` of the table `name` as a dict of float64 arrays (row,), and the table's CFGHASH.

    The `further` columns may be missing or hold NaN, and are NaN if they are missing. InputError if another value is
    not finite.
    """
    table = read_product(path, name, columns)
    values = {column: table.numbers(column) for column in columns}
    for column, cells in values.items():
        if bad := int((~np.isfinite(cells)).sum()):
            raise InputError(f"{path}: {bad} of {cells.size} values of {column} aren't finite. Delete it, run again.")
    lacking = np.full(len(table), np.nan)
    values |= {one: table.numbers(one) if one in table.table.colnames else lacking for one in further}
    return values, str(table.table.meta.get("CFGHASH", ""))


def _check_positive(path: Path, values: FloatArray, name: str) -> None:
    if number := int((values <= 0).sum()):
        raise InputError(f"{path}: {number} value(s) of {name} aren't positive. Delete it, run again.")


def _count_events(path: Path) -> tuple[float, float]:
    """Return the number of all events in an event list, and the number of events within `BAND_EV`."""
    with reading(path, "event list"), fits.open(path, memmap=True) as hdus:
        energy = np.asarray(hdus["EVENTS"].data["PI"])
        inside = (energy >= BAND_EV[0]) & (energy <= BAND_EV[1])
        return float(energy.size), float(np.count_nonzero(inside))


def write_measured(data: xr.Dataset, realizations: Sequence[RealizationFiles], path: Path) -> None:
    """Write `data`, the result of `measure`, as netCDF.

    Its provenance names the catalogues, truth tables and matches, but neither event lists nor exposure maps.
    """
    inputs = [file for files in realizations for file in (files.catalogue, files.truth, files.matches)]
    sky = {"sky_config_hash": data.attrs["sky_config_hash"]}
    title = "Measurements on simulated fields, for their comparison with published numbers"
    write_netcdf(data, path, title, {**sky, **provenance("validate_sky", sky, inputs)}, VARIABLES)
