"""VOTables: arrays in binary data are read whole, or refused if cut; nothing small needs much memory."""

import tracemalloc
from base64 import b64encode

import numpy as np
import pytest

from clustermass.catalogues.formats import read_table
from clustermass.errors import InputError

#: type and size of a column of arrays -> its cells of up to three items in the two rows of a table
ARRAYS = {
    ("bit", "*"): (b"\0\0\0\1\x08", b"\0\0\0\3\x08\0\x08"),
    ("bit", "9x*"): (b"\0\0\0\0", b"\0\0\0\1\xff\x80"),
    ("float", "3*"): (b"\0\0\0\0", b"\0\0\0\1\x3f\x80\0\0"),
    ("int16", "2x3*"): (b"\0\0\0\1\0\1\0\1", b"\0\0\0\1\0\1\0\1"),
    ("boolean", "3*"): (b"\0\0\0\2TF", b"\0\0\0\1T"),
}


@pytest.mark.parametrize(("kind", "size"), ARRAYS)
def test_arrays_of_any_length_in_binary_data(tmp_path, kind, size):
    path, row = tmp_path / "t.vot", np.array([135.0, 1.0, 0.3], ">f8").tobytes()
    names = ("RA", "DEC", "Z")
    fields = "".join(f'<FIELD name="{name}" datatype="double"/>' for name in names)

    def table(cells):
        stream = b64encode(b"".join(row + cell for cell in cells)).decode()
        path.write_text(
            '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE><TABLE>'
            f'{fields}<FIELD name="A" datatype="{kind}" arraysize="{size}"/><DATA><BINARY><STREAM encoding="base64">'
            f"{stream}</STREAM></BINARY></DATA></TABLE></RESOURCE></VOTABLE>"
        )
        return read_table(path)

    cells = ARRAYS[kind, size]
    read = table(cells)
    assert [read[name].tolist() for name in names] == [[135, 135], [1, 1], [0.3, 0.3]]
    assert [np.shape(cell)[:1] for cell in read["A"]] == [(cell[3],) for cell in cells]
    with pytest.raises(InputError, match=r"t\.vot: its binary data end within a row"):
        table([cells[0], cells[1][:-1]])


HEAD = '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE>'
FIELDS = '<FIELD name="Z" datatype="double"/><FIELD name="NOTE" datatype="unicodeChar" arraysize="*"/>'


def rows(*notes):
    return (
        "<DATA><TABLEDATA>" + "".join(f"<TR><TD>0.3</TD><TD>{note}</TD></TR>" for note in notes) + "</TABLEDATA></DATA>"
    )


def test_a_table_with_the_columns_of_another_is_refused(tmp_path):
    path = tmp_path / "t.vot"
    path.write_text(f'{HEAD}<TABLE ID="a">{FIELDS}</TABLE><TABLE ref="a">{rows("b")}</TABLE></RESOURCE></VOTABLE>')
    with pytest.raises(InputError, match=r"t\.vot: a table takes its columns from another one \(ref\)"):
        read_table(path)


def test_declared_entities_are_refused(tmp_path):
    path = tmp_path / "t.vot"
    text = f"{HEAD}<TABLE>{FIELDS}{rows('&note;')}</TABLE></RESOURCE></VOTABLE>"
    path.write_text(f'<!DOCTYPE VOTABLE [<!ENTITY note "long">]>{text}')
    with pytest.raises(InputError, match=r"t\.vot: a DOCTYPE declares entities"):
        read_table(path)


def test_memory_for_texts_is_that_of_their_characters(tmp_path):
    path, note = tmp_path / "t.vot", "a" * 100_000 + "\u00e9"
    path.write_text(f"{HEAD}<TABLE>{FIELDS}{rows(note, *'b' * 2000)}</TABLE></RESOURCE></VOTABLE>", encoding="utf-8")
    tracemalloc.start()
    try:
        read = read_table(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert read["NOTE"].tolist() == ["a" * 100_000 + "e", *"b" * 2000]
    assert peak < 50e6  # 2,001 cells as wide as the longest take 800 MB
