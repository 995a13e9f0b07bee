"""Arrays in the binary data of VOTables: those of any length are read whole, or refused if they are cut."""

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
