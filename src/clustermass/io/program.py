"""How the command `clustermass` is called in printed advice, so that a user can paste the advice into a shell."""

import shlex
import shutil
import sys
from pathlib import Path


def program() -> str:
    """Return what one must type in a shell, in the current folder, to call clustermass.

    This is the name of the command if the command is in a folder of PATH, otherwise its path.
    """
    if shutil.which("clustermass"):
        return "clustermass"
    path = Path(sys.executable).with_name("clustermass")
    if not path.is_file():
        return f"{shlex.quote(sys.executable)} -m clustermass"
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))
