"""Tasks on one frozen network: alone, on one another, in sums, and as files."""

import numpy as np
import pytest

from subquad import io
from subquad.activations import ReLU
from subquad.networks import WideNetwork
from subquad.training import LastLayerGaussNewton, TaskChain

X = np.random.default_rng(0).standard_normal((24, 4))
TARGETS = {"a": X[:, 0], "b": X[:, 1] * X[:, 2], "c": np.abs(X[:, 3])}


@pytest.fixture(params=["relu", "sparse"])
def chain(request):
    """b stands on a; c on nothing."""
    options = {"activation": ReLU()} if request.param == "relu" else {}
    chain = TaskChain(WideNetwork(4, width=1024, rng=0, **options))
    for name, on in (("a", ()), ("b", ("a",)), ("c", ())):
        chain.add(name, LastLayerGaussNewton(chain.layer(X, *on), TARGETS[name]).run(), on=on)
    return chain


def test_each_task_is_switched_on_by_its_factors(chain):
    network, before = chain.network, chain.network.outputs(X)
    for name, y in TARGETS.items():
        np.testing.assert_allclose(network.outputs(X, chain[name])[:, 0], y, atol=1e-8)
    np.testing.assert_array_equal(network.outputs(X), before)
    np.testing.assert_array_equal(network.outputs(X, chain.factors()), before)
    assert (list(chain), len(chain), "b" in chain, "d" in chain) == (
        ["a", "b", "c"],
        3,
        True,
        False,
    )
    assert [len(chain[name][0]) for name in chain] == [24, 48, 24]
    assert len(chain.own_factors("b")[0]) == 24
    assert not chain.own_factors("b")[0].flags.writeable


def test_sums_have_each_task_once(chain):
    A, V = chain.factors("c", "b", "a")
    parts = [chain.own_factors(name) for name in "abc"]
    np.testing.assert_allclose(A.T @ V, sum(A.T @ V for A, V in parts), atol=1e-12)
    layer, first = chain.layer(X, "c", "b"), chain.network.last_layer(X)
    np.testing.assert_allclose(layer.outputs(), first.outputs((A, V)), atol=1e-10)


def test_a_chain_is_saved_with_its_network(chain, tmp_path):
    io.save_model(chain, tmp_path / "chain")
    other = io.load_model(tmp_path / "chain")
    assert list(other) == list(chain)
    for name in chain:
        np.testing.assert_array_equal(
            other.network.outputs(X, other[name]), chain.network.outputs(X, chain[name])
        )
    other.remove("b")
    other.remove("a")
    assert list(other) == ["c"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c["d"], "names must be of tasks ['a', 'b', 'c']; got 'd'."),
        (lambda c: c.layer(X, "d"), "names must be of tasks"),
        (lambda c: c.own_factors(3), "name must be strings; got int."),
        (lambda c: c.remove("a"), "that no other stands on; got 'a', on which 'b' does."),
        (lambda c: c.add("a", c["b"]), "name must be that of no task; got 'a'."),
        (lambda c: c.add(3, c["b"]), "name must be a string; got int."),
        (lambda c: c.add("d", c["b"], on="e"), "on must be of tasks"),
        (lambda c: c.add("d", c["b"], on=3), "on must be a name or a tuple of names; got int."),
        (
            lambda c: c.add("d", c["b"][0]),
            "task must have factors, or be a pair (A, V) of them; got ndarray.",
        ),
        (lambda c: c.add("d", (c["b"][0], c["a"][1])), "factors[1] must have shape"),
        (lambda c: c.add("d", (c["b"][0] * np.nan, c["b"][1])), "factors[0] must"),
        (lambda c: TaskChain(3), "network must be a WideNetwork; got int."),
    ],
)
def test_what_is_refused(chain, call, message):
    with pytest.raises((TypeError, ValueError)) as caught:
        call(chain)
    assert message in str(caught.value)
    assert list(chain) == ["a", "b", "c"]
