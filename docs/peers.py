"""Write docs/measured/peers.json: the published numbers of docs/peers.yaml beside those of finished runs.

A run with config/peers.yaml is one fold. Rows whose experiment hasn't been run say "not run". Scatters of several folds
are joined: all test clusters count the same. Proxies need no run: their clusters are drawn here, without photons.

Usage (from the repository's root):  .venv/bin/python docs/peers.py [--results results]
    [--runs 'peers_ho_*' 'peers_mass_*'] [--output docs/measured/peers.json]
"""

import argparse
import json
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from astropy.table import Table, vstack

from clustermass.arrays import random_streams
from clustermass.baselines.proxies import ln_expansion, proxy_masses, true_properties, with_r500_errors
from clustermass.config.resolve import load_config, resolve_sky
from clustermass.simulate.gas import draw_gas
from clustermass.simulate.gas_properties import bolometric_luminosity, gas_mass
from clustermass.simulate.population import draw_population

HERE = Path(__file__).parent
NOT_RUN = "not run"
FOLDS, SEED = 8, 22
#: standard deviations of ln(R500), and skies whose populations are drawn
R500_ERRORS, SKIES = (0.0, 0.03, 0.05), ("ho_like", "ho_default_gas")


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


def population(config: dict[str, Any], name: str) -> Table:
    """Return the true properties of the clusters of a population, drawn as in the sky `name`, but without photons.

    Masses and redshifts are those of the sky. The gas has other random numbers, because no other halo is drawn.
    """
    sky, cosmology, parts = resolve_sky(config["skies"], name), config["cosmology"], []
    for number in range(1, sky["realizations"] + 1):
        rng = random_streams(sky["seed"], name, f"{number:02d}")
        haloes = draw_population(sky["population"], sky, cosmology, rng["population"])
        gas = draw_gas(haloes, sky["clusters"], cosmology, rng)
        columns = {"LOG10_M500C": haloes.log10_m500c, "Z": haloes.redshift, "KT": gas.kt_kev, "L500": gas.luminosity}
        columns |= {"LBOL500": bolometric_luminosity(gas), "MGAS500": gas_mass(gas, haloes.redshift, cosmology)}
        parts.append(Table(columns))
    return vstack(parts)


def proxy_scatters(row: dict[str, Any], truth: Table, cosmology: dict[str, float]) -> dict[str, Any] | str:
    """Return the scatter in dex of the masses that follow from true properties, by the error of ln R500.

    The result is "not available" if the sky doesn't have a property.
    """
    if "ours" not in row:
        return "not available"
    mass, redshift = (np.asarray(truth[name], dtype=float) for name in ("LOG10_M500C", "Z"))
    found: dict[str, Any] = {"n": len(mass)}
    for error in R500_ERRORS:
        properties = with_r500_errors(true_properties(truth), error, np.random.default_rng(SEED))
        ln_s = np.log(np.stack([properties[name] for name in row["ours"]], axis=1))
        masses = proxy_masses(ln_s, mass, ln_expansion(redshift, cosmology), np.arange(len(mass)) % FOLDS)
        found[f"scatter_dex_r500_error_{error}"] = round(float(np.std(masses - mass)), 4)
    return found


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--runs", nargs="+", default=["peers_ho_*", "peers_mass_*"])
    parser.add_argument("--output", type=Path, default=HERE / "measured" / "peers.json")
    given = parser.parse_args()
    content = yaml.safe_load((HERE / "peers.yaml").read_text(encoding="utf-8"))
    systems = {
        name: {**row, "ours": fold_scores(given.results, given.runs, name)} for name, row in content["systems"].items()
    }
    ratios = {name: {**row, "ours": ratio(row, systems)} for name, row in content["ratios"].items()}
    config = load_config([HERE.parent / "config" / name for name in ("config.yaml", "peers.yaml")])
    drawn = {name: population(config, name) for name in SKIES}
    proxies = [
        {
            "what": row.get("what") or ", ".join(row["ours"]),
            "published": row.get("published"),
            **{name: proxy_scatters(row, truth, config["cosmology"]) for name, truth in drawn.items()},
        }
        for row in content["proxies"]
    ]
    text = json.dumps({"systems": systems, "ratios": ratios, "proxies": proxies}, indent=2, ensure_ascii=False)
    given.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
