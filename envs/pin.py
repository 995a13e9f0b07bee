"""Write envs/*.yaml: one conda environment for each dependency group of pyproject.toml, with the versions in uv.lock.

Usage (from the repository's root):  .venv/bin/python envs/pin.py [--check]
With --check, nothing is written, and the exit status is 1 if the files do not match the lock.
"""

import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement

ENVS = Path(__file__).parent
UV = ENVS.parent / ".uv" / "bin" / "uv"
PYTHON = "3.11"
GROUPS = ("data", "train", "train-gpu", "figures", "workflow")
PLATFORM = {"python_version": PYTHON, "python_full_version": f"{PYTHON}.0", "sys_platform": "linux"}
PLATFORM |= {"platform_machine": "x86_64", "platform_system": "Linux", "os_name": "posix"}


def environment(group: str) -> str:
    """Return the text of the conda environment file for a dependency group."""
    export = ("export", "--frozen", "--only-group", group, "--no-hashes", "--no-annotate", "--no-header")
    lines = subprocess.run(
        [UV, *export], check=True, capture_output=True, text=True, cwd=ENVS.parent
    ).stdout.splitlines()
    pins = [Requirement(line) for line in lines if line.strip()]
    wanted = [f"{pin.name}{pin.specifier}" for pin in pins if pin.marker is None or pin.marker.evaluate(PLATFORM)]
    head = f"# made by envs/pin.py from uv.lock (group {group}); don't edit\nname: clustermass-{group}\n"
    body = f"channels:\n  - conda-forge\n  - nodefaults\ndependencies:\n  - python={PYTHON}.*\n  - pip\n  - pip:\n"
    return head + body + "".join(f"      - {pin}\n" for pin in wanted)


def main() -> int:
    """Write all environment files, or with --check compare them; return the exit status."""
    texts = {ENVS / f"{group}.yaml": environment(group) for group in GROUPS}
    if "--check" in sys.argv[1:]:
        stale = [path.name for path, text in texts.items() if not path.is_file() or path.read_text() != text]
        if stale:
            print(f"envs/ does not match uv.lock: {', '.join(stale)}. Run: .venv/bin/python envs/pin.py")
        return int(bool(stale))
    for path, text in texts.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
