"""The largest sizes that are accepted in files from others."""

from typing import NamedTuple

from clustermass.errors import InputError


class Limit(NamedTuple):
    """A limit: at most `most` things of a kind are accepted in a file. `what` names this kind in messages and docs."""

    most: int
    what: str

    def check(self, number: float, path: object) -> None:
        """Raise InputError if `number`, which was found in the file `path`, is larger than this limit."""
        if number > self.most:
            raise InputError(
                f"{path}: more than {self.most:.12g} {self.what}. Was another file meant (docs/reference/limits.md)?"
            )


CONFIG_BYTES = Limit(2_000_000, "bytes in a configuration file")
CONFIG_VALUES = Limit(100_000, "values in a configuration file, where each alias counts as what it stands for")
JSON_BYTES = Limit(50_000_000, "bytes in a JSON file")
DOWNLOADED = Limit(10**11, "bytes in a downloaded file")
ARCHIVE_BYTES = Limit(10**12, "bytes in an archive after unpacking")
ARCHIVE_MEMBERS = Limit(100_000, "files in an archive")
CLUSTERS = Limit(10**8, "clusters")
ROWS = Limit(10**10, "rows in a FITS table")
FIELDS = Limit(999, "columns in a FITS table")
PIXELS = Limit(10**10, "pixels in a FITS image")
CARDS = Limit(200_000, "cards in the headers of a FITS file")
METADATA = Limit(5000, "entries in the metadata of a table or map in memory")
HDUS = Limit(1000, "HDUs in a FITS file")
UNPACKED = Limit(2 * 10**9, "bytes after unpacking a file that was packed to less than 1 % of its size")
TRAILING = Limit(10**6, "bytes behind the last HDU of a FITS file")
SKY_CHAIN = Limit(100, "skies that refer to each other by `like`")
YAML = Limit(10**6, "characters in the YAML header of a table")
YAML_DIGITS = Limit(100, "characters in a number of a YAML file or header")
YAML_VALUES = Limit(100_000, "values in the YAML header of a table, where each alias counts as what it stands for")
ENSEMBLE = Limit(2**32 - 2, "bytes in a packed ensemble")
ENTRIES = Limit(10_000, "files in a packed ensemble")
MEMBERS = Limit(1000, "networks in an ensemble")
WEIGHTS_HEADER = Limit(10**7, "bytes in the header of a network")
COMPONENTS = Limit(100, "components of the mixture that describes the training clusters")
LAYERS = Limit(100, "layers in a network")
MULTIPLICATIONS = Limit(10**9, "multiplications in a network for one image")
BANDS = Limit(120, "energy bands of images")
SIDE = Limit(2048, "pixels along a side of the images of clusters")
COLOURS = Limit(3, "colours in the data of cards")
STYLE_BYTES = Limit(10**6, "bytes in a style sheet of Matplotlib")
PNG_PIXELS = Limit(10**8, "pixels in a PNG figure")
SVG_BYTES = Limit(10**8, "bytes in an SVG figure")
LEVELS = Limit(1000, "levels of elements in an SVG figure or a VOTable")
NAMESPACE = Limit(1000, "characters in the address of an XML namespace")
PDF_BYTES = Limit(10**8, "bytes in a PDF figure")
READINGS = Limit(5_000_000, "readings in a pickle")
FILES = Limit(100_000, "files and folders in the results of a run or a sky")
VARIABLES = Limit(1000, "variables in a netCDF file")
LINE = Limit(100_000, "characters in a line of a text table")
COLUMNS = Limit(2000, "columns in a text table or VOTable")
ELEMENTS = Limit(5_000_000, "elements in a VOTable, such as rows and cells, also in binary data")
OTHER_ELEMENTS = Limit(100_000, "elements besides rows and cells in a VOTable")
TEXT = Limit(1000, "characters in an id or another text of a table of clusters")
UNIT = Limit(60, "characters in a unit")
ARRAY = Limit(100, "characters in the size of an array in a VOTable")
DESCRIPTION = Limit(20_000, "lines in the description of the columns of a CDS table")
TILE = Limit(10**6, "bytes in a tile of an image compressed by fpack")
FACETS = Limit(20, "parts of the sky, 5 deg wide, with fewer than 1000 photons each on average")
COUNTS = Limit(10**9, "counts in the band images of a field")
AXES = Limit(9, "axes of an image's coordinates")
ORDER = Limit(9, "orders of a polynomial in an image's coordinates")
