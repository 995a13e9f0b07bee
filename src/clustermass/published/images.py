"""The pickled images: read in bounded memory, each one checked."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustermass.errors import InputError
from clustermass.published.layout import IDS, IMAGES, SHAPE
from clustermass.published.numpy_parts import Array
from clustermass.published.pickles import read_pickle

#: fast convolution leaves as much rounding, of either sign, where there is no photon; a photon leaves far more
_ROUNDING = 1e-6


def read_published_images(path: Path, number: int) -> tuple[list[Any], list[NDArray[np.float32]]]:
    """Read ids and images.

    Parameters
    ----------
    path
        The pickle: a dictionary of `cluster` and `gsm_3dImgs`.
    number
        Of clusters in the catalogue.

    Returns
    -------
    ids
        `number` entries, whatever they are.
    images
        As many arrays, float32 (row, column, band), smoothed counts of at least 0, exactly 0 where there are none.

    Raises
    ------
    InputError
        See `pickles.read_pickle`; or a key is missing, the numbers don't agree, or an image has another shape or type,
        holds numbers that aren't finite or are negative (the image is named, counted from 1).
    """
    path = Path(path)
    content = read_pickle(path, _single)
    if not isinstance(content, dict) or set(content) != {IDS, IMAGES}:
        found = f"the keys {', '.join(map(repr, content))}" if isinstance(content, dict) else type(content).__name__
        raise InputError(f"{path}: must hold a dictionary of {IDS!r} and {IMAGES!r}, but holds {found}.")
    ids, images = (_entries(path, key, content.pop(key)) for key in (IDS, IMAGES))
    if not len(ids) == len(images) == number:
        raise InputError(
            f"{path}: holds {len(ids)} ids and {len(images)} images, but the catalogue {number} rows. All three must "
            "agree: are both files of the same release?"
        )
    for place in range(len(images)):
        images[place] = _checked(path, place + 1, images[place])
    return ids, images


def _single(array: Array) -> Array:
    """Store images in single precision, half of what the file needs; ids stay as they are."""
    with np.errstate(over="ignore"):  # infinite then, and told as such
        return array.astype(np.float32) if array.ndim >= len(SHAPE) and array.dtype.kind in "fiu" else array


def _entries(path: Path, key: str, values: Any) -> list[Any]:
    if not isinstance(values, list | tuple | np.ndarray) or (isinstance(values, np.ndarray) and values.ndim == 0):
        raise InputError(f"{path}: {key!r} is a {type(values).__name__}, but must be a list or an array.")
    return values.tolist() if isinstance(values, np.ndarray) and values.ndim == 1 else list(values)


def _checked(path: Path, place: int, image: Any) -> NDArray[np.float32]:
    if not isinstance(image, np.ndarray) or image.dtype != np.float32 or image.shape != SHAPE:
        kind = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(f"{path}: image {place} is {kind}, but must be an array of numbers of shape {SHAPE}.")
    if not np.isfinite(image).all():
        bad = int((~np.isfinite(image)).sum())
        raise InputError(f"{path}: image {place} has {bad} pixels that aren't finite.")
    if image.min() < -_ROUNDING:
        raise InputError(f"{path}: image {place} has negative counts (lowest: {image.min():g}).")
    if not (image > _ROUNDING).any():
        raise InputError(f"{path}: image {place} holds no photon.")
    return np.where(image < _ROUNDING, np.float32(0), image)
