"""What a run measured, as the page asks for it: by experiment, on the sky that all are judged on."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clustermass.errors import InputError
from clustermass.paper.verdicts import Measured

Metrics = Mapping[str, Any]


@dataclass(frozen=True)
class Evidence:
    """Everything that the page's numbers are taken from.

    Attributes
    ----------
    metrics
        Content of metrics.json by experiment and sky.
    rows
        Of pairs.json.
    learnt
        Of each experiment the sky that it learns from.
    sky
        That experiments are judged on, if they were; else on the test set of their own.
    """

    metrics: Mapping[tuple[str, str], Metrics]
    rows: tuple[Mapping[str, Any], ...]
    learnt: Mapping[str, str]
    sky: str

    def of(self, experiment: str) -> Metrics | None:
        """Metrics of an experiment; None if it isn't part of the run."""
        own = self.learnt.get(experiment)
        return self.metrics.get((experiment, self.sky)) or (self.metrics.get((experiment, own)) if own else None)

    def test(self, experiment: str, key: str, block: str = "test") -> Measured:
        """`<key>` with its `<key>_ci68` of the test clusters, or of another block."""
        found = (self.of(experiment) or {}).get(block) or {}
        return with_interval(found.get(key), found.get(f"{key}_ci68"), found.get("n"))

    def over(self, experiment: str, baseline: str, block: str | None = None) -> Measured:
        """Scatter of the networks over that of a baseline, on the same clusters (of a block)."""
        found = self.of(experiment) or {}
        inside = found.get(block) or {} if block else found
        ratio = (inside.get("ratios") or {}).get(f"network_over_{baseline}") or {}
        number = inside.get("n") if block else found.get("n_test")
        return with_interval(ratio.get("value"), ratio.get("ci68"), number)

    def pair(self, experiment: str) -> Mapping[str, Any]:
        """Row of an experiment against the one that it is compared with, on the common sky; empty if there is none."""
        own = {self.sky, self.learnt.get(experiment)}
        rows = [row for row in self.rows if row["experiment"] == experiment and row["sky"] in own]
        return min(rows, key=lambda row: row["sky"] != self.sky, default={})

    def scatter_ratio(self, experiment: str) -> Measured:
        """Scatter over that of the experiment that it is compared with, on the same clusters."""
        return ratio_of(self.pair(experiment))

    def bias_bin(self, experiment: str, low: float) -> Measured:
        """Bias at fixed true mass, of the bin that begins at `low`."""
        for row in ((self.of(experiment) or {}).get("test") or {}).get("by_mass_bin", []):
            if row["low"] == low and row["bias_dex"] is not None:
                return Measured(row["bias_dex"], row["scatter_dex"] / row["n"] ** 0.5, row["n"])
        return Measured(None, None)


def ratio_of(row: Mapping[str, Any]) -> Measured:
    """Scatter ratio of a row of pairs.json; its error is of the clusters and of training together."""
    return Measured(row.get("scatter_ratio"), row.get("scatter_ratio_error"), row.get("n"))


def with_interval(value: float | None, interval: list[float] | None, n: int | None) -> Measured:
    """Take half of a 68 % interval as the standard error."""
    return Measured(value, (interval[1] - interval[0]) / 2 if interval else None, n)


def read_evidence(
    metrics: Mapping[tuple[str, str], Path], pairs: Path, learnt: Mapping[str, str], sky: str
) -> Evidence:
    """Read the JSON files of a run.

    Parameters
    ----------
    metrics
        metrics.json by experiment and sky.
    pairs
        pairs.json.
    learnt, sky
        As of `Evidence`.

    Raises
    ------
    InputError
        A file is missing or is no JSON.
    """
    return Evidence(
        {key: read_json(path) for key, path in metrics.items()}, tuple(read_json(pairs)["rows"]), learnt, sky
    )


def read_json(path: Path) -> dict[str, Any]:
    """Content of a JSON file; InputError if there is none."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: no readable JSON ({error}). Delete it and run again.") from error
