import hashlib

import pytest

from clustermass.io import provenance


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Replace our package by a small one; return a function that writes one of its modules."""
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path)

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        for function in (provenance._closure, provenance._imports, provenance._tree):
            function.cache_clear()

    write("leaf", "def area(r):\n    return 3 * r**2\n")
    write("step", "from clustermass.leaf import area\n\nX = area(2)\n")
    write("other", "Y = 1\n")
    yield write
    for function in (provenance._closure, provenance._imports, provenance._tree):
        function.cache_clear()


def test_comments_docstrings_and_layout_do_not_count(package):
    before = provenance.source_hash(["step"])
    package("step", '"""What it does."""\n\n# why\nfrom clustermass.leaf import area\nX = area(\n    2\n)\n')
    assert provenance.source_hash(["step"]) == before


def test_a_change_of_an_imported_module_counts_and_of_another_does_not(package):
    before = provenance.source_hash(["step"])
    package("other", "Y = 2\n")
    assert provenance.source_hash(["step"]) == before
    package("leaf", "def area(r):\n    return 3.14 * r**2\n")
    assert provenance.source_hash(["step"]) != before


def test_imports_for_type_checking_do_not_count(package):
    before = provenance.source_hash(["step"])
    block = "if TYPE_CHECKING:\n    from clustermass.other import Y\n"
    imports = f"from __future__ import annotations\nfrom typing import TYPE_CHECKING\n{block}"
    package("step", f"{imports}from clustermass.leaf import area\n\nX = area(2)\n")
    assert provenance.source_hash(["step"]) == before


def test_config_hash_ignores_the_order_of_keys():
    assert provenance.config_hash({"a": 1, "b": {"c": 2, "d": 3}}) == provenance.config_hash(
        {"b": {"d": 3, "c": 2}, "a": 1}
    )
    assert provenance.config_hash({"a": 1}) != provenance.config_hash({"a": 2})


def test_provenance_states_inputs_by_checksum(tmp_path):
    path = tmp_path / "input.bin"
    path.write_bytes(b"photons")
    attributes = provenance.provenance("step", {"k": 1}, [path], seed=7)
    assert attributes["input_sha256"] == {"input.bin": hashlib.sha256(b"photons").hexdigest()}
    assert attributes["seed"] == 7


def test_files_of_one_name_in_two_folders_are_both_named(tmp_path):
    paths = [tmp_path / "a" / "events.fits", tmp_path / "b" / "events.fits"]
    for path in paths:
        path.parent.mkdir()
        path.write_text(path.parent.name)
    stated = provenance.provenance("masses", {}, [*paths, paths[0]])["input_sha256"]
    assert list(stated) == ["events.fits", "b/events.fits"]
    assert list(stated.values()) == [provenance.file_sha256(path) for path in paths]
