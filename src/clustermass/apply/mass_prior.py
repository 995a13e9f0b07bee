"""Masses for a flat prior. The predictions are divided by the mass distribution of the training sample."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from scipy.stats import norm

from clustermass.arrays import FloatArray
from clustermass.errors import InputError
from clustermass.io.files import reading
from clustermass.io.netcdf import read_netcdf
from clustermass.io.products import MASSES

#: columns of the mass catalogue that are written only with `observed.mass_prior: flat`
FLAT = tuple(column.name for column in MASSES if column.name.startswith("LOGM500_FLAT"))
#: degrees of the polynomials in ln z for mean and spread of the training masses (docs/explanation/decisions.md)
MEAN_DEGREE, SPREAD_DEGREE = 3, 2
#: with fewer training clusters no distribution is fitted
MIN_CLUSTERS = 50
#: the spread at any redshift is at least this share of the spread of the whole sample, and at least this many dex
LEAST_SPREAD, LEAST_SPREAD_DEX = 0.2, 0.01
#: the divisor is at least this share of the density's maximum at the same redshift, because the density is unknown
#: where training had hardly any cluster
FLOOR = 0.01
#: number of points at which the shape is tabulated, and number of points of each cluster's mass grid
SHAPE_POINTS, GRID_POINTS = 2048, 1024
#: the mass grid extends this many standard deviations beyond the means of the components. The division can raise the
#: tails by a factor of up to 1 / FLOOR, and they still end inside the grid
REACH_SIGMA = 7.0
PROBABILITIES = (0.16, 0.50, 0.84)


@dataclass(frozen=True)
class MassPrior:
    """Mass distribution p(m | z) of the training clusters, where m = log10(M500c / Msun).

    p(m | z) = f((m - mean(z)) / spread(z)) / spread(z). The mean and the spread are polynomials in ln z. The shape f is
    the same at all redshifts.
    """

    mean: FloatArray  #: coefficients of a polynomial in ln z, dex, highest power first
    spread: FloatArray  #: the same for the spread
    least_spread: float  #: dex
    log_redshift: tuple[float, float]  #: lowest and highest ln z in training, which replace lower and higher values
    places: FloatArray  #: standardised mass (mass - mean) / spread, (point,)
    shape: FloatArray  #: density f at `places`, (point,)

    @classmethod
    def fit(cls, mass: FloatArray, redshift: FloatArray) -> Self:
        """Return the distribution fitted to training clusters.

        `mass` is the true log10(M500c / Msun), and `redshift` is the input of the networks. Both are finite and have
        the shape (cluster,). The shape f is a Gaussian kernel density estimate with Silverman's bandwidth.
        """
        log_z = np.log(redshift)
        distinct = np.unique(log_z).size
        mean = np.polyfit(log_z, mass, min(MEAN_DEGREE, distinct - 1))
        residual = mass - np.polyval(mean, log_z)
        # the mean absolute residual of a Gaussian is sqrt(2 / pi) of its standard deviation
        spread = np.sqrt(np.pi / 2) * np.polyfit(log_z, np.abs(residual), min(SPREAD_DEGREE, distinct - 1))
        ends = float(log_z.min()), float(log_z.max())
        least = max(LEAST_SPREAD * float(residual.std()), LEAST_SPREAD_DEX)
        standard = residual / np.maximum(np.polyval(spread, log_z), least)
        width = 1.06 * max(float(standard.std()), LEAST_SPREAD) * standard.size**-0.2
        places = np.linspace(standard.min() - 6 * width, standard.max() + 6 * width, SHAPE_POINTS)
        shape = np.zeros(SHAPE_POINTS)
        for each in standard:
            shape += norm.pdf(places, each, width) / standard.size
        return cls(mean, spread, least, ends, places, shape)

    def density(self, mass: FloatArray, redshift: float) -> FloatArray:
        """Return the density p(m | z) of training masses per dex, (point,), at log10 masses `mass` and one redshift."""
        mean, spread = self._scale(redshift)
        shape = np.interp((mass - mean) / spread, self.places, self.shape, left=0.0, right=0.0)
        return np.asarray(shape / spread, dtype=float)

    def divisor(self, mass: FloatArray, redshift: float) -> FloatArray:
        """Return p(m | z) like `density`. Values below `FLOOR` times the largest p(m | z) are raised to that limit."""
        highest = float(self.shape.max()) / self._scale(redshift)[1]
        return np.maximum(self.density(mass, redshift), FLOOR * highest)

    def _scale(self, redshift: float) -> tuple[float, float]:
        """Return mean and spread of the training masses at a redshift, in dex."""
        log_z = np.clip(np.log(redshift), *self.log_redshift)
        return float(np.polyval(self.mean, log_z)), max(float(np.polyval(self.spread, log_z)), self.least_spread)


def read_mass_prior(ensemble: Path) -> MassPrior:
    """Return the mass distribution of the training clusters in `ensemble.nc`, fitted by `MassPrior.fit`.

    InputError if the file is missing, lacks a variable or has fewer than `MIN_CLUSTERS` training clusters with a mass.
    InputError also if the clusters had weights in training that depend on their masses. The networks then learned
    another distribution than that of the clusters.
    """
    table = read_netcdf(ensemble, ("split", "log10_m500c", "redshift"))
    if "weighting" in table.attrs:
        raise InputError(
            f"{ensemble}: the networks were trained on weighted clusters ({table.attrs['weighting']}): the "
            "distribution to divide out is unknown. Ask for the mass prior training, or name an ensemble without "
            "weighting."
        )
    with reading(ensemble, "training clusters"):
        mass, redshift = (table[name].values.astype(float) for name in ("log10_m500c", "redshift"))
        train = (table["split"].values.astype(str) == "train") & np.isfinite(mass) & (redshift > 0)
        mass, redshift = mass[train], redshift[train]
    if train.sum() < MIN_CLUSTERS:
        raise InputError(
            f"{ensemble}: {int(train.sum())} training clusters with a mass are too few for their mass distribution "
            f"({MIN_CLUSTERS} needed). Set observed.mass_prior to training (on the command line: --mass-prior "
            "training; in Python: mass_prior='training'), or train on more clusters."
        )
    with reading(ensemble, "training clusters"):
        return MassPrior.fit(mass, redshift)


def flat_columns(
    centre: FloatArray, width: FloatArray, redshift: FloatArray, prior: MassPrior
) -> dict[str, FloatArray]:
    """Return the columns `FLAT`: mean, standard deviation and quantiles for a flat prior in log10 M500c, (cluster,).

    The networks predict p(m | image, z), which is proportional to p(image | m, z) * p(m | z, training). The prediction
    is divided by the second factor (`MassPrior.divisor`) and normalised again. The result is proportional to the
    likelihood p(image | m, z) of a cluster that was selected like the training clusters.

    Each predicted distribution is a sum of Gaussians with the means `centre` and the standard deviations `width` (dex),
    both (member, cluster). `redshift` is positive and has the shape (cluster,).
    """
    rows = [_flat(mu, sigma, z, prior) for mu, sigma, z in zip(centre.T, width.T, redshift.tolist(), strict=True)]
    return dict(zip(FLAT, np.array(rows, dtype=float).reshape(-1, len(FLAT)).T, strict=True))


def _flat(mu: FloatArray, sigma: FloatArray, redshift: float, prior: MassPrior) -> list[float]:
    """Return the values of `flat_columns` for one cluster with the Gaussian components `mu` and `sigma`, (member,)."""
    reach = REACH_SIGMA * sigma
    grid = np.linspace((mu - reach).min(), (mu + reach).max(), GRID_POINTS)
    predicted = norm.pdf(grid[:, None], mu, sigma).mean(axis=1)
    density = predicted / prior.divisor(grid, redshift)
    share = density / density.sum()
    mean = float(share @ grid)
    below = np.cumsum(share) - share / 2  # half of a grid point's share lies below it
    quantiles = [float(np.interp(probability, below, grid)) for probability in PROBABILITIES]
    return [mean, float(np.sqrt(share @ (grid - mean) ** 2)), *quantiles]
