"""What a command of the command line is made of."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

#: keyword arguments of `argparse.ArgumentParser.add_argument`
Options = Mapping[str, Any]


class Command(NamedTuple):
    """A command: its function, the texts of its help, and its arguments.

    `arguments` divides the arguments into groups. It maps the title of each group to a dict, which maps the names of
    the group's arguments to their options. The function gets each argument under its name. It returns the exit status,
    or None instead of 0. It imports slow modules only when it is called.
    """

    name: str
    run: Callable[..., int | None]
    purpose: str  #: in the list of commands
    description: str
    examples: tuple[str, ...]  #: whole command lines
    arguments: Mapping[str, Mapping[str, Options]]


def path(meaning: str, **options: Any) -> Options:
    """Return the options of an argument that is a path. `meaning` is its help text."""
    return {"type": Path, "help": meaning, **options}


OVERWRITE: Options = {"action": "store_true", "help": "replace files that are there already"}
