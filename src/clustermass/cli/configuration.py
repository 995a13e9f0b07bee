"""The commands `clustermass check-config` and `plan`, which read a configuration."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import clustermass
from clustermass.cli.command import Command, path
from clustermass.errors import InputError
from clustermass.io.log import printable

#: script of the workflow that asks Snakemake; an installed package has none
PLAN_SCRIPT = Path(clustermass.__file__).resolve().parents[2] / "workflow" / "plan.py"


def check_config(config: Sequence[Path], base: Path) -> None:
    """Print that a configuration is valid. If it isn't, raise an InputError that lists all its errors.

    The configuration consists of the file `base`, and of the files `config`, which override it in this order.
    """
    from clustermass.config.resolve import load_config
    from clustermass.config.validate import check_config

    if not base.is_file():
        raise InputError(f"{base}: no such file. Run this in the repository's root, or name --base.")
    paths = [base, *config] if base not in config else config
    check_config(load_config(paths))
    print(printable(f"Valid: {', '.join(map(str, paths))}."))


def plan(config: Sequence[Path], directory: Path | None, cores: int | None) -> int:
    """Print which results would be computed anew with a configuration; return the exit status."""
    if not PLAN_SCRIPT.is_file():
        raise InputError(
            "plan needs the workflow, which isn't installed with the package. Get the repository, run `make "
            "environment` there, and use its .venv/bin/clustermass."
        )
    options = [] if directory is None else ["--directory", str(directory)]
    options += [] if cores is None else ["--cores", str(cores)]
    return subprocess.run([sys.executable, PLAN_SCRIPT, *options, "--", *config]).returncode


def _whole(text: str) -> int:
    return max(int(text), 1)


CHECK_CONFIG = Command(
    "check-config",
    check_config,
    "list everything that is wrong with a configuration",
    "List all errors of a configuration, each with its key and what is allowed.",
    ("clustermass check-config my.yaml",),
    {
        "configuration": {
            "config": path("YAML files; later ones override earlier ones", nargs="+"),
            "--base": path("what the files are overlays of", default=Path("config/config.yaml")),
        }
    },
)
_FOLDER = "folder that holds results/, if you run snakemake with --directory (default: the repository)"
PLAN = Command(
    "plan",
    plan,
    "what a configuration would make anew, why, and how long that takes",
    "Tell, without running anything, which keys have changed since the run was finished, which steps would run, their\n"
    "estimated time and disk space, and whether files that other runs use would be replaced.",
    ("clustermass plan my.yaml", "clustermass plan config/paper_size.yaml my.yaml --cores 16"),
    {
        "configuration": {"config": path("YAML files, laid over config/config.yaml in this order", nargs="*")},
        "estimate": {"--cores": {"type": _whole, "metavar": "N", "help": "number of cores (default: all of them)"}},
        "results": {"--directory": path(_FOLDER, metavar="FOLDER")},
    },
)
