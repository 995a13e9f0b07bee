"""Whether a file that was received is what its name says: kind, wholeness, number of rows, hash."""

import gzip
import hashlib
import zlib
from pathlib import Path

from astropy.io import fits

from clustermass.catalogues.tables import opened_fits
from clustermass.errors import InputError
from clustermass.provenance import file_sha256

_BEGINNINGS = {".gz": b"\x1f\x8b", ".tgz": b"\x1f\x8b", ".fits": b"SIMPLE"}
_ARCHIVES = (".tar.gz", ".tgz")


def fault_of(path: Path, name: str, size: int | None = None, rows: int | None = None) -> str:
    """Return what is wrong with a file, '' if nothing is found.

    Parameters
    ----------
    path
        The file, whatever it is called now.
    name
        Its final name, whose ending says what it must be: .fits or .fits.gz a table, .tsv a table of VizieR, .tar.gz
        or .tgz an archive (read to its end when it is unpacked, not here).
    size
        Bytes that it must have.
    rows
        Rows that its table must have.
    """
    length = path.stat().st_size
    with path.open("rb") as stream:
        begin = stream.read(64)
    if begin.lstrip().startswith(b"<"):
        return f"a web page, not the file (it begins with {begin.strip()[:15].decode(errors='replace')!r})"
    if not begin.startswith(_BEGINNINGS.get(Path(name).suffix, b"")):
        return f"no {Path(name).suffix} file (it begins with {begin[:6]!r})"
    if size is not None and length != size:
        return f"{length} bytes, but {size} are expected"
    return "" if name.endswith(_ARCHIVES) else _fault_of_table(path, name, rows)


def _fault_of_table(path: Path, name: str, rows: int | None) -> str:
    try:
        found = _vizier_rows(path) if name.endswith(".tsv") else _fits_rows(path, name)
    except (InputError, OSError, EOFError, zlib.error) as error:
        return str(error).removeprefix(f"{path}: ")
    if found is None:
        return "" if rows is None else "no table in it"
    return "" if rows is None or found == rows else f"{found} rows, but {rows} are expected"


def _fits_rows(path: Path, name: str) -> int | None:
    """Rows of the first table; one that is cut short is noticed."""
    if not name.endswith((".fits", ".fits.gz")):
        if name.endswith(".gz"):
            _read_gzip(path)
        return None
    with opened_fits(path) as hdus:
        found = [hdu for hdu in list(hdus) if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)]
        return int(found[0].header["NAXIS2"]) if found else None


def _read_gzip(path: Path) -> None:
    with gzip.open(path) as stream:
        while stream.read(1 << 20):
            pass


def _vizier_rows(path: Path) -> int | None:
    """Rows below the line of dashes; None where there is no such line, as in VizieR's answer to a wrong source."""
    number: int | None = None
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if number is None:
            number = 0 if line.strip() and not line.strip("-\t ") else None
        elif line.strip() and not line.startswith("#"):
            number += 1
    return number


def digest(path: Path, name: str) -> str:
    """Return the SHA-256 of a file; of a .tsv without its lines of comment, where VizieR puts the date."""
    if not name.endswith(".tsv"):
        return file_sha256(path)
    lines = (line for line in path.read_bytes().splitlines(keepends=True) if not line.startswith(b"#"))
    return hashlib.sha256(b"".join(lines)).hexdigest()
