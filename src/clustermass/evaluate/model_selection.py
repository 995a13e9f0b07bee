"""Comparison of candidate networks and recipes on the validation clusters alone: `search.json`, `search.md`."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import xarray as xr

from clustermass.arrays import generator
from clustermass.ensemble.calibration import digest_of, validation_clusters
from clustermass.ensemble.scores import MIN_CLUSTERS, negative_log_likelihood
from clustermass.errors import InputError
from clustermass.evaluate.metrics import interval68, resampled_moments
from clustermass.io.files import atomic, write_json
from clustermass.io.log import LOGGER
from clustermass.io.netcdf import read_netcdf
from clustermass.io.provenance import provenance
from clustermass.network.losses import loss_of_recipe
from clustermass.network.predict import number_of_parameters

if TYPE_CHECKING:
    from clustermass.config.models import Network, Preprocessing, Recipe


class Settings(TypedDict):
    """Settings of a candidate that `_parameters` reads; further ones are only listed as departures."""

    preprocessing: Preprocessing
    network: Network
    recipe: Recipe


class Measure(TypedDict):
    """A number and its 68 % interval."""

    value: float
    ci68: list[float] | None


def search(
    candidates: Mapping[str, Path],
    split: Path,
    settings: Mapping[str, Settings],
    bands: int,
    resamplings: int,
    seed: int,
    output: Path,
) -> dict[str, Any]:
    """Compare ensembles on the same validation clusters; write `search.json` and return what it holds.

    `candidates` are their `ensemble.nc`, of which nothing of a test cluster reaches the file, not even through a hash;
    the groups of the sky's `split` are resampled whole. `settings` are `preprocessing`, `network` and `recipe` of each
    candidate, and whatever else distinguishes it; `bands` is the number of bands of an image, unless its preprocessing
    joins them. Written are `n_val`, `n_groups`, `first`, `best`, `ranking` (by negative log-likelihood), `candidates`
    (see `compare`; `members`, `n_train`, `parameters` of one member, `departures` from the settings of the first
    candidate) and `provenance`. InputError if a file is missing, damaged or lacks a variable, a prediction isn't
    finite, or the validation clusters are fewer than three or not the same for all.
    """
    tables = {name: validation_clusters(path, split) for name, path in candidates.items()}
    _check(tables, candidates)
    first, measures = next(iter(tables)), compare(tables, resamplings, seed)
    ranking = sorted(measures, key=lambda name: (measures[name]["nll"]["value"], name))
    scores = {
        name: {
            "members": int(table.sizes["member"]),
            "n_train": int((read_netcdf(candidates[name], ("split",))["split"].values.astype(str) == "train").sum()),
            "parameters": _parameters(settings[name], bands),
            "departures": departures(settings[first], settings[name]),
            **measures[name],
        }
        for name, table in tables.items()
    }
    parameters = {"settings": settings, "bootstrap": resamplings}
    digests = {name: digest_of(table) for name, table in tables.items()}
    content = {
        "n_val": int(tables[first].sizes["cluster"]),
        "n_groups": int(np.unique(tables[first]["group"].values).size),
        "first": first,
        "best": ranking[0],
        "ranking": ranking,
        "candidates": scores,
        "provenance": provenance("search", parameters, seed=seed, validation_sha256=digests),
    }
    for name in ranking:
        LOGGER.info("search: %-20s negative log-likelihood %.4f", name, measures[name]["nll"]["value"])
    write_json(content, output)
    return content


def compare(tables: Mapping[str, xr.Dataset], resamplings: int, seed: int) -> dict[str, dict[str, Measure]]:
    """Score candidates on the same clusters, with the same resamplings of groups.

    Takes `mu`, `sigma`, `log10_m500c` and `group`, (cluster,), of each candidate. Returns for each {value, ci68} of
    `nll`, the mean of -ln p(true mass) with p the ensemble's Gaussian per dex; `nll_above_best`, paired; `scatter_dex`,
    `residual_std_over_mean_sigma` and `bias_dex`.
    """
    mu, sigma, truth = (
        np.stack([table[name].values.astype(float) for table in tables.values()])
        for name in ("mu", "sigma", "log10_m500c")
    )
    residual = mu - truth
    loss = negative_log_likelihood(residual, sigma)
    best, count = int(np.argmin(loss.mean(axis=1))), len(tables)
    group = next(iter(tables.values()))["group"].values
    rows = np.concatenate([residual, sigma, loss])
    mean, scatter = resampled_moments(rows, group, resamplings, generator(seed, "search"))
    mean_residual, mean_sigma, mean_loss = mean[:count], mean[count : 2 * count], mean[2 * count :]
    ratio = residual.std(axis=1) / sigma.mean(axis=1)
    measures = {
        "nll": (loss.mean(axis=1), mean_loss),
        "nll_above_best": (loss.mean(axis=1) - loss[best].mean(), mean_loss - mean_loss[best]),
        "scatter_dex": (residual.std(axis=1), scatter[:count]),
        "residual_std_over_mean_sigma": (ratio, scatter[:count] / mean_sigma),
        "bias_dex": (residual.mean(axis=1), mean_residual),
    }
    return {
        name: {
            key: {"value": float(values[row]), "ci68": interval68(drawn[row])}
            for key, (values, drawn) in measures.items()
        }
        for row, name in enumerate(tables)
    }


def departures(first: Mapping[str, object], other: Mapping[str, object]) -> dict[str, object]:
    """Values of `other` by dotted key where they differ from those of `first`; None for what it lacks."""
    here, there = _flat(first), _flat(other)
    return {key: there.get(key) for key in sorted({*here, *there}) if here.get(key) != there.get(key)}


def _flat(block: Mapping[str, object], before: str = "") -> dict[str, object]:
    leaves: dict[str, object] = {}
    for key, value in block.items():
        leaves |= _flat(value, f"{before}{key}.") if isinstance(value, Mapping) else {f"{before}{key}": value}
    return leaves


def _parameters(settings: Settings, bands: int) -> int:
    grid = settings["preprocessing"]
    pixels = round(2 * grid["half_width_arcsec"] / grid["pixel_arcsec"])
    shape = (pixels, pixels, grid.get("bands", bands))
    return number_of_parameters(settings["network"], shape, loss_of_recipe(settings["recipe"]).outputs)


def _check(tables: Mapping[str, xr.Dataset], paths: Mapping[str, Path]) -> None:
    first = next(iter(tables))
    number = tables[first].sizes["cluster"]
    if number < MIN_CLUSTERS:
        raise InputError(f"{paths[first]}: {number} validation cluster(s) are too few to compare. Enlarge the sample.")
    for name, table in tables.items():
        for column in ("cluster", "log10_m500c"):
            if not np.array_equal(table[column].values, tables[first][column].values):
                raise InputError(
                    f"{paths[name]}: its validation clusters ({column}) aren't those of {paths[first]}. Compare only "
                    "experiments of the same sky and selection; if they are, delete both files and run again."
                )


HEADER = (
    *("candidate", "departs from the first one in", "networks", "parameters", "training clusters"),
    *("negative log-likelihood", "above the best", "scatter [dex]", "bias [dex]", "residual std ÷ mean sigma"),
    "training [s]",
)
EXPLANATION = """\
{n_val} validation clusters in {n_groups} groups; the test set had no part in this. Negative log-likelihood: mean of
-ln p(true log10 M500c), with p the ensemble's Gaussian per dex; smaller is better. ± is half a 68 % interval of
resampled groups; in brackets, the 68 % interval of the difference to the best, from the same resamplings. More
networks make a better ensemble: compare like with like. The best of many candidates is partly lucky on these clusters.
Training: seconds of all training jobs so far on the machine that they ran on, from their benchmark files.
"""


def write_search_page(content: Mapping[str, Any], run: str, training_s: Mapping[str, float | None], page: Path) -> None:
    """Write what `search` returned as a Markdown table, the best candidate first.

    `training_s` holds the seconds of each candidate's training, None = unknown; they differ from run to run.
    """
    rows = [HEADER, ("---",) * len(HEADER)]
    rows += [_row(name, content, training_s[name]) for name in content["ranking"]]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    with atomic(page) as temporary:
        text = f"# Search of run {run}\n{EXPLANATION.format(**content)}\n{table}\n"
        temporary.write_text(text, encoding="utf-8")


def training_seconds(benchmarks: Path) -> float | None:
    """Seconds of all training jobs with benchmark files in a folder; None if there are none."""
    seconds = []
    for path in benchmarks.glob("train_member*.tsv"):
        with path.open(encoding="utf-8", newline="") as stream:
            seconds += [float(row["s"]) for row in csv.DictReader(stream, delimiter="\t")]
    return sum(seconds) if seconds else None


def _row(name: str, content: Mapping[str, Any], seconds: float | None) -> tuple[str, ...]:
    scores = content["candidates"][name]
    changed = ", ".join(f"{key.split('.', 1)[-1]} {_value(value)}" for key, value in scores["departures"].items())
    return (
        name,
        changed or ("the first one" if name == content["first"] else "nothing"),
        str(scores["members"]),
        str(scores["parameters"]),
        str(scores["n_train"]),
        _with_error(scores["nll"], 4),
        "best" if name == content["best"] else _with_interval(scores["nll_above_best"]),
        _with_error(scores["scatter_dex"], 4),
        f"{scores['bias_dex']['value']:+.4f}",
        _with_error(scores["residual_std_over_mean_sigma"], 3),
        "unknown" if seconds is None else f"{seconds:.0f}",
    )


def _value(value: object) -> str:
    return "none" if value is None else str(value).replace("'", "")


def _with_error(measure: Measure, digits: int) -> str:
    low, high = measure["ci68"] or (np.nan, np.nan)
    return f"{measure['value']:.{digits}f} ± {(high - low) / 2:.{digits}f}"


def _with_interval(measure: Measure) -> str:
    low, high = measure["ci68"] or (np.nan, np.nan)
    return f"{measure['value']:+.4f} ({low:+.4f} to {high:+.4f})"
