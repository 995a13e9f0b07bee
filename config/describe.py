"""Write the schema of the configuration, and the table of its keys in config/README.md, from its models.

Usage (from the repository's root):  .venv/bin/python config/describe.py [--check]
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from clustermass.config.resolve import load_config  # noqa: E402
from clustermass.config.validate import EXECUTION_ONLY, keys, schema  # noqa: E402

README = ROOT / "config" / "README.md"
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"
START, END = "<!-- keys: made by config/describe.py -->\n", "<!-- end of keys -->\n"
#: the entry of each block of named entries whose values the table shows
NAMED = {"skies": "embedded", "preprocessing": "central", "network": "compact", "recipes": "clustermass"}
NAMED |= {"experiments": "fiducial"}


def row(key: str, rule: dict[str, Any], defaults: dict[str, Any]) -> str:
    """Return the row of the table for a key: its value in config.yaml, its meaning, and the words that it allows."""
    value: Any = defaults
    above = ""
    for part in key.split("."):
        name = NAMED.get(above, "") if part == "<name>" else part
        value, above = value.get(name) if isinstance(value, dict) else None, part
    shown = "" if isinstance(value, dict) or value is None else f"`{json.dumps(value)}`"
    allowed = f" ({', '.join(rule['enum'])})" if "enum" in rule else ""
    steering = " *(steers execution only)*" if EXECUTION_ONLY in rule else ""
    meaning = " ".join(rule.get("description", "").split()).replace("|", "\\|").rstrip(".")
    return f"| `{key}` | {shown} | {meaning}{allowed}{steering} |"


def texts() -> dict[Path, str]:
    """Return a dict from the paths of both files (README and schema) to their texts."""
    defaults = load_config([ROOT / "config" / "config.yaml"])
    rows = [row(key, rule, defaults) for key, rule in keys() if "description" in rule]
    before, _, rest = README.read_text().partition(START)
    table = "\n".join(["| key | default | meaning |", "|---|---|---|", *rows])
    head = "# made by config/describe.py from clustermass.config.models; for editors\n"
    return {
        README: f"{before}{START}{table}\n{END}{rest.partition(END)[2]}",
        SCHEMA: head + yaml.safe_dump(schema(), sort_keys=False, width=120, default_flow_style=None),
    }


def main() -> int:
    """Write both files, or only check them if `--check` is given; return the exit status."""
    stale = {path: text for path, text in texts().items() if not path.is_file() or path.read_text() != text}
    for path, text in stale.items():
        if "--check" in sys.argv[1:]:
            print(f"{path.relative_to(ROOT)} does not match the models. Run: .venv/bin/python config/describe.py")
        else:
            path.write_text(text)
    return int("--check" in sys.argv[1:] and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
