"""The released ensemble: the trained networks that are part of the installed package."""

from pathlib import Path

from clustermass.errors import InputError

#: written by `make release`
RELEASED = Path(__file__).with_name("released.zip")


def released_ensemble(remedy: str) -> Path:
    """Return the packed file of the released ensemble.

    InputError if this copy of clustermass has none. The message contains the text `remedy`, which says how to name
    another ensemble.
    """
    if not RELEASED.is_file():
        raise InputError(
            f"this copy of clustermass has no released ensemble: {remedy} (results/<run>/<experiment>, or a file of "
            "`clustermass pack`), or train it by `make release` in the repository, which takes an hour."
        )
    return RELEASED
