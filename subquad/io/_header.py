"""The JSON header of a file: what it must hold, and how large and deep it may be."""

import json
import reprlib

MODEL = "subquad model"
# 2: weights that a seed gives are kept as that seed, whether they were stored or not.
VERSION = 2
# Python makes a few dozen bytes of each value, so many megabytes of the shortest ones.
MOST_VALUES = 2**19
# Readers call themselves once for each level; a header of our own has a dozen.
MOST_LEVELS = 64
MOST_DIMENSIONS = 32
LARGEST_SIZE = 2**48


class ModelFileError(ValueError):
    """A file that is not a model this version can read; its text says why in one sentence."""


def as_text(document):
    """Return a header as JSON; refuse what a reader would refuse."""
    try:
        text = json.dumps(document, indent=1, allow_nan=False)
        parsed(text)
    except ModelFileError as error:
        raise ValueError(f"notes must be shorter; with them the model {error}.") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise type(error)(f"notes must hold what JSON can; got some it cannot ({error}).") from None
    return text


def parsed(text):
    """Return the value of JSON text of a bounded number of values and levels."""
    if text.count(",") + text.count("[") + text.count("{") > MOST_VALUES:
        raise ModelFileError("has a header of too many values to be one")
    value = json.loads(text, parse_constant=_refuse_constant)
    level = [value]
    for _ in range(MOST_LEVELS):
        level = [item for outer in level for item in _items(outer)]
        if not level:
            return value
    raise ModelFileError("has a header nested too deeply to be one")


def checked_header(header, kind):
    """Return a header of a kind of file whose parts have the types that all readers rely on."""
    if not isinstance(header, dict) or "format" not in header:
        raise ModelFileError("has a header that names no format")
    if header["format"] != kind:
        raise ModelFileError(f"holds a {reprlib.repr(header['format'])}")
    version = header.get("format_version")
    if type(version) is not int or version < 1:
        raise ModelFileError("has a header that names no format version")
    if version > VERSION:
        raise ModelFileError(
            f"has format {reprlib.repr(version)}, of a newer subquad; this one reads {VERSION}. "
            "Upgrade subquad to read it"
        )
    types = {"subquad_version": str, "class": str, "parameters": dict, "state": dict}
    for name, wanted in types.items():
        if not isinstance(header.get(name), wanted):
            raise ModelFileError(f"has a header whose {name} is missing or of another type")
    if not isinstance(header.get("notes"), (dict, type(None))):
        raise ModelFileError("has a header whose notes are of another type")
    if not isinstance(header.get("arrays"), dict) or not all(
        map(_describes_array, header["arrays"].values())
    ):
        raise ModelFileError("has a header that does not describe its arrays")
    return header


def _items(value):
    """What a list or a dictionary holds."""
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _describes_array(value):
    """Whether a value has the type and the shape of an array."""
    if not isinstance(value, dict) or not isinstance(value.get("dtype"), str):
        return False
    shape = value.get("shape")
    return (
        isinstance(shape, list)
        and len(shape) <= MOST_DIMENSIONS
        and all(type(size) is int and 0 <= size <= LARGEST_SIZE for size in shape)
    )


def _refuse_constant(name):
    raise ModelFileError(f"has a header with the number {name}, which JSON does not have")
