"""One catalogue in FITS, VOTable, ECSV and netCDF: the same rows, columns, units and bits, and what tools show."""

import shutil
import subprocess
import warnings

import astropy.units as u
import numpy as np
import pytest
import xarray as xr
from astropy.io import fits, votable
from astropy.table import QTable, Table
from astropy.utils.exceptions import AstropyUserWarning

from clustermass.apply.catalogue import CataloguePaths, write_catalogue
from clustermass.io.netcdf import VARIABLES
from clustermass.io.products import MASSES, MEMBERS

COLUMNS = {column.name: column for column in MASSES}
ROWS = 40
INPUTS = {"data/ä b.nc": "a" * 64, "members/00.safetensors": "b" * 64}
MADE = {"source": "clustermass 9.9", "config_hash": "0123456789abcdef", "step": "s", "input_sha256": INPUTS}
FACTS = {
    "ORIGIN": ("clustermass", "who"),
    "SIMULATE": (True, "T or F"),
    "H0": (67.74, "[km/s/Mpc]"),
    "NOTE": ("a<b & c>d", ""),
}
LIMITS = {"J": np.iinfo(np.int32), "I": np.iinfo(np.int16)}


def values_of(name, rng):
    """Return values that would lose bits if written with too few digits; some floats are NaN."""
    kind = COLUMNS[name].format
    if kind == "A":
        return np.array([f"{name} J{n:0{1 + n % 7}d}+{n}" for n in range(ROWS)])
    if kind in LIMITS:
        return rng.integers(LIMITS[kind].min, LIMITS[kind].max, ROWS, endpoint=True)
    values = rng.normal(0, 1, ROWS) * 10.0 ** rng.integers(-30, 30, ROWS)
    values[:3] = (np.nan, 1 / 3, 0.1)
    return values if kind == "D" else values.astype(np.float32)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    rng = np.random.default_rng(77)
    columns = {name: values_of(name, rng) for name in COLUMNS}
    members = {name: rng.normal(14, 0.2, (ROWS, 3)).astype(np.float32) for name in MEMBERS}
    paths = CataloguePaths.beside(tmp_path_factory.mktemp("catalogue") / "masses.fits")
    write_catalogue(columns | members, np.array([f"01_{n}" for n in range(ROWS)]), FACTS, MADE, paths)
    return columns, paths, members


def read_fits(paths):
    return Table.read(paths.fits, hdu=1, mask_invalid=False)


def read_votable(paths):
    return votable.parse(paths.votable, verify="exception").get_first_table()


def tables(paths):
    dataset = xr.load_dataset(paths.netcdf)
    return {
        "fits": {name: column.data for name, column in read_fits(paths).items()},
        "votable": {name: np.ma.getdata(column) for name, column in read_votable(paths).to_table().items()},
        "ecsv": {n: np.ma.filled(c, np.nan) for n, c in Table.read(paths.ecsv, format="ascii.ecsv").items()},
        "netcdf": {str(name): dataset[name].values for name in dataset.data_vars if name not in MEMBERS},
    }


def test_all_formats_hold_the_same_columns_rows_and_bits(written):
    columns, paths, _ = written
    found = tables(paths)
    assert len(found) == 4
    for kind, table in found.items():
        assert list(table) == list(COLUMNS), kind
        for name, expected in columns.items():
            where, values = f"{name} in {kind}", np.asarray(table[name])
            assert values.shape == (ROWS,), where
            if COLUMNS[name].format == "A":
                assert values.astype(str).tolist() == expected.tolist(), where
                continue
            native = values.astype(values.dtype.newbyteorder("="))
            assert native.dtype.kind == expected.dtype.kind, where
            exact = expected.astype(native.dtype)  # int64 of the draw; never a narrower type than the value needs
            np.testing.assert_array_equal(native, exact, where)
            np.testing.assert_array_equal(native.astype(expected.dtype), expected, where)


def test_members_stand_in_fits_and_netcdf_and_keep_their_bits(written):
    _, paths, members = written
    with fits.open(paths.fits) as hdus, xr.open_dataset(paths.netcdf) as dataset:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "MASSES", *MEMBERS]
        for name, values in members.items():
            assert dataset[name].dims == ("cluster", "member")
            for found in (hdus[name].data, dataset[name].values):
                np.testing.assert_array_equal(found.astype(np.float32), values)


def test_missing_numbers_are_masked_in_every_format_and_nothing_else_is(written):
    columns, paths, _ = written
    masked = {
        "fits": Table.read(paths.fits, hdu=1),
        "votable": read_votable(paths).to_table(),
    }
    for kind, table in masked.items():
        for name, expected in columns.items():
            missing = np.isnan(expected) if expected.dtype.kind == "f" else np.zeros(ROWS, bool)
            np.testing.assert_array_equal(np.ma.getmaskarray(np.ma.asarray(table[name])), missing, f"{name} in {kind}")


def test_units_descriptions_and_ucds_are_the_same_everywhere(written):
    _, paths, _ = written
    header, fields = fits.getheader(paths.fits, 1), read_votable(paths).fields
    text = Table.read(paths.ecsv, format="ascii.ecsv")
    with xr.open_dataset(paths.netcdf) as dataset:
        long_names = {str(name): dataset[name].attrs["long_name"] for name in dataset.data_vars}
        in_netcdf = {str(name): dataset[name].attrs.get("units") for name in dataset.data_vars}
        assert {name: dataset[name].attrs["long_name"] for name in MEMBERS} == {
            n: text for n, (_, text) in MEMBERS.items()
        }
    assert len(fields) == header["TFIELDS"] == len(COLUMNS)
    for number, (name, field) in enumerate(zip(COLUMNS, fields, strict=True), start=1):
        meaning, unit = VARIABLES[name.lower()][1], header.get(f"TUNIT{number}", "")
        assert field.name == name
        assert header[f"TCOMM{number}"] == text[name].description == long_names[name] == meaning
        assert " ".join(field.description.split()) == meaning  # the XML has its long lines wrapped
        assert header[f"TUCD{number}"] == field.ucd == text[name].meta["ucd"] == COLUMNS[name].ucd
        assert u.Unit(str(field.unit or "")) == u.Unit(unit)
        same = u.isclose(1 * u.Unit(in_netcdf[name] or ""), 1 * u.Unit(unit), rtol=1e-4)
        assert same, f"{name} in {in_netcdf[name]}"
        # FITS, VOTable and udunits, and so CF, define no dex: what is in dex says so
        assert u.Unit(str(text[name].unit or "")) == u.Unit("dex" if name.startswith("LOGM500") else unit)
        assert not name.startswith("LOGM500") or "dex" in meaning or "log10(M500c / Msun)" in meaning
    with_unit = {name: header.get(f"TUNIT{n}") for n, name in enumerate(COLUMNS, start=1) if f"TUNIT{n}" in header}
    masses = {"M500": "solMass", "M500_Q16": "solMass", "M500_Q84": "solMass", "R500C": "kpc", "R500C_ARCMIN": "arcmin"}
    measured = {"ML_RATE": "count s-1", "ML_CTS": "count", "EXT": "arcsec", "N_PHOT": "count", "EXPOSURE": "s"}
    near = {"NEIGHBOUR_SEP": "arcsec", "NEIGHBOUR_CTS": "count"}
    assert with_unit == {"RA": "deg", "DEC": "deg"} | masses | measured | near


@pytest.mark.parametrize("kind", [Table, QTable])
@pytest.mark.parametrize("name", ["fits", "votable", "ecsv"])
def test_no_reader_is_warned(written, kind, name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = kind.read(getattr(written[1], name), **({"hdu": "MASSES"} if name == "fits" else {}))
    assert table["RA"].unit == u.deg
    assert len(table) == ROWS


def test_votable_names_its_frame_and_types(written):
    table = read_votable(written[1])
    types = {field.name: field.datatype for field in table.fields}
    expected = {"J": "int", "I": "short", "E": "float", "D": "double", "A": "char"}
    assert types == {name: expected[kind.format] for name, kind in COLUMNS.items()}
    assert {field.name for field in table.fields if field.ref == "ICRS"} == {"RA", "DEC"}
    (system,) = votable.parse(written[1].votable).resources[0].coordinate_systems
    assert (system.ID, system.system) == ("ICRS", "ICRS")


def test_header_and_provenance_stand_where_each_format_s_readers_look(written):
    _, paths, _ = written
    header, text = fits.getheader(paths.fits, 1), Table.read(paths.ecsv, format="ascii.ecsv").meta
    infos = [(info.name, info.value) for info in read_votable(paths).infos]
    with xr.open_dataset(paths.netcdf) as dataset:
        attributes = dict(dataset.attrs)
    for key, (value, _) in FACTS.items():
        assert header[key] == text[key] == value
        assert dict(infos)[key] == {True: "true"}.get(value, str(value))
        assert attributes[key] == {True: "true"}.get(value, str(value))
    for key, value in (("CREATOR", "clustermass 9.9"), ("CONFHASH", "0123456789abcdef")):
        assert header[key] == text[key] == dict(infos)[key] == value
    assert header["INPTHASH"] == dict(infos)["INPTHASH"]
    hashes = [value for name, value in infos if name == "input"]
    assert hashes == [f"data/\\xe4 b.nc sha256 {'a' * 64}", f"members/00.safetensors sha256 {'b' * 64}"]
    history = "".join(fits.getheader(paths.fits)["HISTORY"])
    assert all(line in history for line in hashes)
    assert not any(key.startswith("DATE") for key in header)


def ones_complement_sum(block):
    """Checksum of the FITS standard, sec. J: 32-bit words added with their carries coming round."""
    total = int(np.frombuffer(block, dtype=">u4").astype(np.uint64).sum())
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def test_checksums_are_those_of_the_fits_standard(written):
    path = written[1].fits
    content = path.read_bytes()
    with fits.open(path) as hdus:
        for hdu in hdus:
            info = hdu.fileinfo()
            data = content[info["datLoc"] : info["datLoc"] + info["datSpan"]]
            assert ones_complement_sum(data) == int(hdu.header["DATASUM"])
            assert ones_complement_sum(content[info["hdrLoc"] : info["datLoc"]] + data) in (0, 0xFFFFFFFF)


def test_a_flipped_bit_is_caught(written, tmp_path):
    content = bytearray(written[1].fits.read_bytes())
    with fits.open(written[1].fits, checksum=True) as hdus:  # warnings are errors here
        data, keyword = hdus[1].fileinfo()["datLoc"], hdus[1].fileinfo()["hdrLoc"] + 80 * 20 + 15
        assert hdus[1].header["DATASUM"]
    for where in (data + 777, keyword):
        damaged = content.copy()
        damaged[where] ^= 1
        (tmp_path / "damaged.fits").write_bytes(damaged)
        with (
            pytest.warns(AstropyUserWarning, match="verification failed"),
            fits.open(tmp_path / "damaged.fits", checksum=True) as hdus,
        ):
            assert len(hdus) == 4


def test_an_empty_field_s_catalogue_is_written_and_read(tmp_path):
    columns = {name: np.array([], dtype="U4" if kind.format == "A" else float) for name, kind in COLUMNS.items()}
    columns |= {name: np.zeros((0, 3)) for name in MEMBERS}
    paths = CataloguePaths.beside(tmp_path / "masses.fits")
    write_catalogue(columns, np.array([], dtype=str), FACTS, MADE, paths)
    assert {len(table["LOGM500"]) for table in tables(paths).values()} == {0}


# of the formats that Debian's reads; it has no ECSV
@pytest.mark.skipif(shutil.which("stilts") is None, reason="needs stilts, TOPCAT's command line (Debian: stilts)")
def test_stilts_finds_no_fault_and_reads_the_same_numbers(written, tmp_path):
    columns, paths, _ = written
    lint = subprocess.run(["stilts", "votlint", str(paths.votable)], capture_output=True, text=True, timeout=120)
    assert lint.returncode == 0, lint.stdout + lint.stderr
    assert "ERROR" not in lint.stdout + lint.stderr
    for kind, path in (("fits", paths.fits), ("votable", paths.votable)):
        copied = tmp_path / f"{kind}.fits"
        arguments = [f"in={path}", f"ifmt={kind}", f"out={copied}", "ofmt=fits-basic"]
        subprocess.run(["stilts", "tcopy", *arguments], check=True, capture_output=True, timeout=120)
        table, header = Table.read(copied, hdu=1, mask_invalid=False), fits.getheader(copied, 1)
        assert table.colnames == list(COLUMNS)
        assert header["TUCD3"] == COLUMNS["RA"].ucd
        for name, expected in columns.items():
            values = np.asarray(table[name])
            if expected.dtype.kind == "U":
                assert np.char.strip(values.astype(str)).tolist() == expected.tolist()
            else:
                np.testing.assert_array_equal(values.astype(expected.dtype), expected, f"{name} in {kind}")
