"""The code of the page on influence runs, and its TRAK scores are what the page says."""

import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")

from subquad import KhatriRao
from subquad.solvers import influence

PAGE = Path(__file__).resolve().parents[1] / "docs" / "influence.md"
if not PAGE.is_file():
    pytest.skip("the pages are not beside these tests", allow_module_level=True)

BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)


@pytest.fixture(scope="module")
def names():
    """What the blocks leave, run one after the other."""
    names = {}
    for block in BLOCKS:
        exec(compile(block, PAGE.name, "exec"), names)
    return names


def test_shapes_are_those_that_the_page_states(names):
    assert names["mean"].shape == names["std"].shape == names["variance"].shape == (50,)
    assert names["changes"].shape == names["scores"].shape == (50, 200)
    assert (names["scores"] != 0).all()


def test_the_scores_are_those_of_the_formula_for_the_last_checkpoint(names):
    network, change, sketch = names["network"], names["trainer"].factors, names["sketch"]
    _, U, V = names["gradients"](network, change, names["rows"], names["labels"])
    J = np.einsum("ir,ik->irk", U, V).reshape(len(U), -1)
    np.testing.assert_allclose(names["Phi"], J @ sketch.matrix().T, atol=1e-9)


def test_the_factors_are_gradients_of_the_margins(names):
    network, (A, V) = names["network"], names["trainer"].factors
    rows, labels = names["rows"][:8], names["labels"][:8]
    margins, U, features = names["gradients"](network, (A, V), rows, labels)
    a, v = np.random.default_rng(0).standard_normal((2, 1, names["WIDTH"])) * 1e-6
    moved = np.r_[A, a], np.r_[V, v]
    change = names["gradients"](network, moved, rows, labels)[0] - margins
    slopes = (U @ a[0]) * (features @ v[0])
    np.testing.assert_allclose(change, slopes, rtol=1e-3, atol=1e-14)


def test_scores_go_with_exact_influence(names):
    # The page states correlations of 0.57 and 0.93: the networks were fitted to squared loss, whose
    # slope the logistic weights are not.
    M, mu, exact, slopes = names["N_CHECKPOINTS"], names["DAMPING"], 0.0, 0.0
    ends = [[names[f"{name}{end}"] for name in ("rows", "labels")] for end in ("", "_test")]
    for seed in range(M):
        network = names["WideNetwork"](4, width=512, activation=names["ReLU"](), rng=seed)
        trainer = names["LastLayerGaussNewton"](
            network.last_layer(ends[0][0]), ends[0][1], regularization=mu, tol=1e-2, centred=True
        ).run()
        found = [names["gradients"](network, trainer.factors, *end) for end in ends]
        J, J_test = (KhatriRao(U, V) for _, U, V in found)
        aims = trainer.linear_targets[:, 0] * names["labels"]  # of margins
        exact = exact - influence(J, aims, mu, J_test) / M
        slopes = slopes + (1 - found[0][0]) / M

    def correlation(scores):
        return np.corrcoef(exact.ravel(), scores.ravel())[0, 1]

    assert correlation(names["scores"]) > 0.5
    assert correlation(names["scores"] / names["weights"] * slopes) > 0.9
