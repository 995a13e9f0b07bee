"""Add up the CPU time of each step of a finished `make paper`, and count the operations of its setting for a GPU.

The script reads Snakemake's benchmark files and runs no step. Usage: `python benchmarks/limits/paper_cost.py [run]`
"""

import json
import sys
from pathlib import Path

from clustermass.config.resolve import load_config, realization_names, resolve_experiment, resolve_sky, side_pixels
from clustermass.io.files import write_json
from clustermass.report.summary import costs_by_step

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
from rival_workers.problem import flop_per_sample  # noqa: E402
from runner import RESULTS, header  # noqa: E402

CONFIG = ROOT / "config"
#: configuration files of the page for a GPU, and for two cores
FILES = {"gpu": ["config.yaml", "paper.yaml"], "two_cores": ["config.yaml", "paper.yaml", "paper_laptop.yaml"]}
#: float32 operations per second of an H200 by its data sheet; shares of it that programs reach (assumed)
GPU, SHARES = 67e12, (0.05, 0.25)


def main(run):
    """Add up the costs, count the operations, and write results/benchmarks/paper_cost.json."""
    configs = {name: resolved(load_config([CONFIG / file for file in files])) for name, files in FILES.items()}
    costs = costs_by_step(folders(run, configs["two_cores"]), configs["two_cores"])
    # steps still named by their preprocessing are from other runs, whose preprocessing this configuration lacks
    steps = [in_minutes(row) for row in costs if not row["step"].startswith("smooth_images_")]
    trainings = {name: counted(run, config) for name, config in configs.items()}
    on_gpu = {f"{share:.0%} of float32": trainings["gpu"]["flop"] / GPU / share / 3600 for share in SHARES}
    what, command = "cost of the paper's page by steps", f"python benchmarks/limits/paper_cost.py {run}"
    report = header("paper_cost", what, command) | {
        "steps": steps,
        "cpu_minutes_of_all": sum(row["cpu_minutes"] for row in steps),
        "trainings": trainings,
        "gpu_hours_by_operations_not_measured": on_gpu,
    }
    write_json(report, RESULTS / "paper_cost.json")
    for row in steps:
        print(f"{row['step']:28} {row['jobs']:5d} jobs {row['cpu_minutes']:7.1f} CPU min")
    print(f"all: {report['cpu_minutes_of_all']:.0f} CPU min; trainings {trainings}; on a GPU {on_gpu} h, not measured")


def resolved(config):
    """Return the configuration with all settings of each experiment and sky filled in."""
    experiments, skies = config["experiments"], config["skies"]
    return {
        **config,
        "experiments": {name: resolve_experiment(experiments, name) for name in experiments},
        "skies": {name: resolve_sky(skies, name) for name in skies},
    }


def folders(run, config):
    """Return the folders of the run and of its realizations. Further realizations of its skies aren't included."""
    used = {sky for one in config["experiments"].values() for sky in [one["sky"], *one["test_skies"]]}
    used |= set(config["observed"]["fields"])
    names = [(sky, name) for sky in sorted(used) for name in realization_names(config["skies"][sky])]
    return [ROOT / "results" / run, *(ROOT / "results" / "skies" / sky / name for sky, name in names)]


def in_minutes(row):
    """Return the CPU minutes of a step, or the wall minutes if its jobs were too short to measure the CPU time."""
    seconds = row["cpu_seconds"] or row["seconds"]
    return {"step": row["step"], "jobs": row["jobs"], "cpu_minutes": seconds / 60, "clock_minutes": row["seconds"] / 60}


def counted(run, config):
    """Return the number of networks of all experiments, and the operations to train them on the clusters of `run`."""
    networks, flop = 0, 0.0
    for name, one in config["experiments"].items():
        members = one["members"] or config["ensemble"]["members"]
        metrics = json.loads((ROOT / "results" / run / name / "metrics.json").read_text())
        epochs = config["training"]["recipes"][one["recipe"]]["epochs"]
        sample = flop_per_sample(shape(config, one), config["network"][one["network"]])
        networks += members
        flop += members * epochs * metrics["n_train"] * sample
    return {"networks": networks, "flop": flop}


def shape(config, experiment):
    """Return the shape (y, x, band) of an experiment's images."""
    settings = config["preprocessing"][experiment["preprocessing"]]
    side = side_pixels(settings)
    return side, side, settings.get("bands") or config["images"]["bands"]["number"]


if __name__ == "__main__":
    main(sys.argv[1] if sys.argv[1:] else "paper")
