"""The blocks of the README and of the pages of docs, run as they are printed.

The blocks of a page share their names and their folder, as they do for someone who types them in
one after the other. In a block of Python, a line that prints and carries a comment,
`print(x)  # True`, must print what the comment says, the digits of floating-point numbers left
aside. In a block "console", what stands below a line `$ subquad ...` is what the command prints:
numbers and sizes in bytes may differ, and `...` stands for any lines.
"""

import contextlib
import io
import re
import shlex
from pathlib import Path

from subquad.__main__ import main

REPOSITORY = Path(__file__).resolve().parents[1]
MADE = {"gallery", "generated"}  # by Sphinx
PAGES = [
    REPOSITORY / "README.md",
    *(
        page
        for page in sorted((REPOSITORY / "docs").rglob("*.md"))
        if not MADE & set(page.relative_to(REPOSITORY).parts)
    ),
]
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROMISE = re.compile(r"^print\(.*\)  # (.*)$", re.MULTILINE)
COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
NUMBER = re.compile(r"-?\d+(\.\d*)?(e[+-]?\d+)?( [kMG]?B\b)?")


def blocks_of(page):
    """Return the blocks of a page: language and text, with as many lines before as in the page."""
    text = page.read_text(encoding="utf-8")
    return [(m[1], "\n" * text.count("\n", 0, m.start(2)) + m[2]) for m in BLOCK.finditer(text)]


def python_of(page):
    """Return all the Python of a page."""
    return "\n".join(block for language, block in blocks_of(page) if language == "python")


def run(page):
    """Run the blocks of a page, and return what they leave: a dict of names."""
    names = {"__name__": "__main__"}
    for language, block in blocks_of(page):
        if language == "console":
            run_commands(block)
            continue
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(block, str(page), "exec"), names)
        for promised in PROMISE.findall(block):
            assert without_digits(promised) in without_digits(printed.getvalue())
    return names


def run_commands(block):
    """Run the commands of the package in a block, and compare what they print."""
    for command, promised in COMMAND.findall(block):
        program, *words = shlex.split(command)
        if program != "subquad":
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            try:
                main(words)
            except SystemExit:  # from the parser
                pass
        assert re.fullmatch(pattern_of(promised), without_numbers(printed.getvalue()), re.DOTALL), (
            f"$ {command}\n{printed.getvalue()}"
        )


def pattern_of(promised):
    """Return a pattern of what is printed where a page promises this."""
    return re.sub(r"(\\ )?(\\\.){3}", ".*", re.escape(without_numbers(promised)))


def without_numbers(text):
    """Return a text with # in place of every number, and one blank in place of many."""
    return " ".join(NUMBER.sub("#", text).split())


def without_digits(text):
    """Return a text with a mark in place of every number that has a point or an exponent."""
    return re.sub(r"-?\d+(\.\d*(e[+-]?\d+)?|e[+-]?\d+)", "#", text)
