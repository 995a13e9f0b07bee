"""Measure time, memory and disk space of each step for several numbers of realizations, and extrapolate them.

The script runs the workflow with 1, 4 and 18 realizations and two networks each. Existing skies are simulated again
only if their code changed. It reads Snakemake's benchmark files. The costs of each step are fitted with a straight line
as a function of the number of clusters, and extrapolated to larger surveys. This takes about 5 minutes on two cores.
Usage: `python benchmarks/limits/scale.py [realizations ...]`
"""

import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

from clustermass.config.resolve import load_config
from clustermass.io.files import write_json

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
from runner import RESULTS, header  # noqa: E402

REALIZATIONS = (1, 4, 18)
#: steps of a run, and steps of a realization, whose costs are averaged over the realizations
OF_RUN = ("split_sample", "fit_baselines", "train_member", "aggregate_ensemble", "calibrate", "fit_ood", "evaluate")
OF_REALIZATION = ("simulate_realization", "detect_sources", "match_sources", "extract_images", "smooth_images")
#: number of clusters of the surveys to extrapolate to
SURVEYS = {"eRASS1 cosmology sample and groups": 12_000, "eROSITA, final depth": 100_000}


def main(realizations):
    """Run the workflow, fit and extrapolate the costs, and write results/benchmarks/scale.json."""
    command = f"python benchmarks/limits/scale.py {' '.join(map(str, realizations))}"
    report = header("scale", "cost of each step by the number of realizations", command)
    runs = {number: measured(number) for number in realizations}
    clusters = np.array([run["clusters"] for run in runs.values()], dtype=float)
    steps = {step: fitted(clusters, [run["steps"][step] for run in runs.values()]) for step in OF_RUN}
    report |= {
        "runs": runs,
        "steps": steps,
        "surveys": {name: extrapolated(number, steps) for name, number in SURVEYS.items()},
    }
    write_json(report, RESULTS / "scale.json")
    for step, lines in steps.items():
        cpu = lines["cpu_s"]
        print(f"{step:20} {cpu['constant']:7.1f} s + {1000 * cpu['per_cluster']:8.3f} ms a cluster")


def measured(number):
    """Run the workflow with `number` realizations; return its number of clusters, disk space and costs of steps."""
    run = f"scale_{number:02d}"
    overlay = {"run": run, "skies": {"embedded": {"realizations": number}}, "ensemble": {"members": 2}}
    overlay["experiments"] = {"fiducial": {"network": "wide", "recipe": "clustermass_large"}}
    targets = [f"results/{run}/fiducial/metrics.json"]
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "scale.json")
        config.write_text(json.dumps(overlay))
        command = [sys.executable, "-m", "snakemake", "--cores", "2", "--quiet", "rules", "--configfile", config]
        subprocess.run([*command, "--", *targets], cwd=ROOT, check=True)
    folder = ROOT / "results" / run
    metrics = json.loads((folder / "fiducial" / "metrics.json").read_text())
    steps = {
        step: benchmark_of([*folder.glob(f"benchmarks/{step}*.tsv"), *folder.glob(f"fiducial/benchmarks/{step}*.tsv")])
        for step in OF_RUN
    }
    sky = [ROOT / "results" / "skies" / "embedded" / f"{one:02d}" for one in range(1, number + 1)]
    preprocessing = load_config([ROOT / "config" / "config.yaml"])["experiments"]["fiducial"]["preprocessing"]
    names = {"smooth_images": f"smooth_images_{preprocessing}"}
    steps |= {
        step: benchmark_of([one / "benchmarks" / f"{names.get(step, step)}.tsv" for one in sky])
        for step in OF_REALIZATION
    }
    tables = ("events", "exposure", "catalogue", "truth", "matches", "labels", "sources")
    kept = [*(f"{name}.fits" for name in tables), "images.nc", f"smoothed/{preprocessing}.nc"]
    return {
        "clusters": sum(metrics[f"n_{name}"] for name in ("train", "val", "test")),
        "disk_mb": {
            "of_realization": sum((one / name).stat().st_size for one in sky for name in kept) / len(sky) / 1e6,
            "of_run": disk_mb(folder),
        },
        "steps": steps,
    }


def benchmark_of(paths):
    """Return the mean CPU and wall seconds, the largest memory and the number of jobs from benchmark files."""
    rows = []
    for path in paths:
        with path.open(encoding="utf-8", newline="") as stream:
            rows += list(csv.DictReader(stream, delimiter="\t"))
    cpu, wall = (float(np.mean([float(row[name]) for row in rows])) for name in ("cpu_time", "s"))
    return {"cpu_s": cpu, "wall_s": wall, "max_rss_mb": max(float(row["max_rss"]) for row in rows), "jobs": len(rows)}


def fitted(clusters, steps):
    """Return straight lines for CPU seconds and memory of a step as functions of the number of clusters.

    `clusters` holds the number of clusters in each run, and `steps` the costs of the step. The lines don't decrease.
    """
    lines = {}
    for key in ("cpu_s", "max_rss_mb"):
        design = np.stack([np.ones_like(clusters), clusters], axis=1)
        (constant, slope), _ = nnls(design, np.array([step[key] for step in steps]))
        lines[key] = {"constant": float(constant), "per_cluster": float(slope)}
    return lines


def extrapolated(clusters, steps):
    """Return CPU seconds and memory of each step for a survey of `clusters`, from the straight lines of `fitted`."""
    return {
        step: {key: line["constant"] + line["per_cluster"] * clusters for key, line in lines.items()}
        for step, lines in steps.items()
    }


def disk_mb(folder):
    """Return the total size of all files below a folder, MB."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or REALIZATIONS)
