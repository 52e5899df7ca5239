"""A picture shows exactly the numbers it is given."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from subquad.plotting import active_fraction, kernel_convergence, residuals, spectrum

matplotlib_figure = pytest.importorskip("matplotlib.figure")

HISTORY = [
    SimpleNamespace(step=step, relative_residual=value)
    for step, value in enumerate([0.2, 3e-3, 1e-9], start=1)
]
ACTIVE = [
    SimpleNamespace(step=1, active_fraction=0.5),
    SimpleNamespace(step=2, active_fraction=0.4),
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


def test_importing_the_module_does_not_import_matplotlib():
    code = "import sys, subquad.plotting; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", code]).returncode == 0


def test_a_spectrum_is_drawn_from_the_largest_eigenvalue_down(axes, rng):
    A = rng.standard_normal((6, 6))
    kernel = A @ A.T
    line = spectrum(kernel, axes).get_lines()[0]
    expected = np.sort(np.linalg.eigvalsh(kernel))[::-1]
    np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-10)
    np.testing.assert_array_equal(line.get_xdata(), np.arange(1, 7))
    assert axes.get_yscale() == "log"


def test_a_spectrum_reads_only_the_lower_half_of_a_kernel(axes):
    line = spectrum(np.array([[2.0, np.nan], [1.0, 2.0]]), axes).get_lines()[0]
    np.testing.assert_allclose(line.get_ydata(), [3.0, 1.0])


def test_a_spectrum_counts_the_eigenvalues_that_cannot_be_drawn(axes):
    line = spectrum([0.0, 2.0, -1e-17, 1.0], axes).get_lines()[0]
    np.testing.assert_array_equal(line.get_ydata(), [2.0, 1.0])
    assert axes.get_legend().get_texts()[0].get_text() == "2 of 4 not positive"


def test_the_rounding_line_of_a_spectrum_follows_the_precision(axes):
    values = np.ones(8, np.float32)
    level = spectrum(values, axes).get_lines()[1].get_ydata()[0]
    assert level == pytest.approx(8 * np.finfo(np.float32).eps)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (np.ones((2, 3)), r"kernel_or_eigenvalues must have shape \(n, n\)"),
        (np.array([[np.nan]]), "kernel_or_eigenvalues must be finite"),
        (np.array([1.0, np.inf]), "kernel_or_eigenvalues must be finite"),
        (np.zeros(3), "kernel_or_eigenvalues must have a positive eigenvalue; got none"),
    ],
)
def test_a_spectrum_refuses_what_has_none(axes, argument, message):
    with pytest.raises(ValueError, match=message):
        spectrum(argument, axes)


def test_the_line_of_the_law_has_slope_one_half_and_passes_through_exact_data(axes):
    widths = np.array([4096, 256, 1024])
    kernel_convergence(widths, 3 / np.sqrt(widths), axes)
    measured, law = axes.get_lines()
    np.testing.assert_array_equal(measured.get_xdata(), [256, 1024, 4096])
    np.testing.assert_allclose(law.get_ydata(), measured.get_ydata(), rtol=1e-12)
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


def test_of_several_draws_the_medians_are_joined(axes):
    kernel_convergence([1, 4], [[1.0, 2.0, 9.0], [0.5, 1.0, 4.0]], axes)
    np.testing.assert_array_equal(axes.get_lines()[0].get_ydata(), [2.0, 1.0])
    np.testing.assert_array_equal(axes.get_lines()[1].get_ydata(), [1.0, 0.5])  # first draw
    assert len(axes.get_lines()) == 5


@pytest.mark.parametrize(
    ("widths", "errors", "message"),
    [
        ([1, 2], [1.0], "errors must have shape"),
        ([1, 2], [1.0, 0.0], "errors must be positive; got 0.0"),
        ([0, 2], [1.0, 1.0], "widths must be positive; got 0.0"),
        ([1, 2], [1.0, np.nan], "errors must be finite"),
    ],
)
def test_a_convergence_that_has_no_logarithm_is_refused(axes, widths, errors, message):
    with pytest.raises(ValueError, match=message):
        kernel_convergence(widths, errors, axes)


def test_the_active_fraction_before_step_one_is_drawn_at_zero(axes):
    line = active_fraction(ACTIVE, axes).get_lines()[0]
    np.testing.assert_array_equal(line.get_xdata(), [0, 1])
    np.testing.assert_array_equal(line.get_ydata(), [0.5, 0.4])
    assert axes.get_ylim()[0] == 0.0


@pytest.mark.parametrize("picture", [residuals, active_fraction])
def test_an_empty_history_has_no_picture(axes, picture):
    with pytest.raises(ValueError, match="history must hold at least one step"):
        picture([], axes)


@pytest.mark.parametrize(
    ("picture", "arguments"),
    [
        (residuals, (HISTORY,)),
        (active_fraction, (ACTIVE,)),
        (spectrum, ([1.0],)),
        (kernel_convergence, ([1], [1.0])),
    ],
)
def test_without_matplotlib_each_picture_names_itself_and_the_extra(
    monkeypatch, picture, arguments
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=rf'{picture.__name__} needs.*"subquad\[plot\]"'):
        picture(*arguments)
