"""Summary of a run: `summary.json`, the closing table of `make results`, the numbers in the report's captions."""

import datetime
import json
import platform
import subprocess
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rich.console import Console
from rich.table import Table

import clustermass
from clustermass.errors import InputError
from clustermass.io.files import write_json
from clustermass.io.provenance import file_sha256, provenance
from clustermass.report.key_figures import key_figures

ROWS = (
    "clusters, train / test",
    "networks",
    "scatter of log10 M500c",
    "bias",
    "scatter ÷ count-rate relation's",
    "scatter ÷ ridge regression's",
    "residual std ÷ mean sigma",
    "within 1 sigma (68 %)",
)
PACKAGES = (
    *("numpy", "scipy", "astropy", "xarray", "netCDF4", "jax", "jaxlib", "flax", "optax", "safetensors"),
    *("scikit-learn", "matplotlib", "snakemake"),
)
#: pins all packages of the environment of `make environment`
LOCK = Path(__file__).parents[2] / "uv.lock"


def summarise(
    metrics: Mapping[str, str | Path],
    masses: Mapping[str, Mapping[str, str | Path]],
    output: str | Path,
    test_skies: Mapping[str, Mapping[str, str | Path]] = MappingProxyType({}),
    trained: Mapping[str, Mapping[str, object]] = MappingProxyType({}),
) -> None:
    """Write `summary.json`: key figures and catalogues of each experiment, software and time of the run.

    By experiment, `metrics` holds metrics.json, `masses` the masses.fits of each observed field, `test_skies` the
    metrics.json of each further test sky, and `trained` settings of the training (`epochs`, `control`). Unlike every
    other file it depends on the clock and the machine.
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
    """Read `summary.json`; InputError where it is damaged."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        content["experiments"], content["made_with"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: no readable summary ({error!r}). Delete it and run again.") from error
    return content


def headline(run: str | Path) -> None:
    """Print the key figures of a run and the paths of its report and catalogues; InputError if it isn't finished."""
    run = Path(run)
    if not (run / "summary.json").is_file():
        raise InputError(f"{run}: no summary.json there. Finish the run first: snakemake --cores all")
    experiments = read_summary(run / "summary.json")["experiments"]
    columns = dict(_columns(experiments))
    table = Table(
        title=f"Test set of the simulated sky, run '{run.name}'", title_justify="left", show_header=len(columns) > 1
    )
    table.add_column("")
    for name in columns:
        table.add_column(name)
    for cells in zip(ROWS, *(_cells(figures) for figures in columns.values()), strict=True):
        table.add_row(*cells)
    console = Console(soft_wrap=True)
    console.print(table)
    console.print(f"Report:    {run / 'report.html'}")
    for name, figures in experiments.items():
        for field, path in figures["catalogues"].items():
            console.print(f"Catalogue: {path}  (field {field}, experiment {name})")


def _columns(experiments: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield heading and figures of each column: an experiment, followed by its further test skies."""
    for name, figures in experiments.items():
        yield name, figures
        for sky, on_sky in figures.get("test_skies", {}).items():
            yield f"{name} on {sky}", {**on_sky, "n_train": figures["n_train"]}


def _cells(figures: Mapping[str, Any]) -> list[str]:
    return [
        f"{figures['n_train']} / {figures['n_test']}",
        str(figures["n_members"]),
        f"{_with_error(figures, 'scatter_dex')} dex ({figures['scatter_ln_percent']:.0f} %)",
        f"{figures['bias_dex']:+.3f} dex",
        _with_error(figures, "over_count_rate") if figures["over_count_rate"] is not None else "no count rates",
        _with_error(figures, "over_ridge") if figures["over_ridge"] is not None else "no photon counts",
        f"{figures['residual_over_sigma']:.3f}",
        f"{100 * figures['coverage68']:.0f} %",
    ]


def _with_error(figures: Mapping[str, Any], name: str) -> str:
    low, high = figures[f"{name}_ci68"]
    return f"{figures[name]:.3f} ± {(high - low) / 2:.3f}"
