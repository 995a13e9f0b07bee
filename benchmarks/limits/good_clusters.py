"""Measure bias and scatter of clusters with GOOD = 1, and of clusters with neighbours, on simulated clusters.

``python benchmarks/limits/good_clusters.py results/default/fiducial results/skies/embedded`` reads a finished
experiment and its training sky. It makes the columns of the mass catalogue for the clusters of the test and validation
sets, and compares the masses with the true ones. `make benchmark` leaves this measurement out.
"""

import argparse
import shlex
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np

from clustermass.apply.masses import AppliedEnsemble
from clustermass.apply.neighbours import REACH_ARCSEC, brightest_near
from clustermass.arrays import generator
from clustermass.catalogues.tables import find_rows, read_product
from clustermass.dataset.sample import load_sample
from clustermass.ensemble.ensemble import Ensemble
from clustermass.images.exposure import ExposureMap
from clustermass.io.files import write_json
from clustermass.io.netcdf import read_netcdf

BOOTSTRAP, SEED = 1000, 1
FLAGS = ("FLAG_RANGE", "FLAG_OOD", "FLAG_EDGE", "FLAG_NOCAT")
#: counts of the neighbour divided by those of the cluster
RATIOS = (0.0, 0.3, 1.0, 3.0, np.inf)


def main():
    """Run the measurement and write good_clusters.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiment", type=Path)
    parser.add_argument("sky", type=Path, help="folder with <realization>/smoothed/ of the training sky")
    parser.add_argument("--preprocessing", default="central")
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks/good_clusters.json"))
    options = parser.parse_args()
    trained = Ensemble.from_folder(options.experiment)
    applied = AppliedEnsemble.read(trained, "auto", "training")
    split = read_netcdf(trained.ensemble)
    subset_of = dict(zip(split["cluster"].values.astype(str), split["split"].values.astype(str), strict=True))
    parts = [columns_of(folder, options.preprocessing, applied, subset_of) for folder in sorted(options.sky.iterdir())]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    isolated = read_netcdf(options.experiment / "baselines.nc")
    of_cluster = dict(zip(isolated["cluster"].values.astype(str), isolated["isolated"].values, strict=True))
    columns["ISOLATED"] = np.array([of_cluster.get(name, -1) for name in columns["CLUSTER"]])
    content = {
        "what": "predicted - true log10 M500c, dex, of clusters outside the training set; errors by bootstrap",
        "command": shlex.join(["python", "benchmarks/limits/good_clusters.py", *sys.argv[1:]]),
        "ensemble": trained.digest(),
        "n_train": int((split["split"].values == "train").sum()),
        "test": good_rows({name: values[columns["SUBSET"] == "test"] for name, values in columns.items()}),
        "test_and_validation_by_neighbour": neighbour_rows(columns),
    }
    write_json(content, options.output)
    print(f"Written: {options.output}")


def columns_of(folder, preprocessing, applied, subset_of):
    """Return columns of the mass catalogue, residuals and subsets of a realization's validation and test clusters."""
    field = load_sample([folder / "smoothed" / f"{preprocessing}.nc"])
    subset = np.array([subset_of.get(name, "") for name in field["cluster"].values.astype(str)])
    field = field.isel(cluster=np.isin(subset, ("val", "test")))
    field["n_phot"] = "cluster", np.zeros(field.sizes["cluster"], dtype=int)
    field["covered_fraction"] = "cluster", applied.covered(field, ExposureMap.read(folder / "exposure.fits"))
    columns = applied.columns(field, str(folder))
    order = find_rows(columns["CLUSTER"].tolist(), field["cluster"].values.astype(str).tolist())
    table = read_product(folder / "catalogue.fits", "CATALOGUE", ("ID_SRC", "RA", "DEC", "ML_CTS"))
    rows = find_rows(columns["ID_SRC"].tolist(), table.table["ID_SRC"].tolist())
    near = brightest_near(*table.positions(), table.numbers("ML_CTS"), rows)
    return columns | {
        "SUBSET": np.array([subset_of[name] for name in columns["CLUSTER"]]),
        "RESIDUAL": columns["LOGM500"] - field["log10_m500c"].values[order],
        "NEIGHBOUR_SEP": near[0],
        "NEIGHBOUR_CTS": near[1],
    }


def good_rows(columns):
    """Return number, bias and scatter of all clusters, of those with GOOD = 1 and 0, and of those with each flag."""
    rows = {"all": np.isfinite(columns["RESIDUAL"]), "GOOD = 1": columns["GOOD"] == 1, "GOOD = 0": columns["GOOD"] == 0}
    rows |= {f"{flag} > 0": columns[flag] > 0 for flag in FLAGS}
    return {name: described(columns, chosen) for name, chosen in rows.items()}


def neighbour_rows(columns):
    """Return number, bias and scatter of clusters in bins of the brightness of their neighbour, detected or true."""
    ratio = np.nan_to_num(columns["NEIGHBOUR_CTS"]) / columns["ML_CTS"]
    rows = {"isolated, by the counts of true haloes": columns["ISOLATED"] == 1}
    rows["with a bright neighbour, by the counts of true haloes"] = columns["ISOLATED"] == 0
    rows[f"no detection within {REACH_ARCSEC:g} arcsec"] = np.isnan(columns["NEIGHBOUR_SEP"])
    for low, high in pairwise(RATIOS):
        chosen = (ratio >= low) & (ratio < high) & np.isfinite(columns["NEIGHBOUR_SEP"])
        rows[f"NEIGHBOUR_CTS / ML_CTS from {low:g} to {high:g}"] = chosen
    return {name: described(columns, chosen) for name, chosen in rows.items()}


def described(columns, chosen):
    """Return number, share of good clusters, bias and scatter of the chosen clusters that have a mass."""
    residual = columns["RESIDUAL"][chosen & np.isfinite(columns["RESIDUAL"])]
    row = {"n": residual.size, "n_good": int(columns["GOOD"][chosen].sum())}
    if residual.size < 3:
        return row
    drawn = generator(SEED, "good_clusters").choice(residual, (BOOTSTRAP, residual.size))
    row |= {"bias_dex": residual.mean(), "bias_error_dex": drawn.mean(axis=1).std()}
    return row | {"scatter_dex": residual.std(), "scatter_error_dex": drawn.std(axis=1).std()}


if __name__ == "__main__":
    main()
