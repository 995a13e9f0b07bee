"""FITS files and tables whose stated sizes or texts would take memory, time or other files: each is refused."""

import base64
import bz2
import gzip
import lzma

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from confined import outcome, refused

from clustermass.catalogues.formats import read_table
from clustermass.catalogues.tables import read_product
from clustermass.events.read import read_events
from clustermass.report.records import read_record

TAGS = {
    "pointers": f"!numpy.ndarray {{buffer: !!binary {base64.b64encode(b'A' * 64).decode()}, dtype: O, shape: [8]}}",
    "offset": "!numpy.ndarray {buffer: !!binary QUFB, dtype: u1, offset: -100000000000, shape: [3]}",
    "quantity": "!astropy.units.Quantity {value: 1.0, unit: m}",
    "tuple": "!!python/tuple [1, 2]",
    "verbatim": "!<!numpy.ndarray> {buffer: !!binary QUFB, dtype: u1, offset: -100000000000, shape: [3]}",
}


def ecsv(tag, place="meta"):
    lines = ["%ECSV 1.0", "---", "datatype:"]
    lines += [f"- {{name: {name}, datatype: float64}}" for name in ("RA", "DEC", "Z")]
    lines += [f"{place}: {{harmful: {tag}}}", "schema: astropy-2.0"]
    return "\n".join([f"# {line}" for line in lines] + ["RA DEC Z", "133.0 1.0 0.3", ""])


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("read", [read_table, read_record])
def test_a_yaml_tag_that_makes_objects_is_refused(tmp_path, tag, read):
    path = tmp_path / "t.ecsv"
    path.write_text(ecsv(TAGS[tag]))
    refused(r"t\.ecsv: .*tag", read, path)


@pytest.mark.parametrize("tag", TAGS)
def test_a_yaml_tag_in_the_comments_of_a_fits_table_is_refused(tmp_path, tag):
    path = tmp_path / "t.fits"
    table = Table({"RA": [133.0], "DEC": [1.0], "Z": [0.3]})
    yaml = ["datatype:", "- {name: RA, datatype: float64}", f"meta: {{harmful: {TAGS[tag]}}}"]
    comments = ["--BEGIN-ASTROPY-SERIALIZED-COLUMNS--", *yaml, "--END-ASTROPY-SERIALIZED-COLUMNS--"]
    hdu = fits.BinTableHDU(table, name="CATALOGUE")
    for line in comments:
        pieces = [line[start : start + 70] for start in range(0, len(line), 70)]
        for piece in [f"{piece}\\" for piece in pieces[:-1]] + pieces[-1:]:
            hdu.header.add_comment(piece)
    hdu.writeto(path)
    refused(r"t\.fits: .*tag", read_table, path)
    refused(r"t\.fits: .*tag", read_product, path, "CATALOGUE", ("RA",))


COMMENT, COMMENTS = "COMMENT {}", "HIERARCH comments = '{}'"


@pytest.mark.parametrize("cards", [(COMMENTS,) * 3, (COMMENT, COMMENTS, COMMENT)])
def test_yaml_in_cards_that_astropy_takes_for_comments_is_refused(tmp_path, cards):
    path = tmp_path / "t.fits"
    begin, end = "--BEGIN-ASTROPY-SERIALIZED-COLUMNS--", "--END-ASTROPY-SERIALIZED-COLUMNS--"
    fits.BinTableHDU(Table({"RA": [133.0], "DEC": [1.0], "Z": [0.3]})).writeto(path)
    content = path.read_bytes()
    place = content.index(b"END".ljust(80), content.index(b"XTENSION"))
    texts = zip(cards, (begin, "a: !numpy.ndarray", end), strict=True)
    lines = b"".join(line.ljust(80).encode() for line in [*(card.format(text) for card, text in texts), "END"])
    path.write_bytes(content[:place] + lines + content[place + len(lines) :])
    refused(r"t\.fits: unsafe comments", read_table, path)


def test_a_very_wide_format_of_a_column_is_refused(tmp_path):
    (tmp_path / "t.ecsv").write_text(ecsv("x").replace("name: RA, ", "name: RA, format: '99999999d', "))
    refused(r"header \(a format of more than 3 digits", read_table, tmp_path / "t.ecsv")


def aliases():
    """Return YAML of nine levels, each of nine references to the one before."""
    levels = ["&a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"&a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    return "[" + ", ".join(levels) + "]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ecsv(aliases()), "alias"),
        (ecsv("[" * 50000), "too many levels"),
        (ecsv("1" + ":1" * 40_000), "more than 100 characters in a number"),
        (ecsv("1").replace("float64", "U900000000", 1), "datatype"),
        (ecsv("1").replace("name: RA, datatype: float64", "name: RA, datatype: string, subtype: object", 1).replace(
            "133.0", "[" * 100000), "t.ecsv"),
    ],
    ids=["aliases", "deep", "number", "datatype", "deep cell"],
)  # fmt: skip
def test_other_ecsv_that_would_take_memory_or_time(tmp_path, text, message):
    path = tmp_path / "t.ecsv"
    path.write_text(text)
    refused(message, read_table, path)


def header(cards):
    text = "".join(f"{key:8}= {value:>20}".ljust(80) for key, value in cards) + "END".ljust(80)
    return text.encode().ljust(-(-len(text) // 2880) * 2880)


PRIMARY = header([("SIMPLE", "T"), ("BITPIX", 8), ("NAXIS", 0), ("EXTEND", "T")])
BINTABLE = {"XTENSION": "'BINTABLE'", "BITPIX": 8, "NAXIS": 2, "NAXIS1": 24, "NAXIS2": 100, "PCOUNT": 0, "GCOUNT": 1}
BINTABLE |= {"TFIELDS": 3, "TTYPE1": "'RA      '", "TFORM1": "'D       '", "TTYPE2": "'DEC     '"}
BINTABLE |= {"TFORM2": "'D       '", "TTYPE3": "'Z       '", "TFORM3": "'D       '"}


def table(changes=(), rows=100, more=()):
    values = np.tile([133.0, 1.0, 0.3], (rows, 1)).astype(">f8").tobytes()
    cards = [*(BINTABLE | {"NAXIS2": rows} | dict(changes)).items(), *more]
    return PRIMARY + header(cards) + values.ljust(-(-len(values) // 2880) * 2880, b"\0")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (table({"PCOUNT": -5280}), "PCOUNT"),
        (table({"PCOUNT": -2400}) * 2, "PCOUNT"),
        (table({"GCOUNT": -1}), "GCOUNT"),
        (table({"GCOUNT": 7}), "GCOUNT"),
        (table({"NAXIS2": -100}), "NAXIS2"),
        (table({"NAXIS1": 12, "NAXIS2": 200}), "NAXIS1"),
        (table({"NAXIS1": 48, "NAXIS2": 50}), "NAXIS1"),
        (table({"BITPIX": 7}), "BITPIX"),
        (table({"NAXIS": 1000}), "NAXIS"),
        (table({"NAXIS2": "1.0E2"}), "NAXIS2"),
        (table({"TFIELDS": 999999999}), "TFIELDS|columns in a FITS table"),
        (table({"TFIELDS": -1}), "TFIELDS|columns in a FITS table"),
        (table(more=[("NAXIS2", 50)]), "NAXIS2"),
        (table({"TFORM1": "'999999999999D'"}), "NAXIS1"),
        (table(more=[(f"K{number:07d}", number) for number in range(200_000)]), "header"),
        (PRIMARY + header([("XTENSION", "'IMAGE   '"), ("BITPIX", 8), ("NAXIS", 0)]) * 20_000, "HDUs"),
        (header([("SIMPLE", "T"), ("BITPIX", -64), ("NAXIS", 2), ("NAXIS1", 2**31), ("NAXIS2", 2**30)]), "pixels"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("packed", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_fits_file_whose_sizes_make_no_sense_is_refused(tmp_path, content, message, packed):
    path = tmp_path / "t.fits"
    path.write_bytes(packed(content))
    refused(rf"t\.fits: .*{message}", read_table, path)
    refused(rf"t\.fits: .*{message}", read_events, path)


def lines(*texts):
    """Return the block of a header with these cards as they are."""
    return "".join(text.ljust(80) for text in texts).encode("latin-1").ljust(2880)


#: tables without end for astropy: PCOUNT takes it back to the beginning of their own header
ENDLESS = [f"{key:8}= {value}" for key, value in (BINTABLE | {"NAXIS1": 0, "NAXIS2": 0, "PCOUNT": -2880}).items()]
ENDLESS = [card for card in ENDLESS if not card.startswith("T")] + ["TFIELDS = 0"]
#: a header that goes on after a first END, which is END for astropy: then a table in the data of the image is read
FALSE_END = lines(*["SIMPLE  = T", "BITPIX  = 8", "NAXIS   = 1", "NAXIS1  = 5760", "COMMENT \xff", "END!"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        *[
            (table()[:2960] + card.encode().ljust(80) + table()[2960:5680] + table()[5760:], "a size is")
            for card in (
                "HIERARCH NAXIS2 =1",
                "hierarch NAXIS2=-5",
                "HIERARCH TFIELDS =999999999",
                "HIERARCH NAXIS2 = 100",
            )
        ],
        (FALSE_END + lines("END") + lines("") + lines(*ENDLESS, "COMMENT \xff", "END"), "characters follow END"),
        (table() + lines("COMMENT x", *ENDLESS, "END"), "neither an HDU nor zeros"),
        (table() + lines("", *ENDLESS, "END"), "neither an HDU nor zeros"),
        (table() + bytes(2880) + lines(*ENDLESS, "END"), "neither an HDU nor zeros"),
        (table() + lines(*ENDLESS, "END").rstrip(), "PCOUNT"),
    ],
)
def test_what_astropy_would_understand_in_another_way_is_refused(tmp_path, content, message):
    path = tmp_path / "t.fits"
    path.write_bytes(content)
    refused(rf"t\.fits: .*{message}", read_table, path)


def test_zeros_behind_the_last_hdu_do_no_harm(tmp_path):
    path = tmp_path / "t.fits"
    for packed in (bytes, gzip.compress):
        path.write_bytes(packed(table() + bytes(2 * 2880)))
        assert len(read_table(path)) == 100


@pytest.mark.parametrize(
    ("name", "form", "value"), [("TM_NR", "J", 257), ("TM_NR", "D", np.nan), ("PAT_TYP", "J", 65537)]
)
def test_a_number_too_large_for_its_column_is_not_taken_for_another(tmp_path, name, form, value):
    values = {"TIME": 6e8, "RA": 136.0, "DEC": 1.5, "PI": 1000.0, "TM_NR": 1, "PAT_TYP": 1, "FLAG": 0} | {name: value}
    forms = dict.fromkeys(values, "D") | {"FLAG": "J", name: form}
    columns = [fits.Column(key, forms[key], array=np.array([one])) for key, one in values.items()]
    fits.BinTableHDU.from_columns(columns, name="EVENTS").writeto(tmp_path / "e.fits")
    if name == "PAT_TYP":
        assert read_events(tmp_path / "e.fits").pat_typ[0] > 15
    else:
        refused(r"e\.fits: row 1: TM_NR is 255, but must be between 0 and 7", read_events, tmp_path / "e.fits")


POWERS = ("10**999999999 s", "10^(999999999) s", "10+999999999 s", "10(999999999)s")


@pytest.mark.parametrize("unit", POWERS)
def test_a_power_that_would_be_computed_without_end_is_refused(tmp_path, unit):
    columns = "".join(f"# - {{name: {name}, unit: {unit}, datatype: float64}}\n" for name in ("RA", "DEC"))
    texts = {
        "t.csv": f"RA;DEC\n{unit};deg\n---;---\n133;1\n",
        "t.ecsv": f"# %ECSV 1.0\n# ---\n# datatype:\n{columns}RA DEC\n133 1\n",
        "t.vot": xml("", f"<FIELD name='a' datatype='char' unit='{unit}'/>") + f"<TABLEDATA>{ROW}</TABLEDATA>" + END,
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "t.fits").write_bytes(table(more=[("TUNIT1", f"'{unit}'")]))
    for name in (*texts, "t.fits"):
        refused(rf"{name}: the unit .* holds an impossible power", read_table, tmp_path / name)


def test_arrays_of_nothing_in_a_votable_are_refused(tmp_path):
    row = np.array([133, 1, 0.3], ">f8").tobytes() + b"\x7f\xff\xff\xff"
    field = "<FIELD name='a' datatype='boolean' arraysize='0x*'/>"
    stream = f"<BINARY><STREAM encoding='base64'>{base64.b64encode(row).decode()}</STREAM></BINARY>"
    (tmp_path / "t.vot").write_text(xml("", field) + stream + END)
    refused(r"t\.vot: a column has arraysize 0x\*, arrays of nothing", read_table, tmp_path / "t.vot")


@pytest.mark.parametrize("name", ["t.svg", "t.vot"])
def test_xml_with_provenance_takes_no_memory_for_its_elements(tmp_path, name):
    (tmp_path / name).write_text(f"<svg>{'<a/>' * 1_000_000}</svg>")
    assert outcome(read_record, tmp_path / name, memory=30 << 20) == "result None"
    (tmp_path / name).write_text("<a>" * 100_000 + "</a>" * 100_000)
    refused("more than 1000 levels of elements", read_record, tmp_path / name)


def test_cells_of_variable_length_that_share_one_place_are_refused(tmp_path):
    rows, cell = 100_000, 1_000_000
    form = {"NAXIS1": 16, "TFIELDS": 2, "TFORM2": "'PB(1)   '", "PCOUNT": cell}
    cards = [card for card in (BINTABLE | form | {"NAXIS2": rows}).items() if card[0] not in ("TTYPE3", "TFORM3")]
    values = np.zeros(rows, dtype=[("RA", ">f8"), ("cell", ">i4", 2)])
    values["cell"][:, 0] = cell
    path = tmp_path / "t.fits"
    content = values.tobytes() + bytes(cell)
    path.write_bytes(PRIMARY + header(cards) + content.ljust(-(-len(content) // 2880) * 2880, b"\0"))
    refused(r"t\.fits: .*cells of column DEC hold more bytes", read_table, path)


@pytest.mark.long
def test_a_packed_file_that_would_fill_the_disk_is_refused(tmp_path):
    path = tmp_path / "t.fits.gz"
    cards = [("SIMPLE", "T"), ("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", 60_000), ("NAXIS2", 60_000)]
    with gzip.open(path, "wb", compresslevel=1) as stream:
        stream.write(header(cards))
        for _ in range(3600):
            stream.write(bytes(1_000_000))
    refused(r"t\.fits\.gz: more than 2000000000 bytes after unpacking", read_events, path)
    with gzip.open(path, "wb", compresslevel=1) as stream:
        stream.write(table())
        for _ in range(10):
            stream.write(bytes(1_000_000))
    refused(r"t\.fits\.gz: more than 1000000 bytes behind the last HDU", read_events, path)


def test_a_table_that_memory_lacks_the_room_for_is_refused(tmp_path):
    path = tmp_path / "t.fits"
    path.write_bytes(table(rows=4_000_000))
    refused(r"t\.fits: needs 0\.192 GB of memory, but 0\.\d+ GB are free", read_table, path, memory=150_000_000)


def test_a_whole_table_is_read(tmp_path):
    path = tmp_path / "t.fits"
    for packed in (bytes, gzip.compress, bz2.compress, lzma.compress):
        path.write_bytes(packed(table()))
        assert len(read_table(path)) == 100


LINES = ["ID_SRC,RA,DEC,Z,NAME", *(f"{number},133.0,1.0,0.3,a" for number in range(1, 100_001))]


def wide_cells(separator=","):
    """Return a table of 100,000 rows with a name of 50,000 characters in one of them."""
    lines = [line.replace(",", separator) for line in LINES]
    return "\n".join([*lines[:-1], lines[-1] + "b" * 50_000])


def xml(table, fields="", before=""):
    names = "".join(f"<FIELD name='{name}' datatype='double'/>" for name in ("RA", "DEC", "Z"))
    return f"<VOTABLE version='1.3'><RESOURCE>{before}<TABLE {table}>{names}{fields}<DATA>"


ROW = "<TR><TD>133</TD><TD>1</TD><TD>0.3</TD><TD>a</TD></TR>"
END = "</DATA></TABLE></RESOURCE></VOTABLE>"
REFERENCES = {
    "stream": xml("") + "<BINARY><STREAM href='file://{path}' encoding='base64'/></BINARY>" + END,
    "prefix": xml("").replace("<", "<v:") + "<v:BINARY><v:STREAM href='file://{path}'/></v:BINARY>",
    "fits": xml("") + "<FITS extnum='1'><STREAM href='file://{path}'/></FITS>" + END,
}


@pytest.mark.parametrize("content", REFERENCES.values(), ids=REFERENCES)
def test_a_votable_refers_to_no_other_file(tmp_path, content):
    (tmp_path / "secret").write_bytes(base64.b64encode(np.full(3, 0.5, ">f8").tobytes()))
    path = tmp_path / "t.vot"
    path.write_text(content.format(path=tmp_path / "secret"))
    refused(r"t\.vot: refers to another file", read_table, path)


@pytest.mark.long
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a" * 200_000_000, "more than 100000 characters in a line"),
        ("ID_SRC,RA,DEC,Z,N\n" + '1,1,1,1,"' + "a\n" * 200_000 + '"\n', "field larger than field limit"),
        (",".join(f"c{number}" for number in range(10_000)) + "\n" + "1," * 9999 + "1\n", "more than 2000 columns"),
        (wide_cells(), "needs 2.*GB of memory|needs 20"),
        (wide_cells(" "), "needs 20"),
        (ecsv("1") + "\n", ""),
        (xml("nrows='9000000000'") + f"<TABLEDATA>{ROW}</TABLEDATA>" + END, "GB of memory"),
        (
            xml("", "<FIELD name='NAME' datatype='char' arraysize='1000000'/>")
            + f"<TABLEDATA>{ROW * 10_000}</TABLEDATA>"
            + END,
            "GB of memory",
        ),
        (xml("", "<FIELD name='NAME' datatype='int' arraysize='99999999x99999999'/>") + END, "GB of memory"),
    ],
    ids=["line", "quoted", "columns", "commas", "blanks", "ecsv", "nrows", "arraysize", "matrix"],
)
def test_a_table_of_text_takes_no_more_memory_than_it_needs(tmp_path, content, message):
    path = tmp_path / "t.dat"
    path.write_text(content)
    if message:
        refused(rf"t\.dat: .*({message})", read_table, path)
    else:
        assert len(read_table(path)) == 1


@pytest.mark.long
def test_a_packed_table_that_would_fill_memory_is_refused(tmp_path):
    path = tmp_path / "t.csv.gz"
    with gzip.open(path, "wb", compresslevel=1) as stream:
        for _ in range(3000):
            stream.write(b"1,2,3,4\n" * 125_000)
    refused(r"t\.csv\.gz: (needs|more than 2000000000 bytes)", read_table, path)


def test_tables_of_a_million_rows_are_read(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["ID_SRC,RA,DEC,Z", *["1,133.0,1.0,0.3"] * 1_000_000]))
    assert outcome(lambda: len(read_table(path))) == "result 1000000"


def overlapping(path, columns, width=1000, rows=4000):
    """Write a table of text whose columns all are the whole row."""
    cards = ["XTENSION= 'TABLE   '", "BITPIX  =                    8", "NAXIS   =                    2"]
    cards += [f"NAXIS1  = {width:20d}", f"NAXIS2  = {rows:20d}", "PCOUNT  =                    0"]
    cards += ["GCOUNT  =                    1", f"TFIELDS = {columns:20d}"]
    for number in range(1, columns + 1):
        cards += [f"TTYPE{number:<3d}= 'c{number}'", f"TBCOL{number:<3d}= {1:20d}", f"TFORM{number:<3d}= 'A{width}'"]
    header = "".join(card.ljust(80) for card in [*cards, "END"]).encode()
    data = (b"x" * 900 + b" " * (width - 900)) * rows
    first = fits.PrimaryHDU().header.tostring().encode()
    path.write_bytes(b"".join(part.ljust(-(-len(part) // 2880) * 2880) for part in (first, header, data)))


def test_columns_of_text_that_overlap_many_times_are_refused(tmp_path):
    """A file of 4 MB would become 7 GB."""
    overlapping(path := tmp_path / "t.fits", 999)
    refused(r"t\.fits: .*its columns overlap: they have 999000 characters, but a row has 1000", read_table, path)


def test_columns_of_text_may_overlap(tmp_path):
    overlapping(path := tmp_path / "t.fits", 3, rows=2)
    assert read_table(path).colnames == ["c1", "c2", "c3"]
