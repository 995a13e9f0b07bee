"""Captions of the page's figures: sample, number of clusters, unit, members and epochs in each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

from clustermass.paper.evidence import Evidence


@dataclass(frozen=True)
class Figure:
    """A picture of the page.

    Attributes
    ----------
    png
        Its file.
    caption
        Which caption it has: a key of captions.yaml.
    experiments
        Whose results it shows, on the test clusters of their own sky.
    words
        More that its caption says, by the name that it has there.
    """

    png: Path
    caption: str
    experiments: Sequence[str]
    words: Mapping[str, str] = field(default_factory=dict)


def captioned(
    figures: Sequence[Figure],
    captions: Mapping[str, str],
    evidence: Evidence,
    settings: Mapping[str, Mapping[str, Any]],
) -> dict[Path, str]:
    """Fill in the captions.

    Parameters
    ----------
    figures
        In the order of the page.
    captions
        Templates by name: `$who` (experiments with their networks, epochs and clusters), `$train`, `$test` and `$all`
        (numbers of clusters of the first experiment), and what a figure brings along.
    evidence, settings
        What the run measured, and of each experiment its `sky` and `epochs`.

    Returns
    -------
    dict
        Captions by PNG.
    """
    return {
        figure.png: Template(captions[figure.caption]).substitute(
            _numbers(figure.experiments[0], evidence),
            who="; ".join(_who(name, evidence, settings) for name in figure.experiments),
            **figure.words,
        )
        for figure in figures
    }


def _numbers(experiment: str, evidence: Evidence) -> dict[str, str]:
    own = evidence.metrics[experiment, evidence.learnt[experiment]]
    number = {name: own[f"n_{name}"] for name in ("train", "val", "test")}
    return {"train": f"{number['train']:,}", "test": f"{number['test']:,}", "all": f"{sum(number.values()):,}"}


def _who(experiment: str, evidence: Evidence, settings: Mapping[str, Mapping[str, Any]]) -> str:
    own = evidence.metrics[experiment, evidence.learnt[experiment]]
    of = settings[experiment]
    return (
        f"experiment `{experiment}` ({own['ensemble']['n_members']} networks, {of['epochs']} epochs, "
        f"{own['n_train']:,} training clusters, {own['n_test']:,} test clusters of the sky `{of['sky']}`)"
    )
