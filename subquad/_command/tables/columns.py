"""Tables with named columns, CSV, TSV and others, by way of Arrow.

Columns that cannot be used are refused by name, all at once, so that one look mends the file.
Rows are counted from 1, the header not counted.
"""

import collections

import numpy as np

from subquad._command.errors import BadInput, listed, one_line, require_names, require_package
from subquad._command.tables import delimited, stored, targets, typed
from subquad._command.tables.delimited import SEPARATORS, other_separator


def features_and_target(source, suffix, target, ignore, dialect, drop_gaps=False):
    """Return the feature columns, the `Target` (n,) and what is worth saying of how it was read."""
    table, names, index, dialect = _read(
        source,
        suffix,
        dialect,
        lambda names: _not_ignored(names, _ignored(names, ignore), target),
    )
    if target is None:
        raise BadInput(f"--target must name a column of {source}. It has: {listed(names)}")
    _require_columns(source, names, [target], "the target column")
    ignore = _ignored(names, ignore)
    _require_columns(source, names, ignore, "the columns to ignore")
    if target in ignore:
        raise BadInput(f"--ignore must not name the target; got {target!r}")
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
    columns = _columns(source, table, kept, dialect)
    if drop_gaps:
        missing = np.logical_or.reduce([missing, *(column.gaps for column in columns)])
    if missing.all():
        raise BadInput(f"{source} must have a row without a missing value; got none")
    rows = np.flatnonzero(~missing)
    y = _target(source, target, column, rows, dialect)
    if missing.any():
        columns = [column.take(rows) for column in columns]
    return columns, y, _said_of(dialect, suffix, missing.sum())


def features(source, suffix, names, dialect, wanted=None):
    """Return the feature columns; `names`, if given, selects and orders them.

    `wanted` maps names to the kind, and the form of dates, that a model expects.
    """
    table, found, index, dialect = _read(
        source, suffix, dialect, lambda found: _among(names, found)
    )
    kept = [name for name in found if name not in index]
    if names is not None:
        kept = list(names)
        _require_columns(source, found, kept, "every column the model was fitted on")
    return _columns(source, table, kept, dialect, wanted or {})


def target_of(source, suffix, name, dialect):
    """Return the `Target` (n,) of a file whose features a model has read, gaps refused."""
    table, names, _, dialect = _read(source, suffix, dialect, lambda names: _among([name], names))
    _require_columns(source, names, [name], "the target column")
    column = table.column(name)
    if (missing := _missing(column, dialect.na)).any():
        raise BadInput(
            f"the target {name!r} of {source} must have no missing value; got {missing.sum()}, "
            f"first in row {missing.argmax() + 1}"
        )
    return _target(source, name, column, np.arange(len(column)), dialect)


def texts_of(source, suffix, name, dialect):
    """Return a column as its entries are written, a list of n strings."""
    table, names, _, _ = _read(source, suffix, dialect, lambda names: _among([name], names))
    _require_columns(source, names, [name], "the column of --id")
    return ["" if value is None else str(value) for value in table.column(name).to_pylist()]


def _ignored(names, words):
    """Columns to leave out: each word is a name, or names with commas between them."""
    known, found = set(names), []
    for word in words:
        found += [word] if word in known else [part.strip() for part in word.split(",")]
    return [name for name in found if name]


def _not_ignored(names, ignored, target):
    """Those of the names of a file that are read."""
    ignored = set(ignored)
    return [name for name in names if name == target or name not in ignored]


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
        if suffix in stored.SUFFIXES:
            table, index = stored.read(source, suffix)
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


def _require_columns(source, names, wanted, role):
    """Refuse a column that is not there, asking whether the separator is another one."""
    try:
        require_names(source, names, wanted, role)
    except BadInput as error:
        raise BadInput(f"{error}{other_separator(names)}") from None


def _columns(source, table, names, dialect, wanted=()):
    """Typed columns of the names; every one that cannot be used is named in the refusal."""
    columns, odd, infinite, remedies, wanted = [], [], [], {}, dict(wanted)
    for name in names:
        try:
            column = _typed(name, table.column(name), dialect, wanted.get(name))
        except typed.Odd as error:
            odd.append(f"{name!r} ({error})")
            remedies.update(dict.fromkeys(error.remedies))
            continue
        columns.append(column)
        if column.kind == "number" and (where := np.isinf(column.values)).any():
            infinite.append(f"{name!r}, row {where.argmax() + 1}")
    _refuse_odd(source, odd, remedies, dialect)
    if infinite:
        raise BadInput(f"{source} must hold finite numbers; got infinity in {listed(infinite)}")
    return columns


def _refuse_odd(source, odd, remedies, dialect):
    """Refuse columns of numbers that hold text, with the options under which it is none."""
    if not odd:
        return
    options = ""
    if dialect.sep is not None:
        options = f", read them with {' or '.join(remedies)}" if remedies else ""
        options += ", have an entry X that is no value taken as missing with --na=X"
    raise BadInput(
        f"{source} must hold a number in every entry of a column of numbers; got text in "
        f"{listed(odd)}. Convert them{options}, or leave the columns out with --ignore"
    )


def _typed(name, column, dialect, wanted):
    """`Column` of an Arrow column."""
    import pyarrow
    from pyarrow import types

    kind = None if wanted is None else wanted[0]
    if _is_number(column.type) and kind in (None, "number"):
        return typed.of_numbers(name, column.to_numpy().astype(np.float64))
    if (types.is_timestamp(column.type) or types.is_date(column.type)) and kind in (None, "date"):
        return typed.of_dates(name, column.cast(pyarrow.timestamp("us")).to_numpy())
    if dialect.sep is not None and dialect.plain and kind in (None, "number"):
        try:
            return typed.of_numbers(name, column.cast(pyarrow.float64()).to_numpy())
        except pyarrow.ArrowInvalid:
            pass  # blanks, signs and booleans, or text
    texts, codes = _distinct(column, dialect)
    return typed.of_texts(name, texts, codes, dialect, wanted)


def _distinct(column, dialect):
    """Distinct entries as text, and the number of each row's, -1 where it is missing."""
    import pyarrow
    from pyarrow import types

    if types.is_null(column.type):
        column = column.cast(pyarrow.string())
    if not types.is_dictionary(column.type):
        try:
            column = column.dictionary_encode()
        except pyarrow.ArrowException:  # of lists and other nests, which are compared as text
            texts = [None if value is None else str(value) for value in column.to_pylist()]
            column = pyarrow.chunked_array([pyarrow.array(texts)]).dictionary_encode()
    column = column.combine_chunks()
    if isinstance(column, pyarrow.ChunkedArray):  # of no rows, or of chunks that stay apart
        column = pyarrow.chunked_array(column.chunks).unify_dictionaries().combine_chunks()
    values = column.dictionary.to_pylist()
    codes = column.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.intp)
    texts = [_as_text(value) for value in values]
    missing = [i for i, text in enumerate(texts) if text is None or text.strip() in dialect.na]
    codes[np.isin(codes, [*missing, -1])] = -1
    return ["" if text is None else text for text in texts], codes


def _as_text(value):
    """An entry as text; None for one that is missing, as an empty one is."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    return None if value is None or value == "" else str(value)


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
