"""Every block of Python in the README and in the pages of docs runs as it is printed.

The blocks of a page share their names, as they do for someone who types them in one after the
other. A line that prints and carries a comment, `print(x)  # True`, must print what the comment
says, the digits of floating-point numbers left aside.
"""

import contextlib
import io
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROMISE = re.compile(r"^print\(.*\)  # (.*)$", re.MULTILINE)
# An optional package that a block needs, by the name under which the block imports it.
OPTIONAL = "matplotlib", "peft", "safetensors", "sklearn", "torch"


def blocks_of(page):
    """Return the blocks of Python of a page, each with as many lines before it as in the page."""
    text = page.read_text(encoding="utf-8")
    return ["\n" * text.count("\n", 0, m.start(1)) + m[1] for m in BLOCK.finditer(text)]


def without_digits(text):
    """Return a text with a mark in place of every number that has a point or an exponent."""
    return re.sub(r"-?\d+(\.\d*(e[+-]?\d+)?|e[+-]?\d+)", "#", text)


WITH_BLOCKS = [page for page in PAGES if blocks_of(page)]


def test_pages_with_blocks_are_found():
    assert {"README.md", "index.md", "how_it_works.md"} <= {page.name for page in WITH_BLOCKS}


@pytest.mark.parametrize("page", WITH_BLOCKS, ids=lambda page: page.stem)
def test_every_block_runs_and_prints_what_it_says(page, tmp_path, monkeypatch):
    blocks = blocks_of(page)
    for package in OPTIONAL:
        if any(re.search(rf"^\s*(import|from) {package}\b", block, re.M) for block in blocks):
            pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for block in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block, str(page), "exec"), names)
        for promised in PROMISE.findall(block):
            assert without_digits(promised) in without_digits(printed.getvalue())
