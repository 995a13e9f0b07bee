"""Photons of haloes in a simulated realization, told apart by their labels: those of a halo itself, of AGN, and others.

Labels are part of the truth. No estimate of a mass may use them, only a limit of all estimates.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from clustermass.arrays import FloatArray, IdArray, IntArray, unit_vectors
from clustermass.baselines.ring_counts import RING_EDGES_ARCSEC
from clustermass.errors import InputError
from clustermass.events.read import stream_events
from clustermass.io.fits import opened_fits
from clustermass.simulate.field import ExposureMap

#: points along the radius and around a ring at which its exposure is read
_ALONG, _AROUND = 4, 24


@dataclass(frozen=True)
class LabelledPhotons:
    """Photons of a realization with the number of their source. Arrays are (photon,)."""

    ra: FloatArray  #: deg
    dec: FloatArray
    energy_ev: FloatArray
    source: IdArray  #: > 0 for a halo, < 0 for an AGN, 0 for the background

    @classmethod
    def read(cls, events: Path, labels: Path) -> LabelledPhotons:
        """Read an event list and the labels of its photons. InputError if their numbers differ, or for a bad file."""
        pieces = [(piece.ra, piece.dec, piece.pi_ev) for piece in stream_events(events)]
        ra, dec, energy = (np.concatenate(column).astype(float) for column in zip(*pieces, strict=True))
        with opened_fits(labels) as hdus:
            source = np.asarray(hdus["LABELS"].data["SRC_ID"]).astype(np.int32)
        if len(source) != len(ra):
            raise InputError(f"{labels}: {len(source)} labels, but {events} holds {len(ra)} photons. Make both anew.")
        return cls(ra, dec, energy, source)

    def in_rings(self, ra: float, dec: float, src_id: int, bands_ev: FloatArray) -> FloatArray:
        """Return the numbers of photons of a halo and of the background about a position in deg, (ring, band).

        The rings are those of `RING_EDGES_ARCSEC`. `src_id` is the number of the halo, and `bands_ev` holds the edges
        of the energy bands in eV, (band + 1,).
        """
        rows = np.concatenate([self._of_source(src_id), self._near(0, ra, dec)])
        here = unit_vectors(np.array(ra), np.array(dec))
        chord = np.linalg.norm(unit_vectors(self.ra[rows], self.dec[rows]) - here, axis=1)
        distance = 3600 * np.degrees(2 * np.arcsin(chord / 2))
        return np.histogram2d(distance, self.energy_ev[rows], bins=(RING_EDGES_ARCSEC, bands_ev))[0]

    def agn_photons(self, ra: FloatArray, dec: FloatArray, radius_arcsec: float) -> IntArray:
        """Return the number of photons from AGN within a radius of each position in deg, (position,)."""
        tree, _ = self._trees[-1]
        here = unit_vectors(ra, dec)
        return np.asarray(tree.query_ball_point(here, _chord(radius_arcsec), return_length=True), dtype=np.intp)

    def owners(self, ra: FloatArray, dec: FloatArray, radius_arcsec: float) -> IdArray:
        """Return the source of most photons within a radius of each position in deg, (position,).

        It is 0 if all photons are of the background.
        """
        tree, rows = self._trees[1]
        result = np.zeros(len(ra), dtype=np.int32)
        for place, near in enumerate(tree.query_ball_point(unit_vectors(ra, dec), _chord(radius_arcsec))):
            names, number = np.unique(self.source[rows[near]], return_counts=True)
            result[place] = names[np.argmax(number)] if len(names) else 0
        return result

    def _of_source(self, src_id: int) -> IntArray:
        order, ordered = self._by_source
        return order[np.searchsorted(ordered, src_id) : np.searchsorted(ordered, src_id, side="right")]

    def _near(self, kind: int, ra: float, dec: float) -> IntArray:
        tree, rows = self._trees[kind]
        here = unit_vectors(np.array(ra), np.array(dec))
        return rows[np.asarray(tree.query_ball_point(here, _chord(RING_EDGES_ARCSEC[-1])), dtype=np.intp)]

    @cached_property
    def _by_source(self) -> tuple[IntArray, IdArray]:
        order = np.argsort(self.source, kind="stable")
        return order, self.source[order]

    @cached_property
    def _trees(self) -> dict[int, tuple[cKDTree, IntArray]]:
        """Trees of the photons of AGN (-1), background (0) and all sources (1), each with the rows of its photons."""
        kinds = {-1: self.source < 0, 0: self.source == 0, 1: self.source != 0}
        rows = {kind: np.flatnonzero(chosen) for kind, chosen in kinds.items()}
        return {kind: (cKDTree(unit_vectors(self.ra[some], self.dec[some])), some) for kind, some in rows.items()}


def ring_exposure(exposure: ExposureMap, ra: float, dec: float) -> FloatArray:
    """Return the mean exposure in each ring about a position in deg, in s, (ring,)."""
    edges = RING_EDGES_ARCSEC / 3600
    steps = (np.arange(_ALONG) + 0.5) / _ALONG
    radius = np.sqrt(edges[:-1, None] ** 2 + np.diff(edges**2)[:, None] * steps)[..., None]
    angle = 2 * np.pi * np.arange(_AROUND) / _AROUND
    longitude, latitude = (float(value[0]) for value in exposure.field.to_native(np.array([ra]), np.array([dec])))
    east = longitude + radius * np.cos(angle) / np.cos(np.radians(latitude))
    return exposure.at_native(east, latitude + radius * np.sin(angle)).mean(axis=(1, 2)).astype(float)


def _chord(arcsec: float) -> float:
    return float(2 * np.sin(np.radians(arcsec / 3600) / 2))
