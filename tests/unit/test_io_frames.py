"""Positions in a frame other than ICRS and FK5 J2000 aren't taken for ICRS."""

import logging

import pytest
from astropy.io import fits
from astropy.table import Table

from clustermass.catalogues.formats import read_table
from clustermass.errors import InputError
from clustermass.io.frames import check_frame

VOTABLE = """<VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE>
<COOSYS ID="old" system="eq_FK4" equinox="B1950"/><COOSYS ID="new" system="eq_FK5" equinox="J2000"/><TABLE>
<FIELD name="RA_B" ref="old" datatype="double"/><FIELD name="RA" ref="{}" datatype="double"/>
<FIELD name="Z" ref="old" datatype="double"/><FIELD name="NAME" datatype="char" arraysize="{}"/>
<DATA><TABLEDATA><TR><TD>135</TD><TD>136</TD><TD>0.3</TD><TD>abc</TD></TR></TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"""


@pytest.mark.parametrize(
    "cards",
    [
        {}, {"RADESYS": "ICRS"}, {"RADECSYS": "FK5", "EQUINOX": 2000.0}, {"RADESYS": "FK5", "EQUINOX": "J2000"},
        {"RADESYS": "ICRS", "EQUINOX": 2015.5}, {"RADESYS": "", "EQUINOX": 2000},
    ],
)  # fmt: skip
def test_usual_frames_pass(tmp_path, cards):
    check_frame(fits.Header(cards), tmp_path)


@pytest.mark.parametrize(
    "cards", [{"RADESYS": "FK4"}, {"EQUINOX": 1950.0}, {"RADECSYS": "FK5", "EQUINOX": 1975.0}, {"RADESYS": "GALACTIC"}]
)
def test_fits_tables_in_other_frames_are_refused(tmp_path, cards):
    table = Table({"RA": [136.0], "DEC": [1.5]})
    table.meta.update(cards)
    table.write(tmp_path / "t.fits")
    with pytest.raises(InputError, match=r"t\.fits: its header states the frame .*(FK4|1950|1975|GALACTIC)"):
        read_table(tmp_path / "t.fits")


@pytest.mark.parametrize("cards", [{"RADESYS": "FK4"}, {"EQUINOX": 1950.0}, {"RADESYS": "GALACTIC"}, {"EPOCH": 1950.0}])
def test_text_tables_whose_header_states_another_frame_are_refused(tmp_path, cards):
    table = Table({"RA": [136.0], "DEC": [1.5]})
    table.meta.update(cards)
    table.write(tmp_path / "t.ecsv")
    ((key, value),) = cards.items()
    (tmp_path / "t.tbl").write_text(f"\\{key} = '{value}'\n|RA   |DEC  |\n|double|double|\n 136.0  1.5 \n")
    for name in ("t.ecsv", "t.tbl"):
        with pytest.raises(InputError, match=rf"{name}: its header states the frame .*(FK4|1950|GALACTIC)"):
            read_table(tmp_path / name)


def test_text_tables_in_usual_frames_are_read(tmp_path):
    table = Table({"RA": [136.0], "DEC": [1.5]}, meta={"RADESYS": "ICRS", "EQUINOX": 2000.0, "EPOCH": 2016.0})
    table.write(tmp_path / "t.ecsv")
    assert read_table(tmp_path / "t.ecsv")["RA"].tolist() == [136.0]


def test_the_frame_in_the_first_header_of_a_table_counts(tmp_path):
    first = fits.PrimaryHDU()
    first.header["RADESYS"] = "FK4"
    fits.HDUList([first, fits.BinTableHDU(Table({"RA": [136.0], "DEC": [1.5]}))]).writeto(tmp_path / "t.fits")
    with pytest.raises(InputError, match=r"t\.fits: its header states the frame FK4"):
        read_table(tmp_path / "t.fits")


def test_columns_of_votables_in_other_frames_are_left_out(tmp_path, caplog):
    (tmp_path / "t.vot").write_text(VOTABLE.format("new", "*"))
    with caplog.at_level(logging.WARNING, "clustermass"):
        assert read_table(tmp_path / "t.vot").colnames == ["RA", "Z", "NAME"]
    assert "left out, because their frame is neither ICRS nor FK5 J2000: columns RA_B (eq_FK4 B1950)" in caplog.text


def test_columns_of_positions_under_other_names_are_left_out(tmp_path):
    content = VOTABLE.format("new", "*").replace('name="RA_B"', 'name="ALPHA_1"')
    (tmp_path / "t.vot").write_text(content)
    assert read_table(tmp_path / "t.vot").colnames == ["RA", "Z", "NAME"]


def test_texts_of_votables_that_would_be_cut_are_refused(tmp_path):
    (tmp_path / "t.vot").write_text(VOTABLE.format("new", "2"))
    with pytest.raises(InputError, match="texts are longer than their arraysize"):
        read_table(tmp_path / "t.vot")


@pytest.mark.parametrize("named", ["old", "new"])
def test_the_frame_of_a_group_is_that_of_its_columns(tmp_path, named):
    content = VOTABLE.format("", "*").replace('ref=""', 'ID="c1"')
    group = f'<GROUP ref="{named}"><FIELDref ref="c1"/></GROUP>'
    (tmp_path / "t.vot").write_text(content.replace("<DATA>", group + "<DATA>"))
    assert ("RA" in read_table(tmp_path / "t.vot").colnames) == (named == "new")
