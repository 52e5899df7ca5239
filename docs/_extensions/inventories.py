"""Links into the documentation of other projects, with or without a network.

intersphinx asks each project for the list of its pages. Where that cannot be fetched, it takes the
list written here, of the names that the docstrings mention most.
"""

import tempfile
import zlib
from pathlib import Path

PYTHON = {name: f"library/stdtypes.html#{name}" for name in ("dict", "list", "str", "tuple")}
PYTHON |= {name: f"library/functions.html#{name}" for name in ("bool", "float", "int", "object")}
PYTHON |= {name: f"library/constants.html#{name}" for name in ("False", "None", "True")}
PYTHON["callable"] = "library/functions.html#callable"
PYTHON |= {
    f"{name}Error": f"library/exceptions.html#{name}Error"
    for name in ("Arithmetic", "Memory", "OS", "Type", "Value")
}
NUMPY = {
    f"numpy.{name}": f"reference/{page}.html#numpy.{name}"
    for name, page in (
        ("ndarray", "generated/numpy.ndarray"),
        ("random.Generator", "random/generator"),
    )
}
SCIPY = {
    f"scipy.sparse.{name}": f"reference/generated/scipy.sparse.{name}.html"
    for name in ("csr_array", "csr_matrix")
}
SKLEARN = {"sklearn.pipeline.Pipeline": "modules/generated/sklearn.pipeline.Pipeline.html"}
# Words of a glossary.
TERMS = {
    "numpy": ("array_like",),
    "python": ("iterable", "sequence"),
    "sklearn": ("meta-estimator",),
}

PROJECTS = {
    "python": ("https://docs.python.org/3/", PYTHON),
    "numpy": ("https://numpy.org/doc/stable/", NUMPY),
    "scipy": ("https://docs.scipy.org/doc/scipy/", SCIPY),
    "sklearn": ("https://scikit-learn.org/stable/", SKLEARN),
}


def mapping():
    """Return the value of ``intersphinx_mapping``: the network first, then a file written now."""
    folder = Path(tempfile.mkdtemp(prefix="inventories-"))
    return {
        name: (url, (None, _write(folder, name, names))) for name, (url, names) in PROJECTS.items()
    }


def _role(where):
    """The role of a name, by the page that it stands on."""
    for page, role in (
        ("constants", "data"),
        ("exceptions", "exception"),
        ("callable", "function"),
    ):
        if page in where:
            return role
    return "class"


def _write(folder, project, names):
    """Write an inventory of version 2, and return its path."""
    head = f"# Sphinx inventory version 2\n# Project: {project}\n# Version: \n"
    head += "# The remainder of this file is compressed using zlib.\n"
    lines = [f"{name} py:{_role(where)} 1 {where} -\n" for name, where in names.items()]
    lines += [
        f"{term} std:term -1 glossary.html#term-{term} -\n" for term in TERMS.get(project, ())
    ]
    path = folder / f"{project}.inv"
    path.write_bytes(head.encode() + zlib.compress("".join(lines).encode()))
    return str(path)
