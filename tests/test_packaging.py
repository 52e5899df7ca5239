"""The build refuses, in a sentence, a folder that holds no kernels."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SETUP = Path(__file__).resolve().parents[1] / "setup.py"

if not SETUP.exists():
    pytest.skip("the sources are not beside these tests", allow_module_level=True)
pytest.importorskip("Cython")
pytest.importorskip("setuptools")


def test_a_folder_without_kernels_is_named(tmp_path):
    shutil.copy(SETUP, tmp_path)
    command = [sys.executable, "setup.py", "--version"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    message = f"subquad: no kernels (*.pyx) in {tmp_path.resolve() / 'subquad' / '_kernels'}."
    assert message in done.stderr
    assert "Traceback" not in done.stderr
