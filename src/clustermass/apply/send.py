"""Send a mass catalogue to TOPCAT, Aladin and DS9."""

from pathlib import Path

import numpy as np

from clustermass.apply.find import IDENTIFIERS, find_cluster
from clustermass.arrays import unit_vectors
from clustermass.catalogues.tables import CheckedTable, read_product
from clustermass.errors import InputError
from clustermass.io.fits import check_file
from clustermass.io.log import printable
from clustermass.io.samp import hub


def send_catalogue(catalogue: Path, cluster: str | None = None) -> list[str]:
    """Send a mass catalogue to all tools on the SAMP hub, and let sky viewers show a cluster or the field's middle.

    Return a line of text for each message to a tool. `catalogue` is the .fits file of the catalogue. Tools that read
    VOTables get the .vot file beside it. `cluster` is an id, a name or a part of a name. If `cluster` is None, the
    viewers show the middle of the field. InputError if `cluster` fits no cluster or several clusters, if no hub is
    running, or if no tool accepts a table or a position.
    """
    check_file(catalogue)
    table = read_product(catalogue, "MASSES", ("NAME", "ID_SRC", "RA", "DEC"))
    shown, ra, dec = _place(table, cluster)
    votable, lines = catalogue.with_suffix(".vot"), []
    kinds = {"table.load.votable": votable} if votable.is_file() else {}
    with hub() as connected:
        sent: set[str] = set()
        for mtype, path in (kinds | {"table.load.fits": catalogue}).items():
            loading = {
                "url": path.resolve().as_uri(),
                "table-id": catalogue.resolve().as_uri(),
                "name": printable(catalogue.name),
            }
            tools = {one: name for one, name in connected.tools(mtype).items() if one not in sent}
            lines += [_said(name, catalogue.name, connected.call(one, mtype, loading)) for one, name in tools.items()]
            sent.update(tools)
        position = {"ra": f"{ra:.6f}", "dec": f"{dec:.6f}"}
        for one, name in connected.tools("coord.pointAt.sky").items():
            lines.append(_said(name, shown, connected.call(one, "coord.pointAt.sky", position)))
    if not lines:
        raise InputError(f"{catalogue}: no tool on the SAMP hub loads tables or shows positions. Start TOPCAT or DS9.")
    return lines


def _said(tool: str, what: str, complaint: str) -> str:
    return f"{tool}: did not take {what} ({complaint})" if complaint else f"{tool}: {what}"


def _place(table: CheckedTable, cluster: str | None) -> tuple[str, float, float]:
    ra, dec = table.positions()
    if cluster is None:
        x, y, z = unit_vectors(ra, dec).mean(axis=0)
        middle = np.degrees([np.arctan2(y, x), np.arctan2(z, np.hypot(x, y))])
        return "the middle of the field", float(middle[0] % 360), float(middle[1])
    columns = {name: table.texts(name) for name in IDENTIFIERS if name in table.table.colnames}
    row = find_cluster(columns, cluster, table.path)
    return columns["NAME"][row], float(ra[row]), float(dec[row])
