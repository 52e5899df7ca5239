"""A picture shows exactly the residuals of the history it is given."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from subquad.plotting import residuals

matplotlib_figure = pytest.importorskip("matplotlib.figure")

HISTORY = [
    SimpleNamespace(step=step, relative_residual=value)
    for step, value in enumerate([0.2, 3e-3, 1e-9], start=1)
]


@pytest.fixture
def axes():
    return matplotlib_figure.Figure().add_subplot()


def test_residuals_are_drawn_from_one_at_step_zero_on_a_logarithmic_scale(axes):
    line = residuals(HISTORY, axes).get_lines()[0]
    np.testing.assert_array_equal(line.get_xdata(), [0, 1, 2, 3])
    np.testing.assert_array_equal(line.get_ydata(), [1.0, 0.2, 3e-3, 1e-9])
    assert axes.get_yscale() == "log"


def test_two_histories_can_share_given_axes(axes):
    assert residuals(HISTORY, axes) is axes
    assert residuals(HISTORY[:1], axes) is axes
    assert len(axes.get_lines()) == 4


def test_new_axes_belong_to_a_figure_that_can_be_saved(tmp_path):
    from matplotlib import pyplot

    figure = residuals(HISTORY).figure
    figure.savefig(tmp_path / "curve.png")
    pyplot.close(figure)
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_an_exact_fit_can_be_drawn(axes):
    residuals([SimpleNamespace(step=1, relative_residual=0.0)], axes)
    axes.figure.canvas.draw()


def test_an_empty_history_is_refused(axes):
    with pytest.raises(ValueError, match="history must hold at least one step"):
        residuals([], axes)


def test_importing_the_module_does_not_import_matplotlib():
    code = "import sys, subquad.plotting; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", code]).returncode == 0


def test_without_matplotlib_the_extra_to_install_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'pip install "subquad\[plot\]"'):
        residuals(HISTORY)
