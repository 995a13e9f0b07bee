"""Constants that bring images, redshifts and masses to zero mean and unit variance, from the training set only."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clustermass.networks.cnn import redshift_inputs


@dataclass(frozen=True)
class Standardisation:
    """Means and standard deviations: images per band, redshift inputs per input, log10 M500c.

    Where all values agree the standard deviation is taken as 1, so that nothing is divided by zero.
    """

    image_mean: list[float]
    image_sd: list[float]
    redshift_names: list[str]
    redshift_mean: list[float]
    redshift_sd: list[float]
    mass_mean: float
    mass_sd: float

    @classmethod
    def of(
        cls, images: np.ndarray, redshift: np.ndarray, log10_m500c: np.ndarray, redshift_names: Sequence[str]
    ) -> "Standardisation":
        """Constants of a training set: images (sample, y, x, band), redshift and mass (sample,)."""
        names = list(redshift_names)
        image_mean, image_sd = _moments(images)
        redshift_mean, redshift_sd = _moments(redshift_inputs(redshift, names))
        (mass_mean,), (mass_sd,) = _moments(np.asarray(log10_m500c)[:, None])
        return cls(image_mean, image_sd, names, redshift_mean, redshift_sd, mass_mean, mass_sd)

    def images(self, images: np.ndarray) -> np.ndarray:
        """Standardise images (sample, y, x, band), as float32."""
        mean, sd = np.asarray(self.image_mean, np.float32), np.asarray(self.image_sd, np.float32)
        scaled = np.subtract(images, mean, out=np.empty(images.shape, np.float32))
        scaled /= sd
        return scaled

    def redshift(self, redshift: np.ndarray) -> np.ndarray:
        """Standardised redshift inputs (..., input) float32 of redshifts (...); InputError where one isn't positive."""
        inputs = redshift_inputs(redshift, self.redshift_names)
        return ((inputs - self.redshift_mean) / self.redshift_sd).astype(np.float32)

    def mass(self, log10_m500c: np.ndarray) -> np.ndarray:
        """Standardised log10 M500c, float32."""
        return ((log10_m500c - self.mass_mean) / self.mass_sd).astype(np.float32)


def _moments(columns: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each column (..., column), in float64 and one at a time to spare memory."""
    mean, sd = [], []
    for number in range(columns.shape[-1]):
        values = columns[..., number].astype(np.float64)
        mean.append(float(values.mean()))
        sd.append(float(values.std()) if values.min() < values.max() else 1.0)
    return mean, sd
