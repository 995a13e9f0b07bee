"""Makes the readme of the package from README.md, whose relative links and pictures work only in the repository."""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|#)([^)]+)\)")


class Readme(MetadataHookInterface):
    """Hook that gives the package its readme."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the readme in the project's metadata."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        readme = absolute(text, metadata.get("urls", {}).get("Repository"))
        metadata["readme"] = {"content-type": "text/markdown", "text": readme}


def absolute(text: str, repository: str | None) -> str:
    """Return Markdown with absolute links; without `repository`, links become plain text and pictures are left out."""

    def replaced(link: re.Match[str]) -> str:
        picture, label, target = link.groups()
        if repository is None:
            return "" if picture else label
        return f"{picture}[{label}]({repository}/{'raw' if picture else 'blob'}/HEAD/{target})"

    return LINK.sub(replaced, text)
