"""The files of a trained ensemble: all that masses of new clusters need."""

from dataclasses import dataclass
from pathlib import Path

from clustermass.errors import InputError
from clustermass.io.netcdf import read_netcdf
from clustermass.io.provenance import config_hash, file_sha256

ENSEMBLE, CALIBRATION, DOMAIN, MEMBERS = "ensemble.nc", "calibration.json", "domain.nc", "members"


@dataclass(frozen=True)
class Trained:
    """Where the files of a trained ensemble lie.

    Attributes
    ----------
    ensemble
        `ensemble.nc`.
    calibration
        `calibration.json`.
    domain
        `domain.nc`.
    weights
        The members' safetensors, in their order.
    """

    ensemble: Path
    calibration: Path
    domain: Path
    weights: tuple[Path, ...]

    @classmethod
    def in_folder(cls, folder: Path) -> "Trained":
        """Files of an experiment's folder: the very networks that `ensemble.nc` joins.

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

    def named(self) -> dict[str, Path]:
        """Files by their names within an experiment's folder."""
        members = {f"{MEMBERS}/{path.name}": path for path in self.weights}
        return {ENSEMBLE: self.ensemble, CALIBRATION: self.calibration, DOMAIN: self.domain, **members}

    def sha256(self) -> dict[str, str]:
        """SHA-256 of each file, by its name as in `named`."""
        return {name: file_sha256(path) for name, path in self.named().items()}

    def digest(self) -> str:
        """16 hexadecimal digits that name the ensemble, wherever its files lie."""
        return config_hash(self.sha256())
