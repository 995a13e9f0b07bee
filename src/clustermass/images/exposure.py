"""Exposure maps: reading, checks, the exposure at a position, and mean exposure and covered fraction of boxes."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.errors import InputError
from clustermass.images.frames import celestial_wcs, to_pixels
from clustermass.images.geometry import SKY_PIXEL_ARCSEC, ImageGeometry, deproject
from clustermass.io.fits import image_of, opened_fits
from clustermass.io.log import LOGGER, track
from clustermass.io.products import CREATOR, EXPOSURE_PLANE
from clustermass.io.text_tables import check_unit

#: a place is covered if its exposure is above this share of the field's median
_COVERED_ABOVE = 0.05
#: `covered_fraction` looks the map up at this number of places along each side of a square
_STEPS = 32
#: range of possible exposures in s: eROSITA detects no cluster in less, and the mission isn't longer
LEAST_S, MOST_S = 10.0, 1.0e8
#: origin of a cluster's exposure: EXP_FROM in catalogues, exp_from in images
FROM_MAP, GIVEN, STATED, GOOD_TIME, UNKNOWN = "map", "given", "ML_EXP", "good time", "none"
#: eSASS tasks and what they write; `EVTOOL` writes counts, `EXPMAP` exposure
_TASKS = {
    "EXPMAP": "an exposure map",
    "ERMASK": "a detection mask",
    "ERBACKMAP": "a background map",
    "ERSENSMAP": "a sensitivity map",
    "ERMLDET": "an image of fitted sources",
    "EVTOOL": "an image of counts",
}
#: bytes of memory for each pixel while a map is read
_PIXEL_BYTES = 24
#: spellings of units of time -> spelling in FITS
_UNITS = {"s": "s", "sec": "s", "secs": "s", "second": "s", "seconds": "s", "ks": "ks", "ksec": "ks"}


@dataclass(frozen=True)
class ExposureMap:
    """Exposure in s. Each of `planes` is an image, float32 (y, x), with its celestial WCS."""

    planes: tuple[tuple[NDArray[np.float32], WCS], ...]
    #: whether exposures are added where images overlap (separate observations), or the largest is taken (survey tiles)
    added: bool = False

    @classmethod
    def read(cls, path: Path) -> "ExposureMap":
        """Return the map in `exposure.fits`, which `write_exposure` wrote. Errors are as for `read_exposure`."""
        first = read_exposure(path)
        with opened_fits(path) as hdus:
            further = [
                (image_of(hdu, path, np.float32, _PIXEL_BYTES), wcs)
                for hdu in planes(hdus)[1:]
                if hdu.name.startswith(EXPOSURE_PLANE) and (wcs := celestial_wcs(hdu.header, path))
            ]
            added = bool(hdus[0].header.get("ADDED", False))
        return cls((first, *further), added)

    def at(self, ra_deg: FloatArray, dec_deg: FloatArray) -> NDArray[np.float32]:
        """Return the exposure in s at positions in deg, with the shape of `ra_deg`. It is 0 outside all images."""
        values = exposure_at(*self.planes[0], ra_deg, dec_deg)
        for image, wcs in self.planes[1:]:
            other = exposure_at(image, wcs, ra_deg, dec_deg)
            values = values + other if self.added else np.maximum(values, other)
        return values

    @cached_property
    def covered_above_s(self) -> np.float32:
        """Exposure in s above which a place counts as covered: 5 % of the median of all exposed pixels."""
        exposed = [image[image > 0] for image, _ in self.planes]
        joined = np.concatenate(exposed) if len(exposed) > 1 else exposed[0]
        return _COVERED_ABOVE * np.float32(np.median(joined, overwrite_input=True))


def planes(hdus: fits.HDUList) -> list[Any]:
    """Return the HDUs of a FITS file that hold a two-dimensional image."""
    return [hdu for hdu in hdus if hdu.is_image and hdu.header.get("NAXIS") == 2]


def unlike(header: fits.Header, task: str) -> str:
    """Return words that say what an image is, if another eSASS task than `task` (such as EXPMAP) made it.

    The header's keyword CREATOR names the task that made the image. The result is "" if it is `task` or unknown.
    """
    creator = (str(header.get("CREATOR", "")).upper().split() or [""])[0]
    return f"{_TASKS[creator]} (CREATOR {creator})" if creator in _TASKS and creator != task else ""


def read_exposure(path: Path) -> tuple[NDArray[np.float32], WCS]:
    """Return a user's exposure map and its celestial WCS, from the first image of a FITS file.

    The map is in s, float32 (y, x). Blank and negative pixels become 0. Times in another unit (BUNIT) are converted.
    InputError if the file is missing or damaged, if it has no image, no celestial WCS or no positive exposure, or if
    CREATOR, BUNIT or the values show that it isn't an exposure map.
    """
    with opened_fits(path) as hdus:
        images = planes(hdus)
        if not images:
            raise InputError(f"{path}: holds no two-dimensional image. Give the exposure map (expmap of eSASS).")
        header = images[0].header
        wcs = celestial_wcs(header, path)
        image = image_of(images[0], path, np.float32, _PIXEL_BYTES)
    if wcs is None:
        raise InputError(f"{path}: the exposure map has no celestial WCS (CTYPE1, CTYPE2). Make it on the sky.")
    blank = ~(np.isfinite(image) & (image >= 0))
    if blank.any():
        LOGGER.warning("%s: %d of %d pixels are blank or negative; they count as 0 s", path, blank.sum(), blank.size)
        image[blank] = 0.0
    if not image.any():
        raise InputError(f"{path}: no pixel of the exposure map is above 0 s.")
    return (image if header.get("CREATOR") == CREATOR else _in_seconds(image, header, path)), wcs


def _in_seconds(image: NDArray[np.float32], header: fits.Header, path: Path) -> NDArray[np.float32]:
    """Return a user's map in s. InputError if it isn't an exposure map."""
    unit = str(header.get("BUNIT", "")).strip()
    if unit:
        image = _converted(image, unit, path)
    else:
        # an exposure map may have kept CREATOR EVTOOL of an image of counts, but only counts are stored as integers
        if (other := unlike(header, "EXPMAP")) and ("EVTOOL" not in other or header["BITPIX"] > 0):
            raise InputError(f"{path}: {other}, no exposure map. Give that of expmap.")
    if not LEAST_S <= image.max() <= MOST_S:
        raise InputError(
            f"{path}: its largest value is {image.max():.4g}, but an exposure map holds seconds, from {LEAST_S:g} to "
            f"{MOST_S:g}. Is it a mask, a rate, counts or a background map? If it is in ks, set its card BUNIT to ks."
        )
    return image


def _converted(image: NDArray[np.float32], unit: str, path: Path) -> NDArray[np.float32]:
    """Return a map in s, converted from its BUNIT `unit`. InputError if this is a known unit but not a unit of time."""
    check_unit(unit, path)
    try:
        found = units.Unit(_UNITS.get(unit.lower(), re.sub("counts|cts", "ct", unit)))
        if not isinstance(found, units.UnitBase):  # a logarithm
            raise units.UnitConversionError(unit)
        factor = found.to(units.s)
    except units.UnitConversionError:
        raise InputError(
            f"{path}: is in {unit} (BUNIT), but an exposure map holds seconds. Give the vignetted map of expmap."
        ) from None
    except ValueError:
        LOGGER.warning("%s: BUNIT %r is no unit that is known here; the map is taken to be in s", path, unit)
        return image
    if factor == 1.0:
        return image
    LOGGER.warning("%s: converted from %s (BUNIT) to s", path, unit)
    return np.asarray(image * np.float32(factor))


def exposure_at(
    image: NDArray[np.float32], wcs: WCS, ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the exposure in s at positions in deg, with the shape of `ra_deg`. It is 0 outside the map."""
    x, y = to_pixels(wcs, ra_deg, dec_deg)
    rows, columns = image.shape
    inside = np.isfinite(x) & np.isfinite(y) & (x > -0.5) & (y > -0.5) & (x < columns - 0.5) & (y < rows - 0.5)
    values = np.zeros(np.shape(ra_deg), dtype=np.float32)
    values[inside] = image[np.rint(y[inside]).astype(int), np.rint(x[inside]).astype(int)]
    return values


def box_exposure(
    exposure: ExposureMap, ra: FloatArray, dec: FloatArray, geometry: ImageGeometry
) -> tuple[FloatArray, FloatArray]:
    """Return mean exposure in s and covered fraction of boxes around positions in deg, each float64 (clusters,).

    The exposure is taken at the centre of every pixel that the box has in `images.nc`. The mean includes only the
    exposed part of a box, and is 0 if nothing is exposed. The covered fraction is the share of the box with more than
    5 % of the field's median exposure.
    """
    offsets = geometry.base_offsets_arcsec() / SKY_PIXEL_ARCSEC
    x, y = (grid.ravel() for grid in np.meshgrid(offsets, offsets))
    mean, covered = np.zeros(ra.size), np.zeros(ra.size)
    for number in track(range(ra.size), "exposure of the boxes"):
        seconds = exposure.at(*deproject(x, y, float(ra[number]), float(dec[number])))
        covered[number] = np.mean(seconds > exposure.covered_above_s)
        if seconds.any():
            mean[number] = seconds[seconds > 0].mean(dtype=np.float64)
    return mean, covered


def covered_fraction(
    exposure: ExposureMap,
    ra: FloatArray,
    dec: FloatArray,
    half_width_arcsec: FloatArray,
    circle_arcsec: float = np.inf,
) -> FloatArray:
    """Return the covered fraction of a square around each position in deg, (clusters,).

    `box_exposure` says what the covered fraction is. `half_width_arcsec` is half the side of each square, (clusters,).
    Only the part of a square inside a circle with the radius `circle_arcsec` counts.
    """
    steps = (np.arange(_STEPS) - _STEPS / 2 + 0.5) * 2 / _STEPS / SKY_PIXEL_ARCSEC
    x, y = (grid.ravel() for grid in np.meshgrid(steps, steps))
    covered = np.zeros(ra.size)
    for number, (right_ascension, declination, half) in enumerate(zip(ra, dec, half_width_arcsec, strict=True)):
        inside = np.hypot(x, y) * half * SKY_PIXEL_ARCSEC <= circle_arcsec
        places = deproject(x[inside] * half, y[inside] * half, float(right_ascension), float(declination))
        seconds = exposure.at(*places)
        covered[number] = np.mean(seconds > exposure.covered_above_s)
    return covered
