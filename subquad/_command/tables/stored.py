"""Files that store a table with the types of its columns, as Arrow tables."""

import json
import os

from subquad._command.errors import BadInput, require_package

SUFFIXES = (".parquet", ".pq", ".feather", ".arrow", ".jsonl", ".ndjson", ".xlsx")


def read(source, suffix):
    """Return an Arrow table, and the columns that pandas stored as its index."""
    if suffix in (".parquet", ".pq"):
        from pyarrow import parquet

        table = parquet.read_table(source)
    elif suffix in (".feather", ".arrow"):
        from pyarrow import feather

        table = feather.read_table(source)
    elif suffix == ".xlsx":
        table = _workbook(source)
    else:
        from pyarrow import json as arrow_json

        table = arrow_json.read_json(source)
    described = json.loads((table.schema.metadata or {}).get(b"pandas", b"{}"))
    index = {name for name in described.get("index_columns", []) if isinstance(name, str)}
    return table, index | {n for n in table.column_names if n.startswith("__index_level_")}


def _workbook(source):
    """The first sheet of a workbook; a column of several types is text."""
    require_package("openpyxl", f"reading {os.path.basename(source)}")
    import zipfile

    import openpyxl
    import pyarrow

    try:
        book = openpyxl.load_workbook(source, read_only=True, data_only=True)
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise BadInput(f"{source} must be a workbook; got a file that is none") from error
    rows = [row for row in book.worksheets[0].iter_rows(values_only=True) if any(_told(row))]
    book.close()
    names = ["" if name is None else str(name) for name in (rows[0] if rows else [])]
    columns = [_column([row[j] for row in rows[1:]]) for j in range(len(names))]
    return pyarrow.table(columns, names=names)


def _told(row):
    """Whether each cell holds something."""
    return (value is not None for value in row)


def _column(values):
    """Arrow array of cells."""
    import pyarrow

    try:
        return pyarrow.array(values)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError):
        return pyarrow.array([None if value is None else str(value) for value in values])
