"""What the validation set says of the uncertainties: `calibration.json`, made once and applied wherever masses are."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from math import nan
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from clustermass.ensemble.recalibration import GUARANTEE, LEVELS, Recalibration, choose, half_widths
from clustermass.errors import InputError
from clustermass.evaluate.bootstrap import groups_of
from clustermass.evaluate.coverage import calibration
from clustermass.io.files import write_json
from clustermass.io.log import LOGGER
from clustermass.io.netcdf import read_netcdf
from clustermass.io.provenance import provenance

VARIABLES = ("mu", "sigma", "log10_m500c")


@dataclass(frozen=True)
class Calibration:
    """What `calibration.json` says.

    Attributes
    ----------
    form
        Of the recalibration: none, scale or scale_and_floor.
    recalibration
        How sigma is recalibrated.
    half_width
        Half-widths of the conformal intervals in units of the ensemble's own sigma, by level in percent; NaN = the
        validation set was too small.
    number
        Validation clusters.
    """

    form: str
    recalibration: Recalibration
    half_width: Mapping[int, float]
    number: int


def calibrate(ensemble: Path, split: Path, output: Path, recalibration: Literal["auto", "none"], seed: int) -> None:
    """Recalibrate sigma and find the conformal intervals on the validation clusters alone; write `calibration.json`.

    Nothing of the test set reaches the file, not even through a hash of `ensemble`.

    Parameters
    ----------
    ensemble
        `ensemble.nc`.
    split
        The sky's split, for the groups.
    output
        `calibration.json`: `n_val`, `recalibration` (see `recalibration.choose`), `conformal` (`guarantee`, and
        `levels` as `conformal.half_widths` gives them), `validation` (raw and recalibrated; the very clusters that
        were fitted), `provenance`.
    recalibration
        `none` leaves sigma as the ensemble predicts it.
    seed
        Root of the cross-validation's random numbers.

    Raises
    ------
    InputError
        A file is missing, damaged or lacks a variable, or a prediction isn't finite.
    """
    val = validation_clusters(ensemble, split)
    mu, sigma, truth = (val[name].values.astype(float) for name in VARIABLES)
    residual = mu - truth
    chosen = _recalibration(recalibration, residual, sigma, val["group"].values, seed)
    applied = Recalibration(chosen["scale"], chosen["floor_dex"]).sigma(sigma)
    content = {
        "n_val": int(residual.size),
        "recalibration": {"asked": recalibration, **chosen},
        "conformal": {"guarantee": GUARANTEE, "levels": half_widths(residual, sigma)},
        "validation": {"raw": calibration(mu, sigma, truth), "recalibrated": calibration(mu, applied, truth)},
        "provenance": provenance(
            "calibrate", {"recalibration": recalibration}, seed=seed, validation_sha256=digest_of(val)
        ),
    }
    LOGGER.info(
        "calibrate: %d validation clusters; sigma' = hypot(%.4f sigma, %.4f dex)",
        residual.size,
        chosen["scale"],
        chosen["floor_dex"],
    )
    write_json(content, output)


def read_calibration(path: Path) -> Calibration:
    """Read `calibration.json`.

    Raises
    ------
    InputError
        The file is missing or isn't one of `calibrate`.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        chosen, levels = content["recalibration"], content["conformal"]["levels"]
        widths = {level: levels[str(level)]["half_width"] for level in LEVELS}
        return Calibration(
            form=str(chosen["form"]),
            recalibration=Recalibration(float(chosen["scale"]), float(chosen["floor_dex"])),
            half_width={level: nan if width is None else float(width) for level, width in widths.items()},
            number=int(content["n_val"]),
        )
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file. It holds how the ensemble's uncertainties are calibrated: copy the whole folder of "
            "the experiment, or run the workflow again, which makes it from ensemble.nc in seconds."
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: no readable calibration ({error!r}). Delete it and run again.") from error


def validation_clusters(ensemble: Path, split: Path) -> xr.Dataset:
    """Read the validation clusters of `ensemble.nc`, and no other, with their `group` from the sky's split.

    Raises
    ------
    InputError
        A file is missing, damaged or lacks a variable, or a prediction isn't finite.
    """
    table = read_netcdf(ensemble, (*VARIABLES, "split"))
    val = table.isel(cluster=table["split"].values.astype(str) == "val")
    for name in VARIABLES:
        if not np.isfinite(val[name].values).all():
            raise InputError(f"{ensemble}: {name} holds numbers that aren't finite. Delete the file and run again.")
    return val.assign(group=("cluster", groups_of(val["cluster"].values.astype(str), split)))


def _recalibration(
    asked: str, residual: NDArray[np.float64], sigma: NDArray[np.float64], group: NDArray[np.str_], seed: int
) -> dict[str, Any]:
    if asked == "none":
        reason = "ensemble.recalibration is none."
        return {"form": "none", **asdict(Recalibration()), "reason": reason, "forms": {}}
    return choose(residual, sigma, group, seed)


def digest_of(val: xr.Dataset) -> str:
    """Return a SHA-256 of the validation clusters' ids and numbers."""
    digest = sha256("\n".join(val["cluster"].values.astype(str)).encode())
    for name in VARIABLES:
        digest.update(np.ascontiguousarray(val[name].values, dtype="<f8").tobytes())
    return digest.hexdigest()
