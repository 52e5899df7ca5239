"""``subquad info``: what a saved model is, from its header alone."""

import os

from subquad._command.errors import SUCCESS
from subquad._command.report import as_json, size
from subquad.io import read_header


def run(args):
    """Describe a model file; return the exit status."""
    header = read_header(args.model)
    if args.json:
        print(as_json(header))
        return SUCCESS
    notes = header.get("notes") or {}
    lines = {
        "model": f"{args.model}, {size(os.path.getsize(args.model))}",
        "class": f"{header['class']}, written by subquad {header['subquad_version']}",
        "parameters": _pairs(header["parameters"]),
        **{key: _pairs(value) for key, value in notes.items()},
        "arrays": ", ".join(
            f"{name} {'x'.join(map(str, array['shape']))} {array['dtype']}"
            for name, array in header["arrays"].items()
        ),
    }
    for key, text in lines.items():
        print(f"{key.replace('_', ' '):<12}{text}")
    return SUCCESS


def _pairs(value):
    """Anything on one line."""
    if not isinstance(value, dict):
        return value
    return ", ".join(f"{key} {_pairs(item)}" for key, item in value.items())
