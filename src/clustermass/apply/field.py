"""Masses of a user's field by a trained ensemble: the steps of the workflow, one after the other, without Snakemake."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from clustermass.apply.catalogue import CataloguePaths, Columns
from clustermass.apply.masses import AppliedEnsemble
from clustermass.config import models, sky_models
from clustermass.config.bands import in_kev
from clustermass.config.validate import check_block
from clustermass.ensemble.aggregate import read_cosmology
from clustermass.ensemble.ensemble import Ensemble
from clustermass.errors import InputError
from clustermass.events.eventlist import ALL_MODULES, named_modules
from clustermass.events.read import ORDER
from clustermass.images.cutouts import cut_in_parts, photons_of
from clustermass.images.exposure import ExposureMap
from clustermass.images.preprocessing import preprocessed
from clustermass.ingest.user_field import ingest_field
from clustermass.io.files import check_present
from clustermass.io.fits import check_file
from clustermass.io.log import LOGGER, log_of_result, logs_beside
from clustermass.io.products import FieldFiles
from clustermass.io.provenance import provenance

if TYPE_CHECKING:
    from clustermass.config.models import Cosmology, Events, Images
    from clustermass.config.sky_models import Sky
    from clustermass.images.preprocessing import Recipe
    from clustermass.network.predict import TrainedNetwork

REALIZATION = "01"
#: the cut-outs take all events, because `ingest_field` has selected them already
OWN_EVENTS: Events = {"flag_mask": "auto", "pattern": 15, "modules": [*ALL_MODULES]}


def masses_of_field(
    events: Sequence[Path],
    catalogue: Path,
    ensemble: Path,
    output: Path,
    exposure: Sequence[Path] = (),
    exposure_s: float | None = None,
    columns: Mapping[str, str] | None = None,
    catalogue_bands: Sequence[int] | None = None,
    acronym: str = "eFEDS",
    overwrite: bool = False,
    log: bool = False,
    mass_prior: str = "training",
) -> None:
    """Write the mass catalogue of one field as `output` (FITS) and beside it as .vot, .ecsv and .nc.

    Images are cut and preprocessed like the training images of the ensemble. InputError if there is no trained
    ensemble, an input is missing or faulty, or a file to write exists already and `overwrite` is False.

    Parameters
    ----------
    events
        Event lists of the field, eSASS or SIXTE, or images of it in the energy bands of the networks.
    catalogue, columns, catalogue_bands
        Table with at least a position (ICRS) and a redshift for each cluster; map from our column names to the table's,
        where they differ; edges in eV of the table's energy bands, if it has several.
    ensemble
        Folder of a finished experiment (`ensemble.nc`, `calibration.json`, `domain.nc` and `members/*.safetensors`), or
        that ensemble packed into a file by `Ensemble.save`.
    exposure, exposure_s
        Vignetting-corrected exposure maps in s, or one exposure in s for all clusters. Without either, the exposure is
        found as `clustermass.ingest.field_exposure.field_exposure` describes.
    acronym, overwrite, log
        Acronym of the survey in the column NAME; whether to replace existing files; whether to log to a file beside
        `output`.
    mass_prior
        `training`, or `flat` to add the columns LOGM500_FLAT* (see `clustermass.apply.mass_prior`).
    """
    inputs = [*events, catalogue, *exposure]
    check_present([*inputs, ensemble])
    for path in filter(Path.is_dir, inputs):
        check_file(path, ORDER)
    with Ensemble.load(ensemble) as trained:
        used = trained.named().values() if ensemble.is_dir() else [ensemble]
        logs = logs_beside(output)[:1] if log else ()
        check_outputs([*CataloguePaths.beside(output), *logs], overwrite, [*inputs, *used])
        files = {"events": [str(path) for path in events], "catalogue": str(catalogue), "exposure_s": exposure_s}
        files["exposure"] = [str(path) for path in exposure]
        # the keys of a sky with `source: files`
        sky = {"observed": True, "realizations": {REALIZATION: files}, "catalogue_columns": columns or {}}
        sky |= {"catalogue_bands": catalogue_bands}
        settings = {"catalogue_columns": columns or {}, "catalogue_bands": catalogue_bands, "exposure_s": exposure_s}
        with log_of_result(output, "masses") if log else nullcontext():
            applied = AppliedEnsemble.read(trained, "cpu", mass_prior)  # faults are reported before minutes of work
            made_by = provenance("masses", {**settings, "mass_prior": mass_prior}, [*inputs, *used])
            _masses(applied, cast("Sky", sky), output, acronym, read_cosmology(trained.ensemble), made_by)


def check_settings(network: TrainedNetwork, path: Path) -> None:
    """Raise InputError unless the settings in a network's file `path` are allowed in a configuration."""
    events = network.cutting.get("events")
    events = {"modules": [*ALL_MODULES], **events} if isinstance(events, dict) else events
    blocks: tuple[tuple[str, Any, Any], ...] = (
        ("cutting.images", network.cutting.get("images"), models.Images),
        ("cutting.events", events, models.Events),
        ("network", network.network, models.Network),
        ("recipe", network.recipe, models.Recipe),
    )
    for name, block, kind in blocks:
        check_block(block, kind, f"{path}: {name}")
    recipe: dict[str, Any] = {**network.preprocessing}
    if (cosmology := recipe.pop("cosmology", None)) is not None:
        check_block(cosmology, sky_models.Distances, f"{path}: preprocessing.cosmology")
    check_block(recipe, models.Preprocessing, f"{path}: preprocessing")


def _masses(
    applied: AppliedEnsemble, sky: Sky, output: Path, acronym: str, cosmology: Cosmology, made_by: Mapping[str, Any]
) -> None:
    """Convert the field and write its mass catalogue; only a part of the images is in memory at a time."""
    first = applied.network
    check_settings(first, applied.trained.weights[0])
    images: Images = {**first.cutting["images"], "centre": "detected"}
    with tempfile.TemporaryDirectory(prefix="clustermass-") as folder:
        place = Path(folder)
        field = FieldFiles(place / "events.fits", place / "exposure.fits", place / "catalogue.fits")
        modules = named_modules(first.cutting["events"].get("modules", ALL_MODULES))
        LOGGER.info("the networks want images of %s in %s", modules, in_kev(first.edges_ev))
        ingest_field(sky, REALIZATION, first.cutting["events"], field, first.edges_ev)
        exposure = ExposureMap.read(field.exposure)
        parts: list[Columns] = []
        cut = (field.events, exposure, field.catalogue, images, REALIZATION, OWN_EVENTS, place)
        for part in cut_in_parts(*cut):
            smoothed, _ = preprocessed(part, cast("Recipe", first.preprocessing), "images of the field")
            smoothed["n_phot"] = "cluster", photons_of(part["counts"].values)
            smoothed["covered_fraction"] = "cluster", applied.covered(smoothed, exposure)
            if not parts:
                applied.trained.check_grid(smoothed)
            parts.append(applied.columns(smoothed, "images of the field"))
            simulated = part.attrs["simulated"]
        applied.write(parts, {REALIZATION: field.catalogue}, output, simulated, cosmology, acronym, made_by)


def check_outputs(paths: Sequence[Path], overwrite: bool, inputs: Sequence[Path] = ()) -> None:
    """Raise InputError if a file to write is also an input, is a folder, or exists while `overwrite` is False."""
    used = {path.resolve() for path in inputs}
    for path in paths:
        if path.resolve() in used:
            raise InputError(f"{path}: is an input, and would be overwritten. Name another output.")
        if path.is_dir():
            raise InputError(f"{path}: is a folder. Name a file in it.")
        if path.exists() and not overwrite:
            raise InputError(f"{path}: exists already. Name another output, or replace it with --overwrite.")
