"""Sphinx: pages in Markdown, numpydoc for the API, and the gallery of examples/.

sphinx-build -W docs build/html
"""

import importlib.util
import re
import warnings
from pathlib import Path

import subquad

project = "subquad"
author = "The subquad developers"
copyright = author
version = release = subquad.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["gallery/*.ipynb", "gallery/*.py", "gallery/*.zip", "gallery/**/*.json"]
suppress_warnings = ["config.cache", "myst.header", "ref.ref"]  # labels inside scikit-learn

autosummary_generate = True
numpydoc_show_class_members = True
numpydoc_class_members_toctree = False
numpydoc_show_inherited_class_members = False
autodoc_default_options = {"members": False}
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3


def can_run(example):
    """Whether all that a script of the gallery imports is installed."""
    imported = re.findall(r"^(?:from|import) (\w+)", example.read_text("utf-8"), re.MULTILINE)
    return all(importlib.util.find_spec(name) for name in imported)


# Scripts that need what is not installed, such as a pretrained model, are shown without pictures.
EXAMPLES = [
    path.stem for path in Path(__file__).parents[1].glob("examples/plot_*.py") if can_run(path)
]

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": rf"/({'|'.join(EXAMPLES)})\.py$",
    "download_all_examples": False,
    "remove_config_comments": True,
    "abort_on_example_error": True,
    "show_memory": False,
    "write_computation_times": False,
}
html_theme = "alabaster"
html_title = f"subquad {version}"
html_show_sourcelink = False

# Figures are drawn to be looked at, not shown.
warnings.filterwarnings("ignore", message=".*non-interactive.*cannot be shown.*")


def as_written(app, what, name, obj, options, lines):
    """Keep |x| and fitted_: reST would take them for a substitution and a reference."""
    in_example = False
    for i, line in enumerate(lines):
        in_example = line.lstrip().startswith(">>>") or (in_example and bool(line.strip()))
        if not in_example and "``" not in line:
            lines[i] = re.sub(r"(?<=\w)_(?!\w)|\|", r"\\\g<0>", line)


def setup(app):
    """Run it after numpydoc."""
    app.connect("autodoc-process-docstring", as_written, priority=900)
