"""Calls of the command in this process, and tables for it to read."""

import json

from subquad.__main__ import main

SMALL = ("--width", 256, "--seed", 3)


def run(*words):
    """Run the command and return its status."""
    return main([str(word) for word in words])


def fitted(capsys, *words):
    """The JSON document of a small fit that must succeed."""
    assert run("fit", *words, *SMALL, "--json") == 0
    return json.loads(capsys.readouterr().out)


def refusal(capsys, *words):
    """The one sentence on standard error of a command that ends with status 2."""
    assert run(*words) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("subquad: ")
    return captured.err


def column(folder, values, **written):
    """A table of one feature, the row's number, and the target `values`."""
    path = folder / "t.csv"
    rows = "".join(f'{i};"{value}"\n' for i, value in enumerate(values))
    path.write_text(f"a;y\n{rows}", **written)
    return path
