"""Constants that bring images, redshifts and masses to zero mean and unit variance, from the training set only."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clustermass.networks.cnn import side_inputs


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
        exposure_s: np.ndarray | None,
        log10_m500c: np.ndarray,
        side_names: Sequence[str],
    ) -> "Standardisation":
        """Constants of a training set: images (sample, y, x, band), redshift, exposure and mass (sample,)."""
        names = list(side_names)
        image_mean, image_sd = _moments(images)
        side_mean, side_sd = _moments(side_inputs(redshift, exposure_s, names))
        (mass_mean,), (mass_sd,) = _moments(np.asarray(log10_m500c)[:, None])
        return cls(image_mean, image_sd, names, side_mean, side_sd, mass_mean, mass_sd)

    def images(self, images: np.ndarray) -> np.ndarray:
        """Standardise images (sample, y, x, band), as float32."""
        mean, sd = np.asarray(self.image_mean, np.float32), np.asarray(self.image_sd, np.float32)
        scaled = np.subtract(images, mean, out=np.empty(images.shape, np.float32))
        scaled /= sd
        return scaled

    def side(self, redshift: np.ndarray, exposure_s: np.ndarray | None) -> np.ndarray:
        """Standardised side inputs (..., input) float32 of redshifts (...) and exposures in s; see `side_inputs`."""
        inputs = side_inputs(redshift, exposure_s, self.side_names)
        return ((inputs - self.side_mean) / self.side_sd).astype(np.float32)

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
