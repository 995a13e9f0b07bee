"""What one realization of the sky says: a few numbers, cumulative counts, and its extended candidates."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.errors import InputError
from clustermass.images.exposure import exposure_at, read_exposure
from clustermass.io.fits import opened_fits

#: candidates are extended detections above both, as in eFEDS; the selected ones are those that are a halo
DET_LIKE_MIN, EXT_LIKE_MIN = 5.0, 6.0
#: erg/s/cm2, 0.5-2 keV: limits of the cumulative numbers of clusters
FLUX = np.array(
    [*(float(f"{digits}e{power}") for power in (-15, -14, -13) for digits in (1, 1.5, 2, 3, 4, 5, 7)), 1e-12]
)[2:]
#: count/s, 0.2-2.3 keV: limits of the cumulative numbers of point sources
RATE = np.logspace(-2.5, 0.0, 26)
#: eV: the band of all ML_ columns
BAND_EV = (200.0, 2300.0)

_MEASURED = ("DET_LIKE", "EXT_LIKE", "EXT", "ML_RATE", "ML_CTS", "ML_EXP", "ML_BKG")
_TRUE = ("Z", "LOG10_M500C", "L500", "FLUX")
_TRUE_NAMES = {"Z": "redshift", "LOG10_M500C": "log10_m500c", "L500": "l500", "FLUX": "flux_true"}
_ARCMIN2_PER_DEG2 = 3600.0


class RealizationFiles(NamedTuple):
    """Files of one realization."""

    events: Path
    exposure: Path
    catalogue: Path
    truth: Path
    matches: Path

    @classmethod
    def in_folder(cls, folder: Path) -> "RealizationFiles":
        """Return the files by their usual names in `folder`."""
        return cls(*(Path(folder) / f"{name}.fits" for name in cls._fields))


class Realization(NamedTuple):
    """What was measured in one realization.

    Attributes
    ----------
    numbers
        area (deg2 with exposure), exposed (integral of the exposure, ks arcmin2), events, photons (in `BAND_EV`),
        accounted (background + fitted counts of all detections, `BAND_EV`), haloes, detected (haloes that any
        detection is matched to), points_5, points_6 (point sources from that DET_LIKE on).
    above_flux
        haloes, detected_haloes, selected_haloes: those above each of `FLUX`, float64 (flux,).
    points_above
        Point sources with DET_LIKE >= 6 above each of `RATE`, float64 (rate,).
    candidates
        Columns of the catalogue in lower case, float64 (candidate,), and of the halo: redshift, log10_m500c, l500
        (erg/s), flux_true (erg/s/cm2); NaN = spurious.
    config_hash
        Which sky it is of; '' = the catalogue doesn't say.
    """

    numbers: dict[str, float]
    above_flux: dict[str, FloatArray]
    points_above: FloatArray
    candidates: dict[str, FloatArray]
    config_hash: str


def measure_realization(files: RealizationFiles) -> Realization:
    """Read the files of one realization and sum them up.

    Haloes where nothing was exposed don't count, nor does the area there.

    Raises
    ------
    InputError
        A file is missing or damaged or lacks a column, a value isn't finite, or files don't belong together.
    """
    catalogue, header = _columns(files.catalogue, "CATALOGUE", ("ID_SRC", *_MEASURED))
    truth, _ = _columns(files.truth, "TRUTH", ("SRC_ID", "RA", "DEC", *_TRUE))
    matches, _ = _columns(files.matches, "MATCHES", ("ID_SRC", "SRC_ID"))
    _check_positive(files.catalogue, catalogue["ML_EXP"], "ML_EXP")
    image, wcs = read_exposure(files.exposure)
    pixels = solid_angle_deg2(image.shape, wcs)
    halo = _halo_rows(files, catalogue["ID_SRC"], truth["SRC_ID"], matches)
    exposed = exposure_at(image, wcs, truth["RA"], truth["DEC"]) > 0
    extended = catalogue["EXT_LIKE"] > EXT_LIKE_MIN
    candidate = extended & (catalogue["DET_LIKE"] > DET_LIKE_MIN)
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
        "detected": float((halo >= 0).sum()),
        "points_5": float((~extended & (catalogue["DET_LIKE"] >= 5)).sum()),
        "points_6": float((~extended & (catalogue["DET_LIKE"] >= 6)).sum()),
    }
    flux = truth["FLUX"]
    above_flux = {
        "haloes_above": above(flux[exposed], FLUX),
        "detected_above": above(flux[halo[halo >= 0]], FLUX),
        "selected_above": above(flux[halo[candidate & (halo >= 0)]], FLUX),
    }
    points = catalogue["ML_RATE"][~extended & (catalogue["DET_LIKE"] >= 6)]
    columns = {name.lower(): catalogue[name][candidate] for name in _MEASURED}
    _check_positive(files.catalogue, columns["ml_rate"], "ML_RATE of extended detections")
    found, row = halo[candidate] >= 0, np.maximum(halo[candidate], 0)
    columns |= {_TRUE_NAMES[name]: np.where(found, truth[name][row], np.nan) for name in _TRUE if len(truth[name])}
    return Realization(numbers, above_flux, above(points, RATE), columns, str(header.get("CFGHASH", "")))


def above(values: FloatArray, limits: FloatArray) -> FloatArray:
    """Return how many `values` are above each of `limits`, float64 (limit,)."""
    return np.asarray(len(values) - np.searchsorted(np.sort(values), limits, side="right"), dtype=float)


def solid_angle_deg2(shape: tuple[int, ...], wcs: WCS) -> FloatArray:
    """Solid angle of each pixel of a SIN image about its reference point in deg2, float64 (y, x); 0 off the sphere.

    The projection shrinks what lies at an angle t from its centre by cos t.
    """
    y, x = np.indices(shape, dtype=float)
    scale = np.asarray(wcs.pixel_scale_matrix)
    offset = np.stack([x + 1 - wcs.wcs.crpix[0], y + 1 - wcs.wcs.crpix[1]])
    plane = np.radians(np.tensordot(scale, offset, axes=1))
    depth = np.sqrt(np.clip(1 - (plane**2).sum(axis=0), 0, None))
    with np.errstate(divide="ignore"):
        return np.where(depth > 0, abs(np.linalg.det(scale)) / depth, 0.0)


def _halo_rows(
    files: RealizationFiles, id_src: FloatArray, src_id: FloatArray, matches: dict[str, FloatArray]
) -> NDArray[np.int64]:
    """Row in the truth of each detection's halo, (detection,); -1 = none."""
    row_of = {number: row for row, number in enumerate(src_id.tolist())}
    halo_of = dict(zip(matches["ID_SRC"].tolist(), matches["SRC_ID"].tolist(), strict=True))
    known = set(id_src.tolist())
    lost = [pair for pair in halo_of.items() if pair[0] not in known or pair[1] not in row_of]
    if lost:
        raise InputError(
            f"{files.matches}: ID_SRC {lost[0][0]:.0f} or SRC_ID {lost[0][1]:.0f} is unknown to {files.catalogue.name} "
            f"or {files.truth.name} beside it. Delete the realization and run again."
        )
    return np.array([row_of[halo_of[number]] if number in halo_of else -1 for number in id_src.tolist()], dtype=int)


def _columns(path: Path, name: str, columns: tuple[str, ...]) -> tuple[dict[str, FloatArray], fits.Header]:
    """Read columns of the table `name`, float64 (row,), all finite, and its header."""
    with opened_fits(path) as hdus:
        found = [hdu for hdu in hdus if hdu.name == name]
        missing = [column for column in columns if not found or column not in found[0].columns.names]
        if missing:
            raise InputError(f"{path}: lacks table {name} or its column(s) {', '.join(missing)}. Delete it, run again.")
        values = {column: np.array(found[0].data[column], dtype=float) for column in columns}
        header = found[0].header.copy()
    for column, cells in values.items():
        if not np.isfinite(cells).all():
            bad = int((~np.isfinite(cells)).sum())
            raise InputError(f"{path}: {bad} of {cells.size} values of {column} aren't finite. Delete it, run again.")
    return values, header


def _check_positive(path: Path, values: FloatArray, name: str) -> None:
    if not (values > 0).all():
        raise InputError(
            f"{path}: {int((values <= 0).sum())} value(s) of {name} aren't positive. Delete it, run again."
        )


def _count_events(path: Path) -> tuple[float, float]:
    """Count all events, and those within `BAND_EV`; the list is mapped, not loaded."""
    try:
        with fits.open(path, memmap=True) as hdus:
            energy: NDArray[Any] = np.asarray(hdus["EVENTS"].data["PI"])
            inside = (energy >= BAND_EV[0]) & (energy <= BAND_EV[1])
            return float(hdus["EVENTS"].header["NAXIS2"]), float(np.count_nonzero(inside))
    except (OSError, KeyError, TypeError, ValueError) as fault:
        raise InputError(f"{path}: no readable event list ({fault}). Delete it and run again.") from fault
