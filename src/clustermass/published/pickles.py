"""Pickles of plain data, read without executing anything that they hold.

Python's own `pickle` imports and calls whatever a file names. Here the file is taken apart by the standard library's
`pickletools.genops`, which only reads, and `clustermass.published.machine` acts on the few operations that plain data
need. A global name isn't imported: it is compared with a short list, and what it would have done is done by
`clustermass.published.numpy_parts`.
"""

import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clustermass.errors import InputError
from clustermass.progress import track
from clustermass.published.machine import Machine, Refused
from clustermass.published.numpy_parts import Array

#: what taking apart a damaged or malformed file raises
_DAMAGE = (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, MemoryError)


def read_pickle(path: Path, each: Callable[[Array], Array] = lambda array: array) -> Any:
    """Read a pickle of numbers, text, lists, tuples, dictionaries and NumPy arrays, of any protocol.

    Parameters
    ----------
    path
        The file. Besides the result, memory holds the one array that is being read.
    each
        Applied to every array as soon as it is read, such as a conversion to a smaller dtype.

    Returns
    -------
    Any
        What was pickled; NumPy scalars as Python's own numbers and text.

    Raises
    ------
    InputError
        No such file; it holds anything else (named with its place in the file; nothing of it was executed), or is
        truncated or damaged.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file. Check the path in the configuration.")
    machine, place = Machine(each), 0
    with path.open("rb") as stream:
        try:
            for operation, argument, position in track(pickletools.genops(stream), f"{path.name}: operations read"):
                place = position or 0
                machine.step(operation.name, argument)
        except Refused as error:
            raise InputError(
                f"{path}: holds {error} at byte {place}, which is neither a NumPy array nor a number, text, list or "
                "dictionary. Nothing of it was executed. Is this the published file, unaltered?"
            ) from None
        except _DAMAGE as error:
            raise InputError(f"{path}: truncated or damaged pickle at byte {place} ({error}).") from error
    return machine.result
