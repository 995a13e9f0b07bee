"""Scenes of photons around given sources, for the tests of detection."""

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord

PARAMETERS = {
    "e_min_ev": 200.0,
    "e_max_ev": 2300.0,
    "pixel_arcsec": 4.0,
    "stamp_pixels": 31,
    "cut_radius_arcsec": 60.0,
    "extents_arcsec": [8.0, 9.8, 12.0, 14.7, 18.0, 22.0, 27.0, 33.0, 40.0, 49.0, 60.0],
    "shift_arcsec": 8.0,
    "ext_dof": 1.0,
    "box_like_min": 6.0,
    "extent_point_like_min": 9.0,
    "det_like_floor": 5.0,
    "ext_like_floor": 3.0,
    "background_cell_arcsec": 60.0,
    "background_radius_arcsec": 330.0,
    "background_exclusion_arcsec": 90.0,
    "background_clip_sigma": 2.0,
    "merge_extended_arcsec": 50.0,
    "merge_point_arcsec": 15.0,
}
CORE = 8.66  # arcsec, of a King PSF of slope 1.5: half the photons within 15 arcsec
EXPOSURE = 1200.0
BACKGROUND = 5.0  # counts / arcmin^2


def psf(radius):
    return (1.0 + (np.asarray(radius) / CORE) ** 2) ** -1.5 / (2.0 * np.pi * CORE**2)


def exposure(ra, dec):
    return np.full(len(ra), EXPOSURE)


def heavy_tailed_radius(rng, scale, size):
    """Radii of a surface brightness (1 + (r / scale)^2)^-3/2: both the PSF and the beta model."""
    return scale * np.sqrt((1.0 - rng.random(size)) ** -2 - 1.0)


class Scene:
    """Photons around (ra, dec) [deg] given as offsets to the East and North [arcsec]."""

    def __init__(self, seed, ra=150.0, dec=2.0, half_arcmin=15.0, background=BACKGROUND):
        self.rng, self.ra, self.dec = np.random.default_rng(seed), ra, dec
        n = self.rng.poisson(background * (2 * half_arcmin) ** 2)
        self.east = [self.rng.uniform(-half_arcmin, half_arcmin, n) * 60.0]
        self.north = [self.rng.uniform(-half_arcmin, half_arcmin, n) * 60.0]
        self.sources = []

    def add(self, src_id, east, north, counts, core=0.0, candidate=True):
        """Add exactly `counts` photons of one source."""
        e, n = np.full(counts, float(east)), np.full(counts, float(north))
        for scale in (CORE, core):
            angle, r = self.rng.uniform(0, 2 * np.pi, counts), heavy_tailed_radius(self.rng, scale, counts)
            e, n = e + r * np.cos(angle), n + r * np.sin(angle)
        self.east.append(e)
        self.north.append(n)
        if candidate:
            self.sources.append((src_id, east, north, counts))
        return self

    def sky(self, east, north):
        dec = self.dec + np.asarray(north) / 3600.0
        return (self.ra + np.asarray(east) / 3600.0 / np.cos(np.radians(dec))) % 360.0, dec


def photons_of(scene, ra=None, dec=None):
    """Photons within a degree of the scene, which may be moved to another place on the sphere."""
    east, north = np.concatenate(scene.east), np.concatenate(scene.north)
    near = np.maximum(np.abs(east), np.abs(north)) < 3600.0
    centre = SkyCoord(scene.ra if ra is None else ra, scene.dec if dec is None else dec, unit="deg")
    places = centre.spherical_offsets_by(east[near] * u.arcsec, north[near] * u.arcsec)
    return {"ra": places.ra.deg, "dec": places.dec.deg, "pi_ev": np.full(np.count_nonzero(near), 1000.0, np.float32)}


def offset_arcsec(catalogue, row, scene, east, north):
    ra, dec = scene.sky(east, north)
    d_ra = (catalogue["RA"][row] - ra + 180.0) % 360.0 - 180.0
    return 3600.0 * np.hypot(d_ra * np.cos(np.radians(dec)), catalogue["DEC"][row] - dec)


def grid_scene(seed, number, counts, core=0.0, sign=-1):
    """`number`^2 equal sources 6 arcmin apart, numbered from 1 (times `sign`)."""
    scene = Scene(seed, half_arcmin=3.0 * number + 5.0)
    place = (np.arange(number) - (number - 1) / 2) * 360.0
    for k, (east, north) in enumerate(np.stack(np.meshgrid(place, place), axis=-1).reshape(-1, 2), start=1):
        scene.add(sign * k, east, north, counts, core)
    return scene
