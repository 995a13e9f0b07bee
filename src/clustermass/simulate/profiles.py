"""Radial profiles of surface brightness: their integrals, and random radii drawn from them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from clustermass.arrays import BoolArray, FloatArray

#: number of parts into which a spline divides each interval between two nodes
_PARTS = 5


@dataclass(frozen=True)
class RadialProfiles:
    """Surface brightness profiles: flat inside the first node, power laws between nodes, zero beyond a cut-off."""

    nodes: FloatArray  #: radii, (node,)
    brightness: FloatArray  #: at the nodes, (profile, node)
    slope: FloatArray  #: exponent of r in the growth curve, 2 + d ln(brightness) / d ln(r), (profile, node - 1)
    enclosed_at_nodes: FloatArray  #: integral of the brightness over the disc inside each node, (profile, node)
    total: FloatArray  #: integral inside the cut-off, (profile,)

    @classmethod
    def from_nodes(cls, nodes: FloatArray, log_brightness: FloatArray) -> RadialProfiles:
        """Return profiles with the given ln(brightness) at the radii `nodes`.

        `log_brightness` has the shape (profile, node).
        """
        slope = 2 + np.diff(log_brightness, axis=1) / np.diff(np.log(nodes))
        # A slope of exactly 0 would need a logarithm; a slope of 1e-6 gives the same within rounding.
        slope = np.where(np.abs(slope) < 1e-6, 1e-6, slope)
        brightness = np.exp(log_brightness)
        ratio = nodes[1:] / nodes[:-1]
        rings = 2 * np.pi * brightness[:, :-1] * nodes[:-1] ** 2 * (ratio**slope - 1) / slope
        core = np.pi * nodes[0] ** 2 * brightness[:, :1]
        enclosed = np.cumsum(np.concatenate([core, rings], axis=1), axis=1)
        return cls(nodes, brightness, slope, enclosed, enclosed[:, -1].copy())

    @classmethod
    def smooth(cls, nodes: FloatArray, log_brightness: FloatArray) -> RadialProfiles:
        """Return profiles that are cubic splines of ln(brightness) in ln(radius), through the given nodes.

        Between two nodes, five power laws take the place of the spline.
        """
        number = len(nodes)
        log_radius = np.interp(np.arange(_PARTS * (number - 1) + 1) / _PARTS, np.arange(number), np.log(nodes))
        weights = CubicSpline(np.log(nodes), np.eye(number))(log_radius)  # a spline is linear in its values
        return cls.from_nodes(np.exp(log_radius), log_brightness @ weights.T)

    def scaled(self, factor: FloatArray) -> RadialProfiles:
        """Return the profiles with their brightnesses multiplied by `factor`, (profile,)."""
        return replace(
            self,
            brightness=self.brightness * factor[:, None],
            enclosed_at_nodes=self.enclosed_at_nodes * factor[:, None],
            total=self.total * factor,
        )

    def __getitem__(self, rows: NDArray[np.integer] | BoolArray) -> RadialProfiles:
        """Return the profiles of these `rows`, at the same nodes."""
        by_profile = (self.brightness, self.slope, self.enclosed_at_nodes, self.total)
        return RadialProfiles(self.nodes, *(values[rows] for values in by_profile))

    def enclosed(self, radius: FloatArray) -> FloatArray:
        """Return the integral of each profile over the disc inside its radius. Both arrays are (profile,)."""
        profile = np.arange(len(self.total))
        ring = np.clip(np.searchsorted(self.nodes, radius, side="right") - 1, 0, len(self.nodes) - 2)
        start, slope = self.nodes[ring], self.slope[profile, ring]
        growth = 2 * np.pi * self.brightness[profile, ring] * start**2 * ((radius / start) ** slope - 1) / slope
        core = np.pi * radius**2 * self.brightness[:, 0]
        value = np.where(radius < self.nodes[0], core, self.enclosed_at_nodes[profile, ring] + growth)
        return np.asarray(np.minimum(value, self.total))

    def draw_radius(self, rng: np.random.Generator, profile: NDArray[np.integer]) -> FloatArray:
        """Return a random radius for each photon, (photon,).

        The probability density of a radius is proportional to the radius times the brightness there. `profile` holds
        the row of each photon's profile.
        """
        wanted = rng.random(len(profile)) * self.total[profile]
        ring = (self.enclosed_at_nodes[profile] <= wanted[:, None]).sum(axis=1) - 1
        core = ring < 0
        ring = np.clip(ring, 0, len(self.nodes) - 2)
        start, slope, brightness = self.nodes[ring], self.slope[profile, ring], self.brightness[profile, ring]
        excess = (wanted - self.enclosed_at_nodes[profile, ring]) * slope / (2 * np.pi * brightness * start**2)
        outer = start * np.maximum(1 + np.where(core, 0.0, excess), 1e-12) ** (1 / slope)
        inner = np.sqrt(wanted / (np.pi * self.brightness[profile, 0]))
        return np.where(core, inner, outer)
