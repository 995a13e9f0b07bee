"""The command `clustermass`, which works without the Snakemake workflow. Each command is an entry of `COMMANDS`."""

import argparse
import io
import sys
from collections.abc import Sequence
from typing import NoReturn

import clustermass
from clustermass.cli import configuration, detect, inject, masses, pack, results, send, show, update
from clustermass.errors import InputError
from clustermass.io.log import Ended, escape_tracebacks, orderly_end, printable, printable_lines

EXIT_CODES = "Exit status: 0 done, 1 something is wrong with the input (one message says what), 2 wrong arguments."
#: in the order of the help
COMMANDS = (
    masses.MASSES,
    update.UPDATE,
    detect.DETECT,
    inject.INJECT,
    inject.RECOVERED,
    show.SHOW,
    send.SEND,
    pack.PACK,
    configuration.CHECK_CONFIG,
    configuration.PLAN,
    results.SUMMARY,
    results.VERIFY,
    results.TRACE,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command in `arguments`, and return its exit status (see `EXIT_CODES`).

    If `arguments` is None, the arguments of this process are used.
    """
    escape_tracebacks()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # signs that the terminal's encoding lacks
    options = vars(_parser().parse_args(arguments))
    try:
        with orderly_end():
            return options.pop("command")(**options) or 0
    except InputError as error:
        return _failed(str(error), 1)
    except OSError as error:  # a full disk, a folder without permission
        return _failed(f"{error.filename}: {error.strerror}" if error.filename else str(error), 1)
    except MemoryError:
        return _failed("the memory that is free isn't enough. Divide the files, or use a machine with more memory.", 1)
    except KeyboardInterrupt:
        return _failed("interrupted", 130)
    except Ended as ended:
        return _failed(str(ended), ended.status)


def _failed(message: str, status: int) -> int:
    print(printable_lines(f"clustermass: {message}"), file=sys.stderr)
    return status


class _Parser(argparse.ArgumentParser):
    """Parser that prints no control characters, since its messages may quote file names chosen by somebody else."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="clustermass",
        description="Masses of galaxy clusters from eROSITA images.",
        epilog=f"{EXIT_CODES} More on a command, with an example: clustermass COMMAND --help",
    )
    parser.add_argument("--version", action="version", version=f"clustermass {clustermass.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        own = commands.add_parser(
            command.name,
            help=command.purpose,
            description=command.description,
            epilog=_listed(command.examples),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for title, arguments in command.arguments.items():
            group = own.add_argument_group(title)
            for names, options in arguments.items():
                group.add_argument(*names.split(), **options)
        own.set_defaults(command=command.run)
    return parser


def _listed(examples: Sequence[str]) -> str:
    return "\n  ".join(["examples:" if len(examples) > 1 else "example:", *examples])
