"""The package is built in levels: a module imports only what stands below it."""

import ast
import graphlib
import importlib.util
import itertools
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PACKAGE = Path(importlib.util.find_spec("subquad").submodule_search_locations[0])
REPOSITORY = Path(__file__).resolve().parents[1]

# The rooms from the ground up. A room imports rooms of lower levels, and of its own level those
# named before it. Files of one room may import each other, without a cycle.
LEVELS = [
    ["_kernels"],
    ["_typing", "_machine", "_sparse", "_validation", "_parallel", "_passes", "_groups", "_ranks"],
    [
        "activations",
        "hadamard",
        "_tensor_files",
        "_shapes",
        "_fixed",
        "_compact",
        "_products",
        "_implicit_products",
        "_implicit",
        "_factors",
        "_mapped",
        "_structured",
        "weights",
        "lowrank",
        "halfspace",
        "sketch",
    ],
    ["jacobian", "ntk"],
    ["solvers", "networks"],
    ["training"],
    ["estimators", "io", "interop", "plotting", "distributed", "_command", "__main__"],
    ["_config", "__init__"],
]
HEIGHT = {room: i for i, room in enumerate(itertools.chain(*LEVELS))}
CORE = set(itertools.chain(*LEVELS[:6]))
CORE_DEPENDENCIES = {"numpy", "scipy", "subquad", *sys.stdlib_module_names}
# To give BLAS fewer threads; to transform faster than scipy does.
USED_WHERE_INSTALLED = {"_parallel": {"threadpoolctl"}, "sketch._fft": {"pyfftw"}}
# Extras of those who work on the package; all others are of those who use it.
EXTRAS_OF_DEVELOPERS = {"bench", "dev", "docs", "test"}
IMPORTED_AS = {"scikit-learn": "sklearn"}
HEAVY = {"matplotlib", "pandas", "sklearn", "torch", "tqdm"}

SOURCES = sorted(PACKAGE.rglob("*.py"))
KERNEL_SOURCES = sorted(PACKAGE.rglob("*.p[yx][xd]"))  # not in a wheel
PUBLIC = [
    path
    for path in SOURCES
    if not any(part.startswith("_") for part in path.relative_to(PACKAGE).with_suffix("").parts)
    or path.name == "__init__.py"
]


def name_of(path):
    """Dotted name of a source file inside the package."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def room_of(name):
    return name.split(".")[0]


NAMES = {name_of(path): path for path in SOURCES}
MODULES = {name.removesuffix(".__init__"): path for name, path in NAMES.items()}


def is_for_type_checkers(node):
    """Whether it is `if TYPE_CHECKING:`, whose imports never run."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def without_types(tree):
    """A syntax tree without what is there for type checkers alone."""
    tree.body = [node for node in tree.body if not is_for_type_checkers(node)]
    return tree


def imports_of(path, *, types=True):
    """Absolute dotted names a source file imports, anywhere in it; a module before its members."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree if types else without_types(tree)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def internal_imports_of(path, *, types=True):
    """Names, inside the package, of the modules a source file imports; a folder for its kernels."""
    for imported in imports_of(path, types=types):
        top, *parts = imported.split(".")
        if top == "subquad" and parts != ["__version__"]:
            while parts and ".".join(parts) not in MODULES:
                parts.pop()  # a class or function of the module before it
            yield ".".join(parts) or "__init__"


@pytest.mark.parametrize("name", NAMES)
def test_a_module_imports_only_rooms_below_its_own(name):
    room = room_of(name)
    assert room in HEIGHT, f"give {room} a place in LEVELS"
    for imported in internal_imports_of(NAMES[name]):
        other = room_of(imported)
        assert HEIGHT[other] <= HEIGHT[room], f"{name} imports {imported}, which stands above it"


def test_modules_do_not_import_each_other_in_a_circle():
    # A folder's own compiled modules count as the folder itself.
    graph = {
        name: {*internal_imports_of(path, types=False)} - {name} for name, path in MODULES.items()
    }
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError


@pytest.mark.parametrize("name", NAMES)
def test_no_private_module_is_imported_across_rooms(name):
    # A private file at the top, such as _validation, is a room of its own; tests may look anywhere.
    for imported in internal_imports_of(NAMES[name]):
        room, *inside = imported.split(".")
        private = [part for part in inside if part.startswith("_")]
        assert room == room_of(name) or not private, f"{name} imports {imported}"


def test_training_is_divided_by_its_algorithms():
    training = PACKAGE / "training"
    entries = [path for path in training.iterdir() if path.name != "__pycache__"]
    assert len(entries) <= 12
    for folder in (path for path in entries if path.is_dir()):
        assert len(list(folder.glob("*.py"))) <= 6, folder.name


# A rule, the pattern of a line that states it, and the one file that may.
RULES = {
    "the density below which a sparse Gram matrix wins": (
        r"^\w*GRAM_DENSITY\w* *= ",
        "_products.py",
    ),
    "which threads are worth starting": (r"max\(1, min\(\w*n_threads, ", "_parallel.py"),
    "slices of at most so many rows": (
        r"slice\((\w+), min\(\1 \+ \w+, \w+\)\) for",
        "_parallel.py",
    ),
    "what an output array must be": (r"def \w*require_output\(", "_validation.py"),
    "co-activation Gram matrices": (r"coactivation\.coactivation_gram\(", "jacobian/_fired.py"),
    "weighted Gram matrices": (r"coactivation\.weighted_gram\(", "jacobian/_fired.py"),
}


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_written_once(rule):
    pattern, place = RULES[rule]
    found = [
        path.relative_to(PACKAGE).as_posix()
        for path in SOURCES
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(pattern, line)
    ]
    assert found == [place], f"{rule}: {found}"


@pytest.mark.parametrize("path", KERNEL_SOURCES, ids=lambda path: path.name)
def test_kernels_import_nothing_of_the_package_outside_their_folder(path):
    rooms = re.findall(r"^\s*(?:from|c?import)\s+subquad\.?(\w*)", path.read_text(), re.MULTILINE)
    assert set(rooms) <= {"_kernels"}


@pytest.mark.parametrize("name", [name for name in NAMES if room_of(name) in CORE])
def test_the_core_depends_on_numpy_and_scipy_alone(name):
    imported = {imported.split(".")[0] for imported in imports_of(NAMES[name])}
    assert imported - USED_WHERE_INSTALLED.get(name, set()) <= CORE_DEPENDENCIES


def test_importing_the_package_loads_no_optional_dependency():
    loaded = f"import sys, subquad; sys.exit(', '.join({HEAVY!r} & set(sys.modules)) or None)"
    done = subprocess.run([sys.executable, "-P", "-c", loaded], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_package_of_a_users_extra_is_imported_somewhere():
    settings = REPOSITORY / "pyproject.toml"
    extras = tomllib.loads(settings.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    imported = {imported.split(".")[0] for path in SOURCES for imported in imports_of(path)}
    for extra in extras.keys() - EXTRAS_OF_DEVELOPERS:
        for requirement in extras[extra]:
            package = re.match(r"[\w.-]+", requirement).group()
            module = IMPORTED_AS.get(package, package)
            assert module in imported, f"the extra {extra} names {package}: nothing imports it"


@pytest.mark.parametrize("path", PUBLIC, ids=name_of)
def test_every_public_module_says_what_it_is(path):
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring, f"{name_of(path)} has no docstring"


def test_no_file_knows_the_machine_it_was_written_on():
    folders = ("work", "tmp", "root", "home")
    machine = re.compile(rf"(?<![\w.~-])/(?:{'|'.join(folders)})/|\.\./shared")
    shipped = [REPOSITORY / folder for folder in ("tests", "asv_benches", "docs", "examples")]
    files = [path for folder in [PACKAGE, *shipped] for path in folder.rglob("*")]
    files += [path for path in REPOSITORY.glob("*.*") if (REPOSITORY / "pyproject.toml").exists()]
    text = {".py", ".pyx", ".pxd", ".pyi", ".c", ".h", ".md", ".rst", ".toml", ".json", ".txt"}
    made = [REPOSITORY / folder for folder in ("docs/generated", "docs/gallery")]  # by Sphinx
    made.append(REPOSITORY / "asv_benches" / ".asv")  # by asv
    for path in files:
        if any(folder in path.parents for folder in made):
            continue
        if path.suffix in text and path != Path(__file__).resolve():
            found = machine.search(path.read_text(encoding="utf-8"))
            assert not found, f"{path} mentions {found.group()}"
