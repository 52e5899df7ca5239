"""Every benchmark runs, at its smallest size, for every implementation."""

import importlib
import inspect
import itertools
import json
import math
import pkgutil
import re
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "asv_benches"
KINDS = ("time_", "track_", "peakmem_")

if not FOLDER.is_dir():
    pytest.skip("the benchmarks are not beside these tests", allow_module_level=True)


def modules():
    """The modules of the benchmark folder, found as asv finds them."""
    sys.path.insert(0, str(FOLDER))
    try:
        package = importlib.import_module("benchmarks")
        names = [module.name for module in pkgutil.iter_modules(package.__path__)]
        return [importlib.import_module(f"benchmarks.{name}") for name in sorted(names)]
    finally:
        sys.path.remove(str(FOLDER))


def smallest_arguments(suite):
    """One choice of arguments for each implementation, the first value of everything else."""
    choices = [
        values if name == "implementation" else values[:1]
        for name, values in zip(
            getattr(suite, "param_names", []), getattr(suite, "params", []), strict=True
        )
    ]
    return list(itertools.product(*choices))


def cases():
    """(suite, method name, arguments) of every benchmark at its smallest."""
    for module in modules():
        # Valgrind counts the same whatever BLAS and compiler: once is enough.
        marks = [pytest.mark.machine] if module.__name__.endswith(".instructions") else []
        for _, suite in inspect.getmembers(module, inspect.isclass):
            if suite.__module__ != module.__name__:
                continue
            for name, _ in inspect.getmembers(suite, inspect.isfunction):
                if name.startswith(KINDS):
                    for arguments in smallest_arguments(suite):
                        label = "-".join(map(str, (suite.__name__, name, *arguments)))
                        yield pytest.param(suite, name, arguments, id=label, marks=marks)


def prepared(suite, arguments):
    """An instance after setup; skipped where the implementation is not installed."""
    instance = suite()
    try:
        if hasattr(instance, "setup"):
            instance.setup(*arguments)
    except NotImplementedError as reason:
        pytest.skip(str(reason))
    return instance


@pytest.mark.parametrize(("suite", "name", "arguments"), list(cases()))
def test_benchmark_runs_at_its_smallest_size(suite, name, arguments):
    result = getattr(prepared(suite, arguments), name)(*arguments)
    if name.startswith("track_"):
        assert math.isfinite(result)
        assert getattr(suite, name).unit


def test_every_kind_of_benchmark_is_there():
    names = [case.values[1] for case in cases()]
    assert {kind for kind in KINDS for name in names if name.startswith(kind)} == set(KINDS)


def test_sizes_begin_with_the_smallest():
    for case in cases():
        suite, _, _ = case.values
        for name, values in zip(suite.param_names, suite.params, strict=True):
            if name != "implementation" and not isinstance(values[0], str):
                assert values == sorted(values), f"{suite.__name__}.{name}"


class Spared(Exception):
    """Raised where a setup would begin its work."""


def test_every_thread_count_and_level_is_measured_but_not_all_together(monkeypatch):
    shared = next(module for module in modules() if module.__name__.endswith(".suite"))
    spare = shared.Suite.spare

    def stop(suite, *arguments, **options):
        spare(suite, *arguments, **options)
        raise Spared

    monkeypatch.setattr(shared.Suite, "spare", stop)
    sparing = set()
    for suite in {case.values[0] for case in cases()}:
        if not issubclass(suite, shared.Suite) or suite.__module__.endswith((".kernels", ".quick")):
            continue
        kept = [
            dict(zip(suite.param_names, arguments, strict=True))
            for arguments in itertools.product(*suite.params)
            if reaches(suite, arguments)
        ]
        for name in {"n_threads", "level"} & set(suite.param_names):
            values = suite.params[suite.param_names.index(name)]
            assert {case[name] for case in kept} == set(values), f"{suite.__name__}.{name}"
        assert not any(c.get("n_threads", 1) > 1 and c.get("level", "best") != "best" for c in kept)
        sparing.add(suite.__module__.rsplit(".")[-1])
    assert sparing == {"gaussian", "grouped", "hadamard", "halfspace", "sketches"}


def reaches(suite, arguments):
    """Whether a setup gets as far as its work."""
    with pytest.raises((Spared, NotImplementedError)) as raised:
        suite().setup(*arguments)
    return raised.type is Spared


@pytest.mark.parametrize("implementation", ["numpy-structured", "numpy", "torch"])
def test_contenders_take_the_steps_of_subquad(implementation):
    training = next(module for module in modules() if module.__name__.endswith("training"))
    arguments = implementation, training.FirstSteps.params[1][0]
    suite = prepared(training.FirstSteps, arguments)
    ours = prepared(training.FirstSteps, ("subquad", arguments[1]))
    for _ in range(2):
        # float32: the contenders sum in it throughout, subquad in part.
        assert suite.steps.residual_norm() == pytest.approx(ours.steps.residual_norm(), rel=1e-3)
        suite.steps.step()
        ours.steps.step()


@pytest.mark.parametrize("implementation", ["recompress", "numpy", "torch"])
def test_contenders_descend_as_subquad_does(implementation):
    descents = next(module for module in modules() if module.__name__.endswith("all_layers"))
    suite, ours = (
        prepared(descents.Losses, (name, descents.Losses.params[1][0]))
        for name in (implementation, "flush")
    )
    for _ in range(3):
        loss = suite.descent.step(suite.X, suite.y)
        # float32: the contenders sum in it throughout, subquad in part.
        assert loss == pytest.approx(ours.descent.step(ours.X, ours.y), rel=1e-3)


@pytest.fixture
def step_table(monkeypatch):
    """The script that prints the table of the README, at sizes that take no time."""
    monkeypatch.syspath_prepend(str(FOLDER))
    module = importlib.import_module("step_table")
    monkeypatch.setattr(module, "SLOPE_WIDTHS", (256, 512))
    monkeypatch.setattr(module, "MEMORY_WIDTH", 512)
    return module


def test_step_table_prints_ratios_and_the_slope(step_table, capsys):
    results = [(1, step_table.measure([256], repeats=1))]
    step_table.print_steps(results)
    step_table.print_slopes(results)
    header, rule, row = capsys.readouterr().out.splitlines()[:3]
    assert header.count("|") == rule.count("|") == row.count("|")
    assert "subquad is faster than numpy by" in header
    assert math.isfinite(results[0][1]["slope"])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_step_table_accounts_for_memory(step_table, capsys):
    memory = step_table.measure_memory()
    assert memory["weights"] == 4 * (512 * 16 + 2 * 512 * 512)
    assert memory["peak"] > memory["weights"] + memory["arrays"]
    step_table.print_memory(memory)
    assert "remain for Python" in capsys.readouterr().out


def test_configuration_is_valid_and_names_the_benchmarks():
    text = (FOLDER / "asv.conf.json").read_text()
    settings = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
    assert (FOLDER / settings["benchmark_dir"]).is_dir()
    assert settings["environment_type"] == "virtualenv"
