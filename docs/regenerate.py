"""Write the table of docs/how-to/regenerate.md from docs/regenerate.yaml.

Usage (from the repository's root):  .venv/bin/python docs/regenerate.py [--check]
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
PAGE = HERE / "how-to" / "regenerate.md"
START, END = "<!-- table: made by docs/regenerate.py -->\n", "<!-- end of table -->\n"
SHOWN = ("skies", "your files", "images", "training", "evaluation", "masses", "figures")
CORES = 2


def rows(table: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of the Markdown table: a row for each entry of regenerate.yaml, a column for each stage."""
    yield f"| key | {' | '.join(SHOWN)} | time | rules that the change itself re-runs (remark) |"
    yield f"|---|{':-:|' * len(SHOWN)}--:|---|"
    for entry in table["keys"]:
        keys = ", ".join(f"`{key}`" for key in entry["keys"])
        marks = " | ".join("●" if stage in entry["stages"] else "" for stage in SHOWN)
        why = f" ({entry['why']})" if "why" in entry else ""
        yield f"| {keys} | {marks} | {time(entry, table)} | {causes(entry, table['stages'])}{why} |"


def time(entry: dict[str, Any], table: dict[str, Any]) -> str:
    """Return a text with the wall time, in the default run, of the stages that an entry of regenerate.yaml re-runs."""
    if not entry["causes"]:
        return "none"
    seconds = sum(table["seconds"].get(stage, 0) for stage in [*entry["stages"], "report"]) / CORES
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.1f} min"


def causes(entry: dict[str, Any], stages: dict[str, list[str]]) -> str:
    """Return the rules in `causes` of an entry as text. 'all rules of' a stage replaces the names of its rules."""
    left, shown = list(entry["causes"]), []
    for stage, names in stages.items():
        if len(names) > 2 and set(names) <= set(left):
            shown.append(f"all rules of *{stage}*")
            left = [name for name in left if name not in names]
    return ", ".join([*shown, *(f"`{name}`" for name in left)]) or "nothing"


def main() -> int:
    """Write the table into the page, or only compare both if `--check` is given; return the exit status."""
    table = yaml.safe_load((HERE / "regenerate.yaml").read_text(encoding="utf-8"))
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    lines = "\n".join(rows(table))
    wanted = f"{before}{START}{lines}\n{END}{after}"
    if "--check" in sys.argv[1:]:
        if text != wanted:
            print(f"{PAGE} does not match docs/regenerate.yaml. Run: .venv/bin/python docs/regenerate.py")
        return int(text != wanted)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
