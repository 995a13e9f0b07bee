"""A rectangular field on the sphere and its exposure map.

In the simulation, positions are native longitude and latitude in deg. The origin of these spherical coordinates is the
field's centre, and their equator runs through it from East to West. The field is the rectangle |longitude| < width/2,
|latitude| < height/2. This works at any declination and across RA = 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clustermass.arrays import Float32Array, FloatArray, components
from clustermass.errors import InputError
from clustermass.io.fits import opened_fits
from clustermass.io.products import write_exposure

if TYPE_CHECKING:
    from clustermass.config.sky_models import Exposure
    from clustermass.config.sky_models import Field as FieldBlock


@dataclass(frozen=True)
class Field:
    """Rectangular field of `width_deg` (East-West) times `height_deg`, centred on `ra_deg` and `dec_deg` (ICRS)."""

    ra_deg: float
    dec_deg: float
    width_deg: float
    height_deg: float

    @classmethod
    def from_config(cls, parameters: FieldBlock) -> Field:
        """Return the field of the config block `field`; InputError if a side is 0 or too long for a SIN projection."""
        field = cls(**parameters)
        if not (0 < field.width_deg <= 120 and 0 < field.height_deg <= 60):
            raise InputError(
                f"field: width_deg = {field.width_deg}, height_deg = {field.height_deg}: a simulated field must be "
                "larger than 0 and at most 120 x 60 deg; split a larger one into realizations."
            )
        return field

    @property
    def area_deg2(self) -> float:
        """Return the solid angle of the field in deg2."""
        return float(self.width_deg * np.degrees(2 * np.sin(np.radians(self.height_deg / 2))))

    def draw(self, rng: np.random.Generator, number: int) -> tuple[FloatArray, FloatArray]:
        """Return native longitudes and latitudes (deg) of `number` random positions, uniform on the sphere."""
        longitude = (rng.random(number) - 0.5) * self.width_deg
        sine = np.sin(np.radians(self.height_deg / 2)) * (2 * rng.random(number) - 1)
        return longitude, np.degrees(np.arcsin(sine))

    @cached_property
    def _axes(self) -> FloatArray:
        ra, dec = np.radians([self.ra_deg, self.dec_deg])
        centre = [np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)]
        east = [-np.sin(ra), np.cos(ra), 0.0]
        north = [-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)]
        return np.array([centre, east, north])

    def to_sky(self, longitude: FloatArray, latitude: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return RA in [0, 360) and Dec of native longitudes and latitudes, all in deg."""
        x, y, z = components(longitude, latitude)
        x, y, z = (x * axis[0] + y * axis[1] + z * axis[2] for axis in self._axes.T)
        return np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arcsin(np.clip(z, -1, 1)))

    def to_native(self, ra: FloatArray, dec: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return native longitudes and latitudes of RA and Dec, all in deg."""
        x, y, z = components(np.asarray(ra, dtype=float), np.asarray(dec, dtype=float))
        axes = self._axes
        along, east, north = (axes[i, 0] * x + axes[i, 1] * y + axes[i, 2] * z for i in range(3))
        return np.degrees(np.arctan2(east, along)), np.degrees(np.arcsin(np.clip(north, -1, 1)))


@dataclass(frozen=True)
class ExposureMap:
    """Exposure map of a field: an image in the SIN projection about the field's centre, with 0 outside the field."""

    field: Field
    pixel_deg: float  #: side of a pixel
    image_s: Float32Array  #: vignetting-corrected exposure in s, (y, x), x to the West and y to the North

    @classmethod
    def from_config(cls, field: Field, parameters: Exposure, vignetted: bool = True) -> ExposureMap:
        """Return the exposure map for photons or, if `vignetted` is False, the one for particles.

        `parameters` is the config block `exposure`. The names below are its keys.

        The field consists of `scans` strips side by side, each covered by a scan of constant depth. Beyond the border
        of its strip, the depth of a scan falls linearly to zero over half of `overlap_deg`. On the border between two
        strips, both scans have their full depth, so that the exposure is twice that of one scan, as in the eFEDS field
        (Brunner et al. 2022). Towards the edges of the field, the depth falls linearly over `taper_deg`, and is zero at
        the edge. Particles bypass the mirrors, so they are not vignetted. In the map for particles, the relative depth
        of each scan is raised to the power `particle_slope`.
        """
        pixel = parameters["pixel_arcsec"] / 3600
        half_x = int(np.ceil(np.degrees(np.sin(np.radians(field.width_deg / 2))) / pixel)) + 1
        half_y = int(np.ceil(np.degrees(np.sin(np.radians(field.height_deg / 2))) / pixel)) + 1
        north = np.radians((np.arange(2 * half_y) + 0.5 - half_y) * pixel)[:, None]
        east = -np.radians((np.arange(2 * half_x) + 0.5 - half_x) * pixel)[None, :]
        longitude = np.degrees(np.arctan2(east, np.sqrt(np.clip(1 - east**2 - north**2, 0, None))))
        across = _ramp(field.height_deg / 2 - np.abs(np.degrees(np.arcsin(north))), parameters["taper_deg"])
        slope = 1.0 if vignetted else parameters["particle_slope"]
        image = np.zeros(longitude.shape)
        for along in _scans(longitude, field.width_deg, parameters):
            image += (along * across) ** slope
        return cls(field, pixel, (parameters["depth_s"] * image).astype(np.float32))

    @classmethod
    def read(cls, path: Path, field: Field) -> ExposureMap:
        """Read the exposure map of a simulated `field` from the file that `write` made."""
        with opened_fits(path) as hdus:
            return cls(field, float(hdus[0].header["CDELT2"]), np.array(hdus[0].data, dtype=np.float32))

    def write(self, path: Path, header: Mapping[str, Any]) -> None:
        """Write the map to the FITS file `path`, with the WCS of its SIN projection and the keywords in `header`."""
        rows, columns = self.image_s.shape
        coordinates = {
            "CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CRPIX1": columns / 2 + 0.5, "CRPIX2": rows / 2 + 0.5,
            "CRVAL1": self.field.ra_deg, "CRVAL2": self.field.dec_deg, "CDELT1": -self.pixel_deg,
            "CDELT2": self.pixel_deg, "CUNIT1": "deg", "CUNIT2": "deg", "RADESYS": "ICRS",
        }  # fmt: skip
        write_exposure(path, self.image_s, coordinates, header)

    def widened(self, radius_arcsec: float) -> ExposureMap:
        """Return a map of the largest exposure within `radius_arcsec` (or slightly more) of each pixel."""
        from scipy.ndimage import maximum_filter

        reach = int(np.ceil(radius_arcsec / 3600 / self.pixel_deg)) + 1
        image = maximum_filter(self.image_s, size=2 * reach + 1, mode="constant")
        return ExposureMap(self.field, self.pixel_deg, image)

    def draw(self, rate_per_arcmin2: float, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Return random native longitudes and latitudes (deg) of the photons of a uniform background.

        `rate_per_arcmin2` is the count rate of the background in count/s/arcmin2.
        """
        rows, columns = self.image_s.shape
        y = np.radians((np.arange(rows) + 0.5 - rows / 2) * self.pixel_deg)[:, None]
        x = np.radians((np.arange(columns) + 0.5 - columns / 2) * self.pixel_deg)[None, :]
        # a pixel covers more sky than the central one: in this projection, by 1 / cos(distance from the centre)
        area = (60 * self.pixel_deg) ** 2 / np.sqrt(np.clip(1 - x**2 - y**2, 1e-3, None))
        number = rng.poisson(rate_per_arcmin2 * area * self.image_s).ravel()
        pixel = np.repeat(np.arange(number.size, dtype=np.int32), number)
        step = np.radians(self.pixel_deg)
        north = (pixel // columns + rng.random(len(pixel)) - rows / 2) * step
        east = -(pixel % columns + rng.random(len(pixel)) - columns / 2) * step
        latitude = np.degrees(np.arcsin(north))
        return np.degrees(np.arctan2(east, np.sqrt(np.clip(1 - east**2 - north**2, 1e-12, None)))), latitude

    def at_native(self, longitude: FloatArray, latitude: FloatArray) -> Float32Array:
        """Return the exposure in s of the pixel at native longitude and latitude in deg, or 0 outside the map."""
        # single precision is exact to 0.01 arcsec here, and twice as fast for millions of photons
        lon, lat = np.radians(longitude, dtype=np.float32), np.radians(latitude, dtype=np.float32)
        east, north = np.cos(lat) * np.sin(lon), np.sin(lat)
        rows, columns = self.image_s.shape
        i = np.floor(columns / 2 - np.degrees(east) / self.pixel_deg).astype(np.int32)
        j = np.floor(rows / 2 + np.degrees(north) / self.pixel_deg).astype(np.int32)
        inside = (i >= 0) & (i < columns) & (j >= 0) & (j < rows) & (np.abs(longitude) < 90)
        return np.where(inside, self.image_s[np.clip(j, 0, rows - 1), np.clip(i, 0, columns - 1)], np.float32(0))

    def at(self, ra: FloatArray, dec: FloatArray) -> Float32Array:
        """Return the exposure in s of the pixel at RA and Dec in deg, or 0 outside the map."""
        return self.at_native(*self.field.to_native(ra, dec))


def _scans(longitude: FloatArray, width_deg: float, parameters: Exposure) -> Iterator[FloatArray]:
    """Yield the relative depth of each scan at native longitudes (deg), without the taper in latitude."""
    number, taper, overlap = parameters["scans"], parameters["taper_deg"], parameters["overlap_deg"]
    for scan in range(number):
        west = -width_deg / 2 + scan * width_deg / number
        east = west + width_deg / number
        first, last = scan == 0, scan == number - 1
        low = _ramp(longitude - west + (0 if first else overlap / 2), taper if first else overlap / 2)
        yield low * _ramp(east - longitude + (0 if last else overlap / 2), taper if last else overlap / 2)


def _ramp(distance_deg: FloatArray, taper_deg: float) -> FloatArray:
    if taper_deg == 0:
        return (distance_deg > 0).astype(float)
    return np.clip(distance_deg / taper_deg, 0, 1)
