"""Projected radial profiles made of power laws between nodes: exact integrals and exact random radii."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clustermass.arrays import FloatArray


@dataclass(frozen=True)
class RadialProfiles:
    """Surface brightness profiles, flat inside the first node, power laws between nodes, zero beyond a cut.

    Attributes
    ----------
    nodes
        Radii, shape (node,).
    brightness
        Surface brightness at the nodes, shape (profile, node).
    slope
        Exponent of r of the growth curve, 2 + d ln(brightness) / d ln(r), shape (profile, node - 1).
    enclosed_at_nodes
        Integral of the brightness over the disc inside each node, shape (profile, node).
    total
        Integral at which the profile is cut, shape (profile,).
    """

    nodes: FloatArray
    brightness: FloatArray
    slope: FloatArray
    enclosed_at_nodes: FloatArray
    total: FloatArray

    @classmethod
    def from_nodes(cls, nodes: FloatArray, log_brightness: FloatArray) -> "RadialProfiles":
        """Build profiles from ln(brightness), shape (profile, node), at `nodes`."""
        slope = 2 + np.diff(log_brightness, axis=1) / np.diff(np.log(nodes))
        # A slope of exactly 0 would need a logarithm; next to it the power law is the same to rounding.
        slope = np.where(np.abs(slope) < 1e-6, 1e-6, slope)
        brightness = np.exp(log_brightness)
        ratio = nodes[1:] / nodes[:-1]
        rings = 2 * np.pi * brightness[:, :-1] * nodes[:-1] ** 2 * (ratio**slope - 1) / slope
        core = np.pi * nodes[0] ** 2 * brightness[:, :1]
        enclosed = np.cumsum(np.concatenate([core, rings], axis=1), axis=1)
        return cls(nodes, brightness, slope, enclosed, enclosed[:, -1].copy())

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> "RadialProfiles":
        """Return the profiles of `rows`."""
        return RadialProfiles(
            self.nodes, self.brightness[rows], self.slope[rows], self.enclosed_at_nodes[rows], self.total[rows]
        )

    def limited(self, total: FloatArray) -> "RadialProfiles":
        """Return the profiles cut where their integral reaches `total`, shape (profile,)."""
        lower = np.minimum(self.total, total)
        return RadialProfiles(self.nodes, self.brightness, self.slope, self.enclosed_at_nodes, lower)

    def enclosed(self, radius: FloatArray) -> FloatArray:
        """Integral of each profile over the disc inside its `radius`, shape (profile,); radii inside the nodes."""
        profile = np.arange(len(self.total))
        ring = np.clip(np.searchsorted(self.nodes, radius, side="right") - 1, 0, len(self.nodes) - 2)
        start, slope = self.nodes[ring], self.slope[profile, ring]
        growth = 2 * np.pi * self.brightness[profile, ring] * start**2 * ((radius / start) ** slope - 1) / slope
        core = np.pi * radius**2 * self.brightness[:, 0]
        value = np.where(radius < self.nodes[0], core, self.enclosed_at_nodes[profile, ring] + growth)
        return np.asarray(np.minimum(value, self.total))

    def draw_radius(self, rng: np.random.Generator, profile: NDArray[np.integer]) -> FloatArray:
        """Draw one radius for each entry of `profile` (row numbers), distributed as the brightness over the disc."""
        wanted = rng.random(len(profile)) * self.total[profile]
        ring = (self.enclosed_at_nodes[profile] <= wanted[:, None]).sum(axis=1) - 1
        core = ring < 0
        ring = np.clip(ring, 0, len(self.nodes) - 2)
        start, slope, brightness = self.nodes[ring], self.slope[profile, ring], self.brightness[profile, ring]
        excess = (wanted - self.enclosed_at_nodes[profile, ring]) * slope / (2 * np.pi * brightness * start**2)
        outer = start * np.maximum(1 + np.where(core, 0.0, excess), 1e-12) ** (1 / slope)
        inner = np.sqrt(wanted / (np.pi * self.brightness[profile, 0]))
        return np.where(core, inner, outer)
