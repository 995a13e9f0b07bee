"""Write docs/measured/peers.json: the published numbers of docs/peers.yaml beside those of finished runs.

A run with config/peers.yaml is one fold. Rows whose experiment hasn't been run say "not run". Scatters of several folds
are joined: all test clusters count the same.

Usage (from the repository's root):  .venv/bin/python docs/peers.py [--results results]
    [--runs 'peers_ho_*' 'peers_mass_*'] [--sky results/skies/ho_like] [--output docs/measured/peers.json]
"""

import argparse
import json
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from astropy.table import Table, vstack

from clustermass.baselines.proxies import ln_expansion, proxy_masses, true_properties
from clustermass.config.resolve import load_config

HERE = Path(__file__).parent
NOT_RUN = "not run"
FOLDS = 8


def fold_scores(results: Path, runs: list[str], experiment: str) -> dict[str, Any] | str:
    """Return number of test clusters, scatter and bias in dex of all finished folds of an experiment, or "not run".

    The scatter about each fold's own bias is joined in quadrature; `scatter_error` is that of a normal distribution.
    """
    files = sorted(path for run in runs for path in results.glob(f"{run}/{experiment}/metrics.json"))
    tests = [json.loads(path.read_text(encoding="utf-8"))["test"] for path in files]
    if not tests:
        return NOT_RUN
    number = np.array([test["n"] for test in tests], dtype=float)
    bias, scatter = (np.array([test[name] for test in tests], dtype=float) for name in ("bias_dex", "scatter_dex"))
    mean = float(number @ bias / number.sum())
    joined = sqrt(float(number @ (scatter**2 + (bias - mean) ** 2) / number.sum()))
    error = joined / sqrt(2 * number.sum())
    return {
        "folds": len(tests),
        "runs": [path.parts[-3] for path in files],
        "n_test": int(number.sum()),
        "scatter_dex": round(joined, 4),
        "scatter_error_dex": round(error, 4),
        "bias_dex": round(mean, 4),
    }


def ratio(row: dict[str, Any], systems: dict[str, Any]) -> dict[str, Any] | str:
    """Return the ratio of two measured scatters with its error if both were independent, or "not run"."""
    above, below = (systems[name]["ours"] for name in row["of"])
    if NOT_RUN in (above, below):
        return NOT_RUN
    if above["runs"] != below["runs"]:
        return "different folds"
    value = above["scatter_dex"] / below["scatter_dex"]
    relative = [one["scatter_error_dex"] / one["scatter_dex"] for one in (above, below)]
    return {"ratio": round(value, 3), "error_if_independent": round(value * float(np.hypot(*relative)), 3)}


def population(sky: Path) -> Table | None:
    """Return the truth of the clusters of a population, all realizations together; None if the sky wasn't simulated."""
    parts = []
    for path in sorted(sky.glob("*/truth.fits")):
        number = len(Table.read(path.with_name("catalogue.fits")))
        parts.append(Table.read(path)[:number])  # clusters of the population come first
    return vstack(parts, metadata_conflicts="silent") if parts else None


def proxy_scatter(row: dict[str, Any], truth: Table | None) -> dict[str, float] | str:
    """Return the scatter in dex of the masses that follow from true properties, or why there is none."""
    if "ours" not in row:
        return "not available"
    properties = {} if truth is None else true_properties(truth)
    if truth is None or not set(row["ours"]) <= set(properties):
        return NOT_RUN
    cosmology = load_config([HERE.parent / "config" / "config.yaml"])["cosmology"]
    mass = np.asarray(truth["LOG10_M500C"], dtype=float)
    ln_e = ln_expansion(np.asarray(truth["Z"], dtype=float), cosmology)
    ln_s = np.log(np.stack([properties[name] for name in row["ours"]], axis=1))
    residual = proxy_masses(ln_s, mass, ln_e, np.arange(len(mass)) % FOLDS) - mass
    return {"n": len(mass), "scatter_dex": round(float(residual.std()), 4)}


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--runs", nargs="+", default=["peers_ho_*", "peers_mass_*"])
    parser.add_argument("--sky", type=Path, default=Path("results/skies/ho_like"))
    parser.add_argument("--output", type=Path, default=HERE / "measured" / "peers.json")
    given = parser.parse_args()
    content = yaml.safe_load((HERE / "peers.yaml").read_text(encoding="utf-8"))
    systems = {
        name: {**row, "ours": fold_scores(given.results, given.runs, name)} for name, row in content["systems"].items()
    }
    ratios = {name: {**row, "ours": ratio(row, systems)} for name, row in content["ratios"].items()}
    truth = population(given.sky)
    proxies = [
        {
            "what": row.get("what") or ", ".join(row["ours"]),
            "published": row.get("published"),
            "ours": proxy_scatter(row, truth),
        }
        for row in content["proxies"]
    ]
    text = json.dumps({"systems": systems, "ratios": ratios, "proxies": proxies}, indent=2, ensure_ascii=False)
    given.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
