"""The table of the comparison, as JSON for machines and as Markdown for readers."""

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from clustermass.io.files import atomic, write_json
from clustermass.io.log import LOGGER
from clustermass.io.provenance import provenance
from clustermass.sky_validation.lines import TUNED, Result, compare
from clustermass.sky_validation.measure import measure, read_measured, write_measured
from clustermass.sky_validation.realization import RealizationFiles

#: what the words of the table mean, in the JSON and below the Markdown
DEFINITIONS = {
    "candidates": "detections with DET_LIKE > 5 and EXT_LIKE > 6",
    "selected": "candidates that are matched to a halo",
    "error": "jackknife standard error of the value over the realizations",
    "published_error": "standard error of one field: root of the number, or binomial statistics of a quantile's rank",
    "tuned": "this key of the sky's configuration was set to get the line; all other lines are predicted",
    "must": "the sky is not to be trusted where a must does not hold; aims are reported, and so is all the rest",
}


def content(results: Sequence[Result], realizations: int, made_by: Mapping[str, Any]) -> dict[str, Any]:
    """Return what goes into `sky.json`.

    Parameters
    ----------
    results
        Of `lines.compare`.
    realizations
        Number of realizations.
    made_by
        Of `provenance.provenance`.
    """
    return {
        "realizations": realizations,
        "musts": {
            demand: {
                "number": sum(result.line.demand == demand for result in results),
                "failed": [result.line.key for result in results if result.line.demand == demand and not result.holds],
            }
            for demand in ("must", "aim")
        },
        "definitions": DEFINITIONS,
        "tuned": TUNED,
        "rows": [row(result) for result in results],
        "provenance": dict(made_by),
    }


def row(result: Result) -> dict[str, Any]:
    """Return one line as plain values; what isn't known or isn't a number is None."""
    line, fact = result.line, result.line.fact
    return {
        "key": line.key,
        "group": line.group,
        "name": line.name,
        "unit": line.unit,
        "simulated": _finite(result.simulated),
        "error": _finite(result.error),
        "published": fact.value if fact else None,
        "published_error": fact.error if fact else None,
        "difference_sigma": result.sigmas,
        "tolerance": list(line.allowed) if line.allowed else None,
        "kind": "tuned" if result.tuned else "predicted",
        "tuned_by": result.tuned,
        "demand": line.demand,
        "must": line.demand == "must",
        "holds": result.holds,
        "source": fact.source if fact else None,
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def write_table_json(
    results: Sequence[Result], realizations: int, made_by: Mapping[str, Any], path: Path
) -> dict[str, Any]:
    """Write `sky.json` and return its content."""
    told = content(results, realizations, made_by)
    write_json(told, path)
    return told


def write_table_markdown(results: Sequence[Result], realizations: int, path: Path) -> None:
    """Write the table for readers, one block a group."""
    with atomic(path) as temporary:
        temporary.write_text(markdown(results, realizations), encoding="utf-8")


def markdown(results: Sequence[Result], realizations: int) -> str:
    """Return the table as Markdown."""
    parts = [
        "# The simulated sky against published numbers\n",
        f"{realizations} realization(s). {_verdict(results, 'must')} {_verdict(results, 'aim')}\n",
        "Tuned by hand are only the lines marked so; none of them is tuned for the sake of another.\n",
    ]
    for group, members in groupby(results, key=lambda result: result.line.group):
        parts += [f"## {group}\n", "\n".join([*_HEAD, *(_cells(result) for result in members)]) + "\n"]
    parts.append("\n".join(f"- **{word}**: {meaning}" for word, meaning in DEFINITIONS.items()))
    return "\n".join(parts) + "\n"


_HEAD = (
    "| | simulated | published | difference | allowed | demand | holds | tuned or predicted | source |",
    "|---|---:|---:|---:|---:|---|---|---|---|",
)


def _cells(result: Result) -> str:
    line, fact = result.line, result.line.fact
    name = f"{line.name} [{line.unit}]" if line.unit else line.name
    difference = "" if result.sigmas is None else f"{result.sigmas:+.1f} σ".replace("-", "−")
    allowed = "" if line.allowed is None else " to ".join(f"{limit:.4g}" for limit in line.allowed)
    holds = {None: "", True: "yes", False: "**no**"}[result.holds]
    cells = [
        name,
        told(result.simulated, result.error),
        told(fact.value, fact.error) if fact else "",
        difference,
        allowed,
        "" if line.demand == "reported" else line.demand,
        holds,
        f"tuned by `{result.tuned}`" if result.tuned else "predicted",
        fact.source if fact else "",
    ]
    return "| " + " | ".join(cells) + " |"


def told(value: float, error: float | None) -> str:
    """Return value and error as text, both to two digits of the error (four digits of the value without one)."""
    if not math.isfinite(value):
        return "none"
    if error is None or not math.isfinite(error) or error <= 0:
        return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    decimals = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:,.{decimals}f} ± {error:,.{decimals}f}".replace("-", "−")


def _verdict(results: Sequence[Result], demand: str) -> str:
    asked = [result for result in results if result.line.demand == demand]
    failed = [result.line.name for result in asked if not result.holds]
    missed = f" Not held: {'; '.join(failed)}." if failed else ""
    return f"{len(asked) - len(failed)} of {len(asked)} {demand}s hold.{missed}"


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
