"""Finds the folder with this repository's files. If the workflow is used as a module from git, they are unpacked first."""

import io
import os
import subprocess
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.sourcecache import HostingProviderFile
from snakemake.sourcecache import LocalGitFile
from snakemake.sourcecache import LocalSourceFile


def repository():
    """Return the folder that contains config/, src/ and workflow/."""
    here = workflow.current_basedir
    if isinstance(here, LocalSourceFile):
        return Path(here).parents[1]
    if not isinstance(here, LocalGitFile | HostingProviderFile):
        raise WorkflowError(f"{here}: take the module from git, as github(...) or git+file:, or from a clone.")
    place = here.repo_path if isinstance(here, LocalGitFile) else here.hosted_repo.repo_clone
    git = ["git", "-C", str(place)]
    commit = subprocess.run([*git, "rev-parse", f"{here.ref}^{{commit}}"], check=True, capture_output=True, text=True)
    return unpacked(git, commit.stdout.strip())


def unpacked(git, commit):
    """Return the folder with the files of a git commit; unpack them if it doesn't exist yet."""
    folder = Path(".snakemake", "clustermass", commit).resolve()
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        files = subprocess.run([*git, "archive", commit], check=True, capture_output=True).stdout
        part = tempfile.mkdtemp(dir=folder.parent)
        tarfile.open(fileobj=io.BytesIO(files)).extractall(part, filter="data")
        with suppress(OSError):  # another snakemake has made the folder meanwhile
            os.rename(part, folder)
    return folder


ROOT = repository()

# for a module from git, Snakemake 9.27 calls this method with its own path objects, but the method needs a str
join_text = LocalGitFile.join
LocalGitFile.join = lambda file, path: join_text(file, str(path))
