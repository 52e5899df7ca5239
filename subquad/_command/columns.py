"""Tables with named columns, CSV, TSV and Parquet, by way of Arrow.

Columns that cannot be used are refused by name, all at once, so that one look mends the file.
Rows are counted from 1, the header not counted.
"""

import numpy as np

from subquad._command.errors import (
    BadInput,
    finite,
    listed,
    one_line,
    require_names,
    require_package,
)

DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
PARQUET = (".parquet", ".pq")


def features_and_target(source, suffix, target, ignore=()):
    """X (n, d) in float64, the target (n,) and the names of the feature columns."""
    table = _read(source, suffix)
    names = table.column_names
    if target is None:
        raise BadInput(f"--target must name a column of {source}. It has: {listed(names)}")
    require_names(source, names, [target], "the target column")
    require_names(source, names, ignore, "the columns to ignore")
    kept = [name for name in names if name != target and name not in ignore]
    if not kept:
        raise BadInput(f"{source} must have a column besides the target {target!r}; got none")
    y = _target(source, target, table.column(target))
    return _features(source, table, kept), y, kept


def features(source, suffix, columns=None):
    """X (n, d) in float64 and its column names; `columns` selects and orders them."""
    table = _read(source, suffix)
    kept = list(columns) if columns is not None else table.column_names
    require_names(source, table.column_names, kept, "every column the model was fitted on")
    return _features(source, table, kept), kept


def _read(source, suffix):
    """Read the file as an Arrow table whose columns are all named, once each."""
    require_package("pyarrow", "io", f"reading {source}")
    import pyarrow

    try:
        table = _parquet(source) if suffix in PARQUET else _delimited(source, suffix)
    except (pyarrow.ArrowException, OSError, UnicodeError) as error:
        raise BadInput(f"{source} cannot be read as a table: {one_line(error)}") from error
    names = table.column_names
    for position, name in enumerate(names):
        if not name.strip():
            raise BadInput(
                f"{source} must name every column; column {position + 1} has no name. If it is an "
                "index written along with the table, write the table without it"
            )
        if name in names[:position]:
            raise BadInput(f"{source} must name every column once; got {name!r} twice")
    if table.num_rows == 0:
        raise BadInput(f"{source} must have at least one row below its header; got none")
    return table


def _delimited(source, suffix):
    """Read a CSV or TSV file; the usual spellings of a missing value are nulls in text too."""
    from pyarrow import csv

    return csv.read_csv(
        source,
        parse_options=csv.ParseOptions(delimiter=DELIMITERS[suffix], newlines_in_values=True),
        convert_options=csv.ConvertOptions(strings_can_be_null=True),
    )


def _parquet(source):
    """Read a Parquet file, without the index pandas may have stored beside the columns."""
    from pyarrow import parquet

    table = parquet.read_table(source)
    return table.select([n for n in table.column_names if not n.startswith("__index_level_")])


def _features(source, table, names):
    """Named columns as one matrix; text and missing values are refused, every such column named."""
    text, missing, matrix = [], [], np.empty((table.num_rows, len(names)))
    for j, name in enumerate(names):
        column = table.column(name)
        if not _is_number(column.type):
            text.append(f"{name!r} ({_first_text(column)})")
        elif (where := _missing(column)).any():
            missing.append(f"{name!r} ({where.sum()}, first in row {where.argmax() + 1})")
        else:
            matrix[:, j] = column.to_numpy()
    if text:
        raise BadInput(
            f"{source} must hold a number in every feature column; got text or dates in "
            f"{listed(text)}. Convert them, or leave them out with --ignore"
        )
    if missing:
        raise BadInput(
            f"{source} must have no missing value; got some in {listed(missing)}. Fill them, drop "
            "those rows, or leave the columns out with --ignore"
        )
    return finite(source, matrix, names)


def _target(source, name, column):
    """Target column as numbers, booleans or strings."""
    where = _missing(column)
    if where.any():
        raise BadInput(
            f"the target {name!r} of {source} must have no missing value; got {where.sum()}, "
            f"first in row {where.argmax() + 1}"
        )
    if not _is_number(column.type):
        return np.array([str(value) for value in column.to_pylist()])
    y = column.to_numpy()
    return y if y.dtype.kind in "iub" else finite(source, y.astype(np.float64), [name])


def _missing(column):
    """Mask of the entries that are null or not a number."""
    from pyarrow import compute

    return compute.is_null(column, nan_is_null=True).to_numpy()


def _is_number(kind):
    """Whether float64 can hold an Arrow type; in a column of the null type all is missing."""
    from pyarrow import types

    tests = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal, types.is_null)
    return any(test(kind) for test in tests)


def _first_text(column):
    """First entry that is not a number, with its row."""
    for row, value in enumerate(column.to_pylist(), start=1):
        try:
            float(value)
        except (TypeError, ValueError):
            if value is not None:
                return f"{str(value)[:30]!r} in row {row}"
    return str(column.type)
