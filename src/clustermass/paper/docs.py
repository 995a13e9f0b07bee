"""The page among the documentation: the same text, with copies of its figures beside it."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from clustermass.errors import InputError
from clustermass.io.files import atomic


def publish(page: Path, figures: Sequence[Path], output: Path, folder: Path) -> None:
    """Copy a page and its figures, and let its links point to the copies.

    Parameters
    ----------
    page
        In Markdown, with links to the figures relative to its folder.
    figures
        All that it shows.
    output, folder
        The copy, and where its figures go.

    Raises
    ------
    InputError
        The page lacks one of the figures: the two are of different runs.
    """
    text = page.read_text(encoding="utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    for figure in figures:
        link = f"]({Path(os.path.relpath(figure, page.parent)).as_posix()})"
        if link not in text:
            raise InputError(f"{page}: shows no {figure}. Delete the page and run again.")
        copy = folder / figure.name
        with atomic(copy) as temporary:
            shutil.copyfile(figure, temporary)
        text = text.replace(link, f"]({Path(os.path.relpath(copy, output.parent)).as_posix()})")
    with atomic(output) as temporary:
        temporary.write_text(text, encoding="utf-8")
