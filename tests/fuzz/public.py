"""The public callables of the package, by the names that a report uses."""

import functools
import importlib
import importlib.util
import inspect

import subquad

# Public names that no target calls, and why.
EXCUSED = {
    "jacobian.FixedSide": "a record of trusted arrays, which Jacobians make",
    "jacobian.FixedSide.of_one_output": "as its class",
    "jacobian.FixedSide.prepared": "as its class; `sketch` of a Jacobian calls it",
    "jacobian.Jacobian": "a protocol, which has no instances",
    "jacobian.KeepsGram": "a base class without a Gram matrix to form",
    "jacobian.KeepsGram.product": "as its class",
    "distributed.abort_on_error": "it takes nothing, and sets a hook of the process",
    "distributed.world": "as abort_on_error",
    "networks.ShardedLastLayer": "what ranks are returned; test_distributed starts some",
    **{
        f"networks.ShardedLastLayer.{name}": "as its class"
        for name in ("gather", "gram", "jacobian", "outputs", "require_same")
    },
    "ntk.Prediction": "a record",
    "ntk.RequiredWidth": "a record",
    "networks.NetworkWarning": "a warning",
    "solvers.NewtonRecord": "a record",
    "solvers.NystromFit": "a record",
    "solvers.Solution": "a record",
    "solvers.Solver": "a protocol, which has no instances",
    "solvers.SolverWarning": "a warning",
    "solvers.objectives.Objective": "a protocol, which has no instances",
    "training.Equation": "what a state returns: its methods take what trainers checked",
    "training.CoupledEquation": "as Equation",
    **{
        f"training.{kind}.{name}": "as its class"
        for kind in ("Equation", "CoupledEquation")
        for name in (
            "choose_regularization",
            "gram",
            "leave_one_out",
            "mean_square",
            "product",
            "quadratic",
            "solve",
        )
    },
    "training.Loss": "a base class; its kinds are fuzzed",
    "training.Loss.derivative": "as its class",
    "training.Loss.second_derivative": "as its class",
    "training.Loss.value": "as its class",
    "training.State": "a protocol, which has no instances",
    "training.StateGaussNewton": "a trainer of a caller's own state; its siblings are fuzzed",
    **{
        f"training.StateGaussNewton.{name}": "as its class"
        for name in ("choose_regularization", "gram", "run", "step")
    },
    "training.Trial": "a record",
    "training.DescentRecord": "a record",
    "training.Diagnostics": "a record",
    "training.SGDRecord": "a record",
    "training.StepRecord": "a record",
    "training.TrainingWarning": "a warning",
    "io.ModelFileError": "an exception",
    "interop.LayerChange": "what fit_layer returns",
    "interop.StoredLayer": "what load_layer returns",
}

# Names whose targets make calls only where these packages are installed.
NEEDS = {
    "interop.capture": "torch",
    "interop.fit_layer": "torch",
    "interop.apply_change": "torch",
    "interop.LayerChange.deviations": "torch",
    "interop.LayerChange.weight_change": "torch",
    "interop.export_peft": "peft",
}


def out_of_reach():
    """Names that cannot be called here, for want of a package."""
    return {name for name, package in NEEDS.items() if importlib.util.find_spec(package) is None}


@functools.cache
def modules():
    """Public modules by name."""
    found = {name: getattr(subquad, name) for name in subquad.__all__}
    found = {name: value for name, value in found.items() if inspect.ismodule(value)}
    return found | {"solvers.objectives": importlib.import_module("subquad.solvers.objectives")}


@functools.cache
def names():
    """Map every public class and function to its name, the shortest if it has several."""
    found = {}
    for room, module in modules().items():
        exported = getattr(module, "__all__", None) or _own(module)
        for name in exported:
            found.setdefault(getattr(module, name), f"{room}.{name}")
    for name in subquad.__all__:
        value = getattr(subquad, name)
        if callable(value):
            found.setdefault(value, name)
    return found


@functools.cache
def callables():
    """Return the names of all public classes, functions and methods."""
    found = set(names().values())
    for value, name in names().items():
        if inspect.isclass(value) and not getattr(value, "_is_protocol", False):
            found |= {f"{name}.{method}" for method in _methods(value)}
    return found


def name_of(function):
    """Return the public name of a class, a function, a bound method or a callable object.

    A function of the harness may stand for a public one, and says so.
    """
    if hasattr(function, "stands_for"):
        return function.stands_for
    if function in _hashable_names(function):
        return names()[function]
    owner = getattr(function, "__self__", None)
    if owner is None:  # an object with __call__
        return f"{names()[type(function)]}.__call__"
    cls = owner if inspect.isclass(owner) else type(owner)
    return f"{names()[cls]}.{function.__name__}"


def _hashable_names(function):
    return names() if inspect.isclass(function) or inspect.isroutine(function) else ()


def _own(module):
    """Public names that a module without __all__ defines itself."""
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    ]


def _methods(cls):
    """Public methods that the package defines, and __call__."""
    for name in dir(cls):
        method = inspect.getattr_static(cls, name)
        method = getattr(method, "__func__", method)
        method = getattr(method, "fn", method)  # of scikit-learn's `available_if`
        if name.startswith("_") and name != "__call__":
            continue
        if inspect.isfunction(method) and method.__module__.split(".")[0] == "subquad":
            yield name
