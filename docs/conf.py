"""Sphinx: pages in Markdown, numpydoc for the API, and the gallery of examples/.

sphinx-build -W docs build/html
"""

import importlib.util
import json
import os
import re
import sys
import warnings
from pathlib import Path

from sphinx.util.nodes import make_refnode

import subquad

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_extensions"))

import inventories  # noqa: E402

project = "subquad"
author = "The subquad developers"
copyright = author
version = release = subquad.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "command_line",
    "local_mathjax",
]
intersphinx_mapping = inventories.mapping()
intersphinx_timeout = 5
templates_path = ["_templates"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["gallery/*.ipynb", "gallery/*.py", "gallery/*.zip", "gallery/**/*.json"]
suppress_warnings = ["config.cache", "myst.header", "ref.ref"]  # labels inside scikit-learn

autosummary_generate = True
numpydoc_show_class_members = False  # the template of a class lists them, with their docstrings
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"  # but for Python's, numpy's and our own names
numpydoc_xref_aliases = {
    name: f"subquad.{module}.{name}"
    for module in subquad._MODULES
    for name in getattr(getattr(subquad, module), "__all__", ())
    if name[0].isupper()
} | {"Generator": "numpy.random.Generator", "Pipeline": "sklearn.pipeline.Pipeline"}
default_role = "py:obj"  # a name in single backticks is a link where it is a name of the package
toc_object_entries_show_parents = "hide"
autodoc_member_order = "groupwise"
autodoc_typehints = "none"  # the sections of parameters and results say more
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
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
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("subquad",),
    "inspect_global_variables": False,
}
html_theme = "pydata_sphinx_theme"
html_title = f"subquad {version}"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["subquad.css"]
html_theme_options = {
    "logo": {"text": "subquad"},
    "github_url": "https://github.com/subquad/subquad",
    "show_prev_next": True,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "header_links_before_dropdown": 6,
    "footer_end": [],
}
html_sidebars = {page: [] for page in ("index", "performance", "changes")}
html_context = {"default_mode": "auto"}  # light or dark as the reader's system is

# Where the pages are published, their other versions are one click away.
if published := os.environ.get("READTHEDOCS_CANONICAL_URL"):
    site, this = published.rstrip("/").rsplit("/", 1)
    switcher = [
        {"name": name, "version": name, "url": f"{site}/{name}/", "preferred": name == "stable"}
        for name in ("latest", "stable")
    ]
    (HERE / "_static" / "switcher.json").write_text(json.dumps(switcher), encoding="utf-8")
    html_theme_options |= {
        "switcher": {"json_url": f"{site}/latest/_static/switcher.json", "version_match": this},
        "check_switcher": False,
        "navbar_start": ["navbar-logo", "version-switcher"],
    }

# Figures are drawn to be looked at, not shown.
warnings.filterwarnings("ignore", message=".*non-interactive.*cannot be shown.*")


def as_written(app, what, name, obj, options, lines):
    """Keep |x| and fitted_: reST would take them for a substitution and a reference."""
    in_example = False
    for i, line in enumerate(lines):
        in_example = line.lstrip().startswith(">>>") or (in_example and bool(line.strip()))
        if not in_example and "``" not in line:
            lines[i] = re.sub(r"(?<=\w)_(?!\w)|\|", r"\\\g<0>", line)


def by_its_last_name(app, env, node, contnode):
    """Resolve `WideNetwork` from any page: the one class or function of that name, if it is one."""
    if node.get("refdomain") != "py" or node.get("reftype") != "obj":
        return None
    target, python = node["reftarget"], env.get_domain("py")
    found = [
        (name, entry)
        for name, entry in python.objects.items()
        if name.endswith(f".{target}") and entry.objtype in ("class", "exception", "function")
    ]
    if len(found) != 1:
        return None
    name, entry = found[0]
    args = app.builder, node["refdoc"], entry.docname, entry.node_id, contnode, name
    return make_refnode(*args)


def setup(app):
    """Run the first after numpydoc."""
    app.connect("autodoc-process-docstring", as_written, priority=900)
    app.connect("missing-reference", by_its_last_name)
