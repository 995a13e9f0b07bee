"""Draws of a sky with a prior: the parameters of a universe, and the conditions of a realization.

A universe is one set of the uncertain parameters, called phi. Successive realizations of a sky share a universe, as
many as `realizations_per_universe` says. Conditions, such as the depth, are drawn for each realization. An observer
measures them, but with errors: phi also holds ln(true / measured) of each measured quantity, under the name
"errors.<key>". Each number has a random stream of its own, so that it depends neither on other keys nor on the order in
which realizations are made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from clustermass.arrays import generator
from clustermass.config.sky_keys import NORMAL_LIMIT, number_at, shape_of, with_numbers

if TYPE_CHECKING:
    from clustermass.config.prior_models import ParameterDistribution
    from clustermass.config.sky_models import Sky

#: beginning of the names in phi of errors of measured quantities
ERRORS = "errors."


class Parameter(NamedTuple):
    """A number of phi: its name, its value in a universe, and mean, standard deviation and form of its prior."""

    name: str
    value: float
    mean: float
    sd: float
    uniform: bool  #: whether the prior is uniform; otherwise it is normal


class DrawnSky(NamedTuple):
    """The sky of one realization."""

    true: Sky  #: what the photons are drawn from
    measured: Sky  #: what an observer knows: the sky of the configuration at the conditions of this realization
    universe: int  #: number of the universe, from 1
    phi: list[Parameter]


def draw_sky(sky: Sky, name: str, realization: str) -> DrawnSky:
    """Return the sky that a realization (digits such as "01") of the sky `name` has.

    The random numbers depend only on the seed of the sky, on `name` and on the number of the universe or realization.
    In a sky without a prior, the universe is 0, phi is empty, and both skies are the given one.
    """
    if "prior" not in sky:
        return DrawnSky(sky, sky, 0, [])
    universe = universe_of(sky, realization)
    phi = draw_phi(sky, name, universe)
    measured = measured_sky(sky, name, realization)
    errors = {one.name.removeprefix(ERRORS): one.value for one in phi if one.name.startswith(ERRORS)}
    changed = {one.name: one.value for one in phi if not one.name.startswith(ERRORS)}
    changed |= {key: number_at(measured, key) * float(np.exp(error)) for key, error in errors.items()}
    return DrawnSky(with_numbers(measured, changed), measured, universe, phi)


def universe_of(sky: Sky, realization: str) -> int:
    """Return the number of the universe that a realization belongs to, from 1."""
    return (int(realization) - 1) // sky["prior"]["realizations_per_universe"] + 1


def draw_phi(sky: Sky, name: str, universe: int) -> list[Parameter]:
    """Return phi of a universe: first the parameters, then the errors of measured quantities, each sorted by name."""
    prior = sky["prior"]
    distributions = dict(sorted(prior["parameters"].items()))
    errors = sorted(prior.get("errors", {}).items())
    distributions |= {f"{ERRORS}{key}": {"normal": [0.0, width]} for key, width in errors}
    return [
        Parameter(key, draw(one, generator(sky["seed"], name, "universe", str(universe), key)), *moments(one))
        for key, one in distributions.items()
    ]


def measured_sky(sky: Sky, name: str, realization: str) -> Sky:
    """Return the sky that an observer of a realization knows: conditions as measured, and parameters as configured.

    If the prior has an `area_factor`, width and height of the field are multiplied by the square root of

        sky's exposure.depth_s / the realization's exposure.depth_s,

    limited to `area_factor`. The number of clusters that are detected is nearly proportional to the depth, so that
    realizations have similar numbers of them. A sky without a prior is returned as it is.
    """
    if "prior" not in sky:
        return sky
    prior, number = sky["prior"], str(int(realization))
    conditions = {
        key: draw(one, generator(sky["seed"], name, "realization", number, key))
        for key, one in prior.get("conditions", {}).items()
    }
    measured = with_numbers(sky, conditions)
    low, high = prior.get("area_factor", [1.0, 1.0])
    side = np.sqrt(np.clip(sky["exposure"]["depth_s"] / measured["exposure"]["depth_s"], low, high))
    sides = {f"field.{one}": number_at(measured, f"field.{one}") * float(side) for one in ("width_deg", "height_deg")}
    return with_numbers(measured, sides)


def draw(distribution: ParameterDistribution, rng: np.random.Generator) -> float:
    """Return a random number. A normal one is at most `NORMAL_LIMIT` standard deviations from the mean."""
    kind, (first, second) = shape_of(distribution)
    if kind == "normal":
        return float(first + second * np.clip(rng.standard_normal(), -NORMAL_LIMIT, NORMAL_LIMIT))
    if kind == "uniform":
        return float(rng.uniform(first, second))
    return float(np.exp(rng.uniform(np.log(first), np.log(second))))


def moments(distribution: ParameterDistribution) -> tuple[float, float, bool]:
    """Return mean and standard deviation of a normal or uniform distribution, and whether it is uniform."""
    kind, (first, second) = shape_of(distribution)
    if kind == "normal":
        return first, second, False
    return (first + second) / 2, (second - first) / float(np.sqrt(12)), True
