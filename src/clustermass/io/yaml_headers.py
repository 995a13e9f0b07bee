"""Check of the YAML in headers of tables that astropy wrote, before astropy makes objects from it.

The YAML is unsafe if it could make astropy create other objects than columns, or take memory for more values than the
table holds.
"""

import math
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from astropy.io import fits
from astropy.io.ascii.ecsv import ECSV_DATATYPES, EcsvHeader

from clustermass import limits
from clustermass.config.resolve import number_of_values
from clustermass.errors import InputError
from clustermass.io.room import check_memory
from clustermass.io.text_tables import check_unit

#: tags of plain values, and those by which astropy describes columns of sky coordinates, times and quantities
_TAGS = {
    *(
        f"tag:yaml.org,2002:{name}"
        for name in ("map", "omap", "seq", "str", "int", "float", "bool", "null", "timestamp")
    ),
    *("!astropy.table.SerializedColumn", "!astropy.units.Unit", "!astropy.time.Time", "!astropy.coordinates.Angle"),
}
#: classes of such columns
_CLASSES = re.compile(r"astropy\.(coordinates|time|units)\.[\w.]+|astropy\.table\.column\.MaskedColumn")
#: arguments by which these classes would take memory for more values than the table holds
_UNSAFE = {"dtype", "shape", "buffer", "offset", "strides"}
#: types of a column in ECSV, also of a column of lists
_TYPES = re.compile(rf"({'|'.join((*ECSV_DATATYPES, 'object', 'json'))})(\[[\d, nul]*\])?")
#: in the format of a column: a width or a precision for which astropy would make very long texts
_WIDE = re.compile(r"\d{4}")
#: comments between which astropy puts YAML into a FITS header; after so many characters, a line goes on in the next one
_BEGIN, _END = "--BEGIN-ASTROPY-SERIALIZED-COLUMNS--", "--END-ASTROPY-SERIALIZED-COLUMNS--"
_WIDTH = 70
#: bytes in memory of an element of a list in a cell
_ELEMENT_BYTES = 16


def ecsv_header(lines: Sequence[str], path: Path) -> dict[str, Any]:
    """Return the YAML header of an ECSV table as dictionaries, lists and texts; InputError if it is unsafe.

    `lines` are the lines of the table.
    """
    header = _checked(list(EcsvHeader().process_lines(lines)), path)
    columns = header.get("datatype")
    for column in columns if isinstance(columns, list) else ():
        for key in {"datatype", "subtype"} & {*column}:
            if not isinstance(column, dict) or not _TYPES.fullmatch(str(column[key])):
                raise InputError(f"{path}: the {key} of a column is no type of ECSV. Give the table as CSV.")
            elements = math.prod(map(int, re.findall(r"\d+", str(column[key]).partition("[")[2])))
            check_memory(len(lines) * elements * _ELEMENT_BYTES, path)
    return header


def check_comments(header: fits.Header, path: Path) -> None:
    """Raise InputError if the comments of a FITS table hold unsafe YAML.

    astropy would make columns from this YAML.
    """
    # astropy adds cards HIERARCH comments to the comments
    texts = [(card.keyword, str(card.value)) for card in header.cards if card.keyword in ("COMMENT", "comments")]
    comments = [text for _, text in texts]
    if any(_BEGIN in text for text in comments) and any(keyword == "comments" for keyword, _ in texts):
        raise InputError(f"{path}: unsafe comments (HIERARCH comments) in a table. Give the table as CSV.")
    if _BEGIN in comments and _END in comments:
        pieces = comments[comments.index(_BEGIN) + 1 : comments.index(_END)]
        _checked("".join(piece[:_WIDTH] + "\n" * (len(piece) != _WIDTH + 1) for piece in pieces).split("\n"), path)


def _checked(lines: Sequence[str], path: Path) -> dict[str, Any]:
    """Return the content of lines of YAML, with dictionaries in place of objects; InputError if the YAML is unsafe."""
    text = textwrap.dedent("\n".join(lines))
    limits.YAML.check(len(text), path)
    try:
        if (node := yaml.compose(text, Loader=yaml.SafeLoader)) is None:
            return {}
        limits.YAML_VALUES.check(number_of_values(node, path), path)
        content = _content(node, path)
    except (yaml.YAMLError, TypeError, AttributeError, RecursionError) as error:
        why = "too many levels" if isinstance(error, RecursionError) else " ".join(str(error).split())
        raise InputError(f"{path}: unsafe or damaged YAML in its header ({why}). Give the table as CSV.") from error
    return content if isinstance(content, dict) else {}


def _content(node: yaml.Node, path: Path) -> Any:
    """Return a YAML node as dictionaries, lists and texts.

    yaml.YAMLError if a tag or an argument isn't safe. InputError if `check_unit` refuses a unit.
    """
    if node.tag not in _TAGS:
        raise yaml.YAMLError(f"the tag {node.tag[:60]} isn't allowed")
    if isinstance(node, yaml.ScalarNode):
        return str(node.value)
    if isinstance(node, yaml.SequenceNode):
        values = [_content(part, path) for part in node.value]
        return {key: one for value in values for key, one in value.items()} if "omap" in node.tag else values
    content = {str(_content(key, path)): _content(value, path) for key, value in node.value}
    check_unit(content.get("unit", ""), path)
    if _WIDE.search(str(content.get("format", ""))):
        raise yaml.YAMLError("a format of more than 3 digits isn't allowed")
    made = content.get("__class__")
    if made is not None and (not _CLASSES.fullmatch(str(made)) or _UNSAFE & {*content}):
        raise yaml.YAMLError(f"a column of the class {str(made)[:60]}, or its arguments, aren't allowed")
    return content
