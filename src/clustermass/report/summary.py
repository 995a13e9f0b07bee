"""Summary of a run: the key figures of its experiments (`summary.json`), and the costs of its steps."""

from __future__ import annotations

import csv
import datetime
import itertools
import platform
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypedDict

import yaml

import clustermass
from clustermass import limits
from clustermass.errors import InputError
from clustermass.io.files import read_json, reading, write_json
from clustermass.io.log import printable
from clustermass.io.provenance import file_sha256, provenance

if TYPE_CHECKING:
    from clustermass.config.models import Config

#: dict from a key figure, which is a ratio of scatters, to the baseline in its denominator
RATIOS = {"over_count_rate": "count_rate_recalibrated", "over_ridge": "ridge_features", "over_trees": "boosted_trees"}
PACKAGES = (
    *("numpy", "scipy", "astropy", "xarray", "netCDF4", "jax", "jaxlib", "flax", "optax", "safetensors"),
    *("scikit-learn", "matplotlib", "snakemake"),
)
#: a benchmark file is shorter
_BENCHMARK_CHARACTERS = 10_000
LOCK = Path(__file__).parents[2] / "uv.lock"  #: pins all packages of the environment of `make environment`


def key_figures(metrics: str | Path) -> dict[str, Any]:
    """Return the key figures in the file `metrics`, a metrics.json. A figure that the file doesn't have is None.

    The key figures are the numbers of clusters and members, the scatter, bias and calibration of the test set, the
    ratios `RATIOS` with their 68 % intervals `<ratio>_ci68`, and the following:

    - `flagged`: the share of test clusters with FLAG_OOD
    - `sample_p`: the p-value of the test set as a whole (see `ensemble.out_of_distribution.sample_p`)
    - `isolated`: number, scatter and ratios of the test clusters without a neighbour
    - `left_out`: why baselines are missing

    InputError if the file is missing, isn't JSON, or lacks a block.
    """
    with reading(metrics, "metrics"):
        content = read_json(metrics, "metrics")
        test, calibration = content["test"], content["calibration"]
        isolated, domain = test.get("isolated"), content.get("domain", {})
        return {
            **{name: content[name] for name in ("n_train", "n_val", "n_test")},
            "n_members": content["ensemble"]["n_members"],
            **_scatter(test, content["ratios"]),
            "scatter_ln_percent": test["scatter_ln_percent"],
            "bias_dex": test["bias_dex"],
            "coverage68": calibration["coverage68"],
            "coverage68_ci68": calibration.get("coverage68_ci68"),
            "coverage95": calibration["coverage95"],
            "residual_over_sigma": calibration["residual_std_over_mean_sigma"],
            **{name: domain.get(name) for name in ("flagged", "flagged_ci68", "sample_p")},
            "left_out": content.get("baselines_left_out", {}),
            "isolated": {"n_test": isolated["n"], **_scatter(isolated, isolated["ratios"])} if isolated else None,
        }


def _scatter(scores: Mapping[str, Any], ratios: Mapping[str, Any]) -> dict[str, object]:
    figures = {name: scores[name] for name in ("scatter_dex", "scatter_dex_ci68")}
    for key, baseline in RATIOS.items():
        # baselines may be missing: a user's simulation without count rates, published images without counts
        ratio = ratios.get(f"network_over_{baseline}", {"value": None, "ci68": None})
        figures |= {key: ratio["value"], f"{key}_ci68": ratio["ci68"]}
    return figures


def compared(metrics: Sequence[Path], rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of a comparison of experiments, with the `key_figures` added to each row.

    `metrics` holds the metrics.json of each row, in the order of `rows`. A row holds the name of the `experiment`, the
    test `sky`, and further columns. `sky` is None if the experiment is tested on the test set of its training sky. In
    the first row of each experiment, `sky` must be None, because only the metrics.json of this test holds the number of
    training clusters.
    """
    complete: list[dict[str, Any]] = []
    trained: dict[str, int] = {}
    for row, path in zip(rows, metrics, strict=True):
        figures = key_figures(path)
        trained.setdefault(row["experiment"], figures["n_train"])
        complete.append({**figures, **row, "n_train": trained[row["experiment"]]})
    return complete


def summarise(
    metrics: Mapping[str, str | Path],
    masses: Mapping[str, Mapping[str, str | Path]],
    output: str | Path,
    test_skies: Mapping[str, Mapping[str, str | Path]] = MappingProxyType({}),
    trained: Mapping[str, Mapping[str, object]] = MappingProxyType({}),
) -> None:
    """Write `summary.json`: key figures and catalogues of each experiment, software, machine, and the time of writing.

    The keys of all mappings are names of experiments. `metrics` holds the metrics.json of each experiment. `masses`
    holds a dict from each observed field to its masses.fits. `test_skies` holds a dict from each further test sky to
    its metrics.json. `trained` holds settings of each experiment's training (`epochs`, `control`). Unlike all other
    results, the file depends on the time and on the machine.
    """
    experiments = {
        name: key_figures(path)
        | dict(trained.get(name, {}))
        | {"catalogues": {field: str(file) for field, file in masses.get(name, {}).items()}}
        | {"test_skies": {sky: key_figures(file) for sky, file in test_skies.get(name, {}).items()}}
        for name, path in metrics.items()
    }
    read = [*metrics.values(), *(file for files in test_skies.values() for file in files.values())]
    made = {"made_with": _made_with(), "provenance": provenance("summarise", dict(trained), read)}
    write_json({"experiments": experiments, **made}, output)


def _made_with() -> dict[str, object]:
    return {
        "clustermass": clustermass.__version__,
        "git_commit": _git("rev-parse", "HEAD"),
        "git_changes": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "platform": platform.platform(),
        "lock_sha256": file_sha256(LOCK) if LOCK.is_file() else None,
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    try:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def read_summary(path: Path) -> dict[str, Any]:
    """Return the content of `summary.json`; InputError if it is missing or damaged."""
    with reading(path, "summary"):
        content = read_json(path, "summary")
        return {**content, **{name: content[name] for name in ("experiments", "made_with")}}


def for_captions(block: object) -> Any:
    """Return nested blocks and lists from a file in a form that is safe in the report's captions.

    Captions are written in reStructuredText. Texts are escaped, so that they are shown as they are and make no markup,
    links or raw HTML. Entries are left out if their name has other characters than letters, digits, blanks, "-" and
    "_".
    """
    if isinstance(block, Mapping):
        return {key: for_captions(value) for key, value in block.items() if re.fullmatch(r"[\w -]+", str(key))}
    if isinstance(block, list):
        return [for_captions(entry) for entry in block]
    return re.sub(r"[\\`<>|*:]", r"\\\g<0>", printable(block)) if isinstance(block, str) else block


class StepCosts(TypedDict):
    """Costs of all jobs of a step, with sums, medians and largest values. A cost that wasn't measured is None."""

    step: str
    jobs: int
    seconds: float
    seconds_median: float
    seconds_max: float
    cpu_seconds: float | None
    megabytes_max: float | None


def costs_by_step(folders: Iterable[Path], config: Config) -> list[StepCosts]:
    """Return the costs of each step, from the benchmark files of its jobs below `folders`. The longest step is first.

    The step `report` is left out, because it is still running: its benchmark file is from an earlier run.
    """
    step_of, jobs = step_namer(config), dict[str, list[dict[str, str]]]()
    for path in benchmark_files(folders):
        jobs.setdefault(step_of(path), []).append(read_benchmark(path))
    costs = [_costs(step, rows) for step, rows in jobs.items() if step != "report"]
    return sorted(costs, key=lambda row: -row["seconds"])


def benchmark_files(folders: Iterable[Path]) -> list[Path]:
    """Return Snakemake's benchmark files below `folders`: ``benchmarks[_<image set>]/<step>[_<label>].tsv``."""
    return [path for path in files_below(folders) if path.match("benchmarks*/*.tsv")]


def files_below(folders: Iterable[Path]) -> list[Path]:
    """Return all files below `folders`, sorted within each folder; InputError if a folder holds too many (`limits`)."""
    found = []
    for folder in folders:
        paths = [*itertools.islice(folder.rglob("*"), limits.FILES.most + 1)]
        limits.FILES.check(len(paths), folder)
        found += sorted(path for path in paths if path.is_file())
    return found


def step_namer(config: Config) -> Callable[[Path], str]:
    """Return a function that takes the path of a benchmark file and returns its step.

    The step is the name of the file without the label. The label is a number, or the name of a sky, field,
    preprocessing or experiment in the configuration of the run.
    """
    labels = {*config["observed"]["fields"], *config["skies"], *config["preprocessing"], *config["experiments"]}
    suffixes = "|".join(sorted(map(re.escape, labels), key=len, reverse=True))
    label = re.compile(rf"_(?:\d+(?:_\d+)?|{suffixes or '(?!)'})$")
    return lambda path: label.sub("", path.stem)


def read_benchmark(path: Path) -> dict[str, str]:
    """Return the row of a benchmark file of Snakemake, as a dict from column to cell.

    InputError if the file has no row, or lacks the column s.
    """
    with reading(path, "benchmark"), path.open(newline="", encoding="utf-8") as stream:
        rows = csv.DictReader(stream.read(_BENCHMARK_CHARACTERS).splitlines(), delimiter="\t")
        row = next(iter(rows), {})
        float(row["s"])
        return row


def _costs(step: str, jobs: list[dict[str, str]]) -> StepCosts:
    """Return the costs of a step. `jobs` are the rows of its jobs' benchmark files.

    The columns `s` (wall time) and `cpu_time` are in seconds, and `max_rss` is in MB. For short jobs, `cpu_time` and
    `max_rss` may be NA.
    """
    seconds = [float(job["s"]) for job in jobs]
    cpu, memory = (
        [float(text) for job in jobs if (text := job.get(name, "")) not in ("", "NA", "-") and float(text) > 0]
        for name in ("cpu_time", "max_rss")
    )
    return {
        "step": step,
        "jobs": len(jobs),
        "seconds": sum(seconds),
        "seconds_median": median(seconds),
        "seconds_max": max(seconds),
        "cpu_seconds": sum(cpu) if cpu else None,
        "megabytes_max": max(memory, default=None),
    }


def folders_of(config: Config, results: Path) -> list[Path]:
    """Return the folder of a run's results and the folders of the skies that it uses.

    InputError if the name of the run or of a sky has other characters than letters, digits, "-" and "_". The
    configuration may come from somebody else, and such a name could lead out of `results`.
    """
    used = {*config["observed"]["fields"]}
    for experiment in filter(None, config["experiments"].values()):
        used |= {*experiment.get("test_skies", ()), *([experiment["sky"]] if "sky" in experiment else [])}
    if strange := [name for name in (config["run"], *used) if not re.fullmatch(r"[\w-]+", name)]:
        raise InputError(f"{results}: {strange[0]!r} is no name of a run or a sky.")
    return [results / config["run"], *(results / "skies" / sky for sky in sorted(used))]


def settings_text(config: Config) -> str:
    """Return a configuration as YAML text, with which the run can be repeated. The keys keep their order."""
    return yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True, width=100)
