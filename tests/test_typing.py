"""Every public signature has types, and type checkers find no fault in what a user writes."""

import importlib
import importlib.util
import inspect
import pkgutil
import subprocess
import sys
import types
from pathlib import Path

import pytest

import subquad

REPOSITORY = Path(__file__).resolve().parents[1]
SCRIPT = REPOSITORY / "tests" / "typing" / "user_script.py"
OPTIONAL = {"matplotlib", "sklearn", "torch", "mpi4py"}
# Operators and other special methods that callers meet.
SPECIAL = {"__init__", "__call__", "__len__", "__repr__"}


def public_modules():
    """The importable modules whose names have no underscore, and the package itself."""
    yield subquad
    for module in pkgutil.walk_packages(subquad.__path__, "subquad."):
        if not any(part.startswith("_") for part in module.name.split(".")):
            try:
                yield importlib.import_module(module.name)
            except ModuleNotFoundError as missing:
                if missing.name not in OPTIONAL:
                    raise


def functions_of(cls):
    """(name, function) of the public methods and properties that a class has from the package."""
    for owner in cls.__mro__:
        for name, value in vars(owner).items():
            if owner.__module__.startswith("subquad") and (name[0] != "_" or name in SPECIAL):
                value = getattr(value, "fget", None) or getattr(value, "func", None) or value
                function = inspect.unwrap(getattr(value, "__func__", value))
                if isinstance(function, types.FunctionType):
                    yield f"{owner.__module__}.{owner.__name__}.{name}", function


def public_functions():
    """Every public function, method and property of the package, by name."""
    found = {}
    for module in public_modules():
        for name in getattr(module, "__all__", ()):
            try:
                thing = getattr(module, name, None)
            except ModuleNotFoundError as missing:  # an estimator's own module needs scikit-learn
                if missing.name not in OPTIONAL:
                    raise
                continue
            if inspect.isclass(thing):
                found.update(functions_of(thing))
            elif isinstance(thing, types.FunctionType):
                found[f"{thing.__module__}.{name}"] = inspect.unwrap(thing)
    # What `dataclass` and `NamedTuple` write has no source of its own, and types from the fields.
    here = str(Path(subquad.__file__).parent)
    return {name: f for name, f in found.items() if f.__code__.co_filename.startswith(here)}


@pytest.mark.sources
def test_every_public_signature_is_annotated():
    functions = public_functions()
    assert len(functions) > 300
    bare = []
    for name, function in functions.items():
        parameters = list(inspect.signature(function).parameters.values())
        if "." in function.__qualname__ and parameters and parameters[0].name in ("self", "cls"):
            del parameters[0]
        bare += [f"{name}({p.name})" for p in parameters if p.annotation is p.empty]
        if "return" not in function.__annotations__:
            bare.append(f"{name} -> ")
    assert not bare, f"without a type: {bare}"


def test_type_checkers_are_told_that_the_package_has_types():
    assert (Path(subquad.__file__).parent / "py.typed").exists()


@pytest.fixture(scope="module")
def script():
    """The module that a user might have written."""
    pytest.importorskip("sklearn")
    spec = importlib.util.spec_from_file_location("user_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("part", ["networks", "algebra", "kernels"])
def test_what_a_user_writes_runs(script, part):
    assert len(list(getattr(script, part)())) > 2


def test_what_a_user_saves_is_saved(script, tmp_path):
    assert script.saved(tmp_path / "model.subquad") > 0.5
    assert (tmp_path / "model.subquad").exists()


def test_what_a_user_asks_of_torch_is_answered(script):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1))
    assert script.of_a_torch_network(model.double())["0"].shape == (40, 16 * 8)


@pytest.mark.sources
def test_mypy_finds_no_fault_in_what_a_user_writes(pytestconfig, tmp_path):
    pytest.importorskip("mypy")
    if not (REPOSITORY / "pyproject.toml").exists():
        pytest.skip("the settings are not beside these tests")
    kept = getattr(pytestconfig, "cache", None)  # None where pytest keeps nothing between runs
    cache = tmp_path if kept is None else kept.mkdir("mypy")
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(cache)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
