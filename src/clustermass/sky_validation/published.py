"""The published numbers of `published.yaml`, each with its error and its source."""

from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from clustermass.arrays import FloatArray

#: percent of the published quantiles
PERCENT = (5, 25, 50, 75, 95)


class PublishedNumber(NamedTuple):
    """A published number, its standard error (None = unknown) and its source."""

    value: float
    error: float | None
    source: str


class Histogram(NamedTuple):
    """Numbers in bins: `edges` (bin + 1,) and `counts` (bin,)."""

    edges: FloatArray
    counts: FloatArray


class Running(NamedTuple):
    """Quantiles of one quantity in bins of another, each (bin,) but `edges` (bin + 1,), whose last may be infinite.

    `x` is the median of the binned quantity; `low`, `median`, `high` are 16, 50 and 84 % quantile of the other one,
    `error` is the standard error of its median, `number` the members of the bin.
    """

    edges: FloatArray
    x: FloatArray
    low: FloatArray
    median: FloatArray
    high: FloatArray
    error: FloatArray
    number: FloatArray


@cache
def tables() -> dict[str, Any]:
    """Return the content of `published.yaml`."""
    content: dict[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return content


def number(name: str) -> PublishedNumber:
    """Return a published number by name; that of a count has the square root of the count as its error."""
    entry = tables()["numbers"][name]
    if "count" in entry:
        per = entry.get("per", 1.0)
        return PublishedNumber(entry["count"] / per, entry["count"] ** 0.5 / per, entry["source"])
    return PublishedNumber(entry["value"], entry.get("error"), entry["source"])


def quantile(name: str, percent: int) -> PublishedNumber:
    """Return a published quantile; ValueError if `percent` is none of `PERCENT`."""
    entry = tables()["quantiles"][name]
    value, error = entry["values"][PERCENT.index(percent)]
    return PublishedNumber(value, error, entry["source"])


def histogram(name: str) -> Histogram:
    """Return a published histogram."""
    entry = tables()["histograms"][name]
    counts = np.array(entry["counts"], dtype=float)
    low, high = entry.get("range", (0.0, 0.0))
    edges = entry.get("edges") or np.linspace(low, high, counts.size + 1)
    return Histogram(np.asarray(edges, dtype=float), counts)


def running(name: str) -> Running:
    """Return published quantiles in bins."""
    entry = tables()["running"][name]
    return Running(np.array(entry["edges"], dtype=float), *np.array(entry["rows"], dtype=float).T)


def median_ext_like(span: str) -> PublishedNumber:
    """Return the published median EXT_LIKE in a bin of ML_CTS, such as "0–60" or "above 400"."""
    bins = running("ext_by_counts")
    spans = [f"{low:.0f}–{high:.0f}" if np.isfinite(high) else f"above {low:.0f}" for low, high in pairwise(bins.edges)]
    row = spans.index(span)
    return PublishedNumber(float(bins.median[row]), float(bins.error[row]), tables()["sources"]["confirmed"])


def mass_relation() -> dict[str, float]:
    """Return the relation that the masses of eFEDS follow, a block like `baselines.count_rate_efeds`."""
    return dict(tables()["mass_relation"])
