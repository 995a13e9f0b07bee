"""Write the table of keys in config/README.md from the schema and the defaults of config.yaml.

Usage (from the repository's root):  .venv/bin/python config/describe.py [--check]
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
README = HERE / "README.md"
START, END = "<!-- keys: made by config/describe.py -->\n", "<!-- end of keys -->\n"
NAMED = {"skies": "embedded", "preprocessing": "central", "network": "compact", "recipes": "clustermass"}
NAMED |= {"experiments": "fiducial"}


def rows(schema: dict[str, Any], defaults: Any, key: str, definitions: dict[str, Any]) -> Iterator[str]:
    """Yield a table row for `schema` and all below it, with the defaults of config.yaml."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rsplit("/", 1)[-1]]
    if key:
        shown = "" if isinstance(defaults, dict) or defaults is None else f"`{json.dumps(defaults)}`"
        allowed = ", ".join(map(str, schema.get("enum", [])))
        meaning = schema.get("description", "").replace("|", "\\|").rstrip(".")
        steering = " *(steers execution only)*" if schema.get("x-execution-only") else ""
        yield f"| `{key}` | {shown} | {meaning}{f' ({allowed})' if allowed else ''}{steering} |"
    for name, inner in schema.get("properties", {}).items():
        below = defaults.get(name) if isinstance(defaults, dict) else None
        yield from rows(inner, below, f"{key}.{name}" if key else name, definitions)
    more = schema.get("additionalProperties")
    if isinstance(more, dict):
        example = NAMED.get(key.rsplit(".", 1)[-1])
        below = defaults.get(example) if isinstance(defaults, dict) and example else None
        yield from rows(more, below, f"{key}.<name>", definitions)


def table() -> str:
    """Return the markdown table of all keys."""
    schema = yaml.safe_load((HERE.parent / "workflow" / "schemas" / "config.schema.yaml").read_text())
    defaults = yaml.safe_load((HERE / "config.yaml").read_text())
    lines = ["| key | default | meaning |", "|---|---|---|", *rows(schema, defaults, "", schema["$defs"])]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write or check the table; return the exit status."""
    text = README.read_text()
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    wanted = f"{before}{START}{table()}{END}{after}"
    if "--check" in sys.argv[1:]:
        if text != wanted:
            print("config/README.md does not match the schema. Run: .venv/bin/python config/describe.py")
        return int(text != wanted)
    README.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
