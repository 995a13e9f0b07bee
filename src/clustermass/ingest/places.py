"""Random places in the exposed part of a user's field, and the user's exposure map in the form that photons need."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from clustermass.arrays import BoolArray, FloatArray, neighbours, unit_vectors
from clustermass.errors import InputError
from clustermass.images.exposure import ExposureMap
from clustermass.ingest.in_field import exposed_cells
from clustermass.io.room import check_memory
from clustermass.simulate.field import ExposureMap as FieldMap
from clustermass.simulate.field import Field

#: largest size of a field in deg (East-West, South-North), so that all of it can be in one projection
MOST_DEG = (120.0, 60.0)
#: side of the pixels of `field_map`
_PIXEL_ARCSEC = 16.0
#: bytes of memory for each of these pixels, with copies
_PIXEL_BYTES = 16
#: positions are drawn at most this many times
_TRIES = 100

#: RA, DEC in deg, and a radius in arcmin inside which no place is chosen
Avoided = tuple[FloatArray, FloatArray, float]


def field_around(maps: ExposureMap, name: object) -> Field:
    """Return a field that contains all places with exposure. InputError if it is larger than `MOST_DEG`.

    In the message, `name` stands for the maps.
    """
    cells, sizes = zip(*(exposed_cells(image, wcs) for image, wcs in maps.planes), strict=True)
    vectors = np.concatenate(cells)
    ra, dec = np.degrees(np.arctan2(vectors[:, 1], vectors[:, 0])), np.degrees(np.arcsin(vectors[:, 2]))
    middle = vectors.mean(axis=0)
    ra_deg = float(np.degrees(np.arctan2(middle[1], middle[0])) % 360)
    dec_deg = float(np.degrees(np.arctan2(middle[2], np.hypot(middle[0], middle[1]))))
    longitude, latitude = Field(ra_deg, dec_deg, 1.0, 1.0).to_native(ra, dec)
    sides = [float(2 * (np.abs(angle).max() + max(sizes))) for angle in (longitude, latitude)]
    if sides[0] > MOST_DEG[0] or sides[1] > MOST_DEG[1]:
        raise InputError(
            f"{name}: the field is {sides[0]:.0f} x {sides[1]:.0f} deg, but at most {MOST_DEG[0]:.0f} x "
            f"{MOST_DEG[1]:.0f} deg are possible. Divide it into parts."
        )
    return Field(ra_deg, dec_deg, sides[0], sides[1])


def field_map(maps: ExposureMap, field: Field, name: object) -> FieldMap:
    """Return `maps` as one exposure map of `field`, in pixels of 16". Each pixel has the exposure at its centre.

    InputError if the map doesn't fit into memory. In the message, `name` stands for the maps.
    """
    pixel = _PIXEL_ARCSEC / 3600
    half = [
        int(np.ceil(np.degrees(np.sin(np.radians(side / 2))) / pixel)) for side in (field.height_deg, field.width_deg)
    ]
    rows, columns = 2 * half[0], 2 * half[1]
    check_memory(float(rows) * columns * _PIXEL_BYTES, name)
    image = np.zeros((rows, columns), dtype=np.float32)
    east = -np.radians((np.arange(columns) + 0.5 - half[1]) * pixel)
    for row in range(rows):
        north = np.radians((row + 0.5 - half[0]) * pixel)
        along = np.sqrt(np.clip(1 - east**2 - north**2, 1e-12, None))
        longitude = np.degrees(np.arctan2(east, along))
        latitude = np.full(columns, np.degrees(np.arcsin(np.clip(north, -1, 1))))
        image[row] = maps.at(*field.to_sky(longitude, latitude))
    return FieldMap(field, pixel, image)


def random_places(
    maps: ExposureMap,
    field: Field,
    number: int,
    apart_arcmin: float,
    avoided: Sequence[Avoided],
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Return native longitudes and latitudes (deg) of random places in `field`, (number,) each.

    The places are uniform over the part of the sky where the exposure is above 5 % of its median. They are at least
    `apart_arcmin` from each other, and outside all circles in `avoided`. InputError if there is no room for them.
    """
    chosen, found = np.zeros((0, 3)), np.zeros((0, 2))
    nearest = np.cos(np.radians(apart_arcmin / 60))
    for _ in range(_TRIES):
        native = np.stack(field.draw(rng, 2 * number + 100), axis=1)
        native = native[_free(maps, *field.to_sky(*native.T), avoided)]
        for place, vector in zip(native, unit_vectors(*native.T), strict=True):
            if not len(chosen) or (chosen @ vector).max() < nearest:
                chosen, found = np.vstack([chosen, vector]), np.vstack([found, place])
            if len(found) == number:
                return found[:, 0], found[:, 1]
    raise InputError(
        f"there is room for only about {len(found)} of {number} clusters, which must be {apart_arcmin:g}' apart"
        f"{' and away from the sources of the catalogue' if avoided else ''}. Inject fewer, with several seeds."
    )


def _free(maps: ExposureMap, ra: FloatArray, dec: FloatArray, avoided: Sequence[Avoided]) -> BoolArray:
    """Return whether each position (deg) is exposed and outside all circles in `avoided`, (position,)."""
    free: NDArray[np.bool_] = maps.at(ra, dec) > maps.covered_above_s
    for other_ra, other_dec, radius_arcmin in avoided:
        free[neighbours(ra, dec, other_ra, other_dec, 60 * radius_arcmin)[0]] = False
    return free
