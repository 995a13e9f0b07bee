"""Scenes of photons around given sources, for the tests of detection."""

import numpy as np

from clustermass.catalogues.photon_match import match_by_shares
from clustermass.detect.detect import Candidates, detect

PARAMETERS = {
    "e_min_ev": 200.0,
    "e_max_ev": 2300.0,
    "pixel_arcsec": 4.0,
    "stamp_pixels": 31,
    "cut_radius_arcsec": 60.0,
    "extents_arcsec": [8.0, 9.8, 12.0, 14.7, 18.0, 22.0, 27.0, 33.0, 40.0, 49.0, 60.0],
    "shift_arcsec": 8.0,
    "refine_arcsec": [4.0, 2.0],
    "start_scatter_arcsec": 3.0,
    "ext_dof": 3.0,
    "box_like_min": 0.0,
    "extent_point_like_min": 0.0,
    "det_like_floor": 5.0,
    "ext_like_floor": 3.0,
    "component_counts_min": 10.0,
    "background_cell_arcsec": 60.0,
    "background_radius_arcsec": 330.0,
    "background_exclusion_arcsec": 90.0,
    "background_clip_sigma": 2.0,
    "merge_extended_arcsec": 30.0,
    "merge_point_arcsec": 15.0,
    "match_counts_factor": 3.0,
    "match_counts_offset": 10.0,
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


def detect_and_match(events, candidates, exposure_s, profile, parameters, seed):
    """Return the catalogue and the matches by photons."""
    found, shares = detect(events, candidates, exposure_s, profile, parameters, seed)
    sources = {"SRC_ID": candidates.src_id, "RA": candidates.ra, "DEC": candidates.dec}
    band = (events["pi_ev"] >= parameters["e_min_ev"]) & (events["pi_ev"] <= parameters["e_max_ev"])
    kept, matches = match_by_shares(found, shares, events["src_id"], band, sources, parameters)
    catalogue = {name: values[kept] for name, values in found.items()}
    return catalogue | {"ID_SRC": np.arange(1, kept.sum() + 1, dtype=np.int32)}, matches


class Scene:
    """Photons around (ra, dec) [deg] given as offsets to the East and North [arcsec]."""

    def __init__(self, seed, ra=150.0, dec=2.0, half_arcmin=15.0, background=BACKGROUND):
        self.rng, self.ra, self.dec = np.random.default_rng(seed), ra, dec
        n = self.rng.poisson(background * (2 * half_arcmin) ** 2)
        self.east = [self.rng.uniform(-half_arcmin, half_arcmin, n) * 60.0]
        self.north = [self.rng.uniform(-half_arcmin, half_arcmin, n) * 60.0]
        self.label = [np.zeros(n, dtype=int)]
        self.sources = []

    def add(self, src_id, east, north, counts, core=0.0, candidate=True):
        """Add exactly `counts` photons of one source."""
        e, n = np.full(counts, float(east)), np.full(counts, float(north))
        for scale in (CORE, core):
            angle, r = self.rng.uniform(0, 2 * np.pi, counts), heavy_tailed_radius(self.rng, scale, counts)
            e, n = e + r * np.cos(angle), n + r * np.sin(angle)
        self.east.append(e)
        self.north.append(n)
        self.label.append(np.full(counts, src_id))
        if candidate:
            self.sources.append((src_id, east, north, counts))
        return self

    def sky(self, east, north):
        dec = self.dec + np.asarray(north) / 3600.0
        return (self.ra + np.asarray(east) / 3600.0 / np.cos(np.radians(dec))) % 360.0, dec

    def events(self):
        ra, dec = self.sky(np.concatenate(self.east), np.concatenate(self.north))
        label = np.concatenate(self.label).astype(np.int32)
        return {"ra": ra, "dec": dec, "pi_ev": np.full(len(ra), 1000.0, np.float32), "src_id": label}

    def candidates(self):
        src_id, east, north, counts = (np.array(v) for v in zip(*self.sources, strict=True))
        ra, dec = self.sky(east, north)
        return Candidates(ra, dec, src_id, counts.astype(float))

    def detect(self, seed=1, **changes):
        return detect_and_match(self.events(), self.candidates(), exposure, psf, PARAMETERS | changes, seed)


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
