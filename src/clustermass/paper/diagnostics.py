"""Scatter, bias and calibration by mass, redshift, counts, likelihood and crowding: one table of the page."""

from collections.abc import Mapping
from typing import Any

from clustermass.paper.evidence import Evidence, with_interval
from clustermass.paper.tables import Table, text
from clustermass.paper.verdicts import Measured, scatter_error

#: blocks of metrics.json and what their bins are of
BINNED = {
    "by_mass_bin": "true log10 M",
    "by_predicted_mass_bin": "predicted log10 M (each recipe's own)",
    "by_redshift_bin": "redshift",
    "by_counts_bin": "counts",
    "by_likelihood_bin": "EXT_LIKE",
    "isolated": "no other detection near",
    "with_neighbour": "another detection near",
}


def diagnostics(evidence: Evidence, recipes: Mapping[str, str]) -> Table:
    """Scatter, bias and calibration in bins of mass, redshift, counts, likelihood and crowding.

    Parameters
    ----------
    evidence
        What the run measured.
    recipes
        Their names in words, by experiment.
    """
    known = {name: words for name, words in recipes.items() if evidence.of(name)}
    rows = [["clusters with", "number"]]
    rows[0] += [f"{words}: {what}" for words in known.values() for what in ("scatter, dex", "bias, dex", "within 1 σ")]
    for key, words in BINNED.items():
        every = [_binned(found, key) for found in map(evidence.of, known) if found]
        for bins in zip(*every, strict=True):
            test = bins[0][0]
            edges = f"{words} {_edges(test)}" if "low" in test else words
            numbers = dict.fromkeys(f"{of[0]['n']:,}" for of in bins)
            rows.append([edges, " / ".join(numbers), *(cell for of in bins for cell in _diagnosed(*of))])
    return rows


def _binned(found: Mapping[str, Any], key: str) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Pairs of a bin's residuals and of its calibration, where there is such."""
    blocks = found["test"].get(key)
    if blocks is None:
        return []
    return [(blocks, {})] if isinstance(blocks, Mapping) else list(zip(blocks, found["calibration"][key], strict=True))


def _edges(block: Mapping[str, Any]) -> str:
    low, high = block["low"], block["high"]
    if low is None:
        return f"below {high:g}"
    return f"from {low:g}" if high is None else f"{low:g} to {high:g}"


def _diagnosed(test: Mapping[str, Any], calibration: Mapping[str, Any]) -> list[str]:
    """Scatter and bias with the standard errors of a Gaussian sample, and coverage with half its interval."""
    scatter, number = test["scatter_dex"], test["n"]
    errors = (None, None) if scatter is None else (scatter_error(scatter, number), scatter / number**0.5)
    within = with_interval(calibration.get("coverage68"), calibration.get("coverage68_ci68"), None)
    measured = (Measured(scatter, errors[0]), Measured(test["bias_dex"], errors[1]), within)
    return [text(one) for one in measured]
