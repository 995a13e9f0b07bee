"""Divide the sky into facets, small enough to be flat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clustermass.arrays import BoolArray, FloatArray, IntArray

FACET_DEG = 5.0  # height of a facet, and its width at the edge that is nearer to the equator
BANDS = round(180.0 / FACET_DEG)
ARCSEC = 3600.0 * 180.0 / np.pi  # in a radian


@dataclass(frozen=True)
class Facet:
    """A part of the sky, bounded by two declinations and two right ascensions, and a plane that touches its centre.

    The facets are fixed on the sky. Plane coordinates are offsets in arcsec to the West (x) and to the North (y) in the
    equal-area projection about the centre.
    """

    band: int  #: number from the South
    piece: int  #: number in the band from RA 0

    @property
    def centre(self) -> tuple[float, float]:
        """Right ascension and declination of the centre in deg."""
        return (self.piece + 0.5) * 360.0 / pieces(self.band), (self.band + 0.5) * FACET_DEG - 90.0

    def to_plane(self, ra: FloatArray, dec: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the plane coordinates of positions in deg, which must not be opposite to the centre."""
        (ra_zero, dec_zero), latitude = self.centre, np.radians(dec)
        turn, zero = np.radians(ra - ra_zero), np.radians(dec_zero)
        sine, cosine = np.sin(latitude), np.cos(latitude)
        along, east = cosine * np.cos(turn), cosine * np.sin(turn)
        scale = ARCSEC * np.sqrt(2.0 / (1.0 + sine * np.sin(zero) + along * np.cos(zero)))
        return -scale * east, scale * (sine * np.cos(zero) - along * np.sin(zero))

    def to_sky(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return right ascension in [0, 360) and declination, in deg, of plane coordinates."""
        (ra_zero, dec_zero), east, north = self.centre, -x / ARCSEC, y / ARCSEC
        zero, quarter = np.radians(dec_zero), (east**2 + north**2) / 4.0
        shrunk = np.sqrt(1.0 - quarter)
        east, north, toward = east * shrunk, north * shrunk, 1.0 - 2.0 * quarter
        along = toward * np.cos(zero) - north * np.sin(zero)
        dec = np.degrees(np.arcsin(np.clip(toward * np.sin(zero) + north * np.cos(zero), -1.0, 1.0)))
        return (ra_zero + np.degrees(np.arctan2(east, along))) % 360.0, dec

    def contains(self, x: FloatArray, y: FloatArray, slack_arcsec: float) -> BoolArray:
        """Return whether places in the plane lie in the facet, or at most about `slack_arcsec` outside it."""
        ra, dec = self.to_sky(*(at - np.clip(at, -slack_arcsec, slack_arcsec) for at in (x, y)))
        return (band_of(dec) == self.band) & (piece_of(ra, self.band) == self.piece)

    def half_arcsec(self) -> tuple[float, float]:
        """Return the largest distances from the centre, in x and y, of places in the facet."""
        step = np.linspace(-0.5, 0.5, 11)
        ra, dec = self.centre
        away, north = np.meshgrid(step * 360.0 / pieces(self.band), step * FACET_DEG)
        x, y = self.to_plane(ra + away, dec + north)
        return float(np.abs(x).max()), float(np.abs(y).max())

    def span_deg(self, half_x: float, half_y: float) -> float:
        """Return the largest difference in right ascension between the centre and places near it in the plane, in deg.

        The places lie within `half_x` and `half_y` arcsec of the centre.
        """
        cosine = np.cos(np.radians(min(abs(self.centre[1]) + half_y / 3600.0, 90.0)))
        sine = half_x / ARCSEC
        return float(np.degrees(np.arcsin(sine / cosine))) if sine < cosine else 180.0


def pieces(band: int) -> int:
    """Return the number of facets in a band."""
    edges = np.radians(np.array([band, band + 1]) * FACET_DEG - 90.0)
    return max(int(np.ceil(360.0 / FACET_DEG * np.cos(edges).max() - 1e-9)), 1)


def band_of(dec: FloatArray) -> IntArray:
    """Return the number of the band that each declination [deg] belongs to."""
    return np.clip((dec + 90.0) / FACET_DEG, 0, BANDS - 1).astype(np.intp)


def piece_of(ra: FloatArray, band: int) -> IntArray:
    """Return the number of the facet in a band that each right ascension, in [0, 360] deg, belongs to."""
    number = pieces(band)
    return (ra * (number / 360.0)).astype(np.intp) % number
