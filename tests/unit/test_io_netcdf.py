import os
import signal
import subprocess
import sys
import textwrap

import netCDF4
import numpy as np
import pytest
import xarray as xr
from fuzz_inputs import limited

from clustermass.errors import InputError
from clustermass.io import files
from clustermass.io import netcdf as datasets


def small_dataset():
    counts = np.arange(2 * 3 * 4 * 4, dtype=np.uint16).reshape(2, 3, 4, 4)
    return xr.Dataset(
        {"counts": (("cluster", "band", "y", "x"), counts), "redshift": ("cluster", [0.1, np.nan])},
        coords={"cluster": ["01_1", "01_2"]},
    )


def test_netcdf_round_trip_with_units_and_same_bytes_twice(tmp_path):
    for name in ("a.nc", "b.nc"):
        datasets.write_netcdf(small_dataset(), tmp_path / name, "Title.", {"seed": 3, "nested": {"b": 1, "a": [2]}})
    assert (tmp_path / "a.nc").read_bytes() == (tmp_path / "b.nc").read_bytes()
    read = datasets.read_netcdf(tmp_path / "a.nc", require=["counts"])
    xr.testing.assert_equal(read, small_dataset())
    assert read["counts"].dtype == np.uint16
    assert read["counts"].attrs["units"] == "count"
    assert read.attrs["nested"] == '{"a": [2], "b": 1}'


def test_a_variable_without_a_stated_meaning_is_refused(tmp_path):
    with pytest.raises(KeyError, match="mystery"):
        datasets.write_netcdf(xr.Dataset({"mystery": ("cluster", [1.0])}), tmp_path / "a.nc", "Title.", {})
    assert list(tmp_path.iterdir()) == []


def test_reading_names_the_file_and_what_is_wrong(tmp_path):
    with pytest.raises(InputError, match=r"gone\.nc: no such file"):
        datasets.read_netcdf(tmp_path / "gone.nc")
    datasets.write_netcdf(small_dataset(), tmp_path / "whole.nc", "Title.", {})
    (tmp_path / "half.nc").write_bytes((tmp_path / "whole.nc").read_bytes()[:3000])
    with pytest.raises(InputError, match=r"half\.nc: not a readable netCDF file"):
        datasets.read_netcdf(tmp_path / "half.nc")
    with pytest.raises(InputError, match=r"whole\.nc: lacks the variable\(s\) image"):
        datasets.read_netcdf(tmp_path / "whole.nc", require=["counts", "image"])


def test_a_damaged_file_is_refused_before_hdf5_reads_it_without_end(tmp_path):
    """HDF5 goes through the objects of its heap by their lengths: one of length 0 holds it for ever."""
    path = tmp_path / "a.nc"
    datasets.write_netcdf(small_dataset(), path, "Title.", {"long": "x" * 3000})
    content = path.read_bytes()
    place = content.index(b"GCOL") + 24
    path.write_bytes(content[:place] + bytes(8) + content[place + 8 :])
    with (
        limited(),
        pytest.raises(InputError, match=r"a\.nc: not a readable netCDF file \(its bytes have changed since"),
    ):
        datasets.read_netcdf(path)


def test_a_file_that_other_software_changed_or_wrote_is_read(tmp_path):
    path = tmp_path / "a.nc"
    datasets.write_netcdf(small_dataset(), path, "Title.", {})
    with netCDF4.Dataset(path, "a") as dataset:
        dataset["redshift"][0] = 0.4
    assert datasets.read_netcdf(path)["redshift"][0] == 0.4
    small_dataset().to_netcdf(path)
    assert datasets.read_netcdf(path)["redshift"][0] == 0.1


def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), datasets.atomic(path) as temporary:
        temporary.write_text("half of the new")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_nothing_under_the_final_name(tmp_path):
    """A file-size limit makes the write fail as a full disk does, in the middle."""
    script = textwrap.dedent(f"""
        import resource, signal
        import numpy as np, xarray as xr
        from clustermass.io import netcdf as datasets
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        counts = np.random.default_rng(1).integers(0, 60000, (40, 10, 50, 50)).astype(np.uint16)
        dataset = xr.Dataset({{"counts": (("cluster", "band", "y", "x"), counts)}})
        datasets.write_netcdf(dataset, {str(tmp_path / "big.nc")!r}, "Title.", {{}})
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode != 0
    assert not (tmp_path / "big.nc").exists()


def test_a_kill_in_the_middle_of_a_write_leaves_nothing_under_the_final_name(tmp_path):
    script = textwrap.dedent(f"""
        import os, signal
        from clustermass.io import netcdf as datasets
        with datasets.atomic({str(tmp_path / "killed.fits")!r}) as temporary:
            temporary.write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    done = subprocess.run([sys.executable, "-c", script])
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed.fits").exists()


def test_written_files_have_the_usual_permissions(tmp_path):
    with datasets.atomic(tmp_path / "file") as temporary:
        temporary.write_text("x")
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~mask


def test_json_refuses_nan_and_writes_numpy_numbers(tmp_path):
    files.write_json({"a": np.float64(0.5), "b": np.arange(2)}, tmp_path / "a.json")
    assert (tmp_path / "a.json").read_text() == '{\n  "a": 0.5,\n  "b": [\n    0,\n    1\n  ]\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json({"a": float("nan")}, tmp_path / "b.json")
    assert not (tmp_path / "b.json").exists()


@pytest.mark.parametrize(("name", "encoding"), [(b"\xff.nc", "utf-8"), ("Ä.nc".encode(), "ascii")])
def test_a_path_that_the_encoding_of_the_locale_lacks_is_refused(tmp_path, monkeypatch, name, encoding):
    datasets.write_netcdf(small_dataset(), tmp_path / "a.nc", "Title.", {})
    (tmp_path / "a.nc").rename(path := tmp_path / os.fsdecode(name))
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: encoding)
    for call in (datasets.read_netcdf, lambda path: datasets.write_netcdf(small_dataset(), path, "Title.", {})):
        with pytest.raises(InputError, match=rf"netCDF can't open .* outside the encoding {encoding}\. Use ASCII"):
            call(path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["x" * 252 + ".nc", "€" * 84 + ".nc"])
def test_a_file_may_have_the_longest_name_that_there_is(tmp_path, name):
    with datasets.atomic(tmp_path / name) as temporary:
        assert files.is_temporary(temporary.name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_folder_named_like_a_home_folder_is_no_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for folder, value in (("home", 1.0), ("~", 2.0)):
        datasets.write_netcdf(xr.Dataset({"redshift": ("cluster", [value])}), tmp_path / folder / "a.nc", "Title", {})
    assert datasets.read_netcdf("~/a.nc")["redshift"].values == [2.0]
