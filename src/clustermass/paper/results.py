"""Results of a run, and their comparison with the published ones."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import hypot, sqrt
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from clustermass.io.files import reading

CLEAR = 3.0  #: a difference of fewer standard errors counts as none
#: our recipe and the paper's, as names of experiments, and the experiment that the paper's variations depart from
OURS, THEIRS, BASE = "fiducial", "krippendorf2023", "paper_like"

Block = Mapping[str, Any]  #: a part of metrics.json or pairs.json


class Measured(NamedTuple):
    """A number with its standard error; None = not measured."""

    value: float | None
    error: float | None = None

    def sigmas(self, other: float, error: float = 0.0) -> float | None:
        """Return the difference from another number over both errors combined; None if not measured."""
        if self.value is None or self.error is None:
            return None
        return (self.value - other) / hypot(self.error, error)


class Number(NamedTuple):
    """A published number and its place in the paper."""

    what: str
    where: str
    ours: str  # key of ours in `Results.number`
    published: float
    error: float | None  # sampling error of the paper's test set; None if the value depends on the simulation


class Change(NamedTuple):
    """A change of the method: our experiment, a description, its place in the paper and the paper's words."""

    experiment: str
    what: str
    where: str = ""
    published: str = ""
    ratio: float | None = None  # published scatter with the change over that without it
    effect: str = ""  # where only words are published: worse, same or not_better


class Published(NamedTuple):
    """Content of published.yaml; `weighting` holds `range` and `published` by end of the mass range."""

    test_clusters: int
    numbers: list[Number]
    changes: list[Change]
    weighting: dict[str, dict[str, str]]


def read_published(path: Path) -> Published:
    """Read published.yaml; a pair of published numbers becomes their ratio, with the error of independent scatters."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    numbers = []
    for row in content["numbers"]:
        published, error = row["published"], row.get("error")
        if isinstance(published, list):
            published = published[0] / published[1]
            error = published / sqrt(row["clusters"])
        numbers.append(Number(row["what"], row["where"], row["ours"], published, error))
    changes = [Change(**row) for row in content["changes"]]
    return Published(content["test_clusters"], numbers, changes, content["weighting"])


@dataclass(frozen=True)
class Results:
    """Results of a run. Experiments are tested on `test_sky`, or if not run on it, on their own test set."""

    metrics: Mapping[tuple[str, str], Block]  # metrics.json by experiment and sky
    pairs: Sequence[Block]  # rows of pairs.json
    trained_on: Mapping[str, str]  # sky of each experiment
    test_sky: str

    def of(self, experiment: str) -> Block:
        """Metrics of an experiment; empty if it isn't part of the run."""
        own = self.trained_on.get(experiment, "")
        return self.metrics.get((experiment, self.test_sky)) or self.metrics.get((experiment, own)) or {}

    def number(self, experiment: str, key: str) -> Measured:
        """Return a number of an experiment by its path in metrics.json, or by one of these keys.

        `residual_over_sigma`: standard deviation of the residuals over mean sigma. `member_sigma`: a member's sigma
        over the ensemble's, with its standard deviation as error. `bias/<low>`: bias in the bin of true mass that
        begins there. `above_60_over_all`: scatter above likelihoods of 60 over the scatter of all clusters.
        """
        block = self.of(experiment)
        match key.split("/"):
            case ["residual_over_sigma"]:
                value = lookup(block, "calibration/residual_std_over_mean_sigma").value
                return Measured(value, value / sqrt(2 * block["n_test"]) if value else None)
            case ["member_sigma"]:
                mean, std = (lookup(block, f"ensemble/member_over_ensemble_sigma_{name}") for name in ("mean", "std"))
                return Measured(mean.value, std.value)
            case ["bias", low]:
                bins = block.get("test", {}).get("by_mass_bin", [])
                return next((gaussian(one)[1] for one in bins if one["low"] == float(low)), Measured(None))
            case ["above_60_over_all"]:
                return self._above_60_over_all(experiment)
        return lookup(block, key)

    def _above_60_over_all(self, experiment: str) -> Measured:
        """Scatter above likelihoods of 60 over the scatter of all clusters; errors as if independent."""
        places = [(experiment, "high_likelihood/scatter_dex"), (experiment, "test/scatter_dex")]
        # the paper's recipe: from networks that were trained on these clusters alone, if there are any
        if experiment == THEIRS and self.of("high_likelihood"):
            places = [("high_likelihood", "test/scatter_dex"), (BASE, "test/scatter_dex")]
        above, whole = (self.number(*place) for place in places)
        if not (above.value and above.error and whole.value and whole.error):
            return Measured(None)
        ratio = above.value / whole.value
        return Measured(ratio, ratio * hypot(above.error / above.value, whole.error / whole.value))

    def pair(self, experiment: str) -> Block:
        """Return the row of pairs.json of an experiment, preferably on `test_sky`; empty if there is none."""
        skies = (self.test_sky, self.trained_on.get(experiment))
        rows = [row for row in self.pairs if row["experiment"] == experiment and row["sky"] in skies]
        return min(rows, key=lambda row: row["sky"] != self.test_sky, default={})


def read_json(path: Path) -> Block:
    """Return the content of a JSON file; InputError if there is none."""
    with reading(path, "JSON"):
        return dict(json.loads(path.read_text(encoding="utf-8")))


def lookup(block: Block, path: str) -> Measured:
    """Return the value at a path ("test/scatter_dex"), with half of its 68 % interval as standard error."""
    *folders, name = path.split("/")
    for folder in folders:
        block = block.get(folder) or {}
    value, interval = block.get(name), block.get(f"{name}_ci68")
    if isinstance(value, Mapping):
        value, interval = value["value"], value["ci68"]
    return Measured(value, (interval[1] - interval[0]) / 2 if interval else None)


def gaussian(block: Block) -> tuple[Measured, Measured]:
    """Scatter and bias of a block, with the standard errors of a Gaussian sample, s / sqrt(2 n) and s / sqrt(n)."""
    scatter, bias, n = block["scatter_dex"], block["bias_dex"], block["n"]
    if scatter is None:
        return Measured(None), Measured(bias)
    return Measured(scatter, scatter / sqrt(2 * n)), Measured(bias, scatter / sqrt(n))


def scatter_ratio(pair: Block) -> Measured:
    """Return the scatter ratio of a row of pairs.json, with the errors of clusters and training combined."""
    return Measured(pair.get("scatter_ratio"), pair.get("scatter_ratio_error"))


def agreement(ours: Measured, published: float, error: float) -> str:
    """Say whether a number agrees with a published one within three standard errors of both together."""
    sigmas = ours.sigmas(published, error)
    return "—" if sigmas is None else f"{'yes' if abs(sigmas) < CLEAR else 'no'} ({sigmas:+.1f} σ)"


def effect_of(ratio: Measured, error: float = 0.0) -> str:
    """Return the effect of a change on the scatter: worse or better by three standard errors, else same."""
    sigmas = ratio.sigmas(1.0, error)
    if sigmas is None:
        return "—"
    return "same" if abs(sigmas) < CLEAR else "worse" if sigmas > 0 else "better"


def as_published(change: Change, ratio: Measured, test_clusters: int) -> str:
    """Say whether a change has the published effect: yes, no, or not seen.

    A published ratio is compared by `agreement`. "worse" needs a scatter larger by three standard errors. "same" and
    "not_better" also allow a change that the paper's test set, with an error of 1 / sqrt(test_clusters), could not
    resolve.
    """
    if ratio.value is None:
        return "—"
    if change.ratio is not None:
        return agreement(ratio, change.ratio, change.ratio / sqrt(test_clusters))
    if change.effect == "worse":
        return {"worse": "yes", "same": "not seen"}.get(effect_of(ratio), "no")
    if not change.effect:
        return ""
    allowed = {"same": ("same",), "not_better": ("same", "worse")}[change.effect]
    return "yes" if effect_of(ratio, 1 / sqrt(test_clusters)) in allowed else "no"
