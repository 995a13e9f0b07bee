"""Comparisons of ensembles with different networks and recipes, or with different numbers of members.

Networks and recipes are compared on the validation clusters alone (`search.json`, `search.md`). Ensembles of the first
1, 2, 5, ... members of an experiment are compared on the test clusters (`members_curve.json`).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import xarray as xr

from clustermass.arrays import generator
from clustermass.dataset.split import read_split
from clustermass.ensemble.aggregate import combine, read_members
from clustermass.ensemble.calibration import digest_of, validation_clusters
from clustermass.ensemble.scores import MIN_CLUSTERS, negative_log_likelihood
from clustermass.errors import InputError
from clustermass.evaluate.metrics import interval68, resampled_moments, sigma_ratio
from clustermass.io.files import atomic, write_json
from clustermass.io.log import LOGGER
from clustermass.io.netcdf import read_netcdf
from clustermass.io.provenance import provenance
from clustermass.network.losses import loss_of_recipe
from clustermass.network.predict import number_of_parameters

if TYPE_CHECKING:
    from clustermass.config.models import Preprocessing
    from clustermass.config.network_models import Network, Recipe


class Settings(TypedDict):
    """Those settings of a candidate experiment that determine how many parameters its networks have."""

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
    """Compare candidate experiments on the same validation clusters; write `output` and return its content.

    `candidates` maps the name of each candidate to its file `ensemble.nc`. `split` is the file with the subsets of
    their sky. `settings` maps the name of each candidate to its `preprocessing`, `network` and `recipe`, and to
    everything else in which candidates differ. Images have `bands` energy bands unless the preprocessing joins bands.
    The test clusters influence nothing in the output; not even a hash depends on them.

    The file `output` (`search.json`) holds:

    - `n_val`, `n_groups`: number of validation clusters, and of their groups
    - `first`, `best`: names of the first and of the best candidate
    - `ranking`: all names, beginning with the smallest negative log-likelihood
    - `candidates`: for each candidate, the measures that `compare` returns, the number of networks (`members`), of
      training clusters (`n_train`) and of `parameters` of one network, and `departures`, the settings in which the
      candidate differs from the first one

    InputError if a file is missing, is damaged or lacks a variable, if a prediction isn't finite, if there are fewer
    than three validation clusters, or if the candidates have different validation clusters.
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
    digests = {name: digest_of(table) for name, table in tables.items()}
    made = provenance("search", {"settings": settings, "bootstrap": resamplings}, seed=seed, validation_sha256=digests)
    content = {
        "n_val": int(tables[first].sizes["cluster"]),
        "n_groups": int(np.unique(tables[first]["group"].values).size),
        "first": first,
        "best": ranking[0],
        "ranking": ranking,
        "candidates": scores,
        "provenance": made,
    }
    for name in ranking:
        LOGGER.info("search: %-20s negative log-likelihood %.4f", name, measures[name]["nll"]["value"])
    write_json(content, output)
    return content


def compare(tables: Mapping[str, xr.Dataset], resamplings: int, seed: int) -> dict[str, dict[str, Measure]]:
    """Return measures of several ensembles on the same clusters, with intervals of a paired bootstrap of whole groups.

    `tables` maps the name of each ensemble to its `mu`, `sigma`, `log10_m500c` and `group`, each (cluster,). The result
    maps each name to the measures `nll`, `nll_above_best`, `scatter_dex`, `residual_std_over_mean_sigma` and
    `bias_dex`. Each measure is a dict with the keys `value` and `ci68`. `nll` is the mean of -ln p(true mass), where p
    is the ensemble's Gaussian density per dex. `nll_above_best` is `nll` minus the smallest `nll` of all ensembles.
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
    """Return a dict of the settings of `other` that differ from those of `first`.

    The keys are joined by dots, such as `recipe.epochs`. If `other` lacks a key, the value is None.
    """
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


EXPLANATION = """\
{n_val} validation clusters in {n_groups} groups; the test set had no part in this. Negative log-likelihood: mean of
-ln p(true log10 M500c), with p the ensemble's Gaussian per dex; smaller is better. ± is half a 68 % interval of
resampled groups; in brackets, the 68 % interval of the difference to the best, from the same resamplings. More
networks make a better ensemble: compare like with like. The best of many candidates is partly lucky on these clusters.
Training: seconds of all training jobs so far on the machine that they ran on, from their benchmark files.
"""


def write_search_page(content: Mapping[str, Any], run: str, training_s: Mapping[str, float | None], page: Path) -> None:
    """Write the content of `search.json` as a Markdown table, with the best candidate first.

    `training_s` maps the name of each candidate to the seconds of its training (None = unknown). These times differ
    from run to run.
    """
    rows = [_row(name, content, training_s[name]) for name in content["ranking"]]
    lines = [rows[0].keys(), ["---"] * len(rows[0]), *(row.values() for row in rows)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    text = f"# Search of run {run}\n{EXPLANATION.format(**content)}\n{table}\n"
    with atomic(page) as temporary:
        temporary.write_text(text, encoding="utf-8")


def training_seconds(benchmarks: Path) -> float | None:
    """Return the total seconds of the training jobs whose benchmark files are in the folder `benchmarks`.

    The result is None if the folder holds no such file.
    """
    seconds = []
    for path in benchmarks.glob("train_member*.tsv"):
        with path.open(encoding="utf-8", newline="") as stream:
            seconds += [float(row["s"]) for row in csv.DictReader(stream, delimiter="\t")]
    return sum(seconds) if seconds else None


def _row(name: str, content: Mapping[str, Any], seconds: float | None) -> dict[str, str]:
    scores = content["candidates"][name]
    changes = {key.split(".", 1)[-1]: value for key, value in scores["departures"].items()}
    changed = ", ".join(f"{key} {'none' if value is None else value}" for key, value in changes.items())
    changed = changed.replace("'", "") or ("the first one" if name == content["first"] else "nothing")
    above = "{:+.4f} ({:+.4f} to {:+.4f})".format(*_numbers(scores["nll_above_best"]))
    return {
        "candidate": name,
        "departs from the first one in": changed,
        "networks": str(scores["members"]),
        "parameters": str(scores["parameters"]),
        "training clusters": str(scores["n_train"]),
        "negative log-likelihood": _with_error(scores["nll"], 4),
        "above the best": "best" if name == content["best"] else above,
        "scatter [dex]": _with_error(scores["scatter_dex"], 4),
        "bias [dex]": f"{scores['bias_dex']['value']:+.4f}",
        "residual std ÷ mean sigma": _with_error(scores["residual_std_over_mean_sigma"], 3),
        "training [s]": "unknown" if seconds is None else f"{seconds:.0f}",
    }


def _with_error(measure: Measure, digits: int) -> str:
    value, low, high = _numbers(measure)
    return f"{value:.{digits}f} ± {(high - low) / 2:.{digits}f}"


def _numbers(measure: Measure) -> tuple[float, float, float]:
    return measure["value"], *(measure["ci68"] or (np.nan, np.nan))


#: numbers of members of the ensembles that `members_curve` compares, besides the whole ensemble
SIZES = (1, 2, 5, 10, 20, 30)


def members_curve(members: Sequence[Path], split: Path, output: Path, resamplings: int, seed: int) -> None:
    """Compare ensembles of the first 1, 2, 5, ... members on the test clusters, and write the measures as JSON.

    `members` are the files `members/{member}.nc` in order. `split` is the file with the subsets of their sky. Sigma
    isn't recalibrated. The file `output` holds:

    - `n_test`, `n_groups`: number of test clusters, and of their groups
    - `sizes`: for each number of members, the measures that `compare` returns, and `member_over_ensemble_sigma` (see
      `sigma_ratio`)
    - `alone`: mean and standard deviation of the single members' `scatter_dex` and `nll`

    InputError in the cases of `read_members`, and if there are fewer than three test clusters.
    """
    table = read_members(members)
    table = table.isel(cluster=table["split"].values.astype(str) == "test")
    if table.sizes["cluster"] < MIN_CLUSTERS:
        number = table.sizes["cluster"]
        raise InputError(f"{members[0]}: {number} test clusters are too few for a scatter. Simulate more.")
    group = read_split(split, table["cluster"].values)["group"].values
    # contiguous copies: the order in memory would change the last digits of sums
    mu, sigma, truth = (np.ascontiguousarray(table[name].values, float) for name in ("mu", "sigma", "log10_m500c"))
    true = {"log10_m500c": ("cluster", truth), "group": ("cluster", group)}
    sizes = sorted({size for size in (*SIZES, len(members)) if size <= len(members)})
    ensembles = {str(size): combine(mu[:size], sigma[:size]) for size in sizes}
    tables = {
        name: xr.Dataset({"mu": ("cluster", each.mu), "sigma": ("cluster", each.sigma), **true})
        for name, each in ensembles.items()
    }
    measures = compare(tables, resamplings, seed)
    for name, scores in measures.items():
        LOGGER.info("members_curve: %s members, scatter %.4f dex", name, scores["scatter_dex"]["value"])
    nll = negative_log_likelihood(mu - truth, sigma).mean(axis=1)
    alone = {"scatter_dex": (mu - truth).std(axis=1), "nll": nll}
    content = {
        "n_test": int(truth.size),
        "n_groups": int(np.unique(group).size),
        "sizes": {
            name: {**scores, "member_over_ensemble_sigma": sigma_ratio(sigma[: int(name)], ensembles[name].sigma)}
            for name, scores in measures.items()
        },
        "alone": {name: {"mean": float(each.mean()), "std": float(each.std())} for name, each in alone.items()},
        "provenance": provenance("members_curve", {"bootstrap": resamplings}, [*members, split], seed=seed),
    }
    write_json(content, output)
