"""The files of a field: one contract of columns, one writer."""

import numpy as np
import pytest
from astropy import units
from astropy.io import fits

from clustermass.io import products
from clustermass.io.netcdf import VARIABLES
from clustermass.io.products import EVENTS, GTI, MATCHES, column, gti_hdu, is_simulated, table_hdu, write_table

TABLES = {name: getattr(products, name) for name in ("CATALOGUE", "TRUTH", "MATCHES", "LABELS", "EVENTS", "GTI")}
ROWS = {"ID_SRC": np.array([4, 2]), "SRC_ID": np.array([1, 9]), "SEPARATION": np.ones(2), "PURITY": np.ones(2)}


@pytest.mark.parametrize("name", TABLES)
def test_units_are_read_as_fits_and_are_those_of_netcdf(name):
    for one in TABLES[name]:
        if one.unit not in (None, "dex"):  # of log10 masses; FITS defines none for them
            units.Unit(one.unit, format="fits", parse_strict="raise")
        ours = VARIABLES.get(one.name.lower())
        if ours is not None and one.description == ours[1]:
            assert units.Unit(one.unit or "") == units.Unit(ours[0].replace("1", "") if ours[0] == "1" else ours[0])


def test_a_table_holds_values_descriptions_cards_and_history(tmp_path):
    path = tmp_path / "matches.fits"
    write_table(path, "MATCHES", MATCHES, ROWS, {"SEED": (7, "root")}, {"step": "match", "input_sha256": {"a": "b"}})
    with fits.open(path) as hdus:
        assert hdus["MATCHES"].data["ID_SRC"].tolist() == [4, 2]
        assert hdus["MATCHES"].header["TUNIT3"] == "arcsec"
        assert hdus["MATCHES"].header["TCOMM3"] == "distance of the detection from the halo"
        assert hdus["MATCHES"].header["SEED"] == 7
        assert list(hdus[0].header["HISTORY"]) == ["step = match", "input = a sha256 b"]


def test_a_missing_column_is_an_error_unless_it_is_optional():
    with pytest.raises(KeyError, match="PURITY"):
        table_hdu("MATCHES", MATCHES, {name: values for name, values in ROWS.items() if name != "PURITY"})
    columns = [*MATCHES, column("NOTE", "A", "remark", optional=True)]
    assert table_hdu("MATCHES", columns, ROWS).columns.names == list(ROWS)
    noted = table_hdu("MATCHES", columns, {**ROWS, "NOTE": np.array(["one", "three"])})
    assert noted.columns["NOTE"].format == "5A"


def test_positions_of_events_are_whole_numbers_of_a_millionth_of_a_degree(tmp_path):
    rows = {one.name: np.zeros(2, dtype=int) for one in EVENTS} | {"RA": np.array([359999999, 1])}
    fits.HDUList([fits.PrimaryHDU(), table_hdu("EVENTS", EVENTS, rows)]).writeto(tmp_path / "events.fits")
    with fits.open(tmp_path / "events.fits") as hdus:
        assert hdus[1].header["TFORM2"] == "J"
        assert hdus[1].data["RA"] == pytest.approx([359.999999, 1e-6], abs=1e-12)
    assert table_hdu("EVENTS", EVENTS).header["NAXIS2"] == 0


def test_good_times_of_a_module():
    table = gti_hdu(3, [[1.0, 2.0], [5.0, 6.0]])
    assert (table.name, table.columns.names) == ("GTI3", [one.name for one in GTI])
    assert table.data["STOP"].tolist() == [2, 6]


@pytest.mark.parametrize("value", [False, 0, "F", "false", " No ", "", None])
def test_photons_that_a_header_calls_real_are_real(value):
    assert not is_simulated(fits.Header([("SIMULATE", value)]))


@pytest.mark.parametrize("value", [True, 1, "T", "yes", "SIXTE"])
def test_photons_that_a_header_calls_simulated_are_simulated(value):
    assert is_simulated(fits.Header([("SIMULATE", value)]))
