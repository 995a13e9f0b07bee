"""Masses of a user's field from a trained ensemble: the steps of the workflow in sequence, without Snakemake."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import xarray as xr
from astropy.table import Table

from clustermass.apply.card_data import MOST_CLUSTERS, card_images, cards_beside, network_images
from clustermass.apply.catalogue import CataloguePaths, Columns
from clustermass.apply.masses import AppliedEnsemble
from clustermass.config.bands import in_kev
from clustermass.ensemble.aggregate import read_cosmology
from clustermass.ensemble.ensemble import Ensemble
from clustermass.errors import InputError
from clustermass.events.eventlist import ALL_MODULES, named_modules
from clustermass.events.read import ORDER
from clustermass.images.cutouts import cut_in_parts, photons_of
from clustermass.images.exposure import ExposureMap
from clustermass.images.moc import write_moc
from clustermass.images.preprocessing import preprocessed
from clustermass.ingest.user_field import ingest_field
from clustermass.io.files import check_path, check_present
from clustermass.io.fits import check_file
from clustermass.io.hdf5 import check_encoding
from clustermass.io.log import LOGGER, abridged, log_of_result, logs_beside, renamed
from clustermass.io.products import FieldFiles
from clustermass.io.provenance import provenance
from clustermass.network.settings import check_applicable

if TYPE_CHECKING:
    from clustermass.config.bands import BandsKey
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
) -> Table:
    """Write the mass catalogue of a field in four formats, and return it as a table.

    The FITS file is `output`. Files beside it have the endings .vot, .ecsv and .nc (the same catalogue), .reg (regions
    for DS9) and .moc.fits (coverage of the field). If the field has at most `MOST_CLUSTERS` clusters, there is also
    .cards.nc (pictures and numbers for the page of the field). Cards and page of an earlier catalogue are removed.

    Images are cut and preprocessed like the training images of the ensemble. InputError if there is no trained
    ensemble, if an input is missing or faulty, or if `overwrite` is False and a file to write exists already.

    Parameters
    ----------
    events
        Event lists of the field from eSASS or SIXTE, or images of the field in the energy bands of the networks.
    catalogue, columns, catalogue_bands
        `catalogue` is a table with at least a position (ICRS) and a redshift for each cluster. `columns` maps our
        column names to those of the table, where the two differ. `catalogue_bands` are the edges of the table's energy
        bands in eV. They are needed only if the table has several bands.
    ensemble
        Folder of a finished experiment (`ensemble.nc`, `calibration.json`, `domain.nc` and `members/*.safetensors`), or
        a file with an ensemble that `Ensemble.save` packed.
    exposure, exposure_s
        Vignetting-corrected exposure maps in s, or one exposure in s for all clusters. Without either, the exposure is
        found as `clustermass.ingest.field_exposure.field_exposure` describes.
    acronym, overwrite, log
        `acronym` is the survey's acronym in the column NAME. `overwrite` says whether existing files are replaced.
        `log` says whether a log file is written beside `output`.
    mass_prior
        `flat` adds the columns LOGM500_FLAT* (see `clustermass.apply.mass_prior`). `training` doesn't add them.
    """
    if not (acronym.strip() and acronym.isascii() and acronym.isprintable()):
        raise InputError(f"acronym: is {acronym!r}, but must be printable ASCII, as FITS wants it.")
    inputs = [*events, catalogue, *exposure]
    check_present([*inputs, ensemble])
    check_encoding(output)
    for path in filter(Path.is_dir, inputs):
        check_file(path, ORDER)
    with Ensemble.load(ensemble) as trained, trained.packed_file_named():
        used = trained.named().values() if ensemble.is_dir() else [ensemble]
        logs = logs_beside(output)[:1] if log else ()
        written = [*CataloguePaths.beside(output), *_pictures(output), *logs]
        check_outputs(written, overwrite, [*inputs, *used])
        sky = sky_of_files(events, catalogue, exposure, exposure_s, columns, catalogue_bands)
        settings = {"catalogue_columns": columns or {}, "catalogue_bands": catalogue_bands, "exposure_s": exposure_s}
        with log_of_result(output, "masses") if log else nullcontext():
            applied = AppliedEnsemble.read(trained, "cpu", mass_prior)  # faults are reported before minutes of work
            made_by = provenance("masses", {**settings, "mass_prior": mass_prior}, [*inputs, *used])
            return _masses(applied, sky, output, acronym, read_cosmology(trained.ensemble), made_by)


def sky_of_files(
    events: Sequence[Path],
    catalogue: Path,
    exposure: Sequence[Path] = (),
    exposure_s: float | None = None,
    columns: Mapping[str, str] | None = None,
    catalogue_bands: Sequence[int] | None = None,
) -> Sky:
    """Return the configuration of an observed sky with the given files. `masses_of_field` describes the arguments."""
    files = {"events": [*map(str, events)], "catalogue": str(catalogue), "exposure_s": exposure_s}
    files["exposure"] = [*map(str, exposure)]
    sky = {"observed": True, "realizations": {REALIZATION: files}, "catalogue_columns": columns or {}}
    return cast("Sky", sky | {"catalogue_bands": catalogue_bands})


@contextmanager
def folder_for(sky: Sky) -> Iterator[Path]:
    """Yield a temporary folder for the converted field of a sky (see `sky_of_files`).

    Log lines and InputErrors of the `with` block name the user's files in place of the converted ones.
    """
    given = cast("Mapping[str, Any]", sky["realizations"])[REALIZATION]
    with tempfile.TemporaryDirectory(prefix="clustermass-") as name:
        converted = _converted(Path(name))
        own = {
            converted.events: f"{abridged(given['events'] or ['events'])}, converted",
            converted.exposure: abridged(given["exposure"] or ["exposure"]),
            converted.catalogue: given["catalogue"],
        }
        with renamed({str(path): text for path, text in own.items()} | {f"{name}/": ""}):
            yield Path(name)


def _converted(folder: Path) -> FieldFiles:
    return FieldFiles(folder / "events.fits", folder / "exposure.fits", folder / "catalogue.fits")


class CutField(NamedTuple):
    """The catalogue, exposure map and images of a user's field.

    `parts` yields the images in parts. Each part is cut when it is asked for, so that only one part is in memory.
    """

    catalogue: Path  #: `catalogue.fits` of the field
    exposure: ExposureMap
    parts: Iterator[xr.Dataset]  #: what `clustermass.images.cutouts.cut_in_parts` yields


def cut_field(
    sky: Sky, images: Images, events_block: Events, edges_ev: BandsKey, folder: Path, with_redshift: bool = True
) -> CutField:
    """Convert the field of a sky, write it to `folder`, and return the converted field with its images.

    `folder` is a result of `folder_for`. `images` and `events_block` are blocks of the configuration. `edges_ev` are
    the edges of the energy bands in eV. If the user gives images instead of event lists, the images must have these
    bands. If `with_redshift` is False, the redshifts in the catalogue aren't read. InputError if a file is missing or
    faulty.
    """
    field = _converted(folder)
    ingest_field(sky, REALIZATION, events_block, field, edges_ev, with_redshift)
    exposure = ExposureMap.read(field.exposure)
    parts = cut_in_parts(field.events, exposure, field.catalogue, images, REALIZATION, OWN_EVENTS, folder)
    return CutField(field.catalogue, exposure, parts)


def cut_for(network: TrainedNetwork, path: Path, sky: Sky, folder: Path, with_redshift: bool = True) -> CutField:
    """Return a field with its images, which are cut like the training images of `network`; see `cut_field`.

    `path` is the file of the network. InputError in the cases of `check_applicable` and `cut_field`.
    """
    check_applicable(network, path)
    cutting = network.cutting
    modules = named_modules(cutting["events"].get("modules", ALL_MODULES))
    LOGGER.info("the networks want images of %s in %s", modules, in_kev(network.edges_ev))
    images: Images = {**cutting["images"], "centre": "detected"}
    return cut_field(sky, images, cutting["events"], network.edges_ev, folder, with_redshift)


def _masses(
    applied: AppliedEnsemble, sky: Sky, output: Path, acronym: str, cosmology: Cosmology, made_by: Mapping[str, Any]
) -> Table:
    """Convert the field and write its mass catalogue. Return the catalogue."""
    with folder_for(sky) as folder:
        field = cut_for(applied.network, applied.trained.weights[0], sky, folder)
        columns, pictures, number = list[Columns](), list[xr.Dataset](), 0
        for part in field.parts:
            number += part.sizes["cluster"]
            smoothed, _ = preprocessed(part, cast("Recipe", applied.network.preprocessing), "images of the field")
            smoothed["n_phot"] = "cluster", photons_of(part["counts"].values)
            smoothed["covered_fraction"] = "cluster", applied.covered(smoothed, field.exposure)
            if not columns:
                applied.trained.check_grid(smoothed)
            columns.append(applied.columns(smoothed, "images of the field"))
            if number <= MOST_CLUSTERS:
                pictures.append(card_images(part, field.exposure).merge(network_images(smoothed)))
            simulated = part.attrs["simulated"]
        catalogues = {REALIZATION: field.catalogue}
        for path in _pictures(output):  # an interruption would leave old pictures beside the new catalogue
            path.unlink(missing_ok=True)
        table = applied.write(columns, pictures, catalogues, output, simulated, cosmology, acronym, made_by)
        write_moc([field.exposure], CataloguePaths.beside(output).moc, made_by)
        return table


def _pictures(output: Path) -> tuple[Path, Path]:
    """Return the paths of the data of the cards and of the page, which lie beside the mass catalogue `output`."""
    return cards_beside(output), output.with_suffix(".html")


def check_outputs(paths: Sequence[Path], overwrite: bool, inputs: Sequence[Path] = ()) -> None:
    """Raise InputError if a file to write is an input or a folder, or if it exists and `overwrite` is False.

    InputError also if the path of a file is impossible, for instance because it is too long.
    """
    used = {os.path.realpath(path) for path in inputs}  # `Path.resolve` fails for a link to itself
    for path in paths:
        check_path(path)
        if os.path.realpath(path) in used:
            raise InputError(f"{path}: is an input, and would be overwritten. Name another output.")
        if path.is_dir():
            raise InputError(f"{path}: is a folder. Name a file in it.")
        if path.exists() and not overwrite:
            remedy = "Name another output, or replace it with --overwrite (in Python: overwrite=True)."
            raise InputError(f"{path}: exists already. {remedy}")
