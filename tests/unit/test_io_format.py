"""Bytes that io/ writes, held to golden hashes: whoever changes them must raise FORMAT, so that all steps run again."""

import hashlib
import json
import warnings
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
from astropy.table import QTable

from clustermass.io import FORMAT, products
from clustermass.io.files import write_json
from clustermass.io.netcdf import write_netcdf
from clustermass.io.provenance import history

#: FORMAT -> SHA-256 of each file of `write_all`; after a change on purpose, raise FORMAT and replace them
GOLDEN = Path(__file__).with_name("io_format.json")
MADE = {"source": "clustermass", "step": "test", "parameters": "{}", "input_sha256": {"ä.fits": "0" * 64}, "seed": 3}
CARDS = {"OBJECT": ("SIM test", "simulated field"), "SIMULATE": (True, "these photons were simulated")}
NAMES = ("CATALOGUE", "TRUTH", "MATCHES", "LABELS", "SOURCES", "MASSES")
TABLES = {name: getattr(products, name) for name in NAMES}


def values_of(column):
    texts, numbers = np.array(["a", "long text"]), np.array([1.5, -2.0])
    return texts if column.format == "A" else numbers.astype("i4") if column.format in "BIJK" else numbers


def write_all(folder):
    """Write one file of each kind with fixed content."""
    for name, columns in TABLES.items():
        values = {column.name: values_of(column) for column in columns}
        products.write_table(folder / f"{name}.fits", name, columns, values, CARDS, MADE, checksum=name == "MASSES")
    cards = {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CRPIX1": 1.5, "CRPIX2": 1.0, "CDELT1": -0.1, "CDELT2": 0.1}
    products.write_exposure(folder / "exposure.fits", np.array([[1.0, 2.0]], np.float32), cards, CARDS, MADE)
    write_json({"number": np.float64(0.1), "list": np.arange(2), "text": "ä", "provenance": MADE}, folder / "a.json")
    dataset = xr.Dataset(
        {
            "counts": (("cluster", "band", "y", "x"), np.arange(8, dtype="u2").reshape(2, 1, 2, 2)),
            "mu": ("cluster", [1.0, 2]),
        },
        {"cluster": ["a", "bc"], "band": [0.5]},
    )
    write_netcdf(dataset.assign(band_bounds=(("band", "edge"), [[0.4, 0.6]])), folder / "a.nc", "Title", MADE)
    (folder / "history.txt").write_text("\n".join(map(" = ".join, history(MADE))))


def digest(path):
    """SHA-256 of a file's bytes; of netCDF, whose bytes name the versions of its libraries, of all that it holds."""
    content = path.read_bytes()
    if path.suffix == ".nc":
        with netCDF4.Dataset(path) as data:
            data.set_auto_mask(False)
            parts = [[name, str(data.getncattr(name))] for name in data.ncattrs()]
            for name, variable in data.variables.items():
                about = [str(variable.dtype), variable.dimensions, str(variable.filters()), str(variable.chunking())]
                parts += [[name, about, [[key, str(variable.getncattr(key))] for key in variable.ncattrs()]]]
                parts += [np.asarray(variable[:]).tolist()]
        content = json.dumps(parts).encode()
    return hashlib.sha256(content).hexdigest()


def test_what_io_writes_under_this_format_has_the_golden_bytes(tmp_path):
    write_all(tmp_path)
    written = {path.name: digest(path) for path in sorted(tmp_path.iterdir())}
    golden = json.loads(GOLDEN.read_text())
    assert golden["format"] == FORMAT, "FORMAT was raised: replace the hashes in tests/unit/io_format.json"
    changed = [name for name in written if written[name] != golden["sha256"].get(name)]
    assert changed == [], f"io/ writes {changed} differently: raise clustermass.io.FORMAT, then replace the hashes"
    assert written.keys() == golden["sha256"].keys()


def test_no_reader_of_a_table_is_warned(tmp_path):
    write_all(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in TABLES:
            assert len(QTable.read(tmp_path / f"{name}.fits", hdu=name)) == 2


@pytest.mark.parametrize("change", ["unit", "description", "order"])
def test_another_unit_description_or_order_is_noticed(tmp_path, monkeypatch, change):
    columns = products.MATCHES
    last = columns[-1]._replace(unit="pc") if change == "unit" else columns[-1]._replace(description="Another.")
    other = columns[::-1] if change == "order" else (*columns[:-1], last)
    monkeypatch.setitem(TABLES, "MATCHES", other)
    write_all(tmp_path)
    assert digest(tmp_path / "MATCHES.fits") != json.loads(GOLDEN.read_text())["sha256"]["MATCHES.fits"]
