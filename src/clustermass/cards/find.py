"""Find the mass catalogue of a field."""

from pathlib import Path

from clustermass.apply.find import short_list
from clustermass.errors import InputError

#: where catalogues are searched below a folder
_PATTERNS = ("masses.fits", "observed/*/masses.fits", "*/observed/*/masses.fits", "results/*/*/observed/*/masses.fits")


def find_masses(path: Path) -> Path:
    """Return the path of a mass catalogue (.fits): `path`, the .fits file beside it, or a file in the folder `path`.

    A file beside `path` has the same name and the ending .fits. If `path` is a folder, a catalogue directly in this
    folder takes precedence over catalogues in its subfolders. InputError if there is no catalogue, or if there are
    several in the subfolders.
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
