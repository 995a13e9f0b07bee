"""The command line: what can be done without the workflow."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from clustermass.errors import InputError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status (1 after an error that the user can mend, told in one message)."""
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except InputError as error:
        print(f"clustermass: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="clustermass", description="Masses of galaxy clusters from eROSITA images.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    masses = commands.add_parser("masses", help="masses of the clusters of an event list, by a trained ensemble")
    masses.add_argument("events", nargs="+", type=Path, help="event list(s) of one field: eSASS or SIXTE, FITS")
    masses.add_argument("catalogue", type=Path, help="table with at least id, position, redshift: FITS, CSV or ECSV")
    masses.add_argument(
        "--ensemble", type=Path, required=True, help="folder of an experiment, results/<run>/<experiment>"
    )
    masses.add_argument("--exposure", type=Path, help="exposure map in s; default: flat, from ML_EXP or good times")
    masses.add_argument(
        "--output", type=Path, default=Path("masses.fits"), help="catalogue to write, .fits (and .ecsv, .nc)"
    )
    masses.add_argument("--exposure-s", type=float, help="exposure in s of the flat map, where there is no --exposure")
    masses.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="OURS=THEIRS",
        help="a column of the catalogue that goes by another name, as Z=z_best; may be repeated",
    )
    masses.add_argument("--acronym", default="eFEDS", help="begins the NAME of each cluster (default: eFEDS)")
    masses.set_defaults(command=_masses)

    check = commands.add_parser("check-config", help="list everything that is wrong with a configuration")
    check.add_argument("config", nargs="+", type=Path, help="YAML files; later ones override earlier ones")
    check.add_argument("--base", type=Path, default=Path("config/config.yaml"), help="what the files are overlays of")
    check.add_argument("--schema", type=Path, default=Path("workflow/schemas/config.schema.yaml"))
    check.set_defaults(command=_check_config)

    summary = commands.add_parser("summary", help="print the key figures of a finished run")
    summary.add_argument("run", type=Path, help="folder of the run, results/<run>")
    summary.set_defaults(command=_summary)
    return parser


def _masses(options: argparse.Namespace) -> None:
    from clustermass.application import masses_of_field
    from clustermass.progress import log_to

    columns = _column_map(options.column)
    if options.output.suffix != ".fits":
        raise InputError(f"--output {options.output}: must end in .fits; .ecsv and .nc are written beside it.")
    log_to(options.output.with_suffix(".log"), "masses")
    masses_of_field(
        options.events,
        options.catalogue,
        options.ensemble,
        options.output,
        exposure=options.exposure,
        exposure_s=options.exposure_s,
        columns=columns,
        acronym=options.acronym,
    )
    print(f"Written: {options.output}, and beside it .ecsv, .nc and .log")


def _column_map(pairs: Sequence[str]) -> dict[str, str]:
    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise InputError(f"--column {wrong[0]}: write OURS=THEIRS, for instance Z=z_best.")
    return {ours: theirs for ours, _, theirs in (pair.partition("=") for pair in pairs)}


def _check_config(options: argparse.Namespace) -> None:
    from clustermass.config import check_config, load_config

    base = [options.base] if options.base.is_file() and options.base not in options.config else []
    paths = [*base, *options.config]
    check_config(load_config(paths), options.schema)
    print(f"Valid: {', '.join(map(str, paths))}.")


def _summary(options: argparse.Namespace) -> None:
    from clustermass.summary import headline

    headline(options.run)


if __name__ == "__main__":
    sys.exit(main())
