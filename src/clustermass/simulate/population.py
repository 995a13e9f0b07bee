"""A population of clusters, each in a patch of sky of its own. Masses are uniform or follow the mass function."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from clustermass.arrays import BoolArray, FloatArray, Streams
from clustermass.config.patches import Patches
from clustermass.simulate.field import Field
from clustermass.simulate.gas import EmittingHaloes, with_gas
from clustermass.simulate.photons import Photons
from clustermass.simulate.sources import Haloes, PointSources, draw_agn, draw_haloes, halo_density, host_weight
from clustermass.simulate.spectra import ClusterSpectra

if TYPE_CHECKING:
    from clustermass.config.sky_models import Sky
    from clustermass.config.source_models import Agn, Population

#: cells along each axis of the grid of redshift and log10 mass from which a population is drawn
_CELLS = 200


def realization_haloes(
    sky: Sky, cosmology: Mapping[str, float], field: Field, spectra: ClusterSpectra, rng: Streams
) -> tuple[EmittingHaloes, BoolArray]:
    """Return all haloes of a realization with their gas, drawn at random, and whether each has photons, (halo,).

    Haloes above the flux limit have photons. If the sky has a `population`, its clusters come first, and all of them
    have photons. The haloes of the field follow if `neighbours` is true.
    """
    population, parts, number = sky.get("population"), [], 0
    if population is not None:
        parts, number = [draw_population(population, sky, cosmology, rng["population"])], population["number"]
    if population is None or population["neighbours"]:
        parts.append(draw_haloes(field, sky["clusters"], cosmology, rng["haloes"]))
    haloes = with_gas(Haloes.join(*parts), sky, cosmology, spectra, rng)
    bright = haloes.flux >= sky["clusters"]["flux_min_cgs"]
    bright[:number] = True
    return haloes, bright


def draw_population(
    population: Population, sky: Sky, cosmology: Mapping[str, float], rng: np.random.Generator
) -> Haloes:
    """Return the clusters of the block `population`, each in the centre of its patch.

    For each cluster, a cell of redshift and log10 mass is drawn. If the `distribution` is "uniform", all cells have the
    same probability. If it is "mass_function", their probabilities follow the mass function of Tinker et al. (2008).
    Redshift and log10 mass are uniform inside a cell.
    """
    number = population["number"]
    redshift, z_step = _cells(population["redshift_min"], population["redshift_max"])
    mass, mass_step = _cells(population["log10_m500c_min"], population["log10_m500c_max"])
    if population["distribution"] == "uniform":
        weight = np.ones((_CELLS, _CELLS))
    else:
        weight = halo_density(redshift, mass, cosmology)
    below = np.cumsum(weight)
    cell = np.searchsorted(below, below[-1] * rng.random(number), side="right")
    row, column = np.divmod(cell, _CELLS)
    inside_z, inside_mass = rng.random((2, number)) - 0.5
    centres = _centres(Patches.of(sky["field"], population["patch_arcmin"]), number)
    return Haloes(*centres, redshift[row] + z_step * inside_z, mass[column] + mass_step * inside_mass)


def agn_around_population(
    field: Field, parameters: Agn, clusters: EmittingHaloes, neighbours: Haloes, rng: np.random.Generator
) -> PointSources:
    """Return random AGN around the clusters of a population.

    `neighbours` are the other haloes of the field that have photons; `draw_agn` puts AGN around them. On average, a
    cluster gets as many AGN as a neighbour of the same mass and redshift. If there are no neighbours, the clusters get
    no AGN.
    """
    weight, of_neighbours = (host_weight(haloes, parameters).sum() for haloes in (clusters.haloes, neighbours))
    share = parameters["clustered_fraction"] * weight / (of_neighbours or np.inf)
    number = parameters["normalisation_per_deg2"] * share
    dense: Agn = {**parameters, "normalisation_per_deg2": number, "clustered_fraction": 1.0}
    return draw_agn(field, dense, clusters.haloes, clusters.gas.r500_arcmin, rng)


def in_own_patch(photons: Photons, haloes: Haloes, sky: Sky) -> BoolArray:
    """Return whether each photon is kept, (photon,).

    A photon from a cluster of the population isn't kept if it lands outside the cluster's patch, so that no cluster is
    seen in the image of another. All other photons are kept. `haloes` are the haloes with photons, in the order of
    their numbers.
    """
    population = sky["population"]
    patch = Patches.of(sky["field"], population["patch_arcmin"])
    of_cluster = (photons.source > 0) & (photons.source <= population["number"])
    row = np.where(of_cluster, photons.source - 1, 0)
    across = np.abs(photons.longitude - haloes.longitude[row]) <= patch.width_deg / 2
    along = np.abs(photons.latitude - haloes.latitude[row]) <= patch.height_deg / 2
    return ~of_cluster | (across & along)


def _cells(low: float, high: float) -> tuple[FloatArray, float]:
    """Return the centres of the cells between two limits, and their width."""
    edges = np.linspace(low, high, _CELLS + 1)
    return (edges[1:] + edges[:-1]) / 2, (high - low) / _CELLS


def _centres(patches: Patches, number: int) -> tuple[FloatArray, FloatArray]:
    """Return native longitudes and latitudes (deg) of the centres of the first `number` patches, row by row."""
    row, column = np.divmod(np.arange(number), patches.columns)
    longitude = (column - (patches.columns - 1) / 2) * patches.width_deg
    return longitude, (row - (patches.rows - 1) / 2) * patches.height_deg
