"""Measure how much the simulated photons tell about a cluster's mass: the scatter of regressions on many realizations.

``python benchmarks/limits/information_limit.py --jobs 2`` simulates the realizations that aren't in the cache yet, so
an interrupted run continues. It fits regressions to training sets of growing size, and scores all of them on the same
test clusters, from separate realizations. This takes long, so `make benchmark` leaves it out.
"""

import argparse
import shlex
import sys
import time
from pathlib import Path

import numpy as np
import xarray as xr
from realizations import CROWDED_ARCSEC, CROWDED_FACTOR, Source, gather, joined

from clustermass.arrays import generator
from clustermass.baselines.fit import predict_boosted_trees, predict_ridge
from clustermass.baselines.scaling_relations import (
    count_rate_relation,
    fit_best_form,
    gas_forms,
    luminosity_relation,
    polynomial_forms,
    published_luminosity,
)
from clustermass.config.resolve import load_config
from clustermass.config.validate import check_config
from clustermass.dataset.split import group_names
from clustermass.evaluate.evaluate import HIGH_LIKELIHOOD
from clustermass.evaluate.metrics import interval68, resampled_moments, residual_scores
from clustermass.io.files import write_json
from clustermass.io.log import LOGGER, step

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
from runner import machine, versions  # noqa: E402

EXPERIMENT = "fiducial"
PACKAGES = ("clustermass", "numpy", "scipy", "scikit-learn", "astropy")
PREDICTORS = {
    "prior": "catalogue redshift only",
    "luminosity_published": "true L500 and redshift, published relation, nothing fitted",
    "luminosity_recalibrated": "true L500 and redshift, fitted",
    "temperature": "true temperature and redshift, fitted",
    "luminosity_temperature": "true L500, temperature and redshift, fitted",
    "count_rate_efeds": "fitted count rate and redshift, relation of the published masses, nothing fitted",
    "count_rate_recalibrated": "fitted count rate and redshift, fitted",
    "ridge_features": "ridge regression on the hand-made features",
    "boosted_trees": "boosted trees on the hand-made features",
}
#: the scatter of each predictor is also divided by that of these two, on the same resampled clusters
REFERENCES = ("count_rate_recalibrated", "boosted_trees")


def main():
    """Simulate realizations, fit and score the predictors, and write the report."""
    args = arguments()
    args.cache.mkdir(parents=True, exist_ok=True)
    with step(args.cache / "information_limit.log", "information limit"):
        start = time.monotonic()
        config = load_config(args.config)
        check_config(config)
        source = Source.from_config(config, EXPERIMENT)
        hashes = source.hashes()
        targets = {"train": max(args.train), "val": args.val, "test": args.test}
        files = gather(source, targets, args.cache / "-".join(hashes.values()), args.jobs)
        drawn = {subset: joined(paths) for subset, paths in files.items()}
        rows = measure(drawn, sizes(args.train, drawn), config, source)
        report = {**hashes, **setup(args, source, files, drawn, config), "wall_s": round(time.monotonic() - start)}
        write_json({**report, "rows": rows}, args.out)
        show(rows, args.out)


def arguments():
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    default = ROOT / "config" / "config.yaml"
    parser.add_argument("--config", nargs="+", default=[default], help="configuration files, merged in order")
    parser.add_argument("--train", nargs="+", type=int, default=[1000, 5560, 20000], help="sizes of the training set")
    parser.add_argument("--val", type=int, default=1500, help="clusters, at least, that choose forms and penalties")
    parser.add_argument("--test", type=int, default=4000, help="clusters, at least, to judge on")
    parser.add_argument("--jobs", type=int, default=1, help="realizations drawn at a time, each 1 GB of memory")
    parser.add_argument("--cache", type=Path, default=ROOT / "results" / "limits", help="folder of the features drawn")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "measured" / "information_limit.json")
    return parser.parse_args()


def sizes(wanted, drawn):
    """Return the training sizes in ascending order; the largest is replaced by the number of clusters simulated."""
    return [*sorted(wanted)[:-1], drawn["train"]["log10_m500c"].size]


def measure(drawn, train_sizes, config, source):
    """Return the rows of the result, one for each training size, subset of the test clusters and predictor."""
    test = drawn["test"]
    resamplings, seed = int(config["evaluation"]["bootstrap"]), int(config["seed"])
    high = (test["det_like"] > HIGH_LIKELIHOOD) & (test["ext_like"] > HIGH_LIKELIHOOD)
    everything = np.ones_like(high)
    subsets = {"all": everything, "high_likelihood": high, "isolated": test["isolated"].astype(bool)}
    group = groups(test, config["images"])
    order = np.random.default_rng(seed).permutation(train_sizes[-1])
    rows = []
    for size in train_sizes:
        LOGGER.info("fitting on %d clusters", size)
        train = {key: value[order[:size]] if key != "names" else value for key, value in drawn["train"].items()}
        mu = predict({**drawn, "train": train}, config, source)
        residual = np.stack([mu[name] - test["log10_m500c"] for name in PREDICTORS])
        for subset, chosen in subsets.items():
            rng = generator(seed, "information_limit", subset)  # the same resamplings for every training size
            scores = judge(residual[:, chosen], group[chosen], resamplings, rng)
            rows += [{"train_size": size, "subset": subset, **row} for row in scores]
    return rows


def groups(test, images):
    """Return the group of each test cluster; clusters whose images share photons are in one group."""
    table = xr.Dataset({name: ("cluster", test[name]) for name in ("ra", "dec", "realization", "halo_id")})
    return group_names(table.assign_coords(cluster=test["cluster"]), images["box_pixels"] * images["pixel_arcsec"])


def predict(drawn, config, source):
    """Fit each of `PREDICTORS`; return its predicted log10 masses of the test clusters."""
    value = {key: np.concatenate([part[key] for part in drawn.values()]) for key in drawn["train"] if key != "names"}
    split = np.repeat(list(drawn), [part["log10_m500c"].size for part in drawn.values()])
    # the masses of the test set are hidden from all fits below
    label = np.where(split == "test", np.nan, value["log10_m500c"])
    z, rate, l500, kt = (value[name] for name in ("redshift", "ml_rate", "l500", "kt"))
    block = config["baselines"]
    published, features = published_luminosity(l500, z, source.cosmology), finite(value["features"], drawn)
    by_luminosity = luminosity_relation(z, block["luminosity_published"])
    by_count_rate = count_rate_relation(z, block["count_rate_efeds"])
    forms = {
        "prior": polynomial_forms(np.log1p(z)),
        "luminosity_recalibrated": by_luminosity.refit_forms(published),
        "temperature": gas_forms(z, kt),
        "luminosity_temperature": gas_forms(z, kt, l500),
        "count_rate_recalibrated": by_count_rate.refit_forms(rate),
    }
    mu = {name: fit_best_form(name, competing, label, split) for name, competing in forms.items()}
    mu |= {
        "luminosity_published": by_luminosity.log10_mass(published),
        "count_rate_efeds": by_count_rate.log10_mass(rate),
        "ridge_features": predict_ridge(features, label, split, block["ridge_alpha"]),
        "boosted_trees": predict_boosted_trees(features, label, split, int(config["seed"])),
    }
    return {name: values[split == "test"] for name, values in mu.items()}


def finite(features, drawn):
    """Return those features that all clusters have, (cluster, feature)."""
    complete = np.isfinite(features).all(axis=0)
    if not complete.all():
        LOGGER.warning("left out, missing for some clusters: %s", ", ".join(drawn["train"]["names"][~complete]))
    return features[:, complete]


def judge(residual, group, resamplings, rng):
    """Return the scatter of each predictor, with errors and ratios to the scatters of `REFERENCES`.

    The shape of `residual` is (predictor, cluster), that of `group` is (cluster,). The errors are from a bootstrap of
    whole groups.
    """
    names = list(PREDICTORS)
    scatter = resampled_moments(residual, group, resamplings, rng)[1]
    point = residual.std(axis=1)
    rows = []
    for number, name in enumerate(names):
        summary = residual_scores(residual[number])
        summary["scatter_ln"] = summary.pop("scatter_ln_percent") / 100
        errors = {"scatter_dex_error": scatter[number].std(), "scatter_dex_ci68": interval68(scatter[number])}
        ratios = {
            f"over_{other}": {
                "value": point[number] / point[row],
                "error": (scatter[number] / scatter[row]).std(),
                "ci68": interval68(scatter[number] / scatter[row]),
            }
            for other in REFERENCES
            if (row := names.index(other)) != number
        }
        rows.append({"predictor": name, **summary, **errors, **ratios})
    return rows


def setup(args, source, files, drawn, config):
    """Return the beginning of the report: what was measured, on which clusters and with which software."""
    clusters = {subset: int(part["log10_m500c"].size) for subset, part in drawn.items()}
    return {
        "what": "standard deviation of predicted minus true log10 M500c (scatter_dex), and of ln M500c (scatter_ln)",
        "command": shlex.join(["python", "benchmarks/limits/information_limit.py", *sys.argv[1:]]),
        "machine": machine(),
        "versions": versions(PACKAGES),
        "sky": source.name,
        "selection": source.selection,
        "realizations": {subset: [path.stem for path in paths] for subset, paths in files.items()},
        "clusters": clusters,
        "clusters_per_realization": round(sum(clusters.values()) / sum(map(len, files.values())), 1),
        "errors": f"bootstrap over groups that share photons, {config['evaluation']['bootstrap']} resamplings, paired",
        "subsets": {
            "all": "all test clusters",
            "high_likelihood": f"DET_LIKE and EXT_LIKE > {HIGH_LIKELIHOOD:g}",
            "isolated": f'no other halo with > {CROWDED_FACTOR:g} of the own counts within {CROWDED_ARCSEC:g}"',
        },
        "predictors": PREDICTORS,
    }


def show(rows, path):
    """Print scatter and error, with a line for each predictor and training size."""
    cell = {(row["train_size"], row["predictor"], row["subset"]): row for row in rows}
    subsets = list(dict.fromkeys(row["subset"] for row in rows))
    print(f"{'train':>6} {'predictor':26}" + "".join(f"{name:>20}" for name in subsets) + f"{'/ rate (all)':>18}")
    for size, name in dict.fromkeys((row["train_size"], row["predictor"]) for row in rows):
        line = [cell[size, name, subset] for subset in subsets]
        values = "".join(f"{row['scatter_dex']:12.4f} ± {row['scatter_dex_error']:.4f}" for row in line)
        ratio = line[0].get("over_count_rate_recalibrated")
        print(f"{size:6d} {name:26}{values}" + (f"{ratio['value']:9.3f} ± {ratio['error']:.3f}" if ratio else ""))
    print(f"written: {path}")


if __name__ == "__main__":
    main()
