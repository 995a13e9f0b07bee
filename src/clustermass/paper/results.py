"""Results of a run, and their comparison with the published results of Krippendorf et al. (2023)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import hypot, sqrt
from pathlib import Path
from typing import Any, NamedTuple

import yaml

CLEAR = 3.0  #: a difference of fewer standard errors than this counts as none
#: experiments with our recipe and with the paper's, and the experiment that the paper's variations change
OURS, THEIRS, BASE = "fiducial", "krippendorf2023", "paper_like"

Block = Mapping[str, Any]  #: a part of metrics.json or pairs.json


class Measured(NamedTuple):
    """A number and its standard error. Either is None if it wasn't measured."""

    value: float | None
    error: float | None = None

    def sigmas(self, other: float, error: float = 0.0) -> float | None:
        """Return this number minus the number `other`, divided by the combined error. `error` is the error of `other`.

        The result is None if this number or its error wasn't measured.
        """
        if self.value is None or self.error is None:
            return None
        return (self.value - other) / hypot(self.error, error)


class Number(NamedTuple):
    """A published number: its description, its place in the paper, and the key of our number."""

    what: str
    where: str
    ours: str  # key of our number, for `Results.number`
    published: float
    error: float | None  # sampling error of the paper's test set; None if the value depends on the simulation


class Change(NamedTuple):
    """A change of the method: an experiment with it, its description, place in the paper and published effect."""

    experiment: str
    what: str
    where: str = ""
    published: str = ""
    ratio: float | None = None  # published scatter with the change, divided by that without it
    effect: str = ""  # where only words are published: worse, same or not_better


class Published(NamedTuple):
    """Content of published.yaml. `weighting` holds biases at both ends of the mass range (Fig. 8 of the paper)."""

    test_clusters: int
    numbers: list[Number]
    changes: list[Change]
    weighting: dict[str, dict[str, str]]


def read_published(path: Path) -> Published:
    """Return the content of published.yaml.

    Where the file states two scatters for a number, the number is their ratio, with its sampling error.
    """
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
    """Results of a run's experiments on the clusters of the sky `test_sky`.

    An experiment that wasn't tested on `test_sky` has results on the test set of its training sky instead.
    """

    metrics: Mapping[tuple[str, str], Block]  # content of metrics.json by experiment and sky
    pairs: Sequence[Block]  # rows of pairs.json
    trained_on: Mapping[str, str]  # name of the training sky, by experiment
    test_sky: str

    def of(self, experiment: str) -> Block:
        """Return the metrics of an experiment; an empty dict if it isn't part of the run."""
        own = self.trained_on.get(experiment, "")
        return self.metrics.get((experiment, self.test_sky)) or self.metrics.get((experiment, own)) or {}

    def number(self, experiment: str, key: str) -> Measured:
        """Return a number of an experiment. `key` is its path in metrics.json, or one of the following.

        - `residual_over_sigma`: standard deviation of the residuals, divided by the mean predicted sigma
        - `member_sigma`: mean ratio of a member's sigma to the ensemble's sigma; as its error, the standard deviation
          of the ratio
        - `bias/<low>`: bias in the bin of true mass whose lower edge is <low>
        - `above_60_over_all`: scatter of the clusters with DET_LIKE and EXT_LIKE above 60, divided by the scatter of
          all clusters
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
        """Return `above_60_over_all` of an experiment (see `number`). Its error assumes independent scatters."""
        places = [(experiment, "high_likelihood/scatter_dex"), (experiment, "test/scatter_dex")]
        # for the paper's recipe: of networks trained on clusters above 60 alone, if the run has them
        if experiment == THEIRS and self.of("high_likelihood"):
            places = [("high_likelihood", "test/scatter_dex"), (BASE, "test/scatter_dex")]
        above, whole = (self.number(*place) for place in places)
        if not (above.value and above.error and whole.value and whole.error):
            return Measured(None)
        ratio = above.value / whole.value
        return Measured(ratio, ratio * hypot(above.error / above.value, whole.error / whole.value))

    def pair(self, experiment: str) -> Block:
        """Return an experiment's row of pairs.json for `test_sky`.

        If there is no such row, return the row for the experiment's training sky, or else an empty dict.
        """
        skies = (self.test_sky, self.trained_on.get(experiment))
        rows = [row for row in self.pairs if row["experiment"] == experiment and row["sky"] in skies]
        return min(rows, key=lambda row: row["sky"] != self.test_sky, default={})


def lookup(block: Block, path: str) -> Measured:
    """Return the value at a path such as "test/scatter_dex" in `block`, with half its 68 % interval as its error."""
    *folders, name = path.split("/")
    for folder in folders:
        block = block.get(folder) or {}
    value, interval = block.get(name), block.get(f"{name}_ci68")
    if isinstance(value, Mapping):
        value, interval = value["value"], value["ci68"]
    return Measured(value, (interval[1] - interval[0]) / 2 if interval else None)


def gaussian(block: Block) -> tuple[Measured, Measured]:
    """Return the scatter and the bias in `block`, with errors that assume Gaussian residuals.

    For a scatter s of n clusters, the error of the scatter is s / sqrt(2 n), and that of the bias is s / sqrt(n).
    """
    scatter, bias, n = block["scatter_dex"], block["bias_dex"], block["n"]
    if scatter is None:
        return Measured(None), Measured(bias)
    return Measured(scatter, scatter / sqrt(2 * n)), Measured(bias, scatter / sqrt(n))


def scatter_ratio(pair: Block) -> Measured:
    """Return the scatter ratio of a row of pairs.json, with an error that includes the noise of training."""
    return Measured(pair.get("scatter_ratio"), pair.get("scatter_ratio_error"))


def agreement(ours: Measured, published: float, error: float) -> str:
    """Return a text that says whether our number agrees with the published one.

    The text is "yes" if the difference is less than 3 sigma, otherwise "no", followed by the difference in sigma. It is
    "—" if our number or its error wasn't measured. `error` is the error of the published number.
    """
    sigmas = ours.sigmas(published, error)
    return "—" if sigmas is None else f"{'yes' if abs(sigmas) < CLEAR else 'no'} ({sigmas:+.1f} σ)"


def effect_of(ratio: Measured, error: float = 0.0) -> str:
    """Return the effect of a change on the scatter: "worse" or "better" from 3 sigma on, otherwise "same".

    `ratio` is the scatter with the change, divided by the scatter without it. `error` is added in quadrature to the
    error of `ratio`. The text is "—" if there is no ratio.
    """
    sigmas = ratio.sigmas(1.0, error)
    if sigmas is None:
        return "—"
    return "same" if abs(sigmas) < CLEAR else "worse" if sigmas > 0 else "better"


def as_published(change: Change, ratio: Measured, test_clusters: int) -> str:
    """Return a text that says whether a change has the published effect: "yes", "no" or "not seen".

    `ratio` is our scatter with the change, divided by our scatter without it.

    - If the paper states a ratio, the text is the result of `agreement`.
    - If the paper states the effect "worse", the text is "yes" if our scatter grows by at least 3 sigma.
    - For the effects "same" and "not_better", sigma includes the paper's error 1 / sqrt(test_clusters), because the
      paper's test set could not show smaller changes.
    - If the paper states neither a ratio nor an effect, the text is "".
    - If we have no ratio, the text is "—".
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
