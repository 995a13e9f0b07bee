"""Find the mass catalogue of a field."""

from pathlib import Path

from clustermass.apply.find import short_list
from clustermass.errors import InputError

#: where catalogues are searched below a folder
_PATTERNS = ("masses.fits", "observed/*/masses.fits", "*/observed/*/masses.fits", "results/*/*/observed/*/masses.fits")


def find_masses(path: Path) -> Path:
    """Return the path of the mass catalogue (.fits) at `path`.

    If `path` is a file with another ending, the .fits file of the same name beside it is taken. If `path` is a folder,
    `masses.fits` in it is taken, or else the only catalogue in its subfolders. InputError if there is no catalogue, or
    if the subfolders hold several.
    """
    if path.is_dir():
        found = [one for pattern in _PATTERNS for one in sorted(path.glob(pattern))]
        if len(found) == 1 or (found and found[0].parent == path):
            return found[0]
        if found:
            listed = short_list(map(str, found))
            raise InputError(f"{path}: holds several mass catalogues. Name one by --field (in Python: field): {listed}")
    elif (beside := path.with_suffix(".fits")).is_file():
        return beside
    raise InputError(f"{path}: no mass catalogue there. Name the output of `clustermass masses`, or a field's folder.")
