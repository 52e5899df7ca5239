"""Tables with named columns, CSV, TSV and Parquet, by way of Arrow.

Columns that cannot be used are refused by name, all at once, so that one look mends the file.
Rows are counted from 1, the header not counted.
"""

import collections
import json

import numpy as np

from subquad._command import delimited, targets
from subquad._command.delimited import SEPARATORS, other_separator
from subquad._command.errors import BadInput, listed, one_line, require_names, require_package

PARQUET = (".parquet", ".pq")
# In a column of nothing else these are 1 and 0.
BOOLEANS = {"true": 1.0, "True": 1.0, "TRUE": 1.0, "1": 1.0}
BOOLEANS |= {"false": 0.0, "False": 0.0, "FALSE": 0.0, "0": 0.0}


def features_and_target(source, suffix, target, ignore, dialect):
    """Return X (n, d) in float64, the `Target` (n,), the feature columns and how it was read."""
    table, names, index, dialect = _read(
        source,
        suffix,
        dialect,
        lambda names: [name for name in names if name == target or name not in ignore],
    )
    if target is None:
        raise BadInput(f"--target must name a column of {source}. It has: {listed(names)}")
    _require_columns(source, names, [target], "the target column")
    _require_columns(source, names, ignore, "the columns to ignore")
    left_out = {target, *ignore, *index}
    kept = [name for name in names if name not in left_out]
    if not kept:
        raise BadInput(f"{source} must have a column besides the target {target!r}; got none")
    column = table.column(target)
    missing = _missing(column, dialect.na)
    if missing.any() and not dialect.na:
        raise BadInput(
            f"the target {target!r} of {source} must have no missing value; got {missing.sum()}, "
            f"first in row {missing.argmax() + 1}. Fill them, or leave those rows out with --na=NA"
        )
    X = _features(source, table, kept, dialect)
    whole = ~(missing | np.isnan(X).any(axis=1))
    if not whole.any():
        raise BadInput(f"{source} must have a row without a missing value; got none")
    y = _target(source, target, column, np.flatnonzero(whole), dialect)
    return X if whole.all() else X[whole], y, kept, _said_of(dialect, suffix, (~whole).sum())


def features(source, suffix, columns, dialect):
    """Return X (n, d) in float64 and its column names; `columns` selects and orders them."""
    table, names, index, dialect = _read(
        source, suffix, dialect, lambda names: _among(columns, names)
    )
    kept = [name for name in names if name not in index]
    if columns is not None:
        kept = list(columns)
        _require_columns(source, names, kept, "every column the model was fitted on")
    return _features(source, table, kept, dialect), kept


def _among(columns, names):
    """Those of the names of a file that are wanted: all, where none are asked for."""
    wanted = set(names if columns is None else columns)
    return [name for name in names if name in wanted] or names


def _read(source, suffix, dialect, select):
    """Arrow table, the names of all columns, once each; its index columns; the dialect."""
    require_package("pyarrow", f"reading {source}")
    import pyarrow

    index = set()
    try:
        if suffix in PARQUET:
            table, index = _parquet(source)
            names = table.column_names
        else:
            table, names, dialect = delimited.read(source, suffix, dialect, select)
    except (pyarrow.ArrowException, OSError, EOFError, UnicodeError) as error:
        raise BadInput(f"{source} cannot be read as a table: {one_line(error)}") from error
    for position, name in enumerate(names):
        if not name.strip():
            raise BadInput(
                f"{source} must name every column; column {position + 1} has no name. If it is an "
                "index written along with the table, write the table without it"
            )
    name, times = collections.Counter(names).most_common(1)[0]
    if times > 1:
        raise BadInput(f"{source} must name every column once; got {name!r} twice")
    if table.num_rows == 0:
        raise BadInput(f"{source} must have at least one row below its header; got none")
    return table, names, index, dialect


def _parquet(source):
    """Arrow table of a Parquet file, and the columns that pandas stored as its index."""
    from pyarrow import parquet

    table = parquet.read_table(source)
    stored = json.loads((table.schema.metadata or {}).get(b"pandas", b"{}"))
    index = {name for name in stored.get("index_columns", []) if isinstance(name, str)}
    return table, index | {n for n in table.column_names if n.startswith("__index_level_")}


def _require_columns(source, names, wanted, role):
    """Refuse a column that is not there, asking whether the separator is another one."""
    try:
        require_names(source, names, wanted, role)
    except BadInput as error:
        raise BadInput(f"{error}{other_separator(names)}") from None


def _features(source, table, names, dialect):
    """Named columns as one matrix, NaN where --na lets a value be missing.

    Text and missing values are refused, every such column named.
    """
    text, missing, infinite, remedies = [], [], [], {}
    matrix = np.empty((table.num_rows, len(names)))
    for j, name in enumerate(names):
        values, odd = _numbers(table.column(name), dialect)
        if odd is not None:
            text.append(f"{name!r} ({odd})")
            remedies.update(dict.fromkeys(dialect.notations(str(odd.value))))
            continue
        matrix[:, j] = values
        if (where := np.isnan(values)).any() and not dialect.na:
            missing.append(f"{name!r} ({where.sum()}, first in row {where.argmax() + 1})")
        if (where := np.isinf(values)).any():
            infinite.append(f"{name!r}, row {where.argmax() + 1}")
    _refuse_text(source, text, remedies, dialect)
    if missing:
        raise BadInput(
            f"{source} must have no missing value; got some in {listed(missing)}. Fill them, drop "
            "those rows (fit does with --na=NA), or leave the columns out with --ignore"
        )
    if infinite:
        raise BadInput(f"{source} must hold finite numbers; got infinity in {listed(infinite)}")
    return matrix


def _refuse_text(source, text, remedies, dialect):
    """Refuse columns that hold text, with the options under which they would hold numbers."""
    if not text:
        return
    options = ""
    if dialect.sep is not None:
        options = f", read them with {' or '.join(remedies)}" if remedies else ""
        options += ", have fit leave out rows with an entry X that is no value with --na=X"
    raise BadInput(
        f"{source} must hold a number in every feature column; got text or dates in "
        f"{listed(text)}. Convert them{options}, or leave the columns out with --ignore"
    )


class _Odd:
    """The first entry of a column that is no number, and its row."""

    def __init__(self, value, row):
        self.value, self.row = value, row

    def __str__(self):
        return f"{str(self.value)[:30]!r} in row {self.row}"


def _numbers(column, dialect):
    """Values (n,) in float64, NaN where one is missing, and the first entry that is no number."""
    import pyarrow

    if _is_number(column.type):
        return column.to_numpy().astype(np.float64), None
    if dialect.sep is None:  # text or dates in a Parquet file
        for row, value in enumerate(column.to_pylist(), start=1):
            if value is not None:
                return None, _Odd(value, row)
        return np.full(len(column), np.nan), None
    if dialect.plain:
        try:
            return column.cast(pyarrow.float64()).to_numpy(), None
        except pyarrow.ArrowInvalid:
            pass  # blanks, signs and booleans, or text
    return _written_numbers(column.to_pylist(), dialect)


def _written_numbers(texts, dialect):
    """`_numbers` of a list of entries."""
    values = [np.nan if text is None else BOOLEANS.get(text.strip()) for text in texts]
    if None not in values:
        return np.array(values), None
    values = [np.nan if text is None else dialect.number(text) for text in texts]
    if None in values:
        row = values.index(None)
        return None, _Odd(texts[row], row + 1)
    return np.array(values), None


def _target(source, name, column, rows, dialect):
    """Target of the given rows."""
    column = column.take(rows)
    stored_as_text = dialect.sep is None  # in a Parquet file
    if not stored_as_text or not _is_number(column.type):
        try:
            texts = [
                value.decode() if isinstance(value, bytes) else str(value)
                for value in column.to_pylist()
            ]
        except UnicodeDecodeError as error:
            raise BadInput(
                f"the target {name!r} of {source} must hold text or numbers; got the bytes "
                f"{error.object[:30]!r}, which are no UTF-8"
            ) from None
        return targets.from_text(source, name, texts, rows + 1, dialect, stored_as_text)
    y = column.to_numpy()
    y = y if y.dtype.kind in "iub" else y.astype(np.float64)
    if not np.isfinite(y).all():
        raise BadInput(
            f"{source} must hold finite numbers; got infinity in {name!r}, "
            f"row {rows[~np.isfinite(y)][0] + 1}"
        )
    return targets.from_array(source, name, y)


def _said_of(dialect, suffix, n_left_out):
    """What is worth saying of how a table was read: nothing of one that is as its suffix says."""
    said = {}
    if n_left_out:
        said["rows_left_out"] = int(n_left_out)
    if dialect.sep not in (None, SEPARATORS.get(suffix)):
        said["separator"] = dialect.sep
    if dialect.encoding not in (None, "utf-8"):
        said["encoding"] = dialect.encoding
    return said


def _missing(column, na):
    """Mask of the entries that are null, not a number, or one of the texts `na`."""
    import pyarrow
    from pyarrow import compute, types

    missing = compute.is_null(column, nan_is_null=True).to_numpy()
    if na and (types.is_string(column.type) or types.is_large_string(column.type)):
        missing = missing | compute.is_in(column, pyarrow.array(na, column.type)).to_numpy()
    return missing


def _is_number(kind):
    """Whether float64 can hold an Arrow type; in a column of the null type all is missing."""
    from pyarrow import types

    tests = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal, types.is_null)
    return any(test(kind) for test in tests)
