"""The blocks of Python of the README and of the pages of docs, run as they are printed.

The blocks of a page share their names, as they do for someone who types them in one after the
other. A line that prints and carries a comment, `print(x)  # True`, must print what the comment
says, the digits of floating-point numbers left aside.
"""

import contextlib
import io
import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROMISE = re.compile(r"^print\(.*\)  # (.*)$", re.MULTILINE)


def blocks_of(page):
    """Return the blocks of Python of a page, each with as many lines before it as in the page."""
    text = page.read_text(encoding="utf-8")
    return ["\n" * text.count("\n", 0, m.start(1)) + m[1] for m in BLOCK.finditer(text)]


def run(page):
    """Run the blocks of a page, and return what they leave: a dict of names."""
    names = {"__name__": "__main__"}
    for block in blocks_of(page):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block, str(page), "exec"), names)
        for promised in PROMISE.findall(block):
            assert without_digits(promised) in without_digits(printed.getvalue())
    return names


def without_digits(text):
    """Return a text with a mark in place of every number that has a point or an exponent."""
    return re.sub(r"-?\d+(\.\d*(e[+-]?\d+)?|e[+-]?\d+)", "#", text)
