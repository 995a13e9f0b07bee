"""netCDF files that refer to others, or state sizes that they don't have, are refused before their values are read."""

import ctypes
import struct
import zlib

import netCDF4
import numpy as np
import pytest
import xarray as xr
from confined import outcome, refused

from clustermass.dataset.sample import realization_of
from clustermass.errors import InputError
from clustermass.io import hdf5
from clustermass.io.hdf5 import check_hdf5
from clustermass.io.netcdf import read_netcdf, write_netcdf
from clustermass.report.records import read_record

LIBRARY = ctypes.CDLL(netCDF4._netCDF4.__file__)
ROWS = 50


def call(name, *arguments):
    """Call a function of HDF5, such as those with which links and storage in other files are made."""
    function = getattr(LIBRARY, name)
    function.restype = ctypes.c_int64
    result = function(*(ctypes.c_int64(one) if isinstance(one, int) else one for one in arguments))
    assert result >= 0, name
    return result


def constant(name):
    call("H5open")
    return ctypes.c_int64.in_dll(LIBRARY, name).value


@pytest.fixture
def path(tmp_path):
    """Write a file of the pipeline without a seal."""
    columns = {"mu": np.linspace(13, 15, ROWS), "realization": np.full(ROWS, "01")}
    names = [f"01_{number}" for number in range(ROWS)]
    cube = np.random.default_rng(1).poisson(1, (ROWS, 2, 8, 8)).astype(np.uint16)
    variables = {name: ("cluster", values) for name, values in columns.items()}
    dataset = xr.Dataset({"counts": (("cluster", "band", "y", "x"), cube), **variables}, {"cluster": names})
    write_netcdf(dataset, tmp_path / "whole.nc", "test", {"step": "test", "input_sha256": {}})
    content = (tmp_path / "whole.nc").read_bytes()
    (tmp_path / "x.nc").write_bytes(content[: content.rindex(b"\nsha256 ")])
    return tmp_path / "x.nc"


def changed(path, change):
    """Open a file, change it, and close it with all that was opened in it."""
    access = call("H5Pcreate", constant("H5P_CLS_FILE_ACCESS_ID_g"))
    call("H5Pset_fclose_degree", access, 3)
    file = call("H5Fopen", bytes(path), 1, access)
    change(file)
    call("H5Fclose", file)


def with_external_link(path):
    changed(path, lambda file: call("H5Lcreate_external", b"whole.nc", b"/mu", file, b"sigma", 0, 0))


def with_soft_link(path):
    changed(path, lambda file: call("H5Lcreate_soft", b"/mu", file, b"sigma", 0, 0))


def with_loop(path):
    changed(path, lambda file: call("H5Lcreate_hard", file, b"/", file, b"loop", 0, 0))


def with_group(path):
    changed(path, lambda file: call("H5Gcreate2", file, b"more", 0, 0, 0))


def created(file, name, rows, prepare):
    side = (ctypes.c_uint64 * 1)(rows)
    space, made = call("H5Screate_simple", 1, side, None), call("H5Pcreate", constant("H5P_CLS_DATASET_CREATE_ID_g"))
    prepare(made, space)
    return call("H5Dcreate2", file, name, constant("H5T_IEEE_F64LE_g"), space, 0, made, 0)


def with_external_storage(path):
    secret = path.parent / "secret.txt"
    secret.write_bytes(b"secret" * 100)
    storage = ctypes.c_uint64(400)
    prepare = lambda made, _: call("H5Pset_external", made, bytes(secret), 0, storage)  # noqa: E731
    changed(path, lambda file: created(file, b"sigma", 50, prepare))


def with_virtual_values(path):
    prepare = lambda made, space: call("H5Pset_virtual", made, space, b"whole.nc", b"/mu", space)  # noqa: E731
    changed(path, lambda file: created(file, b"sigma", ROWS, prepare))


def with_encoded_characters(path):
    with netCDF4.Dataset(path, "a") as dataset:
        dataset.createDimension("characters", 100)
        dataset.createVariable("text", "S1", ("cluster", "characters")).setncattr("_Encoding", "punycode")


def with_invented_size(path):
    with netCDF4.Dataset(path, "a") as dataset:
        dataset.createDimension("member", 20_000_000_000)
        dataset.createVariable("member", "f8", ("member",), contiguous=True)


def with_invented_image(path):
    with netCDF4.Dataset(path, "a") as dataset:
        dataset.createDimension("member", 1_000_000)
        chunks = (1, 2, 8, 8)
        dataset.createVariable("image", "f4", ("member", "band", "y", "x"), zlib=True, chunksizes=chunks)[0] = 1


def with_large_chunk(path):
    """Store a chunk that stands for 1.5 GB in place of one of 8 kB."""
    with netCDF4.Dataset(path, "a") as dataset:
        dataset.createDimension("member", 1000)
        dataset.createVariable("sigma", "f8", ("member",), zlib=True, chunksizes=(1000,))[:] = 1.0
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(1500)) + packer.flush()

    def change(file):
        dataset, place = call("H5Dopen2", file, b"sigma", 0), (ctypes.c_uint64 * 1)(0)
        call("H5Dwrite_chunk", dataset, 0, 0, place, ctypes.c_size_t(len(packed)), packed)
        call("H5Dclose", dataset)

    changed(path, change)


def with_shared_texts(path):
    """Let 100,000 texts be the same million characters of the file."""
    with netCDF4.Dataset(path, "a") as dataset:
        dataset.createDimension("member", 100_000)
        texts = np.full(100_000, "y", dtype=object)
        texts[0] = "x" * 1_000_000
        dataset.createVariable("member", str, ("member",))[:] = texts
    content = bytearray(path.read_bytes())
    start = content.index(struct.pack("<I", 1_000_000))
    content[start : start + 16 * 100_000] = content[start : start + 16] * 100_000
    path.write_bytes(bytes(content))


HOSTILE = {
    with_external_link: "link to another place",
    with_soft_link: "link to another place",
    with_loop: "groups or types",
    with_group: "groups or types",
    with_encoded_characters: "states how they are encoded",
    with_external_storage: "in another file",
    with_virtual_values: "in another file",
    with_invented_size: "states 160000000000 bytes, of which 0 are stored",
    with_invented_image: "states 512000000 bytes",
    with_large_chunk: "larger than the 8000 bytes",
    with_shared_texts: "can't read it|not a readable",
}


def cases():
    """Yield the cases; two of them take more than 5 s."""
    for change in HOSTILE:
        long = change in (with_large_chunk, with_shared_texts)
        yield pytest.param(change, id=change.__name__, marks=[pytest.mark.long] if long else [])


@pytest.mark.parametrize("change", list(cases()))
def test_hostile_files_are_refused(path, change):
    change(path)
    refused(rf"x\.nc: not a readable netCDF file \(.*({HOSTILE[change]})", read_netcdf, path)
    refused(r"x\.nc: ", realization_of, path)
    refused(r"x\.nc: ", read_record, path)


def test_other_files_are_refused(path):
    for content, message in (
        (b"", "begins like no"),
        (b"CDF\x01" + bytes(100), "begins like no"),
        (b"\x89HDF\r\n\x1a\n", "H5F"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=rf"x\.nc: not a readable netCDF file \(.*{message}"):
            read_netcdf(path)


def test_the_bytes_of_the_variables_are_known_before_they_are_read(path):
    # each text takes the room of the longest one of its variable: 2 characters, and those of an id such as 01_49
    counts, texts = ROWS * 2 * 8 * 8 * 2, ROWS * (100 + 8 * 2) + ROWS * (100 + 8 * len(f"01_{ROWS - 1}"))
    assert check_hdf5(path) == counts + ROWS * 8 + texts
    assert read_netcdf(path).equals(read_netcdf(path.with_name("whole.nc")))


def test_arrays_of_characters_count_as_the_texts_that_they_become(path):
    """A file of 100 kB could become 4 GB."""
    with netCDF4.Dataset(path, "w") as dataset:
        dataset.createDimension("cluster", 20_000)
        dataset.createDimension("characters", 4000)
        made = dataset.createVariable("split", "S1", ("cluster", "characters"), compression="zlib")
        made[:] = np.full((20_000, 4000), b"a")
    assert path.stat().st_size < 1_000_000
    assert check_hdf5(path) >= 20_000 * 4000 * 8
    refused(r"x\.nc: needs 0\.64 GB of memory", read_netcdf, path, memory=500_000_000)


@pytest.mark.parametrize("attribute", ["scale_factor", "add_offset", "missing_value"])
def test_whole_numbers_that_become_floats_are_refused(path, attribute):
    """A file of 1 MB could become 8 GB."""
    with netCDF4.Dataset(path, "a") as dataset:
        dataset["counts"].setncattr(attribute, 2.0)
    with pytest.raises(InputError, match=r"x\.nc: not a readable netCDF file \(a variable is scaled"):
        read_netcdf(path)


def test_a_file_that_memory_lacks_the_room_for_is_refused(path):
    cube = np.random.default_rng(1).poisson(1, (100, 2, 400, 400)).astype(np.uint16)
    names = [str(number) for number in range(100)]
    dataset = xr.Dataset({"counts": (("cluster", "band", "y", "x"), cube)}, {"cluster": names})
    write_netcdf(dataset, path, "test", {})
    refused(r"x\.nc: needs 0\.064 GB of memory", read_netcdf, path, memory=50_000_000)


@pytest.mark.long
@pytest.mark.parametrize("seed", [1])
def test_no_damage_of_a_file_without_a_seal_ends_the_process(path, seed):
    content, rng, ends = path.read_bytes(), np.random.default_rng(seed), {"result": 0, "InputError": 0}
    for _ in range(60):
        changed = bytearray(content)
        for _ in range(int(rng.integers(1, 4))):
            changed[int(rng.integers(8, len(content)))] = int(rng.integers(256))
        path.write_bytes(bytes(changed))
        text = outcome(lambda: read_netcdf(path).sizes)
        kind = text.partition(" ")[0].rstrip(":")
        assert kind in ends, text
        ends[kind] += 1
    assert ends["InputError"] > 5


@pytest.mark.parametrize(("end", "message"), [("SIGKILL", "reads it without end"), ("SIGSEGV", "crashes")])
def test_a_file_in_which_hdf5_loops_or_crashes_ends_in_a_sentence(path, tmp_path, monkeypatch, end, message):
    child = tmp_path / "child.py"
    child.write_text(f"import os, signal\nos.kill(os.getpid(), signal.{end})\n")
    monkeypatch.setattr(hdf5, "_CHILD", child)
    with pytest.raises(InputError, match=rf"x\.nc: not a readable netCDF file \(HDF5 {message}"):
        read_netcdf(path)
