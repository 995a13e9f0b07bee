"""Facets: a division of the sky without gaps, and their planes."""

import numpy as np
from astropy.wcs import WCS

from clustermass.detect.facets import BANDS, FACET_DEG, Facet, band_of, piece_of, pieces

RNG = np.random.default_rng(3)
RA, DEC = RNG.uniform(0.0, 360.0, 3000), np.degrees(np.arcsin(RNG.uniform(-1.0, 1.0, 3000)))


def facet_of(ra, dec):
    band = int(band_of(np.array(dec)))
    return Facet(band, int(piece_of(np.array(ra), band)))


def test_plane_is_the_equal_area_projection_of_fits():
    for ra, dec in ((150.3, 2.1), (0.01, -70.0), (359.9, 88.9)):
        facet = facet_of(ra, dec)
        wcs = WCS(naxis=2)
        wcs.wcs.ctype, wcs.wcs.crval = ["RA---ZEA", "DEC--ZEA"], facet.centre
        wcs.wcs.cdelt, wcs.wcs.crpix = [-1.0 / 3600.0, 1.0 / 3600.0], [1.0, 1.0]
        places = ra + RNG.uniform(-0.5, 0.5, 50), np.clip(dec + RNG.uniform(-0.5, 0.5, 50), -90.0, 90.0)
        x, y = facet.to_plane(*places)
        expected = wcs.wcs_world2pix(*places, 0)
        np.testing.assert_allclose((x, y), expected, atol=1e-4)
        back = facet.to_sky(x, y)
        np.testing.assert_allclose((back[0] - places[0] + 180.0) % 360.0 - 180.0, 0.0, atol=1e-8)
        np.testing.assert_allclose(back[1], places[1], atol=1e-8)


def test_each_position_lies_in_one_facet_whose_size_is_bounded():
    for ra, dec in zip(RA, DEC, strict=True):
        facet = facet_of(ra, dec)
        x, y = facet.to_plane(np.array([ra]), np.array([dec]))
        assert facet.contains(x, y, 0.0)[0]
        half_x, half_y = facet.half_arcsec()
        assert abs(x[0]) <= half_x * 1.001
        assert abs(y[0]) <= half_y * 1.001
        assert half_x <= FACET_DEG * 1800.0 * 1.001
        beside = Facet(facet.band, (facet.piece + 1) % pieces(facet.band))
        if beside != facet:
            assert not beside.contains(*beside.to_plane(np.array([ra]), np.array([dec])), 0.0)[0]


def test_places_near_a_facet_are_within_its_span():
    for band in (0, 5, BANDS // 2, BANDS - 1):
        facet = Facet(band, 0)
        half_x, half_y = (half + 600.0 for half in facet.half_arcsec())
        edge = np.linspace(-1.0, 1.0, 41)
        x, y = (
            np.concatenate([edge, edge, 0 * edge - 1, 0 * edge + 1]),
            np.concatenate([0 * edge - 1, 0 * edge + 1, edge, edge]),
        )
        ra, _ = facet.to_sky(x * half_x, y * half_y)
        away = np.abs((ra - facet.centre[0] + 180.0) % 360.0 - 180.0)
        assert away.max() <= facet.span_deg(half_x, half_y) + 1e-9
