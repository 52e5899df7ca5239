"""Every example in a docstring gives what it says."""

import doctest
import importlib
import pkgutil

import pytest

import subquad

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(subquad.__path__, "subquad.")
    if not module.name.startswith("subquad._kernels.")
)
OPTIONAL = {"matplotlib", "pandas", "sklearn", "tqdm"}


# Modules that import a package when they are first used, which the examples do.
NEEDS = {"subquad.interop._capture": "torch"}


@pytest.mark.parametrize("name", ["subquad", *MODULES])
def test_the_examples_of_a_module_run(name):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name not in OPTIONAL:
            raise
        pytest.skip(f"{name} needs {missing.name}")
    assert doctest.testmod(module).failed == 0
