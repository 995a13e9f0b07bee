"""The directive `commands`: the reference of the command line, made from the commands themselves."""

import re
from collections.abc import Iterator
from textwrap import indent

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from clustermass import cli
from clustermass.cli.command import Command, Options


class Commands(SphinxDirective):
    """Directive that makes a section for each command, with its description, its examples, and its arguments."""

    def run(self) -> list[nodes.Node]:
        """Return the document nodes of all sections."""
        text = "\n".join(line for command in cli.COMMANDS for line in section(command))
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def section(command: Command) -> Iterator[str]:
    """Yield the lines of a command's section in reStructuredText."""
    title = f"clustermass {command.name}"
    yield from ("", title, "-" * len(title), command.description, "", ".. code-block:: bash", "")
    yield from (indent(example, "   ") for example in command.examples)
    yield from ("", f".. program:: {title}")
    for group, arguments in command.arguments.items():
        yield from ("", f".. rubric:: {group}", "")
        for names, options in arguments.items():
            text = re.sub("--[a-z-]+", r"``\g<0>``", options["help"])
            yield from (f".. option:: {called(names, options)}", "", indent(text, "   "), "")


def called(name: str, options: Options) -> str:
    """Return an argument as it is written on the command line: its name, and a word for its value if it takes one."""
    if options.get("action") == "store_true" or not name.startswith("-"):
        return name
    value = options.get("metavar", name.strip("-").upper())
    return f"{name} {'|'.join(options['choices']) if 'choices' in options else value}"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive in Sphinx; return that pages may be read in parallel."""
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True}
