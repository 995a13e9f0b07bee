"""Celestial coordinates of images: conversion between ICRS positions and pixels, in all frames that astropy knows."""

import fnmatch
import re
from typing import Any

import numpy as np
from astropy.coordinates import FK5, ICRS, SkyCoord
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales, wcs_to_celestial_frame
from numpy.typing import ArrayLike

from clustermass import limits
from clustermass.arrays import FloatArray
from clustermass.errors import InputError

#: smallest and largest possible side of a pixel in deg; eROSITA's sky pixels of 0.05" have 1.4e-5
_PIXEL_DEG = (1e-5, 30.0)
#: cards of a WCS that hold numbers
_NUMBERS = re.compile(r"(CRVAL|CRPIX|CDELT|CROTA)\d|(CD|PC)\d_\d|PV\d_\d+|LONPOLE|LATPOLE")


def celestial_wcs(header: fits.Header, name: object) -> WCS | None:
    """Return the celestial WCS of an image, or None if it has no celestial WCS.

    InputError if astropy doesn't know its frame, if latitude is the first axis, if a card holds no number, if the
    coordinates are distorted, or if the size of the pixels is impossible. The message begins with `name`.
    """
    # the memory of the WCS grows with the squares of these numbers; alternative coordinates (WCSAXESA) are read, too
    for key in ("A_ORDER", "B_ORDER", "AP_ORDER", "BP_ORDER", *fnmatch.filter(header, "WCSAXES*")):
        stated = header.get(key, 0)
        check = limits.AXES.check if key.startswith("WCSAXES") else limits.ORDER.check
        check(stated if isinstance(stated, int | float) else 0, f"{name}: {key}")
    for key in filter(_NUMBERS.fullmatch, header):
        if isinstance(header[key], bool) or not isinstance(header[key], int | float):  # wcslib would take another
            raise InputError(f"{name}: its card {key} holds no number. Its WCS is damaged.")
    whole = WCS(header)
    wcs = whole.celestial
    if wcs.naxis != 2:
        return None
    if whole.has_distortion:
        raise InputError(f"{name}: its coordinates are distorted (SIP or a table). Make it in a plain projection.")
    axes = f"{whole.wcs.ctype[0]}, {whole.wcs.ctype[1]}"
    if whole.wcs.lng > whole.wcs.lat:
        raise InputError(f"{name}: latitude is the first axis ({axes}). Exchange the axes of the image.")
    try:
        wcs_to_celestial_frame(wcs)
    except ValueError:
        raise InputError(
            f"{name}: its coordinates ({axes}, RADESYS {wcs.wcs.radesys or 'not given'}) are in a frame that isn't "
            "known here. Make it in RA and Dec, or in Galactic coordinates."
        ) from None
    least, most = _PIXEL_DEG
    sides = proj_plane_pixel_scales(wcs)
    if not np.all((sides >= least) & (sides <= most)):
        raise InputError(
            f"{name}: its pixels measure {sides[0]:.3g} by {sides[1]:.3g} deg. Its WCS (CDELT) is damaged."
        )
    return wcs


def to_pixels(wcs: WCS, ra: ArrayLike, dec: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return columns and rows (from 0) of ICRS positions in deg, or NaN where the projection can't show them."""
    frame = _other_frame(wcs)
    if frame is not None:
        there = SkyCoord(ra, dec, unit="deg", frame="icrs").transform_to(frame).spherical
        ra, dec = there.lon.deg, there.lat.deg
    with np.errstate(invalid="ignore"):
        x, y = wcs.wcs_world2pix(ra, dec, 0)
    return x, y


def to_sky(wcs: WCS, x: ArrayLike, y: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return the ICRS positions in deg of columns and rows (from 0)."""
    longitude, latitude = wcs.wcs_pix2world(x, y, 0)
    frame = _other_frame(wcs)
    if frame is None:
        return longitude, latitude
    position = SkyCoord(longitude, latitude, unit="deg", frame=frame).icrs
    return position.ra.deg, position.dec.deg


def _other_frame(wcs: WCS) -> Any:
    """Return the celestial frame of a WCS, or None for ICRS and for FK5 J2000, which agree to 0.03 arcsec."""
    frame = wcs_to_celestial_frame(wcs)
    equatorial = isinstance(frame, ICRS) or (isinstance(frame, FK5) and frame.equinox == Time("J2000"))
    return None if equatorial else frame
