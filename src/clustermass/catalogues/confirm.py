"""Optical confirmation of cluster candidates as in a follow-up survey, which knows nothing about their photons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.optimize import isotonic_regression

from clustermass.arrays import FloatArray, IntArray, Rows, neighbours, unit_vectors

if TYPE_CHECKING:
    from clustermass.config.sky_models import Matching

#: F_CONT is computed in bins of redshift with about this number of candidates in each
CANDIDATES_PER_BIN = 60
#: richnesses are compared with those at random positions in this bin of ln(1 + z) and in the two next to it
_REDSHIFT_STEP = 0.03


class Positions(NamedTuple):
    """Positions on the sky, in deg, (position,) each."""

    ra: FloatArray
    dec: FloatArray


@dataclass(frozen=True)
class OpticalHaloes(Rows):
    """Haloes as an optical survey knows them, each array (halo,)."""

    ra: FloatArray  #: deg
    dec: FloatArray
    redshift: FloatArray
    r500_arcmin: FloatArray
    richness: FloatArray  #: measured


@dataclass(frozen=True)
class Counterparts(Rows):
    """The counterpart of each candidate, each array (candidate,)."""

    halo: IntArray  #: row of the halo, -1 = none
    separation_arcsec: FloatArray  #: NaN = no halo
    richness: FloatArray  #: measured in the aperture about the candidate; NaN = no halo
    f_cont: FloatArray  #: 1 = no halo

    @classmethod
    def none(cls, number: int) -> Counterparts:
        """Return the entries for `number` candidates without a counterpart."""
        halo, nan = np.full(number, -1, dtype=np.intp), np.full(number, np.nan)
        return cls(halo, nan, nan.copy(), np.ones(number))


@dataclass(frozen=True)
class _Pairs(Rows):
    """Pairs of a position and a halo near it, each array (pair,)."""

    position: IntArray
    halo: IntArray
    separation_arcsec: FloatArray
    richness: FloatArray
    redshift: FloatArray


def confirm(candidates: Positions, haloes: OpticalHaloes, random: Positions, parameters: Matching) -> Counterparts:
    """Return the counterpart of each candidate, and F_CONT, by the method of Klein et al. (2018, 2019, 2022).

    A halo can be the counterpart of all positions within `radius_r500` times its R500. At the distance d from the halo,
    its richness is multiplied by exp(-(d / (`damping_r500` R500))^2 / 2), because galaxies are counted in an aperture
    centred on the position. If several haloes are possible, the counterpart is the one that is least likely by chance.
    This is the halo for which the fewest random positions have a halo at least as rich at a similar redshift.

    `random` are positions all over the exposed field, at which counterparts are searched in the same way. For the
    counterpart of a candidate, S_random is the share of random positions that have a counterpart at least as rich in
    the same bin of redshift. S_candidate is this share for the candidates. F_CONT is S_random / S_candidate, limited to
    1, and smoothed so that a richer counterpart never has a larger F_CONT than a poorer one. If a fraction c of all
    candidates is spurious, about a fraction f * c of the candidates with F_CONT < f is spurious.
    """
    at_candidates, at_random = (_pairs(at, haloes, parameters) for at in (candidates, random))
    best, found = _best(at_candidates, at_random)
    ordinary, chance = _best(at_random, at_random)
    f_cont = _f_cont(best.redshift, found, len(candidates.ra), ordinary.redshift, chance, len(random.ra))
    result = Counterparts.none(len(candidates.ra))
    result.halo[best.position], result.f_cont[best.position] = best.halo, f_cont
    result.separation_arcsec[best.position], result.richness[best.position] = best.separation_arcsec, best.richness
    return result


def _pairs(at: Positions, haloes: OpticalHaloes, parameters: Matching) -> _Pairs:
    r500 = 60 * haloes.r500_arcmin
    reach = parameters["radius_r500"] * r500
    # haloes of similar size are searched together: few are large, and all positions near those would be many pairs
    size = np.ceil(np.log2(reach)).astype(int)
    groups = [np.flatnonzero(size == one) for one in np.unique(size)]
    near = [neighbours(*at, haloes.ra[rows], haloes.dec[rows], float(reach[rows].max())) for rows in groups]
    none = np.zeros(0, dtype=np.intp)
    position = np.concatenate([none, *(first for first, _ in near)])
    halo = np.concatenate([none, *(rows[second] for rows, (_, second) in zip(groups, near, strict=True))])
    chord = unit_vectors(at.ra[position], at.dec[position]) - unit_vectors(haloes.ra[halo], haloes.dec[halo])
    separation = 3600 * np.degrees(2 * np.arcsin(np.linalg.norm(chord, axis=1) / 2))
    richness = haloes.richness[halo] * np.exp(-0.5 * (separation / (parameters["damping_r500"] * r500[halo])) ** 2)
    pairs = _Pairs(position, halo, separation, richness, haloes.redshift[halo])
    return pairs[separation <= reach[halo]]


def _best(pairs: _Pairs, random: _Pairs) -> tuple[_Pairs, FloatArray]:
    """Return the best pair of each position, and `_chance` of this pair. Positions without a pair are left out."""
    chance = _chance(pairs, random)
    order = np.lexsort((-pairs.richness, chance, pairs.position))
    first = order[np.flatnonzero(np.diff(pairs.position[order], prepend=-1))]
    return pairs[first], chance[first]


def _chance(pairs: _Pairs, random: _Pairs) -> FloatArray:
    """Return, for each of `pairs`, how many of the pairs `random` are at least as rich and have a similar redshift."""
    here, there = (np.floor(np.log1p(one.redshift) / _REDSHIFT_STEP).astype(int) for one in (pairs, random))
    number = np.zeros(len(here))
    for step in np.unique(here):
        rows, similar = np.flatnonzero(here == step), np.abs(there - step) <= 1
        richer = np.sort(-random.richness[similar])
        number[rows] = np.searchsorted(richer, -pairs.richness[rows], side="right")
    return number


def _f_cont(
    redshift: FloatArray,
    rank: FloatArray,
    candidates: int,
    random_redshift: FloatArray,
    chance: FloatArray,
    random: int,
) -> FloatArray:
    """Return F_CONT of candidates with a counterpart.

    `redshift` and `rank` are the redshift and `_chance` of each candidate's counterpart; `random_redshift` and `chance`
    are the same for random positions. `candidates` and `random` count all positions, also those without a counterpart.
    """
    bins = max(1, len(redshift) // CANDIDATES_PER_BIN)
    edges = np.quantile(redshift, np.arange(1, bins) / bins) if bins > 1 else np.zeros(0)
    here, there = np.searchsorted(edges, redshift, side="right"), np.searchsorted(edges, random_redshift, side="right")
    f_cont = np.ones(len(redshift))
    for one in np.unique(here):
        rows = np.flatnonzero(here == one)
        rows = rows[np.argsort(rank[rows], kind="stable")]
        as_good = np.searchsorted(rank[rows], rank[rows], side="right") / candidates
        by_chance = np.searchsorted(np.sort(chance[there == one]), rank[rows], side="right") / random
        f_cont[rows] = np.minimum(isotonic_regression(by_chance / as_good).x, 1.0)
    return f_cont
