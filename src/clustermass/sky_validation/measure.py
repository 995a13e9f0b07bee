"""All realizations of a sky, one after the other, into one small file: what table and figure are made from."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from clustermass.errors import InputError
from clustermass.io.files import atomic
from clustermass.io.log import LOGGER, track
from clustermass.io.netcdf import CONVENTIONS, read_netcdf
from clustermass.io.provenance import provenance
from clustermass.sky_validation.realization import FLUX, RATE, Realization, RealizationFiles, measure_realization

#: units and meaning of every variable of measured.nc
VARIABLES = {
    "flux": ("erg s-1 cm-2", "limit of the flux inside R500c, 0.5-2 keV, unabsorbed"),
    "rate": ("count s-1", "limit of ML_RATE, 0.2-2.3 keV"),
    "area": ("degree2", "solid angle with exposure"),
    "exposed": ("ks arcmin2", "integral of the vignetting-corrected exposure"),
    "events": ("count", "events of the list"),
    "photons": ("count", "events in 0.2-2.3 keV"),
    "accounted": ("count", "background and fitted counts of all detections, 0.2-2.3 keV"),
    "haloes": ("1", "simulated haloes with exposure"),
    "detected": ("1", "haloes that a detection is matched to"),
    "points_5": ("1", "point sources with DET_LIKE >= 5"),
    "points_6": ("1", "point sources with DET_LIKE >= 6"),
    "haloes_above": ("1", "haloes above the flux"),
    "detected_above": ("1", "haloes above the flux that a detection is matched to"),
    "selected_above": ("1", "haloes above the flux that are selected"),
    "points_above": ("1", "point sources with DET_LIKE >= 6 above the count rate"),
    "field": ("1", "realization of the candidate, from 0"),
    "det_like": ("1", "DET_LIKE"),
    "ext_like": ("1", "EXT_LIKE"),
    "ext": ("arcsec", "EXT"),
    "ml_rate": ("count s-1", "ML_RATE, 0.2-2.3 keV"),
    "ml_cts": ("count", "ML_CTS, 0.2-2.3 keV"),
    "ml_exp": ("s", "ML_EXP"),
    "ml_bkg": ("count arcmin-2", "ML_BKG, 0.2-2.3 keV"),
    "redshift": ("1", "true redshift of the candidate's halo; NaN = it has none"),
    "log10_m500c": ("1", "true log10(M500c / Msun) of the halo"),
    "l500": ("erg s-1", "true luminosity of the halo inside R500c, 0.5-2 keV rest frame"),
    "flux_true": ("erg s-1 cm-2", "true flux of the halo inside R500c, 0.5-2 keV"),
}


def measure(realizations: Sequence[RealizationFiles]) -> xr.Dataset:
    """Measure every realization of one sky.

    Returns
    -------
    Dataset
        `VARIABLES`: numbers (realization,), cumulative ones (realization, flux) and (realization, rate), extended
        candidates (candidate,) of all realizations one after the other, numbered by `field`.

    Raises
    ------
    InputError
        There is no realization, they are of different skies, or a file is wrong (`measure_realization`).
    """
    if not realizations:
        raise InputError("validation: no realization is given. Set realizations of the sky to 1 or more.")
    measured = [measure_realization(files) for files in track(realizations, "validation, realizations")]
    hashes = [one.config_hash for one in measured]
    for files, one in zip(realizations, hashes, strict=True):
        if one != hashes[0]:
            raise InputError(
                f"{files.catalogue}: made with another configuration (CFGHASH {one}) than {realizations[0].catalogue} "
                f"({hashes[0]}). Delete the older realizations and run again."
            )
    data = _join(measured)
    spurious = int(np.isnan(data["redshift"]).sum())
    LOGGER.info(
        "validation: %d realizations, %d extended candidates, %d of them no halo",
        len(measured), data.sizes["candidate"], spurious,
    )  # fmt: skip
    return data.assign_attrs(sky_config_hash=hashes[0])


def _join(measured: Sequence[Realization]) -> xr.Dataset:
    first = measured[0]
    numbers = {name: ("realization", np.array([one.numbers[name] for one in measured])) for name in first.numbers}
    above = {
        name: (("realization", "flux"), np.stack([one.above_flux[name] for one in measured]))
        for name in first.above_flux
    }
    columns = {
        name: ("candidate", np.concatenate([one.candidates[name] for one in measured])) for name in first.candidates
    }
    sizes = [len(one.candidates["det_like"]) for one in measured]
    return xr.Dataset(
        {
            **numbers,
            **above,
            "points_above": (("realization", "rate"), np.stack([one.points_above for one in measured])),
            "field": ("candidate", np.repeat(np.arange(len(measured)), sizes)),
            **columns,
        },
        {"flux": FLUX, "rate": RATE},
    )


def write_measured(data: xr.Dataset, realizations: Sequence[RealizationFiles], path: Path) -> None:
    """Write what `measure` returns as netCDF; the same inputs give the same bytes.

    The catalogues, truths and matches are named in it by their SHA-256, the large event lists are not.
    """
    inputs = [file for files in realizations for file in (files.catalogue, files.truth, files.matches)]
    made_by = provenance("validate_sky", {"sky_config_hash": data.attrs["sky_config_hash"]}, inputs)
    described = data.assign_attrs(
        Conventions=CONVENTIONS,
        title="Measurements on simulated fields, for their comparison with published numbers",
        **{key: value if isinstance(value, str) else json.dumps(value) for key, value in made_by.items()},
    )
    for name in map(str, described.variables):
        units, meaning = VARIABLES[name]
        described[name].attrs = {"units": units, "long_name": meaning}
    with atomic(path) as temporary:
        encoding = {name: {"_FillValue": None} for name in map(str, described.variables)}
        described.to_netcdf(temporary, engine="netcdf4", format="NETCDF4", encoding=encoding)


def read_measured(path: Path) -> xr.Dataset:
    """Read what `write_measured` wrote; InputError where it is missing, damaged or lacks a variable."""
    return read_netcdf(path, require=VARIABLES)
