"""The table of a search, for readers: `search.md`."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clustermass.datasets import atomic
from clustermass.evaluation.metrics import Summary

HEADER = (
    *("candidate", "departs from the first one in", "networks", "parameters", "training clusters"),
    *("negative log-likelihood", "above the best", "scatter [dex]", "bias [dex]", "residual std ÷ mean sigma"),
    "training [s]",
)
EXPLANATION = """\
{n_val} validation clusters in {n_groups} groups; the test set had no part in this. Negative log-likelihood: mean of
-ln p(true log10 M500c), p the ensemble's Gaussian per dex; smaller is better. ± is half a 68 % interval of resampled
groups; in brackets, the 68 % interval of the difference to the best, from the same resamplings. More networks make a
better ensemble: compare like with like. Of many candidates the best one is partly lucky on these clusters.
Training: what all training jobs so far took on the machine that they ran on, where their benchmark files tell.
"""


def write_search_page(content: Summary, run: str, training_s: Mapping[str, float | None], page: Path) -> None:
    """Write a search as a Markdown table, the best candidate first.

    Parameters
    ----------
    content
        What `search.search` returns.
    run
        Name of the run.
    training_s
        Seconds that each candidate's training took, None = unknown; they differ from run to run.
    page
        `search.md`.
    """
    rows = [HEADER, ("---",) * len(HEADER)]
    rows += [_row(name, content, training_s[name]) for name in content["ranking"]]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    with atomic(page) as temporary:
        text = f"# Search of run {run}\n{EXPLANATION.format(**content)}\n{table}\n"
        temporary.write_text(text, encoding="utf-8")


def training_seconds(benchmarks: Path) -> float | None:
    """Seconds that the training jobs took whose benchmark files lie in a folder; None if there are none."""
    seconds = []
    for path in benchmarks.glob("train_member*.tsv"):
        with path.open(encoding="utf-8", newline="") as stream:
            seconds += [float(row["s"]) for row in csv.DictReader(stream, delimiter="\t")]
    return sum(seconds) if seconds else None


def _row(name: str, content: Summary, seconds: float | None) -> tuple[str, ...]:
    of = content["candidates"][name]
    changed = ", ".join(f"{key.split('.', 1)[-1]} {_value(value)}" for key, value in of["departures"].items())
    return (
        name,
        changed or ("the first one" if name == content["first"] else "nothing"),
        str(of["members"]),
        str(of["parameters"]),
        str(of["n_train"]),
        _with_error(of["nll"], 4),
        "best" if name == content["best"] else _with_interval(of["nll_above_best"]),
        _with_error(of["scatter_dex"], 4),
        f"{of['bias_dex']['value']:+.4f}",
        _with_error(of["residual_std_over_mean_sigma"], 3),
        "unknown" if seconds is None else f"{seconds:.0f}",
    )


def _value(value: Any) -> str:
    return "none" if value is None else str(value).replace("'", "")


def _with_error(measure: Mapping[str, Any], digits: int) -> str:
    low, high = measure["ci68"]
    return f"{measure['value']:.{digits}f} ± {(high - low) / 2:.{digits}f}"


def _with_interval(measure: Mapping[str, Any]) -> str:
    low, high = measure["ci68"]
    return f"{measure['value']:+.4f} ({low:+.4f} to {high:+.4f})"
