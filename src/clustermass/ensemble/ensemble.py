"""A trained ensemble: load it, predict masses, take posteriors, save it to one file."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from scipy.special import ndtr
from scipy.stats import norm

from clustermass.ensemble.aggregate import mixture_quantile
from clustermass.ensemble.calibration import read_calibration
from clustermass.errors import InputError
from clustermass.io.netcdf import read_netcdf
from clustermass.io.provenance import config_hash, file_sha256

if TYPE_CHECKING:
    from clustermass.arrays import FloatArray

ENSEMBLE, CALIBRATION, DOMAIN, MEMBERS = "ensemble.nc", "calibration.json", "domain.nc", "members"


@dataclass(frozen=True)
class Posterior:
    """Posterior of a cluster's log10(M500c / Msun): an equal mixture of Gaussians, one a network.

    p(y) = mean_i N(y; mu_i, sigma_i), with `mu` and `sigma` of shape (member,), dex.
    """

    mu: FloatArray
    sigma: FloatArray

    def pdf(self, value: FloatArray) -> FloatArray:
        """Return the probability density per dex at log10 masses of any shape."""
        return np.asarray(norm.pdf(np.asarray(value)[..., None], self.mu, self.sigma).mean(axis=-1))

    def cdf(self, value: FloatArray) -> FloatArray:
        """Return the probability of a smaller log10 mass than `value`, of any shape."""
        return np.asarray(ndtr((np.asarray(value)[..., None] - self.mu) / self.sigma).mean(axis=-1))

    def quantile(self, probability: float) -> float:
        """Return the log10 mass below which the mass lies with a probability."""
        return float(mixture_quantile(probability, self.mu[:, None], self.sigma[:, None])[0])

    def sample(self, number: int, rng: np.random.Generator) -> FloatArray:
        """Draw log10 masses, (number,)."""
        member = rng.integers(self.mu.size, size=number)
        return rng.normal(self.mu[member], self.sigma[member])


@dataclass(frozen=True)
class Ensemble:
    """A trained ensemble, by its files.

    Attributes
    ----------
    ensemble, calibration, domain
        `ensemble.nc`, `calibration.json` and `domain.nc`.
    weights
        The members' safetensors, in their order.
    """

    ensemble: Path
    calibration: Path
    domain: Path
    weights: tuple[Path, ...]
    _unpacked: Path | None = field(default=None, repr=False, compare=False)

    @classmethod
    def load(cls, path: Path) -> Ensemble:
        """Open an experiment's folder, or a packed ensemble, whose files are unpacked for as long as the object lives.

        Raises
        ------
        InputError
            See `from_folder` and `clustermass.ensemble.pack.unpack`.
        """
        if path.is_dir():
            return cls.from_folder(path)
        from clustermass.ensemble.pack import unpack

        folder = Path(tempfile.mkdtemp(prefix="clustermass-ensemble-"))
        try:
            unpack(path, folder)
            found = replace(cls.from_folder(folder), _unpacked=folder)
        except BaseException:
            shutil.rmtree(folder)
            raise
        weakref.finalize(found, shutil.rmtree, folder, ignore_errors=True)
        return found

    def __enter__(self) -> Self:
        """Return the ensemble itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the unpacked files, if there are any."""
        if self._unpacked:
            shutil.rmtree(self._unpacked)

    @classmethod
    def from_folder(cls, folder: Path) -> Ensemble:
        """Return the ensemble in an experiment's folder: the very networks that `ensemble.nc` joins.

        The folder may hold other networks, of an earlier, larger run.

        Raises
        ------
        InputError
            `ensemble.nc` or the weights of a member are missing.
        """
        ensemble = folder / ENSEMBLE
        if not ensemble.is_file():
            raise InputError(
                f"{folder}: no trained ensemble there (ensemble.nc, members/). Name results/<run>/<experiment>."
            )
        members = read_netcdf(ensemble, ("member",))["member"].values.astype(str).tolist()
        weights = tuple(folder / MEMBERS / f"{member}.safetensors" for member in members)
        missing = [path for path in weights if not path.is_file()]
        if missing:
            raise InputError(
                f"{missing[0]}: no such file, though ensemble.nc was made from it ({len(missing)} of {len(weights)} "
                "such files are missing). Copy the whole folder of the experiment, or run the workflow again."
            )
        return cls(ensemble, folder / CALIBRATION, folder / DOMAIN, weights)

    def predict(
        self,
        image: np.ndarray,
        redshift: np.ndarray,
        redshift_err: np.ndarray | None = None,
        measurements: Mapping[str, np.ndarray] | None = None,
        device: str = "auto",
    ) -> dict[str, np.ndarray]:
        """Predict log10 M500c with every member; see `clustermass.ensemble.inference.predict`."""
        from clustermass.ensemble.inference import predict

        return predict(self.weights, image, redshift, redshift_err, measurements, device)

    def posterior(self, cluster: str) -> Posterior:
        """Return the recalibrated posterior of a cluster of `ensemble.nc`, by its id.

        Raises
        ------
        InputError
            There is no such cluster, or a file is missing or damaged.
        """
        table = read_netcdf(self.ensemble, ("member_mu", "member_sigma"))
        row = np.flatnonzero(table["cluster"].values.astype(str) == cluster)
        if not row.size:
            raise InputError(f"{self.ensemble}: holds no cluster {cluster!r}.")
        mu, sigma = (table[name].values[:, row] for name in ("member_mu", "member_sigma"))
        return self.posteriors(mu, sigma)[0]

    def posteriors(self, mu: FloatArray, sigma: FloatArray) -> list[Posterior]:
        """Return the recalibrated posterior of each cluster from predictions (member, cluster) of `predict`."""
        centre, width = read_calibration(self.calibration).recalibration.components(mu, sigma)
        return [Posterior(*both) for both in zip(centre.T, width.T, strict=True)]

    def save(self, path: Path) -> str:
        """Write the ensemble as one file; return the 16 hexadecimal digits that name it.

        Raises
        ------
        InputError
            See `clustermass.ensemble.pack.pack_ensemble`.
        """
        from clustermass.ensemble.pack import pack_ensemble

        return pack_ensemble(self, path)

    def named(self) -> dict[str, Path]:
        """Return the files by their names within an experiment's folder."""
        members = {f"{MEMBERS}/{path.name}": path for path in self.weights}
        return {ENSEMBLE: self.ensemble, CALIBRATION: self.calibration, DOMAIN: self.domain, **members}

    def sha256(self) -> dict[str, str]:
        """Return the SHA-256 of each file, by its name as in `named`."""
        return {name: file_sha256(path) for name, path in self.named().items()}

    def digest(self) -> str:
        """Return 16 hexadecimal digits that name the ensemble, wherever its files lie."""
        return config_hash(self.sha256())
