"""Tangent kernels from Jacobians that are at hand, of one layer or of several by name."""

from collections.abc import Mapping

from subquad.jacobian import Jacobian


def holds_jacobians(value):
    """Return whether a value is a Jacobian, or a mapping of some."""
    return isinstance(value, Mapping | Jacobian)


def kernel_of_jacobians(train, test, layer):
    """Return sum_l J_l J_l^T, or sum_l J_l other_l^T, over all layers or of one by name."""
    if not isinstance(train, Mapping):
        if layer is not None:
            raise ValueError(f"layer must be None for a Jacobian without names; got {layer!r}.")
        return train.gram(test)
    names = _names(train, test, layer)
    kernel = _gram(train, test, names[0])
    for name in names[1:]:
        kernel += _gram(train, test, name)
    return kernel


def _names(train, test, layer):
    """Return the names of the layers whose kernels are added."""
    if not train:
        raise ValueError("network must hold at least one Jacobian; got an empty mapping.")
    if test is not None and (not isinstance(test, Mapping) or set(test) != set(train)):
        got = list(test) if isinstance(test, Mapping) else type(test).__name__
        raise ValueError(f"X must hold Jacobians of the layers {list(train)}; got {got}.")
    if layer in (None, "all"):
        return list(train)
    if layer not in train:
        raise ValueError(f"layer must be one of {list(train)} or 'all'; got {layer!r}.")
    return [layer]


def _gram(train, test, name):
    """J J^T of one layer, or J other^T."""
    for argument, jacobians in (("network", train), ("X", test)):
        if jacobians is not None and not isinstance(jacobians[name], Jacobian):
            raise TypeError(
                f"{argument}[{name!r}] must be a Jacobian; got {type(jacobians[name]).__name__}. "
                "The kernel of sketched features F is F @ F.T."
            )
    return train[name].gram(None if test is None else test[name])
