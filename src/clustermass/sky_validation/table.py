"""The table that compares a simulated sky with published numbers, as JSON for machines and as Markdown for readers."""

import math
from collections.abc import Iterator, Sequence
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import xarray as xr

from clustermass.io.files import atomic, write_json
from clustermass.io.log import LOGGER
from clustermass.io.netcdf import read_netcdf
from clustermass.io.provenance import provenance
from clustermass.sky_validation import statistics
from clustermass.sky_validation.measure import VARIABLES, RealizationFiles, measure, write_measured
from clustermass.sky_validation.statistics import PublishedNumber

#: meaning of the words of the table, in the JSON and below the Markdown
DEFINITIONS = {
    "candidates": "detections with DET_LIKE > 5 and EXT_LIKE > 6",
    "selected": "candidates that are matched to a halo",
    "spurious": "a candidate that isn't confirmed as a cluster",
    "error": "jackknife standard error of the value over the realizations",
    "published_error": "standard error of one field: root of the number, or binomial statistics of a quantile's rank",
    "tuned": "this key of the sky's configuration was set to get the line; all other lines are predicted",
    "must": "the sky is not to be trusted where a must does not hold; aims are reported, and so is all the rest",
}
_HEAD = (
    "| | simulated | published | difference | allowed | demand | holds | tuned or predicted | source |",
    "|---|---:|---:|---:|---:|---|---|---|---|",
)


class Row(NamedTuple):
    """A row of the table: a statistic of the simulated sky, and the published number that it is compared with."""

    key: str
    group: str
    name: str
    unit: str
    statistic: tuple[Any, ...]  #: name of a function in `statistics`, and its arguments
    reference: PublishedNumber | None
    tolerance: tuple[float, float] | None  #: lowest and highest acceptable value; None = there is no demand
    demand: str  #: must, aim or reported
    value: float = math.nan
    error: float | None = None  #: standard error; None for a single realization

    @property
    def holds(self) -> bool | None:
        """Return whether the value lies within the tolerance; None if there is no demand."""
        return None if self.tolerance is None else bool(self.tolerance[0] <= self.value <= self.tolerance[1])

    @property
    def sigmas(self) -> float | None:
        """Return (value - published number) / (combined error of the two); None if this error is unknown."""
        if self.reference is None or self.reference.error is None or self.error is None:
            return None
        both = math.hypot(self.reference.error, self.error)
        return (self.value - self.reference.value) / both if both > 0 and math.isfinite(self.value) else None


def tuned() -> dict[str, str]:
    """Return the settings of the sky that were tuned for a row, as a dict from the `key` of the row."""
    return {row: keys for keys, rows in statistics.published()["tuned"].items() for row in rows}


def rows() -> list[Row]:
    """Return the rows of the table in the order in which they are printed. Their values aren't computed yet."""
    groups = statistics.published()["table"]
    return [row for group in groups for entry in groups[group] for row in _rows(group, **entry)]


def _rows(
    group: str,
    key: str,
    name: str,
    statistic: Sequence[Any],
    unit: str = "",
    demand: str = "reported",
    percents: Sequence[int] = (),
    sigmas: Sequence[float] = (),
    bins: str = "",
    **limits: Any,
) -> Iterator[Row]:
    """Yield the rows of one entry of the table in `published.yaml`.

    If `percents` are given, there is a row for each of these quantiles (in percent). It must lie within `sigmas`
    published errors of the published quantile, if there is a demand. If `bins` is the name of a
    `published_running` entry, there is a row for each bin of this entry. If neither is given, there is one row.
    `limits` are the last three arguments of `tolerance`.
    """
    for percent, sigma in zip_longest(percents, sigmas, fillvalue=0.0):
        words = name + (", median" if percent == 50 else f", {percent} % quantile")
        call, stated = (statistic[0], percent, *statistic[1:]), statistics.published_quantile(key, int(percent))
        limit = tolerance(f"{key} {percent}", demand, stated, absolute=sigma * (stated.error or 0.0))
        yield Row(f"{key} {percent}", group, words, unit, call, stated, limit, demand)
    for span, (edges, stated) in (statistics.published_medians(bins) if bins else {}).items():
        words = f"{name}, {statistics.published()['running'][bins]['by']} {span}"
        yield Row(f"{key} {span}", group, words, unit, (*statistic, *edges), stated, None, demand)
    if percents or bins:
        return
    reference = None
    if key in statistics.published()["numbers"]:
        reference = statistics.published_number(key)
    elif key in statistics.published()["quantiles"]:
        reference = statistics.published_quantile(key, 50)
    limit = tolerance(key, demand, reference, **limits)
    yield Row(key, group, name, unit, tuple(statistic), reference, limit, demand)


def tolerance(
    key: str,
    demand: str,
    reference: PublishedNumber | None,
    relative: float = 0.0,
    absolute: float = 0.0,
    allowed: Sequence[float] = (),
) -> tuple[float, float] | None:
    """Return the lowest and the highest acceptable value of a row; None if there is no demand.

    If `allowed` is given, it holds these two values. Otherwise they are `reference` - d and `reference` + d, where d is
    `absolute` plus `relative` times the published number `reference`. ValueError if there is a demand without a range,
    or a range without a demand.
    """
    distance = absolute + (relative * abs(reference.value) if reference else 0.0)
    if (demand == "reported") is bool(distance or allowed):
        raise ValueError(f"row {key}: a tolerance needs a demand, and a demand a tolerance.")
    if allowed:
        return allowed[0], allowed[1]
    return (reference.value - distance, reference.value + distance) if distance and reference else None


def compare(data: xr.Dataset) -> list[Row]:
    """Return the rows of the table with values and errors, which are computed from the measurements `data`."""
    others, compared = statistics.leave_one_out(data), []
    for row in rows():
        name, *arguments = row.statistic
        value, error = statistics.with_error(getattr(statistics, name), data, others, *arguments)
        compared.append(row._replace(value=value, error=error))
    return compared


def validate(realizations: Sequence[RealizationFiles], table: Path, markdown: Path, measured: Path) -> dict[str, Any]:
    """Measure the realizations of a sky, compare them with published numbers, and write the results.

    The table is written to the file `table` as JSON, and to the file `markdown` as a page for readers. The
    measurements, from which the figure is drawn, are written to the file `measured` (netCDF). Returns the content of
    `table`. InputError in the cases of `measure`.
    """
    write_measured(measure(realizations), realizations, measured)
    data = read_netcdf(measured, VARIABLES)
    compared, number = compare(data), data.sizes["realization"]
    content = {
        "realizations": number,
        "musts": {
            demand: {"number": len(asked), "failed": [row.key for row in asked if not row.holds]}
            for demand, asked in _demanded(compared).items()
        },
        "definitions": DEFINITIONS,
        "tuned": tuned(),
        "rows": [_plain(row) for row in compared],
        "provenance": provenance("validate_sky", {"sky_config_hash": data.attrs["sky_config_hash"]}, [measured]),
    }
    write_json(content, table)
    with atomic(markdown) as temporary:
        temporary.write_text(_page(compared, number), encoding="utf-8")
    for row in compared:
        if row.holds is False:
            low, high = row.tolerance or (math.nan, math.nan)
            limits = f"{row.value:.4g}, allowed {low:.4g} to {high:.4g}"
            LOGGER.warning("%s doesn't hold: %s is %s", row.demand, row.name, limits)
    return content


def _demanded(compared: Sequence[Row]) -> dict[str, list[Row]]:
    return {demand: [row for row in compared if row.demand == demand] for demand in ("must", "aim")}


def _plain(row: Row) -> dict[str, Any]:
    """Return a row as plain values for JSON; unknown and infinite values and NaN become None."""
    return {
        **{name: getattr(row, name) for name in ("key", "group", "name", "unit")},
        "simulated": row.value if math.isfinite(row.value) else None,
        "error": row.error,
        "published": row.reference.value if row.reference else None,
        "published_error": row.reference.error if row.reference else None,
        "difference_sigma": row.sigmas,
        "tolerance": list(row.tolerance) if row.tolerance else None,
        "kind": "tuned" if row.key in tuned() else "predicted",
        "tuned_by": tuned().get(row.key),
        "demand": row.demand,
        "must": row.demand == "must",
        "holds": row.holds,
        "source": row.reference.source if row.reference else None,
    }


def _page(compared: Sequence[Row], realizations: int) -> str:
    """Return the table as a page of Markdown."""
    outcome = []
    for demand, asked in _demanded(compared).items():
        failed = [row.name for row in asked if not row.holds]
        missed = f" Not held: {'; '.join(failed)}." if failed else ""
        outcome.append(f"{len(asked) - len(failed)} of {len(asked)} {demand}s hold.{missed}")
    parts = [
        "# The simulated sky against published numbers\n",
        f"{realizations} realization(s). {' '.join(outcome)}\n",
        "Only the lines marked so were tuned by hand; none was tuned for the sake of another.\n",
    ]
    for group, members in groupby(compared, key=lambda row: row.group):
        parts += [f"## {group}\n", "\n".join([*_HEAD, *(_cells(row) for row in members)]) + "\n"]
    parts.append("\n".join(f"- **{word}**: {meaning}" for word, meaning in DEFINITIONS.items()))
    return "\n".join(parts) + "\n"


def _cells(row: Row) -> str:
    cells = [
        f"{row.name} [{row.unit}]" if row.unit else row.name,
        rounded(row.value, row.error),
        rounded(row.reference.value, row.reference.error) if row.reference else "",
        "" if row.sigmas is None else f"{row.sigmas:+.1f} σ".replace("-", "−"),
        "" if row.tolerance is None else " to ".join(f"{limit:.4g}" for limit in row.tolerance),
        "" if row.demand == "reported" else row.demand,
        {None: "", True: "yes", False: "**no**"}[row.holds],
        f"tuned by `{tuned()[row.key]}`" if row.key in tuned() else "predicted",
        row.reference.source if row.reference else "",
    ]
    return "| " + " | ".join(cells) + " |"


def rounded(value: float, error: float | None) -> str:
    """Return a value and its error as text. The error has two significant digits; a value without error has four."""
    if not math.isfinite(value):
        return "none"
    if error is None or not math.isfinite(error) or error <= 0:
        return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    decimals = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:,.{decimals}f} ± {error:,.{decimals}f}".replace("-", "−")
