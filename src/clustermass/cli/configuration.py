"""The command `clustermass check-config`."""

from collections.abc import Sequence
from pathlib import Path

from clustermass.cli.command import Command, path
from clustermass.errors import InputError
from clustermass.io.log import printable


def check_config(config: Sequence[Path], base: Path) -> None:
    """Report whether a configuration is valid."""
    from clustermass.config.resolve import load_config
    from clustermass.config.validate import check_config

    if not base.is_file():
        raise InputError(f"{base}: no such file. Run this in the repository's root, or name --base.")
    paths = [base, *config] if base not in config else config
    check_config(load_config(paths))
    print(printable(f"Valid: {', '.join(map(str, paths))}."))


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
