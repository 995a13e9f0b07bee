"""Settings of Sphinx, which builds the documentation as web pages: `make docs`.

The source folder of Sphinx is the repository, so that README.md, config/README.md and others are pages, and relative
links work in the repository and in the built pages alike.
"""

import logging
import sys
from pathlib import Path

from jupyter_client.manager import KernelManager

import clustermass

sys.path.append(str(Path(__file__).parent / "extensions"))

project = "clustermass"
author = "The clustermass developers"
project_copyright = author
release = version = clustermass.__version__

root_doc = "docs/index"
include_patterns = ["docs/**", "config/README.md", "README.md", "CHANGELOG.md", "SECURITY.md"]
# folders without pages: they aren't searched
exclude_patterns = [".*", "*.egg-info", "benchmarks", "dist", "docs/_build", "envs", "profiles", "results", "shared"]
exclude_patterns += ["src", "tests", "workflow", "**/.*"]

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton", "sphinx_design", "commands"]

# pages
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 4
nb_execution_mode = "cache"
nb_execution_timeout = 600
nb_execution_show_tb = True
# the processes that execute notebooks print nothing unless something fails; without encryption they print a warning
KernelManager.transport_encryption.default_value = "required"
logging.getLogger("traitlets").setLevel(logging.WARNING)
smartquotes_action = "D"  # dashes, but no quotes: 20' is an angle
copybutton_exclude = ".linenos, .gp, .go"

# docstrings
default_role = "code"
autodoc_class_signature = "separated"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 90
# shown by their names, which say more than what they stand for
aliases = ("ArrayLike", "Catalogue", "Data", "Events", "Exposure", "FloatArray")
autodoc_type_aliases = {alias: alias for alias in aliases}
napoleon_google_docstring = False
napoleon_use_rtype = False
# types of other packages have no page here, and nothing is downloaded
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!clustermass\.).*|clustermass\.interface\.inputs\..*")]

html_theme = "furo"
html_title = "clustermass"
html_show_sourcelink = False
html_copy_source = False
html_static_path = ["static"]
html_extra_path = ["root"]  # the page index.html, which leads to docs/index.html
html_css_files = ["pages.css"]
html_show_copyright = False
