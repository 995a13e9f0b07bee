"""Every file is written through `atomic`: nothing in the package or its adapters opens a final name for writing."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: calls that write the file they are given
WRITERS = {"to_netcdf", "writeto", "write_text", "write_bytes", "savefig", "save_file", "savez", "savez_compressed"}
WRITERS |= {"to_csv", "to_pickle", "to_xml", "savetxt", "imsave", "tofile", "copyfile", "copy2", "copytree"}
#: calls that write it where their mode says so
OPENERS = {"open", "ZipFile", "File", "Dataset", "NamedTemporaryFile"}
#: why a direct writer is none of a result under its final name
ALLOWED = {
    ("catalogue.py", "_write_ecsv"): "text in memory",
    ("output.py", "_repr_png_"): "a picture in memory, for notebooks",
    ("pack.py", "unpack"): "a temporary folder that nobody else reads",
    ("fpack.py", "unpacked_image"): "a temporary folder that nobody else reads",
    ("download.py", "_save"): "a part that is renamed when it is whole",
    ("report.py", ""): "its log, and beside it what it hands the snakemake that it starts",
}


def sources():
    return sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "workflow" / "scripts").glob("*.py")])


def direct_writers(tree):
    """Yield function and line of each call that writes outside of `with atomic(...)`."""
    yield from _walk(tree, function="", temporary=frozenset())


def _walk(node, function, temporary):
    if isinstance(node, ast.FunctionDef):
        function = node.name
    if isinstance(node, ast.With):
        calls = [item for item in node.items if _called(item.context_expr) == "atomic"]
        temporary = temporary | {item.optional_vars.id for item in calls}
    if isinstance(node, ast.Call) and _writes(node) and not _names(node) & temporary:
        yield function, node.lineno
    for child in ast.iter_child_nodes(node):
        yield from _walk(child, function, temporary)


def _called(node):
    return getattr(node.func, "id", getattr(node.func, "attr", "")) if isinstance(node, ast.Call) else ""


def _writes(call):
    name = _called(call)
    if name in OPENERS:
        modes = [one.value for one in [*call.args, *(k.value for k in call.keywords)] if isinstance(one, ast.Constant)]
        return any(isinstance(mode, str) and len(mode) <= 3 and set(mode) & set("wax+") for mode in modes)
    of_table = name == "write" and any(keyword.arg == "format" for keyword in call.keywords)
    serialises = name == "dump" and getattr(getattr(call.func, "value", None), "id", "") in {"json", "yaml", "pickle"}
    return name in WRITERS or of_table or serialises


def _names(call):
    """Names among the arguments, and the object that a method is called of."""
    given = [*call.args, *(k.value for k in call.keywords), call.func]
    return {node.id for one in given for node in ast.walk(one) if isinstance(node, ast.Name)}


def test_all_files_are_written_atomically():
    found = [(path.name, *place) for path in sources() for place in direct_writers(ast.parse(path.read_bytes()))]
    assert [place for place in found if place[:2] not in ALLOWED] == []
    assert {place[:2] for place in found} == set(ALLOWED), "an exception that is none any more"


@pytest.mark.parametrize(
    "line",
    [
        "data.to_netcdf(path)",
        "path.write_text('x')",
        "open(path, 'w')",
        "path.open(mode='ab')",
        "zipfile.ZipFile(path, 'w')",
        "figure.savefig(path)",
        "table.write(path, format='votable')",
        "json.dump({}, stream)",
        "with atomic(a) as b:\n    hdus.writeto(a)",
    ],
)
def test_a_direct_writer_is_found(line):
    assert len(list(direct_writers(ast.parse(line)))) == 1


@pytest.mark.parametrize(
    "line",
    [
        "with atomic(a) as b:\n    b.write_text('x')",
        "open(path)",
        "path.open('rb')",
        "with atomic(a) as b:\n    save_file(x, b)",
    ],
)
def test_what_is_atomic_or_reads_is_none(line):
    assert list(direct_writers(ast.parse(line))) == []
