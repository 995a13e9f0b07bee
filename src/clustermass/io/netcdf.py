"""Writing and reading of the pipeline's netCDF files, with units and descriptions of all variables (`VARIABLES`)."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from clustermass.errors import InputError
from clustermass.io.files import atomic, reason, seal_of
from clustermass.io.hdf5 import check_encoding, check_hdf5
from clustermass.io.provenance import texts
from clustermass.io.room import check_memory

#: units (udunits; "1" = dimensionless) and meaning of every variable that the pipeline writes
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
    "ext": ("arcsec", "extent (core radius of the beta model), EXT of eSASS; NaN = not known"),
    "ml_rate": ("count s-1", "fitted count rate, 0.2-2.3 keV, ML_RATE of eSASS; NaN = not known"),
    "ml_cts": ("count", "fitted counts, 0.2-2.3 keV, ML_CTS of eSASS; NaN = not known"),
    "ml_bkg": ("count arcmin-2", "background at the source, 0.2-2.3 keV, ML_BKG of eSASS"),
    "exposure_s": ("s", "mean vignetting-corrected exposure in the image box"),
    "covered_fraction": ("1", "fraction of the image box that was exposed"),
    "nh": ("cm-2", "measured column density of hydrogen towards the cluster"),
    "universe": ("1", "number of the universe: clusters of one universe have the same parameters of the physics"),
    "parameter": ("1", "name of an uncertain parameter of the physics: its key in the sky's configuration"),
    "phi": ("1", "value of the parameter, in its own unit"),
    "phi_mean": ("1", "mean of the parameter's prior, in its own unit"),
    "phi_sd": ("1", "standard deviation of the parameter's prior, in its own unit"),
    "phi_uniform": ("1", "1 = the parameter's prior is uniform, 0 = it is normal"),
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
    "colour_counts": ("count", "photons in the pixel, added up in groups of energy bands"),
    "exposed": ("1", "1 = the pixel was exposed, 0 = it wasn't"),
    "colour_bounds": ("keV", "edges of the group of energy bands"),
    "score": ("1", "normal score of the quantity among training clusters alike in redshift, exposure and brightness"),
    "given": ("1", "normal score of the quantity among training clusters alike in all other quantities"),
    "network_image": ("1", "image as the networks see it, before standardisation"),
    "network_band": ("keV", "centre of the energy band of network_image"),
    "network_x": ("arcsec", "offset of the pixel's centre in network_image, growing to the West"),
    "network_y": ("arcsec", "offset of the pixel's centre in network_image, growing to the North"),
    "seen_arcsec": ("arcsec", "half the side, or the radius, of the sky in the networks' image"),
    "rate_mass": ("1", "log10(M500c / Msun) by a relation between count rate and mass"),
    "rate_mass_err": ("1", "standard error of rate_mass"),
    "near_x": ("arcsec", "offset of another detection from the cluster, growing to the West"),
    "near_y": ("arcsec", "offset of another detection from the cluster, growing to the North"),
    "near_cts": ("count", "fitted counts of the other detection, 0.2-2.3 keV"),
    "near_ext_like": ("1", "extent likelihood of the other detection; 0 = a point source"),
    "epoch": ("1", "training epoch, from 1"),
    "train_loss": ("1", "mean negative log-likelihood of the training set during the epoch"),
    "val_loss": ("1", "mean negative log-likelihood of the validation set after the epoch"),
    "learning_rate": ("1", "learning rate at the end of the epoch"),
    "predictor": ("1", "name of the predictor"),
    "contaminated": ("1", "1 = the matched halo sent less than half of the fitted counts, 0 = more, -1 = not known"),
    "isolated": ("1", "1 = no comparably bright simulated neighbour within 5 arcmin, 0 = one, -1 = not known"),
    "id_src": ("1", "number of the detection in its catalogue"),
    "name": ("1", "name by position, truncated as the IAU asks; SIM = simulated"),
    "id_cat": ("1", "id in the user's table, where ID_SRC is the number of its row"),
    "name_cat": ("1", "name in the user's table"),
    "z": ("1", "redshift; NaN = none, and so no mass"),
    "z_err": ("1", "standard error of the redshift; 0 = spectroscopic"),
    "logm500": ("dex", "log10(M500c / Msun), no h: mean of the ensemble"),
    "logm500_err": ("dex", "total standard error of LOGM500, dex"),
    "logm500_err_aleatoric": ("dex", "part of LOGM500_ERR predicted by the networks, dex"),
    "logm500_err_epistemic": ("dex", "part of LOGM500_ERR by which the networks differ, dex"),
    "logm500_q16": ("dex", "16th percentile of log10(M500c / Msun)"),
    "logm500_q50": ("dex", "median of log10(M500c / Msun)"),
    "logm500_q84": ("dex", "84th percentile of log10(M500c / Msun)"),
    "logm500_conf68_lo": ("dex", "lower end of the conformal 68 % interval of log10(M500c / Msun)"),
    "logm500_conf68_hi": ("dex", "upper end of the conformal 68 % interval of log10(M500c / Msun)"),
    "logm500_conf90_lo": ("dex", "lower end of the conformal 90 % interval of log10(M500c / Msun)"),
    "logm500_conf90_hi": ("dex", "upper end of the conformal 90 % interval of log10(M500c / Msun)"),
    "logm500_conf95_lo": ("dex", "lower end of the conformal 95 % interval of log10(M500c / Msun)"),
    "logm500_conf95_hi": ("dex", "upper end of the conformal 95 % interval of log10(M500c / Msun)"),
    "logm500_err_sys": ("dex", "error of LOGM500 by the uncertain physics, common to all clusters, dex"),
    "logm500_err_prior": ("dex", "LOGM500_ERR averaged over the prior of the physics, dex"),
    "logm500_marg": ("dex", "log10(M500c / Msun), averaged over the prior of the physics"),
    "logm500_marg_err": ("dex", "total standard error of LOGM500_MARG, uncertain physics included, dex"),
    "phi0": ("1", "value of the parameter of the physics for which LOGM500 is, in its own unit"),
    "phi_cov": ("1", "covariance of the parameters of the physics, in their own units"),
    "other_parameter": ("1", "name of an uncertain parameter of the physics"),
    "m500": ("solMass", "M500c, Msun: 10 to the power of LOGM500"),
    "m500_q16": ("solMass", "16th percentile of M500c, Msun"),
    "m500_q84": ("solMass", "84th percentile of M500c, Msun"),
    "r500c": ("kpc", "proper radius R500c of a cluster of mass LOGM500, in the cosmology of the header"),
    "r500c_arcmin": ("arcmin", "angle of R500C on the sky, in the cosmology of the header"),
    "n_member": ("1", "number of networks in the ensemble"),
    "n_phot": ("count", "photons in the image box, all bands"),
    "exposure": ("s", "mean vignetting-corrected exposure in the image box"),
    "exp_from": ("1", "origin of the exposure: map, given, ML_EXP, good time (of one pointing) or none"),
    "neighbour_sep": ("arcsec", "distance of the brightest other detection within 5 arcmin; NaN = none"),
    "neighbour_cts": ("count", "ML_CTS of that detection; NaN = none, or not known"),
    "good": ("1", "1 = there is a mass, and FLAG_RANGE, _OOD, _EDGE and _NOCAT are 0"),
    "flag_range": ("1", "outside the training sample: 1 z + 2 ML_CTS (if known) + 4 exposure + 8 mass"),
    "flag_edge": ("1", "1 = less than 95 % of what the networks see was exposed; no mass below 70 %"),
    "flag_noz": ("1", "1 = no usable redshift, and so no mass"),
    "logm500_ref": ("dex", "published log10(M500c / Msun), for comparison"),
    "logm500_ref_err": ("dex", "standard error of LOGM500_REF, dex"),
    "quantity": ("1", "what was measured of a cluster"),
    "other_quantity": ("1", "what was measured of a cluster"),
    "term": ("1", "term of the polynomial in the covariates"),
    "covariate": ("1", "quantity that the expected quantities depend on"),
    "knot": ("1", "normal score"),
    "component": ("1", "component of the mixture"),
    "covariate_centre": ("1", "mean of the covariate over the training clusters"),
    "covariate_width": ("1", "its standard deviation"),
    "coefficient": ("1", "coefficients of the expected quantity"),
    "log_scale": ("1", "coefficients of the natural logarithm of the scatter about it"),
    "knot_value": ("1", "deviation over scatter at the normal scores `knot`, of the training clusters"),
    "weight": ("1", "share of a component in the mixture"),
    "mean": ("1", "mean normal scores of a component"),
    "covariance": ("1", "covariance of the normal scores in a component"),
    "validation": ("1", "normal scores of the validation clusters; NaN = not known"),
    "ood_p": ("1", "(1 + validation clusters at least as unlike the training ones) / (1 + all of them)"),
    "ood_why": ("1", "flagged clusters: the quantity that stands out most"),
    "flag_ood": ("1", "1 = unlike the training clusters: OOD_P is 0.01 or less"),
    "logm500_err_z": ("dex", "part of LOGM500_ERR from Z_ERR beyond that of training, dex"),
    "flag_nocat": ("1", "1 = no count rate, extent or background, which networks take"),
    "logm500_flat": ("dex", "log10(M500c / Msun) for a flat prior in log10 M500c, not the training sample's"),
    "logm500_flat_err": ("dex", "standard deviation of log10(M500c / Msun) for the flat prior, dex"),
    "logm500_flat_q16": ("dex", "16th percentile of log10(M500c / Msun) for the flat prior"),
    "logm500_flat_q50": ("dex", "median of log10(M500c / Msun) for the flat prior"),
    "logm500_flat_q84": ("dex", "84th percentile of log10(M500c / Msun) for the flat prior"),
}
#: dict from units in `VARIABLES` that udunits, and therefore CF, doesn't know to the units that are written instead
_CF_UNITS = {"dex": "1", "solMass": "1.98841e30 kg"}


def write_netcdf(
    dataset: xr.Dataset,
    path: str | Path,
    title: str,
    provenance: Mapping[str, Any],
    variables: Mapping[str, tuple[str, str]] = VARIABLES,
) -> None:
    """Write `dataset` atomically as compressed netCDF-4. Every variable gets a unit and a long name.

    Each cluster is stored in a chunk of its own. `variables` maps the name of every variable to its unit and its
    description; KeyError if a variable is missing there. `title` is a sentence. `provenance`, the result of
    `io.provenance.provenance`, becomes global attributes. InputError if netCDF can't open `path` (`check_encoding`).
    """
    check_encoding(Path(path))
    described = dataset.copy()
    encoding: dict[str, dict[str, Any]] = {}
    for name in map(str, described.variables):
        units, meaning = variables[name]
        variable = described[name]
        variable.attrs = {"long_name": meaning}
        if variable.dtype.kind not in "SUO":
            variable.attrs["units"] = _CF_UNITS.get(units, units)
            encoding[name] = _encoding(variable)
    if "band_bounds" in described.variables:
        described["band"].attrs["bounds"] = "band_bounds"
    described.attrs = {"Conventions": "CF-1.11", "title": title, **texts(provenance)}
    with atomic(path) as temporary:
        described.to_netcdf(temporary, engine="netcdf4", format="NETCDF4", encoding=encoding)
        with temporary.open("ab") as stream:
            stream.write(seal_of(temporary))


def _encoding(variable: xr.DataArray) -> dict[str, Any]:
    if variable.ndim < 2 or variable.size == 0:
        return {"_FillValue": None}
    chunks = (1, *variable.shape[1:]) if variable.dims[0] == "cluster" else variable.shape
    return {"zlib": True, "complevel": 1, "shuffle": True, "chunksizes": chunks, "_FillValue": None}


@contextmanager
def opened_netcdf(path: str | Path) -> Iterator[xr.Dataset]:
    """Open a netCDF file of the pipeline for a `with` block; each variable is read when it is used.

    InputError if the file is missing, isn't as `write_netcdf` makes it (see `check_hdf5`), or is too large for memory.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file. Run the workflow again; it makes what is missing.")
    try:
        check_memory(check_hdf5(path), path)
        # a path beginning with ~ would be that of a home folder for xarray
        with xr.open_dataset(path.absolute(), engine="netcdf4", decode_times=False, decode_timedelta=False) as dataset:
            yield dataset
    except InputError:
        raise
    except (OSError, ValueError, TypeError, RuntimeError, LookupError, AttributeError, MemoryError) as error:
        raise InputError(f"{path}: not a readable netCDF file ({reason(error)}). Delete it and run again.") from error


def read_netcdf(path: str | Path, require: Iterable[str] = ()) -> xr.Dataset:
    """Return the content of a netCDF file of the pipeline, read into memory.

    InputError in the cases of `opened_netcdf`, and if the file lacks a variable in `require`.
    """
    with opened_netcdf(path) as dataset:
        loaded = dataset.load()
    missing = [name for name in require if name not in loaded.variables]
    if missing:
        raise InputError(f"{path}: lacks the variable(s) {', '.join(missing)}. Delete it and run again.")
    return loaded


def json_attribute(attributes: Mapping[str, Any], name: str, path: object) -> dict[str, Any]:
    """Return the block of keys that the attribute `name` of a file holds as JSON, or {} if the attribute is missing.

    `attributes` are all attributes of the file `path`. InputError if the attribute isn't a block of keys in JSON.
    """
    try:
        return dict(json.loads(attributes.get(name, "{}")))
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: no readable attribute {name} ({reason(error)}). Delete it and run again.") from error


def check_finite(data: xr.Dataset, names: Iterable[str], path: object) -> None:
    """Raise InputError if a variable in `names` holds NaN or infinity. `data` were read from the file `path`."""
    for name in names:
        if not np.isfinite(data[name].values).all():
            raise InputError(f"{path}: {name} holds numbers that aren't finite. Delete the file and run again.")
