"""Constants that bring images, redshifts and masses to zero mean and unit variance, from the training set only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clustermass.networks.side_inputs import side_inputs, widths
from clustermass.progress import LOGGER


@dataclass(frozen=True)
class Standardisation:
    """Means and standard deviations: images per band, side inputs per input, log10 M500c.

    Where all values agree the standard deviation is taken as 1, so that nothing is divided by zero.
    """

    image_mean: list[float]
    image_sd: list[float]
    side_names: list[str]
    side_mean: list[float]
    side_sd: list[float]
    mass_mean: float
    mass_sd: float

    @classmethod
    def of(
        cls,
        images: np.ndarray,
        redshift: np.ndarray,
        facts: Mapping[str, np.ndarray],
        log10_m500c: np.ndarray,
        side_names: Sequence[str],
    ) -> "Standardisation":
        """Constants of a training set: images (sample, y, x, band), redshift, facts and mass (sample,)."""
        names = list(side_names)
        image_mean, image_sd = _moments(images)
        side_mean, side_sd = _moments(side_inputs(redshift, facts, names))
        (mass_mean,), (mass_sd,) = _moments(np.asarray(log10_m500c)[:, None])
        return cls(image_mean, image_sd, names, side_mean, side_sd, mass_mean, mass_sd)

    def images(self, images: np.ndarray) -> np.ndarray:
        """Standardise images (sample, y, x, band), as float32."""
        mean, sd = np.asarray(self.image_mean, np.float32), np.asarray(self.image_sd, np.float32)
        scaled = np.subtract(images, mean, out=np.empty(images.shape, np.float32))
        scaled /= sd
        return scaled

    def side(self, redshift: np.ndarray, facts: Mapping[str, np.ndarray]) -> np.ndarray:
        """Standardised side inputs (..., input) float32 of redshifts (...) and `facts`; see `side_inputs`.

        Where measured inputs are among them, a last column says with 1 that they are known; where they aren't, or
        weren't of any training cluster, they and that column are 0.
        """
        inputs = side_inputs(redshift, facts, self.side_names)
        standard = (inputs - self.side_mean) / np.where(self.side_sd, self.side_sd, np.nan)
        needed, measured = widths(self.side_names)
        if measured:
            known = np.isfinite(standard[..., needed:]).all(axis=-1, keepdims=True)
            told = np.where(known, standard[..., needed:], 0)
            standard = np.concatenate([standard[..., :needed], told, known], axis=-1)
        return standard.astype(np.float32)

    def predicted(
        self, mean: np.ndarray, variance: np.ndarray, residual_sd: float | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Predicted log10 M500c and its sigma in dex from those of the standardised mass.

        Sigma is `residual_sd` of every cluster, unless that is None.
        """
        sigma = self.mass_sd * np.sqrt(variance) if residual_sd is None else np.full(mean.shape, residual_sd)
        return self.mass_mean + self.mass_sd * mean, sigma

    def mass(self, log10_m500c: np.ndarray) -> np.ndarray:
        """Standardised log10 M500c, float32."""
        return ((log10_m500c - self.mass_mean) / self.mass_sd).astype(np.float32)


def _moments(columns: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each column (..., column), in float64 and one at a time to spare memory.

    Of its known (finite) values; a column without any has 0 and 0.
    """
    each = [_moment(columns[..., number].astype(np.float64)) for number in range(columns.shape[-1])]
    return [mean for mean, _ in each], [sd for _, sd in each]


def _moment(values: np.ndarray) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    if not known.size:
        LOGGER.warning("no training cluster has the measured side inputs: the networks are trained without them")
        return 0.0, 0.0
    return float(known.mean()), float(known.std()) if known.min() < known.max() else 1.0
