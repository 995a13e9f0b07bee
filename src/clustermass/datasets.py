"""Every file between two steps passes through here: written atomically, checked on reading.

A file is written under a temporary name in its own folder and renamed when it is whole, so that a kill or a full disk
never leaves half a file under the final name. Nothing that depends on the clock is written: the same content gives the
same bytes.
"""

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from astropy.io import fits

from clustermass.errors import InputError

CONVENTIONS = "CF-1.11"

#: units (udunits; "1" = dimensionless) and meaning of every variable that the pipeline writes to netCDF
VARIABLES: dict[str, tuple[str, str]] = {
    "counts": ("count", "photons in the pixel and energy band"),
    "image": ("1", "image as the network sees it before standardisation"),
    "cluster": ("1", "cluster id: realization and ID_SRC of the detection"),
    "band": ("keV", "centre of the energy band"),
    "band_bounds": ("keV", "edges of the energy band"),
    "x": ("arcsec", "offset from the image centre, growing to the West"),
    "y": ("arcsec", "offset from the image centre, growing to the North"),
    "ra": ("degree", "right ascension of the image centre, ICRS"),
    "dec": ("degree", "declination of the image centre, ICRS"),
    "redshift": ("1", "redshift from the catalogue"),
    "redshift_err": ("1", "standard error of the redshift; 0 = spectroscopic"),
    "det_like": ("1", "detection likelihood, DET_LIKE of eSASS"),
    "ext_like": ("1", "extent likelihood, EXT_LIKE of eSASS"),
    "ext": ("arcsec", "extent (core radius of the beta model), EXT of eSASS"),
    "ml_rate": ("count s-1", "fitted count rate, 0.2-2.3 keV, ML_RATE of eSASS"),
    "ml_cts": ("count", "fitted counts, 0.2-2.3 keV, ML_CTS of eSASS"),
    "ml_bkg": ("count arcmin-2", "background at the source, 0.2-2.3 keV, ML_BKG of eSASS"),
    "exposure_s": ("s", "mean vignetting-corrected exposure in the image box"),
    "covered_fraction": ("1", "fraction of the image box that was exposed"),
    "realization": ("1", "realization of the sky that the cluster lies in"),
    "log10_m500c": ("1", "log10(M500c / Msun), the truth; NaN = no halo matches the detection"),
    "halo_id": ("1", "identity of the halo; -1 = none"),
    "split": ("1", "subset: train, val or test"),
    "group": ("1", "clusters that share a halo or photons, never divided between subsets"),
    "mu": ("1", "predicted log10(M500c / Msun)"),
    "sigma": ("1", "predicted standard deviation of log10(M500c / Msun)"),
    "sigma_aleatoric": ("1", "root mean square of the members' sigma"),
    "sigma_epistemic": ("1", "standard deviation of the members' mu"),
    "member_mu": ("1", "mu of each ensemble member"),
    "member_sigma": ("1", "sigma of each ensemble member"),
    "member": ("1", "ensemble member"),
    "sigma_calibrated": ("1", "sigma, recalibrated on the validation set"),
    "probability": ("1", "cumulative probability"),
    "quantile": ("1", "value of log10(M500c / Msun) below which this probability of the recalibrated mixture lies"),
    "pit": ("1", "cumulative probability of the recalibrated mixture at the truth"),
    "level": ("percent", "probability with which conformal intervals hold the truth, at least"),
    "conformal_low": ("1", "lower end of the conformal interval of log10(M500c / Msun)"),
    "conformal_high": ("1", "upper end of the conformal interval of log10(M500c / Msun)"),
    "epoch": ("1", "training epoch, from 1"),
    "train_loss": ("1", "mean negative log-likelihood of the training set during the epoch"),
    "val_loss": ("1", "mean negative log-likelihood of the validation set after the epoch"),
    "learning_rate": ("1", "learning rate at the end of the epoch"),
    "predictor": ("1", "name of the predictor"),
    "isolated": ("1", "1 = no comparably bright simulated neighbour within 5 arcmin, 0 = one, -1 = not known"),
    "id_src": ("1", "number of the detection in its catalogue"),
    "name": ("1", "name by position, truncated as the IAU asks; SIM = simulated"),
    "z": ("1", "redshift; NaN = none, and so no mass"),
    "z_err": ("1", "standard error of the redshift; 0 = spectroscopic"),
    "logm500": ("1", "log10(M500c / Msun), no h: mean of the ensemble"),
    "logm500_err": ("1", "total standard error of LOGM500, dex"),
    "logm500_err_aleatoric": ("1", "part of LOGM500_ERR predicted by the networks, dex"),
    "logm500_err_epistemic": ("1", "part of LOGM500_ERR by which the networks differ, dex"),
    "logm500_err_z": ("1", "part of LOGM500_ERR from the redshift's error, dex"),
    "logm500_q16": ("1", "16th percentile of log10(M500c / Msun)"),
    "logm500_q50": ("1", "median of log10(M500c / Msun)"),
    "logm500_q84": ("1", "84th percentile of log10(M500c / Msun)"),
    "logm500_conf68_lo": ("1", "lower end of the conformal 68 % interval of log10(M500c / Msun)"),
    "logm500_conf68_hi": ("1", "upper end of the conformal 68 % interval of log10(M500c / Msun)"),
    "logm500_conf90_lo": ("1", "lower end of the conformal 90 % interval of log10(M500c / Msun)"),
    "logm500_conf90_hi": ("1", "upper end of the conformal 90 % interval of log10(M500c / Msun)"),
    "logm500_conf95_lo": ("1", "lower end of the conformal 95 % interval of log10(M500c / Msun)"),
    "logm500_conf95_hi": ("1", "upper end of the conformal 95 % interval of log10(M500c / Msun)"),
    "n_member": ("1", "number of networks in the ensemble"),
    "n_phot": ("count", "photons in the image box, all bands"),
    "exposure": ("s", "mean vignetting-corrected exposure in the image box"),
    "flag_range": ("1", "outside the training sample: 1 z + 2 ML_CTS (if known) + 4 exposure + 8 mass"),
    "flag_ood": ("1", "1 = networks disagree more than for 99 % of validation"),
    "flag_edge": ("1", "1 = less than 95 % of the image box was exposed; no mass if none was"),
    "flag_noz": ("1", "1 = no usable redshift, and so no mass"),
    "logm500_ref": ("1", "published log10(M500c / Msun), for comparison"),
    "logm500_ref_err": ("1", "standard error of LOGM500_REF, dex"),
}


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` on success, remove it on any failure."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=f".part{path.suffix}", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_netcdf(dataset: xr.Dataset, path: str | Path, title: str, provenance: Mapping[str, Any]) -> None:
    """Write `dataset` atomically as compressed netCDF-4, one chunk a cluster, with units and long names.

    Parameters
    ----------
    dataset
        Every variable must be listed in `VARIABLES` (KeyError otherwise: name it there first).
    path
        Final name of the file.
    title
        One sentence for the global attribute `title`.
    provenance
        What `clustermass.provenance.provenance` returns; stored as global attributes.
    """
    described = dataset.copy()
    encoding: dict[str, dict[str, Any]] = {}
    for name in map(str, described.variables):
        units, meaning = VARIABLES[name]
        variable = described[name]
        variable.attrs = {"long_name": meaning, **({"units": units} if variable.dtype.kind not in "SUO" else {})}
        encoding[name] = _encoding(variable)
    if "band_bounds" in described.variables:
        described["band"].attrs["bounds"] = "band_bounds"
    described.attrs = {"Conventions": CONVENTIONS, "title": title, **_attributes(provenance)}
    with atomic(path) as temporary:
        described.to_netcdf(temporary, engine="netcdf4", format="NETCDF4", encoding=encoding)


def _encoding(variable: xr.DataArray) -> dict[str, Any]:
    if variable.dtype.kind in "SUO":
        return {}
    if variable.ndim < 2 or variable.size == 0:
        return {"_FillValue": None}
    chunks = (1, *variable.shape[1:]) if variable.dims[0] == "cluster" else variable.shape
    return {"zlib": True, "complevel": 1, "shuffle": True, "chunksizes": chunks, "_FillValue": None}


def _attributes(provenance: Mapping[str, Any]) -> dict[str, str]:
    return {k: v if isinstance(v, str) else json.dumps(v, sort_keys=True) for k, v in provenance.items()}


def read_netcdf(path: str | Path, require: Iterable[str] = ()) -> xr.Dataset:
    """Load a whole netCDF file of the pipeline into memory and close it.

    Raises
    ------
    InputError
        The file is missing, is no netCDF or lacks a variable in `require`.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file. Run the workflow again; it makes what is missing.")
    try:
        with xr.open_dataset(path, engine="netcdf4") as dataset:
            loaded = dataset.load()
    except (OSError, ValueError, RuntimeError, AttributeError) as error:
        raise InputError(f"{path}: not a readable netCDF file ({error}). Delete it and run again.") from error
    missing = [name for name in require if name not in loaded.variables]
    if missing:
        raise InputError(f"{path}: lacks the variable(s) {', '.join(missing)}. Delete it and run again.")
    return loaded


def write_fits(hdus: fits.HDUList, path: str | Path) -> None:
    """Write an HDU list atomically, with CHECKSUM-free, clock-free headers (the same content gives the same bytes)."""
    with atomic(path) as temporary:
        hdus.writeto(temporary, overwrite=True, output_verify="exception")


def write_json(content: Mapping[str, Any], path: str | Path) -> None:
    """Write `content` atomically as indented JSON; NaN is refused (ValueError)."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False, default=_plain) + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} can't be written to JSON")
