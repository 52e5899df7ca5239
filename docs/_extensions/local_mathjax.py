"""MathJax from the package sphinx-mathjax-offline, of which a page of mathematics loads two parts.

Pages ask no other server for anything. All of the package would be 24 MB; this is 2.5 MB.
"""

import importlib.util
from pathlib import Path

from sphinx.util.fileutil import copy_asset

PARTS = "tex-chtml.js", "a11y/assistive-mml.js", "output/chtml/fonts", "input/tex/extensions"


def copy(app, failure):
    """Copy the parts beside the pages."""
    if failure is not None or app.builder.format != "html":
        return
    package = importlib.util.find_spec("sphinx-mathjax-offline")
    source = Path(package.submodule_search_locations[0], "static", "mathjax")
    for part in PARTS:
        to = Path(app.outdir, "_static", "mathjax", part)
        to = to if (source / part).is_dir() else to.parent
        to.mkdir(parents=True, exist_ok=True)
        copy_asset(source / part, to)


def setup(app):
    """Take the place of the address that sphinx.ext.mathjax would load from."""
    app.config.mathjax_path = "mathjax/tex-chtml.js"
    app.connect("build-finished", copy)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
