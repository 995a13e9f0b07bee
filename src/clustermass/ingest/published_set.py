"""Conversion of the published training set (Krippendorf et al. 2023) to the files of a simulated sky."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import spearmanr

from clustermass.arrays import FloatArray
from clustermass.catalogues.formats import read_table
from clustermass.catalogues.tables import CheckedTable, find_columns, nearest
from clustermass.config.bands import band_edges
from clustermass.config.resolve import PUBLISHED_BANDS, PUBLISHED_PREPROCESSING
from clustermass.cosmology import arcmin_per_mpc, r500c_mpc
from clustermass.errors import InputError
from clustermass.images.exposure import STATED
from clustermass.images.geometry import band_coordinates
from clustermass.images.occupied import photon_coverage
from clustermass.ingest.published_images import SHAPE, read_published_images
from clustermass.io.log import LOGGER, track
from clustermass.io.netcdf import write_netcdf
from clustermass.io.products import TRUTH, write_table
from clustermass.io.provenance import provenance

if TYPE_CHECKING:
    from clustermass.config.models import Events, Images
    from clustermass.config.sky_models import Sky

_Columns: TypeAlias = Mapping[str, NDArray[Any]]
_Key: TypeAlias = tuple[int, ...]

_TITLE = "Smoothed images of the published training set of Krippendorf et al. (2023)"
#: columns that training and comparison need
_NEEDED = (
    *("SRC_ID_IN", "RA", "DEC", "z", "M500c", "EXT", "EXT_LIKE", "DET_LIKE"),
    *("ML_RATE", "ML_BKG", "ML_EXP", "Nreal"),
)
_OPTIONAL = ("ID_SRC_OUT", "input_SRC_ID", "pid", "kT", "Lx_soft", "Fx_soft", "R500c_arcmin")
#: range of log10(M500c / Msun) of groups and clusters; a mass outside it must be in other units
_MASS_RANGE = (12.0, 16.5)
_AGREE_DEX = 0.085  #: largest difference of M500c and the mass by R500c_arcmin: half the effect of a forgotten h
_MASS_UNITS = {"Msun": 0, "Msun/h": 1}  #: from `mass_unit` of the configuration to the power of h in the divisor
_LOG10_L = (38.0, 48.0)  #: range of log10 of a luminosity in erg/s; numbers inside it count as logarithms
#: dict from variables of `images.nc` to columns of the catalogue
_MEASURED = {
    "ra": "RA", "dec": "DEC", "redshift": "z", "det_like": "DET_LIKE", "ext_like": "EXT_LIKE", "ext": "EXT",
    "ml_rate": "ML_RATE", "ml_bkg": "ML_BKG", "exposure_s": "ML_EXP",
}  # fmt: skip
#: dict from columns of `truth.fits` to columns of the catalogue, which may be missing there
_TRUTH = {
    "SRC_ID": "SRC_ID_IN", "HALO_ID": "halo_id", "RA": "RA", "DEC": "DEC", "Z": "z", "LOG10_M500C": "log10_m500c",
    "KT": "kT", "L500": "l500", "R500_ARCMIN": "R500c_arcmin",
}  # fmt: skip
#: columns of the catalogue that the images' ids may hold, alone or together with the realization
_ID_COLUMNS = ("SRC_ID_IN", "ID_SRC_OUT", "input_SRC_ID", "pid")
_CENTRE = 5  #: half the side, in pixels, of the central square whose counts must follow the catalogue's
_CORRELATION_MIN = 0.5  #: rank correlation below which images and rows can't be of the same clusters
_RING = (15, 22)  #: radii, in pixels, between which the images' background is measured
#: expected ratio of the images' background to ML_BKG; smoothing in energy loses a fifth in the outer bands
_LEVEL = (0.5, 1.5)


def ingest_published(
    sky: Sky,
    cosmology: Mapping[str, float],
    images_block: Images,
    events_block: Events,
    *,
    images: Sequence[Path],
    truth: Sequence[Path],
) -> None:
    """Write `images.nc` and `truth.fits` of every realization of a sky with `source: published`.

    `sky` is the block `skies.<name>`, and `cosmology` is the cosmology of the published simulation. `images_block` and
    `events_block` are the configuration's blocks `images` and `events`, which are recorded in the files. Networks that
    are trained on this sky need images of observed clusters, and the two blocks say how to make these images. `images`
    and `truth` are the files to write for realizations 1, 2, and so on.

    `images.nc` holds smoothed counts, the variable `image`, instead of `counts`. The attribute `applied` of the file
    says how they were smoothed. Redshifts are the true ones (error 0), `ml_cts` is ML_RATE x ML_EXP, and `exposure_s`
    is ML_EXP. Each image is divided into 5 x 5 cells; the covered fraction (`photon_coverage`) is the share of cells
    that hold photons.

    InputError if a file is missing, faulty or hostile, or if the published images, their catalogue and the
    configuration don't belong together.
    """
    source, table = Path(sky["images"]), Path(sky["catalogue"])
    catalogue = read_published_catalogue(table, len(images), sky["mass_unit"], cosmology)
    ids, cubes = read_published_images(source, catalogue["z"].size)
    rows = rows_of_images(ids, catalogue, source) if sky["pairing"] == "ids" else np.arange(len(ids))
    cubes = [cubes[number] for number in np.argsort(rows).tolist()]
    check_brightness(cubes, catalogue, source)
    settings: dict[str, Any] = {"mass_unit": sky["mass_unit"], "pairing": sky["pairing"], "cosmology": dict(cosmology)}
    settings |= {"images": {**images_block, "bands": PUBLISHED_BANDS}, "events": dict(events_block)}
    how = {"applied": PUBLISHED_PREPROCESSING, "simulated": True}
    made_by = provenance("ingest_published", settings, [source, table], **how)
    names = cluster_names(catalogue)
    for number, (images_path, truth_path) in enumerate(track(list(zip(images, truth, strict=True)), "realizations"), 1):
        chosen = np.flatnonzero(catalogue["Nreal"] == number)
        part = {name: values[chosen] for name, values in catalogue.items()}
        stacked = np.stack([cubes[row].transpose(2, 0, 1) for row in chosen.tolist()])
        dataset = _dataset(stacked, part, names[chosen], images_path.parent.name)
        write_netcdf(dataset, images_path, _TITLE, made_by)
        write_table(truth_path, "TRUTH", TRUTH, _truth(part), provenance=made_by)


def cluster_names(catalogue: _Columns) -> NDArray[np.str_]:
    """Return the names of the clusters as in the paper, `<realization>_<SRC_ID>`, such as `05_10006566`.

    If a cluster has two rows, the name of its second row ends with `_2`.
    """
    rows: Counter[str] = Counter()
    names = []
    for realization, source in zip(catalogue["Nreal"].tolist(), catalogue["SRC_ID_IN"].tolist(), strict=True):
        name = f"{realization:02d}_{source}"
        rows[name] += 1
        names.append(name if rows[name] == 1 else f"{name}_{rows[name]}")
    if repeated := sum(number > 1 for number in rows.values()):
        message = "%d SRC_ID_IN are in several rows of one realization; the names of these clusters end in _2 ..."
        LOGGER.warning(message, repeated)
    return np.array(names)


def _dataset(images: NDArray[np.float32], part: _Columns, names: NDArray[np.str_], realization: str) -> xr.Dataset:
    pixel = PUBLISHED_PREPROCESSING["pixel_arcsec"]
    offsets = np.arange(images.shape[-1]) * pixel - PUBLISHED_PREPROCESSING["half_width_arcsec"] + pixel / 2
    per_cluster: dict[str, NDArray[Any]] = {name: part[column].astype(float) for name, column in _MEASURED.items()}
    per_cluster |= {
        "redshift_err": np.zeros(names.size),
        "ml_cts": per_cluster["ml_rate"] * per_cluster["exposure_s"],
        "covered_fraction": photon_coverage((images > 0).astype(np.uint16)),
        "exp_from": np.full(names.size, STATED),
        "realization": np.full(names.size, realization),
        "log10_m500c": part["log10_m500c"],
        "halo_id": part["halo_id"],
    }
    return xr.Dataset(
        {
            "image": (("cluster", "band", "y", "x"), images),
            **band_coordinates(band_edges(PUBLISHED_BANDS)),
            **{name: ("cluster", values) for name, values in per_cluster.items()},
        },
        coords={"cluster": names, "x": offsets, "y": offsets},
    )


def _truth(part: _Columns) -> dict[str, NDArray[Any]]:
    """Return the columns of a realization's `truth.fits`, one row for each halo, also if `part` has several."""
    first = np.unique(part["halo_id"], return_index=True)[1]
    unknown = np.full(first.size, np.nan)
    columns = {name: part[column][first] if column in part else unknown for name, column in _TRUTH.items()}
    return columns | {"FLUX": unknown, "COUNTS": np.full(first.size, -1)}


def read_published_catalogue(
    path: Path, realizations: int, mass_unit: str, cosmology: Mapping[str, float]
) -> dict[str, NDArray[Any]]:
    """Return a dict with the columns (row,) of the published catalogue, a .fits, .csv or .ecsv file.

    The columns are `_NEEDED` and, if the file has them, `_OPTIONAL`, with the names in the file. `SRC_ID_IN` and
    `Nreal` are int64, all others float64. Three columns are added: `log10_m500c` in log10(Msun), `l500` in erg/s (NaN =
    unknown), and `halo_id` (int64), which is the same for all rows of a halo in all realizations.

    InputError if the file is missing or faulty, is a feather file, or lacks a column. InputError also in these cases:

    - A cell has an impossible value. The message names file, column and row.
    - Nreal doesn't hold every number from 1 to `realizations`, or holds another number.
    - M500c isn't in the unit `mass_unit`, a key of `_MASS_UNITS`, but agrees with R500c_arcmin in the other unit.
    """
    if path.suffix.lower() in (".f", ".feather"):
        raise InputError(
            f"{path}: is a feather file, which isn't read here. Download the same catalogue with the ending .fits, or "
            "convert it (docs/how-to/published.md)."
        )
    table = find_columns(read_table(path), path, {name: (name,) for name in (*_NEEDED, *_OPTIONAL)})
    columns = _columns(table, realizations)
    columns["log10_m500c"] = _log10_mass(columns, table, mass_unit, cosmology)
    columns["l500"] = _luminosity(columns, path)
    # rows of equal mass and redshift, to the last digit, are the same halo
    both = np.stack([columns["M500c"], columns["z"]], axis=1)
    columns["halo_id"] = np.unique(both, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
    haloes = columns["halo_id"].max() + 1
    LOGGER.info("%s: %d clusters of %d haloes in %d realizations", path, len(table), haloes, realizations)
    return columns


def _columns(table: CheckedTable, realizations: int) -> dict[str, NDArray[Any]]:
    if missing := [name for name in _NEEDED if name not in table]:
        raise InputError(
            f"{table.path}: has no column {missing[0]} ({len(missing)} of {len(_NEEDED)} are missing: "
            f"{', '.join(missing)}).{nearest(missing[0], table.table.colnames)} Is this the published catalogue?"
        )
    columns: dict[str, NDArray[Any]] = {name: table.numbers(name) for name in table.names}
    columns["RA"], columns["DEC"] = table.positions()
    for name in ("SRC_ID_IN", "Nreal"):
        values = columns[name]
        table.check((values == np.rint(values)) & (np.abs(values) < 2**31), values, name, "no whole number")
        columns[name] = values.astype(np.int64)
    for name in ("z", "ML_RATE", "ML_EXP", "EXT", "EXT_LIKE", "DET_LIKE", "ML_BKG"):
        values, positive = columns[name], name in ("z", "ML_RATE", "ML_EXP")
        good = np.isfinite(values) & (values > 0 if positive else values >= 0)
        table.check(good, values, name, "not above 0" if positive else "negative")
    number = columns["Nreal"]
    complaint = f"no realization from 1 to {realizations}, as skies.<name>.realizations has it"
    table.check((number >= 1) & (number <= realizations), number, "Nreal", complaint)
    if absent := sorted({*range(1, realizations + 1)} - {*number.tolist()}):
        raise InputError(
            f"{table.path}: column Nreal has no row of realization {absent[0]} ({len(absent)} of {realizations} are "
            f"missing). Set skies.<name>.realizations to what the file holds, {int(number.max())} at most."
        )
    return columns


def _log10_mass(
    columns: Mapping[str, FloatArray], table: CheckedTable, mass_unit: str, cosmology: Mapping[str, float]
) -> FloatArray:
    """Return log10(M500c / Msun); InputError if R500c_arcmin shows that M500c isn't in `mass_unit`."""
    path, mass, h = table.path, columns["M500c"], cosmology["h0_km_s_mpc"] / 100
    with np.errstate(divide="ignore", invalid="ignore"):
        log10_mass = np.log10(mass) - _MASS_UNITS[mass_unit] * np.log10(h)
    low, high = _MASS_RANGE
    complaint = f"no mass of a cluster in {mass_unit} (10^{low:g} to 10^{high:g} Msun)"
    table.check((log10_mass >= low) & (log10_mass <= high), mass, "M500c", complaint)
    if "R500c_arcmin" not in columns:
        LOGGER.warning("%s: no R500c_arcmin; that M500c is in %s can't be checked", path, mass_unit)
        return np.asarray(log10_mass)
    redshift, radius = columns["z"], columns["R500c_arcmin"]
    table.check(radius > 0, radius, "R500c_arcmin", "not above 0")
    expected = r500c_mpc(log10_mass, redshift, cosmology) * arcmin_per_mpc(redshift, cosmology)
    offset = float(np.median(3 * np.log10(radius / expected)))
    (other,) = set(_MASS_UNITS) - {mass_unit}
    if abs(offset + (_MASS_UNITS[other] - _MASS_UNITS[mass_unit]) * np.log10(h)) < _AGREE_DEX <= abs(offset):
        raise InputError(
            f"{path}: M500c as {mass_unit} is {-offset:+.3f} dex above what R500c_arcmin implies (median), but as "
            f"{other} it agrees. Set skies.<name>.mass_unit: {other}"
        )
    say = LOGGER.info if abs(offset) < _AGREE_DEX else LOGGER.warning
    say("%s: M500c in %s is %+.3f dex above what R500c_arcmin implies (median)", path, mass_unit, -offset)
    return np.asarray(log10_mass)


def _luminosity(columns: Mapping[str, NDArray[Any]], path: Path) -> FloatArray:
    """Return luminosities in erg/s, (row,), from Lx_soft, which may hold their log10; NaN if it holds neither."""
    given, (low, high) = columns.get("Lx_soft"), _LOG10_L
    if given is not None and ((given > low) & (given < high)).all():
        return np.asarray(10**given)
    if given is not None and ((given > 10**low) & (given < 10**high)).all():
        return given
    why = "no Lx_soft" if given is None else "Lx_soft is no luminosity in erg/s nor its log10"
    LOGGER.warning("%s: %s; baselines by luminosity will be left out", path, why)
    return np.full(columns["z"].size, np.nan)


def rows_of_images(ids: Sequence[Any], catalogue: _Columns, path: Path) -> NDArray[np.intp]:
    """Return the row in the catalogue for each image, (image,). Different images have different rows.

    `ids` are the ids of the images, which may be numbers, texts, or tuples of these. Their meaning isn't documented.
    Therefore several meanings are tried: an id may be the number of a row, or a row's value in one of the columns
    `_ID_COLUMNS`, alone or together with its value in the column Nreal. Only the whole numbers in an id are compared.
    InputError if an id has no number or occurs twice, or if no meaning fits all ids. Messages name the pickle, `path`.
    """
    keys = [_key(entry, number, path) for number, entry in enumerate(ids, start=1)]
    candidates = dict(_candidates(catalogue))
    if in_order := [name for name, numbers in candidates.items() if keys == numbers]:
        LOGGER.info("%s: its ids are %s, in the catalogue's order", path, in_order[0])
        return np.arange(len(keys))
    for name, numbers in candidates.items():
        row = {key: place for place, key in enumerate(numbers)}
        if len(row) == len(numbers) == len(keys) and set(keys) == set(row):
            LOGGER.info("%s: its ids are %s, in another order than the catalogue's; joined by them", path, name)
            return np.array([row[key] for key in keys])
    raise InputError(
        f"{path}: its ids (the first: {ids[0]!r}, the last: {ids[-1]!r}) are not those of any one of: "
        f"{', '.join(candidates)}. If you know that images and catalogue are in the same order, set "
        "skies.<name>.pairing: order"
    )


def _key(entry: Any, number: int, path: Path) -> _Key:
    """Return the whole numbers in the id `entry` of the image `number`; InputError if there are none."""
    parts = list(entry) if isinstance(entry, tuple | list | np.ndarray) else [entry]
    plain = all(map(_is_plain, parts))
    texts = [f"{part:.0f}" if isinstance(part, float) and part.is_integer() else str(part) for part in parts if plain]
    numbers = tuple(int(digits) for text in texts for digits in re.findall(r"\d{1,18}", text))
    if not plain or not numbers:
        shown = repr(entry) if plain else type(entry).__name__
        raise InputError(f"{path}: the id of image {number} is {shown[:80]}, in which there is no whole number.")
    return numbers


def _is_plain(part: Any) -> bool:
    """Return whether a part of an id is a text, a float or an integer below 10^18. Others may take years to print."""
    if isinstance(part, bool) or not isinstance(part, str | int | float | np.integer):
        return False
    return isinstance(part, str | float) or abs(int(part)) < 10**18


def _candidates(catalogue: _Columns) -> Iterator[tuple[str, list[_Key]]]:
    """Yield each possible meaning of the ids: its name for messages, and the id that each row would have."""
    realization = catalogue["Nreal"].tolist()
    for name in _ID_COLUMNS:
        if name in catalogue and np.isfinite(catalogue[name].astype(float)).all():
            values = [abs(int(value)) for value in catalogue[name].tolist()]
            yield name, [(value,) for value in values]
            yield f"Nreal and {name}", list(zip(realization, values, strict=True))
            yield f"{name} and Nreal", list(zip(values, realization, strict=True))
    for first in (0, 1):
        yield f"the row counted from {first}", [(row + first,) for row in range(len(realization))]


def check_brightness(images: Sequence[NDArray[np.float32]], catalogue: _Columns, path: Path) -> None:
    """Check that images and rows belong together: clusters with many counts in the catalogue must have bright images.

    The check is needed because the ids may be mere running numbers, which don't show to which row an image belongs.
    `images` holds an array (row, column, band) for each row of the catalogue, in this order. InputError if the rank
    correlation of the images' central counts with ML_RATE x ML_EXP is low. The ratio of the images' background to
    ML_BKG is logged; it is near 1 if smoothing kept the counts.
    """
    square = slice(SHAPE[0] // 2 - _CENTRE, SHAPE[0] // 2 + _CENTRE)
    counts = [float(image[square, square].sum(dtype=np.float64)) for image in images]
    fitted = catalogue["ML_RATE"].astype(float) * catalogue["ML_EXP"].astype(float)
    correlation = float(spearmanr(counts, fitted).statistic)
    if not correlation >= _CORRELATION_MIN:
        raise InputError(
            f"{path}: images and catalogue don't belong together, or not in this order: the images' central counts "
            f"hardly follow ML_RATE x ML_EXP (rank correlation {correlation:.2f}, at least {_CORRELATION_MIN} is "
            "expected). Check both files, and skies.<name>.pairing."
        )
    LOGGER.info("%s: the images' central counts follow ML_RATE x ML_EXP, rank correlation %.2f", path, correlation)
    offset = np.arange(SHAPE[0]) - (SHAPE[0] - 1) / 2
    radius = np.hypot(offset[:, None], offset)
    ring = (radius >= _RING[0]) & (radius < _RING[1])
    arcmin2 = (PUBLISHED_PREPROCESSING["pixel_arcsec"] / 60) ** 2
    level = np.array([float(image[ring].sum(axis=-1, dtype=np.float64).mean()) for image in images]) / arcmin2
    with np.errstate(divide="ignore"):
        ratio = float(np.median(level / catalogue["ML_BKG"].astype(float)))
    low, high = _LEVEL
    say = LOGGER.info if low <= ratio <= high else LOGGER.warning
    say(
        "%s: background of the images / ML_BKG = %.2f (median); outside %g to %g they aren't counts, and networks that "
        "are trained on them can't be applied to images cut from photons",
        path, ratio, low, high,
    )  # fmt: skip
