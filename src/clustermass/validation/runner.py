"""From the files of the realizations to the table: what the workflow calls."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clustermass.progress import LOGGER
from clustermass.provenance import provenance
from clustermass.validation.lines import compare
from clustermass.validation.measure import measure, read_measured, write_measured
from clustermass.validation.realization import RealizationFiles
from clustermass.validation.table import write_table_json, write_table_markdown


def validate(
    realizations: Sequence[Path | RealizationFiles], json_path: Path, table_path: Path, measured_path: Path
) -> dict[str, Any]:
    """Measure the realizations of a sky and compare them with published numbers.

    Parameters
    ----------
    realizations
        Their files, or folders in which these have their usual names.
    json_path, table_path
        The table, as JSON and as Markdown.
    measured_path
        netCDF with what was measured, which the figure is drawn from.

    Returns
    -------
    dict
        The content of the JSON.

    Raises
    ------
    InputError
        There is no realization, they are of different skies, or a file is missing, damaged or not what it should be.
    """
    files = [
        one if isinstance(one, RealizationFiles) else RealizationFiles.in_folder(Path(one)) for one in realizations
    ]
    write_measured(measure(files), files, measured_path)
    return judge(measured_path, json_path, table_path)


def judge(measured_path: Path, json_path: Path, table_path: Path) -> dict[str, Any]:
    """Write the table from what was measured, and log what doesn't hold; returns the content of the JSON."""
    data = read_measured(measured_path)
    results, number = compare(data), data.sizes["realization"]
    parameters = {"sky_config_hash": data.attrs["sky_config_hash"]}
    told = write_table_json(results, number, provenance("validate_sky", parameters, [measured_path]), json_path)
    write_table_markdown(results, number, table_path)
    for result in results:
        if result.holds is False:
            low, high = result.line.allowed or (float("nan"), float("nan"))
            LOGGER.warning(
                "%s doesn't hold: %s is %.4g, allowed %.4g to %.4g",
                result.line.demand, result.line.name, result.simulated, low, high,
            )  # fmt: skip
    return told
