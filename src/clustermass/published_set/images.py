"""The published images: read from the pickle in bounded memory, checked, and assigned to rows of the catalogue."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from clustermass.config.resolve import PUBLISHED_PREPROCESSING
from clustermass.errors import InputError
from clustermass.io.log import LOGGER
from clustermass.published_set.unpickle import Array, read_pickle

#: shape of one image in the file: row, column, energy band
_SHAPE = (50, 50, 10)
#: keys of the pickled dictionary
_IDS, _IMAGES = "cluster", "gsm_3dImgs"
_Key: TypeAlias = tuple[int, ...]
#: columns that the images' ids may repeat, alone or after the realization
_COLUMNS = ("SRC_ID_IN", "ID_SRC_OUT", "input_SRC_ID", "pid")
#: half the side of the central square whose counts must follow the catalogue's, in pixels
_CENTRE = 5
#: rank correlation below which images and rows can't be of the same clusters
_CORRELATION_MIN = 0.5
#: radii, in pixels, between which the images' background is measured
_RING = (15, 22)
#: background of counts over ML_BKG; smoothing in energy loses a fifth at the ends of the bands
_LEVEL = (0.5, 1.5)
#: fast convolution leaves rounding of this size and either sign where there is no photon; a photon leaves far more
_ROUNDING = 1e-6


def read_published_images(path: Path, number: int) -> tuple[list[Any], list[NDArray[np.float32]]]:
    """Read the pickle, a dictionary of `cluster` and `gsm_3dImgs`: the ids, of any kind, and the images.

    Both have `number` entries, as the catalogue has rows. Images are smoothed counts, float32 (row, column, band), at
    least 0, and exactly 0 where there are none. InputError as of `read_pickle`; or if a key is missing, the numbers
    don't agree, or an image has another shape or type, or holds numbers that aren't finite or are negative (the image
    is named, counted from 1).
    """
    path = Path(path)
    content = read_pickle(path, _single)
    if not isinstance(content, dict) or set(content) != {_IDS, _IMAGES}:
        kind = f"the keys {', '.join(map(repr, content))}" if isinstance(content, dict) else type(content).__name__
        raise InputError(f"{path}: must hold a dictionary of {_IDS!r} and {_IMAGES!r}, but holds {kind}.")
    ids, images = (_entries(path, key, content.pop(key)) for key in (_IDS, _IMAGES))
    if not len(ids) == len(images) == number:
        raise InputError(
            f"{path}: holds {len(ids)} ids and {len(images)} images, but the catalogue {number} rows. All three must "
            "agree: are both files of the same release?"
        )
    for place, image in enumerate(images):
        images[place] = _checked(path, place + 1, image)
    return ids, images


def _single(array: Array) -> Array:
    """Return images in single precision, half of the file's bytes; ids as they are."""
    with np.errstate(over="ignore"):  # infinite then, and reported by `_checked`
        return array.astype(np.float32) if array.ndim >= len(_SHAPE) and array.dtype.kind in "fiu" else array


def _entries(path: Path, key: str, values: Any) -> list[Any]:
    if not isinstance(values, list | tuple | np.ndarray) or (isinstance(values, np.ndarray) and values.ndim == 0):
        raise InputError(f"{path}: {key!r} is a {type(values).__name__}, but must be a list or an array.")
    return values.tolist() if isinstance(values, np.ndarray) and values.ndim == 1 else list(values)


def _checked(path: Path, place: int, image: Any) -> NDArray[np.float32]:
    if not isinstance(image, np.ndarray) or image.dtype != np.float32 or image.shape != _SHAPE:
        kind = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(f"{path}: image {place} is {kind}, but must be an array of numbers of shape {_SHAPE}.")
    if bad := int((~np.isfinite(image)).sum()):
        raise InputError(f"{path}: image {place} has {bad} pixels that aren't finite.")
    if image.min() < -_ROUNDING:
        raise InputError(f"{path}: image {place} has negative counts (lowest: {image.min():g}).")
    if not (image > _ROUNDING).any():
        raise InputError(f"{path}: image {place} holds no photon.")
    return np.where(image < _ROUNDING, np.float32(0), image)


def rows_of_images(ids: Sequence[Any], catalogue: Mapping[str, NDArray[Any]], path: Path) -> NDArray[np.intp]:
    """Return the catalogue's row of each image, one to one.

    What the ids are (numbers, text, or tuples of them) isn't documented. They are compared, by the whole numbers in
    them, with the row's number and with the columns that number clusters, alone or together with Nreal. InputError if
    an id has no number or comes twice, or no column has these ids; `path`, of the pickle, is for messages.
    """
    keys = [_key(entry, number, path) for number, entry in enumerate(ids, start=1)]
    candidates = dict(_candidates(catalogue))
    in_order = [name for name, numbers in candidates.items() if keys == numbers]
    if in_order:
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
    """Return the whole numbers in an id."""
    parts = list(entry) if isinstance(entry, tuple | list | np.ndarray) else [entry]
    texts = [f"{part:.0f}" if isinstance(part, float) and part.is_integer() else str(part) for part in parts]
    plain = all(isinstance(part, str | int | float | np.integer) and not isinstance(part, bool) for part in parts)
    numbers = tuple(int(digits) for text in texts for digits in re.findall(r"\d{1,18}", text))
    if not plain or not numbers:
        shown = repr(entry) if plain else type(entry).__name__
        raise InputError(f"{path}: the id of image {number} is {shown[:80]}, in which there is no whole number.")
    return numbers


def _candidates(catalogue: Mapping[str, NDArray[Any]]) -> Iterator[tuple[str, list[_Key]]]:
    """Yield the columns that the ids may be, by a name for messages, in the catalogue's order."""
    realization = catalogue["Nreal"].tolist()
    for name in _COLUMNS:
        if name in catalogue and np.isfinite(catalogue[name].astype(float)).all():
            values = [abs(int(value)) for value in catalogue[name].tolist()]
            yield name, [(value,) for value in values]
            yield f"Nreal and {name}", list(zip(realization, values, strict=True))
            yield f"{name} and Nreal", list(zip(values, realization, strict=True))
    yield "the row counted from 0", [(row,) for row in range(len(realization))]
    yield "the row counted from 1", [(row + 1,) for row in range(len(realization))]


def check_brightness(images: Sequence[NDArray[np.float32]], catalogue: Mapping[str, NDArray[Any]], path: Path) -> None:
    """Check that the images of bright rows are bright: ids that are only row numbers don't show it.

    Takes the images (row, column, band) in the catalogue's order. InputError if ranks of the images' central counts and
    of ML_RATE x ML_EXP hardly correlate.
    """
    square = slice(_SHAPE[0] // 2 - _CENTRE, _SHAPE[0] // 2 + _CENTRE)
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
    _log_level(images, catalogue, path)


def _log_level(images: Sequence[NDArray[np.float32]], catalogue: Mapping[str, NDArray[Any]], path: Path) -> None:
    """Log the images' background over ML_BKG: smoothing that keeps the sum of the counts leaves it near 1."""
    offset = np.arange(_SHAPE[0]) - (_SHAPE[0] - 1) / 2
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
