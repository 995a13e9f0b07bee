"""Masses of a user's field by a trained ensemble, without the workflow: the same steps, one after the other."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clustermass.datasets import read_netcdf
from clustermass.errors import InputError
from clustermass.evaluation.calibrate import read_calibration
from clustermass.images.extraction import extract_images
from clustermass.images.preprocessing import preprocess
from clustermass.ingest import ingest_field
from clustermass.networks.weights import load_weights
from clustermass.observed.masses import infer_observed

REALIZATION = "01"
OWN_EVENTS = {"flag_mask": "auto", "pattern": 15}  # the events were selected when they were taken in


def masses_of_field(
    events: Sequence[Path],
    catalogue: Path,
    experiment: Path,
    output: Path,
    exposure: Path | None = None,
    exposure_s: float | None = None,
    columns: Mapping[str, str] | None = None,
    acronym: str = "eFEDS",
) -> None:
    """Write the mass catalogue of one field as `output` (FITS) and beside it as .ecsv and .nc.

    Images are cut and preprocessed just as those that the ensemble was trained on.

    Parameters
    ----------
    events
        Event lists of the field, eSASS or SIXTE.
    catalogue
        Table with at least an id, a position in deg (ICRS) and a redshift for each cluster.
    experiment
        Folder of a finished experiment: `ensemble.nc`, `calibration.json` and `members/*.safetensors`.
    output
        Path that ends in .fits.
    exposure, exposure_s
        Vignetting-corrected exposure map in s, or the exposure of a flat one; None, see
        `clustermass.ingest.ingest_field`.
    columns
        The catalogue's column names where they differ (ours: theirs).
    acronym
        Begins the NAME of each cluster.

    Raises
    ------
    InputError
        The folder holds no trained ensemble, or an input is missing or faulty.
    """
    weights = _weights(experiment)
    read_calibration(experiment / "calibration.json")  # told before minutes of work, not after
    _check_files([*events, catalogue, *([exposure] if exposure else [])])
    trained = load_weights(weights[0])
    cutting, recipe = trained.cutting, trained.preprocessing
    files: dict[str, Any] = {"events": [str(path) for path in events], "catalogue": str(catalogue)}
    files |= {"exposure_s": exposure_s}
    files |= {"exposure": str(exposure)} if exposure else {}
    sky = {"observed": True, "realizations": {REALIZATION: files}, "catalogue_columns": dict(columns or {})}
    with tempfile.TemporaryDirectory(prefix="clustermass-") as folder:
        place = Path(folder)
        field = {name: place / f"{name}.fits" for name in ("events", "exposure", "catalogue")}
        ingest_field(sky, REALIZATION, cutting["events"], **field)
        images = {**cutting["images"], "centre": "detected"}
        extract_images(
            **field, output=place / "images.nc", images=images, realization=REALIZATION, events_block=OWN_EVENTS
        )
        preprocess(place / "images.nc", place / "smoothed.nc", recipe)
        infer_observed(
            images=[place / "images.nc"],
            smoothed=[place / "smoothed.nc"],
            catalogues=[field["catalogue"]],
            ensemble=experiment / "ensemble.nc",
            calibration=experiment / "calibration.json",
            weights=weights,
            fits=output,
            ecsv=output.with_suffix(".ecsv"),
            netcdf=output.with_suffix(".nc"),
            simulated=False,  # unless the images say otherwise
            cosmology=_cosmology(experiment / "ensemble.nc"),
            acronym=acronym,
            device="cpu",
        )


def _weights(experiment: Path) -> list[Path]:
    """Files of the very networks that `ensemble.nc` joins: the folder may hold others, of an earlier, larger run."""
    if not (experiment / "ensemble.nc").is_file():
        raise InputError(
            f"{experiment}: no trained ensemble there (ensemble.nc, members/). Name results/<run>/<experiment>."
        )
    members = read_netcdf(experiment / "ensemble.nc", ("member",))["member"].values.astype(str).tolist()
    weights = [experiment / "members" / f"{member}.safetensors" for member in members]
    missing = [path for path in weights if not path.is_file()]
    if missing:
        raise InputError(
            f"{missing[0]}: no such file, though ensemble.nc was made from it ({len(missing)} of {len(weights)} such "
            "files are missing). Copy the whole folder of the experiment, or run the workflow again."
        )
    return weights


def _cosmology(ensemble: Path) -> dict[str, Any]:
    return dict(json.loads(read_netcdf(ensemble).attrs["cosmology"]))


def _check_files(paths: Sequence[Path]) -> None:
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise InputError(f"no such file: {', '.join(missing)}. Check the path on the command line.")
