"""Provenance of files: hashes of code, configuration and inputs, but no date and no git commit."""

import ast
import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import clustermass
from clustermass.errors import InputError

#: blocks of a simulated sky's configuration that shape its photons, its detections and its catalogue
PHOTON_BLOCKS = (
    "field", "exposure", "absorption", "telescope", "psf", "clusters", "richness", "agn", "background", "population",
    "prior",
)  # fmt: skip
CATALOGUE_BLOCKS = ("field", "psf", "detection", "redshifts", "matching", "population", "prior")
#: blocks that a sky may lack
_OPTIONAL_BLOCKS = ("population", "prior")
#: smaller files are read even if they have holes; the unit of a file's size on the disk
_LARGE_BYTES, _BLOCK_BYTES = 10**9, 512
PACKAGE = Path(clustermass.__file__).parent


def provenance(
    step: str, parameters: Mapping[str, Any], inputs: Iterable[str | Path] = (), **further: Any
) -> dict[str, Any]:
    """Return the provenance of a file that `step` made, as a dict from the name of each attribute to its value.

    `parameters` is everything from the configuration that influences the result. It is stored as a hash and as JSON
    text. `inputs` are the files that were read. Each is stored as its path and SHA-256. An absolute path is shortened,
    so that results don't depend on where a folder lies: only the name of the file is kept, and as many of its folders
    as are needed to distinguish it from other inputs. `further` attributes are stored as they are.
    """
    return {
        "source": f"clustermass {clustermass.__version__}",
        "step": step,
        "parameters": json.dumps(parameters, sort_keys=True, default=str),
        "config_hash": config_hash(parameters),
        "input_sha256": _hashes(dict.fromkeys(map(Path, inputs))),
        **further,
    }


def _hashes(paths: Iterable[Path]) -> dict[str, str]:
    hashes: dict[str, str] = {}
    for path in paths:
        folders = len(path.parts) - 1 if path.is_absolute() else 0
        names = [Path(*path.parts[start:]).as_posix() for start in range(folders, 0, -1)] or [path.as_posix()]
        hashes[next((name for name in names if name not in hashes), names[-1])] = file_sha256(path)
    return hashes


def history(provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return provenance as pairs of a name and a text in printable ASCII, for the HISTORY of a FITS header.

    Each input file has a pair of its own.
    """
    inputs = provenance.get("input_sha256", {})
    pairs = [(name, text) for name, text in texts(provenance).items() if name != "input_sha256"]
    pairs += [("input", f"{name} sha256 {digest}") for name, digest in inputs.items()]
    return [(name, text.encode("unicode_escape").decode("ascii")) for name, text in pairs]


def texts(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Return provenance with numbers, lists and blocks converted to JSON texts."""
    return {k: v if isinstance(v, str) else json.dumps(v, sort_keys=True) for k, v in provenance.items()}


def config_hash(parameters: Mapping[str, Any]) -> str:
    """Return 16 hexadecimal digits that identify a configuration; the order of its keys doesn't matter."""
    text = json.dumps(parameters, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def simulation_hash(sky: Mapping[str, Any], cosmology: Mapping[str, float]) -> str:
    """Return the `config_hash` of all settings that influence the photons of a simulated sky.

    The card CFGHASH of event lists holds this hash.
    """
    return config_hash({**blocks(sky, PHOTON_BLOCKS), "cosmology": cosmology})


def blocks(sky: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return the blocks `names` of a sky's configuration. The blocks `population` and `prior` may be missing."""
    return {name: sky[name] for name in names if name in sky or name not in _OPTIONAL_BLOCKS}


def file_sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes; InputError for a large file that takes nearly no space on the disk."""
    found = Path(path).stat()
    if found.st_size > _LARGE_BYTES and _BLOCK_BYTES * found.st_blocks < found.st_size / 1000:
        raise InputError(f"{path}: states {found.st_size} bytes, but hardly any are on the disk. It isn't read.")
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def source_hash(modules: Iterable[str], scripts: Iterable[str | Path] = ()) -> str:
    """Return a hash of the code in `modules` (of `clustermass`), in `scripts`, and in all modules that they import.

    The hash ignores comments, docstrings, layout, and imports for type checking. It also ignores the `__init__` of
    `clustermass`, because a new version number shouldn't re-run any step. Of `clustermass.io`, only the constant
    `FORMAT` counts.
    """
    start = {*(_module_path(name) for name in modules), *(Path(script) for script in scripts)}
    formats = PACKAGE / "io"  # of which only `__init__` counts, since it holds `FORMAT`
    closure = _closure(frozenset(start))
    files = sorted({formats / "__init__.py" if path.is_relative_to(formats) else path for path in closure})
    return hashlib.sha256("".join(map(_tree, files)).encode()).hexdigest()[:16]


@cache
def _closure(start: frozenset[Path]) -> frozenset[Path]:
    waiting, reached = list(start), set()
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached.add(path)
            waiting.extend(_imports(path))
    return frozenset(reached)


def _module_path(name: str) -> Path:
    path = PACKAGE.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def _imports(path: Path) -> tuple[Path, ...]:
    names: set[str] = set()
    for node in ast.walk(_parsed(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.update({node.module, *(f"{node.module}.{alias.name}" for alias in node.names)})
    inner = {name.removeprefix("clustermass.") for name in names if name.startswith("clustermass.")}
    inner |= {name.partition(".")[0] for name in inner}  # a module's package is imported before it
    return tuple(candidate for name in sorted(inner) if (candidate := _module_path(name)).is_file())


@cache
def _tree(path: Path) -> str:
    tree = _parsed(path)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            del node.body[0]
    return ast.dump(tree)


def _parsed(path: Path) -> ast.Module:
    tree = ast.parse(path.read_bytes())
    tree.body = [node for node in tree.body if not _is_for_types(node)]
    return tree


def _is_for_types(node: ast.AST) -> bool:
    if isinstance(node, ast.ImportFrom):
        return node.module in ("typing", "__future__")
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
