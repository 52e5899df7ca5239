"""Every section of a public docstring holds what its title says, as numpydoc reads it."""

import importlib
import inspect
import pkgutil
import re

import pytest

import subquad

OPTIONAL = {"matplotlib", "pandas", "sklearn", "tqdm", "torch", "mpi4py"}
# In the order in which numpydoc renders them.
SECTIONS = [
    "Parameters",
    "Attributes",
    "Returns",
    "Yields",
    "Other Parameters",
    "Raises",
    "Warns",
    "See Also",
    "Notes",
    "References",
    "Examples",
]


def modules():
    """The importable modules whose names have no underscore, and the package itself."""
    found = pkgutil.walk_packages(subquad.__path__, "subquad.")
    names = [m.name for m in found if not any(p.startswith("_") for p in m.name.split("."))]
    for name in ["subquad", *sorted(names)]:
        try:
            yield importlib.import_module(name)
        except ModuleNotFoundError as missing:
            if missing.name not in OPTIONAL:
                raise


def found_in(module, name):
    """What a module has by a name, if it can be had; of the package, only what has been loaded."""
    if module is subquad:
        return vars(module).get(name)
    try:
        return getattr(module, name)  # which may import a module of the estimators
    except ModuleNotFoundError as missing:
        if missing.name not in OPTIONAL:
            raise


def documented():
    """(dotted name, docstring) of every public function, class, and public method of a class."""
    found = {}
    for module in modules():
        for name in getattr(module, "__all__", ()):
            thing = found_in(module, name)
            if not callable(thing):
                continue
            found[f"{module.__name__}.{name}"] = thing
            for member, value in inspect.getmembers(thing) if inspect.isclass(thing) else ():
                own = (getattr(value, "__module__", None) or "").startswith("subquad")
                if not member.startswith("_") and own:
                    found[f"{module.__name__}.{name}.{member}"] = value
    return {name: inspect.getdoc(thing) for name, thing in found.items()}


def sections_of(docstring):
    """(title, lines) of each section, in order: a title is underlined by as many dashes."""
    lines = docstring.splitlines()
    starts = [
        i
        for i in range(len(lines) - 1)
        if lines[i] and re.fullmatch("-+", lines[i + 1]) and not lines[i].startswith(" ")
    ]
    ends = [*starts, len(lines)][1:]
    return [(lines[i], lines[i + 2 : end]) for i, end in zip(starts, ends, strict=True)]


def entries_of(lines):
    """The heads of a section's entries: the lines that are not indented."""
    return [line for line in lines if line and not line.startswith(" ")]


def faults_of(docstring):
    """What is wrong with the sections of a docstring."""
    sections = sections_of(docstring)
    titles = [title for title, _ in sections]
    faults = [f"no section is called {title!r}" for title in titles if title not in SECTIONS]
    places = [SECTIONS.index(title) for title in titles if title in SECTIONS]
    if places != sorted(set(places)):
        faults.append(f"the sections come in the order {titles}")
    for title, lines in sections:
        for entry in entries_of(lines) if title in ("Raises", "Warns") else ():
            kinds = entry.split(", ")
            if not all(re.fullmatch(r"[A-Z]\w*(Error|Warning)", kind) for kind in kinds):
                faults.append(f"under {title} stands {entry!r}, which is no exception")
    return faults


DOCUMENTED = documented()


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_entry_stands_in_the_section_that_it_belongs_to(name):
    assert DOCUMENTED[name], f"{name} has no docstring"
    assert not faults_of(DOCUMENTED[name])


def test_an_attribute_under_raises_is_a_fault():
    head = "Return nothing.\n\nRaises\n------\nTypeError, ValueError\n    Why.\n"
    assert faults_of(head) == []
    assert len(faults_of(head + "buckets : ndarray\n    h.\n")) == 1
    assert len(faults_of(head + "\nParameters\n----------\nx : float\n")) == 1
    assert len(faults_of(head + "\nNotabene\n--------\nText.\n")) == 1


@pytest.mark.parametrize("name", ["CountSketch", "SRHT", "TensorSketch", "TensorSRHT"])
def test_the_draws_of_a_sketch_are_its_attributes(name):
    sections = dict(sections_of(inspect.getdoc(getattr(subquad.sketch, name))))
    attributes = " ".join(entries_of(sections["Attributes"]))
    assert "signs : " in attributes
    assert "guarantee : " in attributes
    assert ("buckets : " in attributes) == (name in ("CountSketch", "TensorSketch"))
